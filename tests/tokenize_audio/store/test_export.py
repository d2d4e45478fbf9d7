"""Other programs read what was exported, and Parquet is a way there and back."""

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from solfa.tokenize_audio.store import columns
from solfa.tokenize_audio.store.columns import plain
from solfa.tokenize_audio.store.export import export, from_parquet
from solfa.tokenize_audio.store.export_hf import split_name
from solfa.tokenize_audio.store.format import Meta, Quarantined, StoreHead, TokenStoreError, write_head
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.writer import rewrite_meta, write_shard

Item = Callable[..., tuple[Meta, np.ndarray]]
KEYS = ("a.b/c.wav", "...", "~/x", "d: e", "äö\u2028", "sub/../x".replace("..", "..."))


@pytest.fixture(params=["int16", "int32"])
def store(tmp_path: Path, head: StoreHead, make_item: Item, request: pytest.FixtureRequest) -> Path:
    """Two shards and an empty one; keys that are awkward as file names; all kinds of metadata."""
    head = head if request.param == "int16" else replace(head, codebook_size=1 << 17, codebooks=2)
    write_head(tmp_path / "store", head)
    first = [make_item(key, frames, head) for key, frames in zip(KEYS, (30, 0, 7, 8, 9, 10), strict=True)]
    first[1] = (replace(first[1][0], texts=(), notes=None, attributes={}, split="", pedals=()), first[1][1])
    first[2] = (replace(first[2][0], notes=(), pedals=(), split="Hold out!"), first[2][1])
    write_shard(tmp_path / "store", 0, head, first, [Quarantined("bad", "/in/bad.wav", "cut ♪")], "encoder 1")
    write_shard(tmp_path / "store", 1, head, [], (), "encoder 1")
    write_shard(tmp_path / "store", 4, head, [make_item("last", 3, head)], (), "encoder 1")
    return tmp_path / "store"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_parquet_and_back_is_the_identity(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solfa.tokenize_audio.store.export_parquet.GROUP_ROWS", 2)
    found = export(store, tmp_path / "parquet")
    assert found.files == ("00000.parquet", "00001.parquet", "00004.parquet") and found.items == 7
    assert from_parquet(tmp_path / "parquet", tmp_path / "back") == 7
    assert files(tmp_path / "back") == files(store)
    export(store, tmp_path / "again")
    assert files(tmp_path / "again") == files(tmp_path / "parquet"), "the same bytes every time"
    assert pq.ParquetFile(tmp_path / "parquet" / "00000.parquet").num_row_groups == 3


def test_parquet_of_an_annotated_store_and_back_is_the_identity(store: Path, tmp_path: Path) -> None:
    rewrite_meta(store, 0, [replace(meta, texts=("new",)) for meta in list(TokenStore(store).metas())[:6]])
    export(store, tmp_path / "parquet")
    from_parquet(tmp_path / "parquet", tmp_path / "back")
    assert files(tmp_path / "back") == files(store) and "00000.meta.1.parquet" in files(store)
    path = tmp_path / "parquet" / "00000.parquet"
    path.write_bytes(path.read_bytes().replace(b"solfa_rewrites\x18\x011", b"solfa_rewrites\x18\x01x"))
    with pytest.raises(TokenStoreError, match="solfa_rewrites must be a number"):
        from_parquet(tmp_path / "parquet", tmp_path / "other")


def test_parquet_says_what_it_holds(store: Path, tmp_path: Path) -> None:
    export(store, tmp_path / "parquet")
    table = pq.read_table(tmp_path / "parquet" / "00000.parquet", page_checksum_verification=True)
    row = table.to_pylist()[0]
    opened = TokenStore(store)
    meta = opened.meta(0)
    assert row["key"] == "a.b/c.wav" and row["texts"] == list(meta.texts) and json.loads(row["extra"]) == meta.extra
    assert np.array_equal(row["codes"], opened.codes(0))
    assert [note["pitch"] for note in row["notes"] or []] == [note.pitch for note in meta.notes or ()]


def test_bad_parquet_is_refused(store: Path, tmp_path: Path) -> None:
    export(store, tmp_path / "parquet")
    path = tmp_path / "parquet" / "00000.parquet"
    data = path.read_bytes()
    table = pq.read_table(path)
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(1)
    flipped = chunk.data_page_offset + chunk.total_compressed_size - 1
    others = [tmp_path / "other.parquet", tmp_path / "plain.parquet"]
    pq.write_table(table, others[0], use_dictionary=False)  # the same, written otherwise
    pq.write_table(table.replace_schema_metadata(None), others[1])
    for bad, told in [
        (data[:flipped] + bytes([data[flipped] ^ 1]) + data[flipped + 1 :], "00000.parquet"),  # a checksum
        (data[: len(data) // 2], "00000.parquet"),
        (b"", "00000.parquet"),
        (others[0].read_bytes(), "compression must be one of UNCOMPRESSED, ZSTD"),
        (others[1].read_bytes(), "not a file that solfa exported"),
        (path.with_name("00004.parquet").read_bytes(), "it holds shard 4"),
    ]:
        path.write_bytes(bad)
        with pytest.raises(TokenStoreError, match=told):
            from_parquet(tmp_path / "parquet", tmp_path / "back")
        assert not (tmp_path / "back").exists()
    path.write_bytes(data)
    with pytest.raises(TokenStoreError, match="no Parquet files"):
        from_parquet(tmp_path, tmp_path / "back")
    with pytest.raises(ValueError, match="there already"):
        from_parquet(tmp_path / "parquet", store)


def test_a_row_of_too_many_notes_is_refused_before_it_is_unfolded(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(store, tmp_path / "parquet")
    most = max(len(meta.notes or ()) for meta in TokenStore(store).metas())
    assert most > 1
    monkeypatch.setattr(columns, "MOST", most - 1)
    with pytest.raises(TokenStoreError, match=f"{most} notes in a row: at most {most - 1}"):
        from_parquet(tmp_path / "parquet", tmp_path / "back")


def test_files_of_two_stores_do_not_mix(store: Path, tmp_path: Path, make_item: Item) -> None:
    head = replace(TokenStore(store).head, codec="another")
    write_head(tmp_path / "b", head)
    write_shard(tmp_path / "b", 5, head, [make_item("z", 3, head)])
    export(store, tmp_path / "parquet")
    export(tmp_path / "b", tmp_path / "more")
    (tmp_path / "more" / "00005.parquet").rename(tmp_path / "parquet" / "00005.parquet")
    with pytest.raises(TokenStoreError, match="of another store"):
        from_parquet(tmp_path / "parquet", tmp_path / "back")


def test_huggingface_reads_the_splits(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    export(store, tmp_path / "hf", "hf")
    read = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    opened = TokenStore(store)
    rows = {row["key"]: (split, row) for split, part in read.items() for row in part}
    assert set(read) == {"train", "valid", "Hold_out_"} and sorted(rows) == sorted(opened.keys)
    for i, key in enumerate(opened.keys):
        split, row = rows[key]
        assert split == split_name(opened.meta(i).split or "train")
        _check_row(row, opened, i)
    # As it comes from other places of the library: plain files, streamed, and saved to disk.
    names = [str(path) for path in sorted((tmp_path / "hf" / "data").glob("train-*"))]
    streamed = datasets.load_dataset("parquet", data_files=names, split="train", streaming=True)
    assert [row["key"] for row in streamed] == [row["key"] for row in read["train"]]
    read["train"].save_to_disk(str(tmp_path / "disk"))
    for row in datasets.load_from_disk(str(tmp_path / "disk")):
        _check_row(row, opened, opened.find(row["key"]))


def _check_row(row: dict[str, Any], opened: TokenStore, item: int) -> None:
    meta = opened.meta(item)
    assert np.array_equal(np.array(row["codes"]).reshape(opened.head.codebooks, -1), opened.codes(item))
    assert tuple(row["texts"]) == meta.texts and row["seconds"] == meta.seconds and row["split"] == meta.split
    assert json.loads(row["attributes"]) == meta.attributes
    notes = None if row["notes"] is None else [tuple(note[name] for name in columns.NOTE) for note in row["notes"]]
    assert notes == (None if meta.notes is None else [tuple(getattr(n, f) for f in columns.NOTE) for n in meta.notes])


def test_splits_keep_apart() -> None:
    """datasets knows letters of any script, digits and underscores."""
    assert split_name("训练") == "训练" and split_name("a-b") == "a_b"
    assert split_name("a b", ["a_b", "a_b_2"]) == "a_b_3"


def test_webdataset_reads_the_tars(store: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    export(store, tmp_path / "wds", "webdataset")
    index = json.loads((tmp_path / "wds" / "dataset.json").read_text())
    assert [(tar["tar"], tar["items"]) for tar in index["tars"]] == [
        ("00000.tar", 6),
        ("00001.tar", 0),
        ("00004.tar", 1),
    ]
    opened = TokenStore(store)
    assert index["head"]["weights_hash"] == opened.head.weights_hash and index["items"] == 7
    full = [str(tmp_path / "wds" / name) for name in ("00000.tar", "00004.tar")]
    read = list(webdataset.WebDataset(full, shardshuffle=False).decode())
    assert len(read) == len(opened)
    for i, sample in enumerate(read):
        assert np.array_equal(sample["npy"], opened.codes(i)) and sample["npy"].dtype == opened.head.dtype
        assert sample["json"] == json.loads(json.dumps(plain(opened.meta(i))))
        assert sample["json"]["key"] == opened.keys[i] and sample["json"]["texts"] == list(opened.meta(i).texts)


def test_nothing_is_named_by_a_key_and_nothing_is_pickled(store: Path, tmp_path: Path) -> None:
    """Keys cannot lead out of a folder that is unpacked; codes are plain arrays."""
    export(store, tmp_path / "wds", "webdataset")
    with tarfile.open(tmp_path / "wds" / "00000.tar") as tar:
        names = tar.getnames()
        assert names[:2] == ["00000-000000.npy", "00000-000000.json"] and len(names) == 12
        assert all(name[:13] == f"00000-{i // 2:06d}."[:13] for i, name in enumerate(names))
        tar.extractall(tmp_path / "unpacked", filter="data")
    assert sorted(path.name for path in (tmp_path / "unpacked").rglob("*")) == sorted(names)
    for path in (tmp_path / "unpacked").glob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype.kind == "i"
    for kind in ("parquet", "hf"):
        found = export(store, tmp_path / kind, kind)
        assert all(not any(key in name for key in KEYS if key != "...") for name in found.files)


def test_export_refuses(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are parquet, webdataset, hf"):
        export(store, tmp_path / "out", "lance")
    with pytest.raises(ValueError, match="there already"):
        export(store, store)
    data = bytearray((store / "00004.codes.safetensors").read_bytes())
    data[-1] ^= 1
    (store / "00004.codes.safetensors").write_bytes(data)
    for kind in ("parquet", "webdataset", "hf"):
        with pytest.raises(TokenStoreError, match="damaged"):
            export(store, tmp_path / "out", kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
