"""Several stores as one: codes byte for byte, and nothing that does not belong together."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from solfa.tokenize_audio.store.format import (
    Meta,
    Quarantined,
    StoreHead,
    TokenStoreError,
    read_manifest,
    write_head,
    write_manifest,
)
from solfa.tokenize_audio.store.merge import merge
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.verify import verify
from solfa.tokenize_audio.store.writer import rewrite_meta, write_shard

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path, head: StoreHead, make_item: Callable[..., tuple[Meta, np.ndarray]]) -> Build:
    """build(name, shards of keys, ...): a store."""

    def make(name: str, shards: Sequence[Sequence[str]], other: StoreHead = head, encoder: str = "e") -> Path:
        write_head(tmp_path / name, other)
        for index, keys in enumerate(shards):
            items = [make_item(key, 5 + len(key), other) for key in keys]
            write_shard(tmp_path / name, index, other, items, [Quarantined(f"bad {name} {index}", "x", "cut")], encoder)
        return tmp_path / name

    return make


def test_all_items_in_their_order(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["1", "22"], ["333"]]), build("b", [["4"], []])
    rewrite_meta(b, 0, [replace(meta, texts=("new",)) for meta in TokenStore(b).metas()])  # a table of another name
    assert (b / "00000.meta.1.parquet").exists()
    merged = merge([a, b], tmp_path / "out")
    assert (merged.shards, merged.items, merged.frames) == (4, 4, 6 + 7 + 8 + 6)
    assert verify(tmp_path / "out").problems == ()
    stores = [TokenStore(a), TokenStore(b)]
    out = TokenStore(tmp_path / "out", verify=True)
    assert out.keys == ["1", "22", "333", "4"] and out.head == stores[0].head
    expected = [(store.codes(i), store.meta(i)) for store in stores for i in range(len(store))]
    for i, (codes, meta) in enumerate(expected):
        assert np.array_equal(out.codes(i), codes) and out.meta(i) == meta
    assert out.meta(3).texts == ("new",) and [shard.rewrites for shard in out.manifests] == [0, 0, 1, 0]
    assert [len(shard.quarantined) for shard in out.manifests] == [1, 1, 1, 1]
    assert (tmp_path / "out" / "00002.codes.safetensors").read_bytes() == (b / "00000.codes.safetensors").read_bytes()


def test_it_is_written_to_folders_of_this_machine(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [build("a", [["1"]]), build("b", [["2"]])]
    monkeypatch.chdir(tmp_path)
    for place in ("memory://x/y", Path("s3://bucket/store")):
        with pytest.raises(ValueError, match="goes to files of this machine"):
            merge(stores, place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_another_store_has_was_not_left_out(build: Build, tmp_path: Path) -> None:
    a, b, c = build("a", [["1"]]), build("b", [["bad a 0"]]), build("c", [["2"]])
    write_manifest(c, replace(read_manifest(c, 0), quarantined=(Quarantined("bad b 0", "y", "cut"),)))
    merge([a, b, c], tmp_path / "out")
    left = [[each.key for each in shard.quarantined] for shard in TokenStore(tmp_path / "out").manifests]
    assert left == [[], ["bad b 0"], []]
    assert verify(tmp_path / "out").problems == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"codec": "other"}, "codec other instead of tiny_codec"),
        ({"weights_hash": "cd" * 32}, "weights_hash cdcdcdcdcdcd... instead of abababababab..."),
        ({"codebooks": 3}, "codebooks 3 instead of 4"),
        ({"precision": "bfloat16"}, "precision bfloat16 instead of float32"),
    ],
)
def test_another_codec_is_refused_by_name(
    build: Build, head: StoreHead, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    a, b = build("a", [["1"]]), build("b", [["2"]], replace(head, **change))  # type: ignore[arg-type]
    with pytest.raises(TokenStoreError, match=re.escape(str(b))) as error:
        merge([a, b], tmp_path / "out")
    assert told in str(error.value) and str(a) in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_key_twice_is_refused_by_name(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["1", "2"]]), build("b", [["3"], ["2"]])
    with pytest.raises(TokenStoreError, match=re.escape(f"'2' is in {a} and in {b}")):
        merge([a, b], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_damage_is_not_carried_over(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["1"]]), build("b", [["2"]])
    data = bytearray((b / "00000.codes.safetensors").read_bytes())
    data[-1] ^= 1
    (b / "00000.codes.safetensors").write_bytes(data)
    with pytest.raises(TokenStoreError, match="damaged"):
        merge([a, b], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_is_there_stays_and_encoders_are_told(build: Build, tmp_path: Path) -> None:
    a, b = build("a", [["1"]]), build("b", [["2"]], encoder="f")
    with pytest.raises(ValueError, match="it is there already"):
        merge([a], b)
    with pytest.raises(ValueError, match="no stores"):
        merge([], tmp_path / "out")
    with pytest.warns(UserWarning, match="several encoders: 'e'; 'f'"):
        merge([a, b], tmp_path / "out")
