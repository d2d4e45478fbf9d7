"""Shards are whole or not there: equal bytes for equal items, and a kill at any step leaves a store that opens."""

import builtins
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solfa.score.note import Note
from solfa.tokenize_audio.store import meta_file
from solfa.tokenize_audio.store.check import check_shard
from solfa.tokenize_audio.store.format import Meta, Quarantined, StoreHead, TokenStoreError, read_manifest, write_head
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.writer import rewrite_meta, sweep, write_shard

Make = Callable[..., tuple[Meta, np.ndarray]]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KEY = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\."), min_size=1, max_size=8)
TIME = st.floats(0, 1e6)
NOTES = st.lists(
    st.builds(
        lambda a, b, *rest: Note(min(a, b), max(a, b), *rest),
        TIME, TIME, st.integers(0, 127), st.integers(1, 127), st.integers(0, 127), st.booleans(),
    ),
    max_size=3,
).map(tuple)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def told(meta: Meta) -> dict[str, Any]:
    """Fields to compare: 1 and 1.0, 0.0 and -0.0 are equal and not the same; the order in a dictionary says nothing."""
    fields = {name: repr(value) for name, value in vars(meta).items()}
    return fields | {name: json.dumps(getattr(meta, name), sort_keys=True) for name in ("attributes", "extra")}


@st.composite
def stores(draw: st.DrawFn) -> tuple[StoreHead, list[tuple[Meta, np.ndarray]]]:
    size = draw(st.sampled_from([2, 1024, 1 << 15, (1 << 15) + 1, 1 << 24]))
    head = StoreHead("c", "", 8000, 2, draw(st.integers(1, 500)), draw(st.integers(1, 9)), size)
    items = []
    for key in draw(st.lists(KEY, max_size=5, unique=True)):
        samples = draw(st.integers(0, 20 * head.hop))
        meta = Meta(
            key=key,
            samples=samples,
            seconds=draw(TIME),
            source=draw(TEXT),
            source_stamp=draw(st.integers(-(1 << 63), (1 << 63) - 1)),
            texts=tuple(draw(st.lists(TEXT, max_size=2))),
            attributes=draw(st.dictionaries(TEXT, JSON, max_size=2)),
            notes=draw(st.none() | NOTES),
            velocities=draw(st.booleans()),
            split=draw(TEXT),
            extra=draw(st.dictionaries(TEXT, JSON, max_size=2)),
        )
        seed = draw(st.integers(0, 99))
        codes = np.random.default_rng(seed).integers(0, size, (head.codebooks, head.frames_of(samples)))
        items.append((meta, codes))
    return head, items


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(stores())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, store: tuple[StoreHead, list[tuple[Meta, np.ndarray]]]
) -> None:
    head, items = store
    folder = tmp_path_factory.mktemp("store")
    write_head(folder, head)
    manifest = write_shard(folder, 0, head, iter(items), fingerprint="f")
    assert check_shard(folder, 0, head) == ()
    read = TokenStore(folder, verify=True)
    assert len(read) == manifest.items == len(items) and read.keys == [meta.key for meta, _ in items]
    for number, (meta, codes) in enumerate(items):
        assert told(read.meta(number)) == told(meta)
        found = read.codes(number)
        assert found.dtype == head.dtype and np.array_equal(found, codes)


def test_equal_items_give_equal_bytes(tmp_path: Path, head: StoreHead, make_item: Make) -> None:
    items = [make_item(str(i), 7 * i) for i in range(20)]
    for name in ("a", "b"):
        write_head(tmp_path / name, head)
    bad = [Quarantined("x", "/in/x", "cut short")]
    write_shard(tmp_path / "a", 5, head, items, bad, "fp")
    # Other integers, other order in memory, whole numbers as integers, another order of attributes: equal all the same.
    again = [
        (replace(meta, attributes=dict(reversed(meta.attributes.items()))), np.asfortranarray(codes.astype(np.uint16)))
        for meta, codes in items
    ]
    write_shard(tmp_path / "b", 5, head, iter(again), tuple(bad), "fp")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert read_manifest(tmp_path / "b", 5).quarantined == tuple(bad)
    note = (Note(0, 1, 60),), (Note(0.0, 1.0, 60),)
    hashes = {write_shard(tmp_path / "a", 6, head, [(replace(items[3][0], notes=n), items[3][1])]).meta for n in note}
    assert len(hashes) == 1


def test_a_table_of_many_groups(
    tmp_path: Path, head: StoreHead, make_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meta_file, "GROUP_ROWS", 3)
    monkeypatch.setattr(meta_file, "GROUP_LETTERS", 1000)
    monkeypatch.setattr(meta_file, "MAX_ROW_LETTERS", 3000)
    write_head(tmp_path, head)
    items = [make_item(str(i), 0) for i in range(8)]
    items[2] = (replace(items[2][0], texts=("x" * 2000,)), items[2][1])
    items[3] = (replace(items[3][0], texts=("y" * 2000,)), items[3][1])
    manifest = write_shard(tmp_path, 0, head, items)
    assert meta_file.MetaFile(tmp_path / manifest.meta.name, 8).groups == [3, 1, 3, 1]
    store = TokenStore(tmp_path)
    assert [store.meta(i) for i in (7, 3, 0, 4, 2)] == [items[i][0] for i in (7, 3, 0, 4, 2)]
    assert list(store.metas()) == [meta for meta, _ in items]
    long = (replace(items[0][0], texts=("x" * 4000,)), items[0][1])
    with pytest.raises(TokenStoreError, match="'0': texts, attributes and notes are"):
        write_shard(tmp_path, 1, head, [long])


@pytest.mark.parametrize(
    ("change", "codes", "message"),
    [
        ({}, np.zeros((3, 2), int), r"'a': codes must be integers \[4, T\], not int64 \[3, 2\]"),
        ({}, np.zeros((4, 2)), "not float64"),
        ({}, np.zeros(8, int), "codes must be integers"),
        ({}, np.full((4, 2), 1024), "codes from 1024 to 1024; legal are 0 to 1023"),
        ({}, np.full((4, 2), -1), "codes from -1 to -1"),
        ({}, np.zeros((4, 3), int), "3 frames; 640 samples at hop 320 have 2"),
        ({"attributes": {"x": float("nan")}}, np.zeros((4, 2), int), "'a': attributes: not what JSON can hold"),
        ({"extra": {"x": Path()}}, np.zeros((4, 2), int), "extra: not what JSON can hold"),
        ({"extra": {"x": "\ud800"}}, np.zeros((4, 2), int), "extra: not what JSON can hold"),
    ],
)
def test_items_that_are_refused(
    tmp_path: Path, head: StoreHead, make_item: Make, change: dict[str, Any], codes: np.ndarray, message: str
) -> None:
    write_head(tmp_path, head)
    write_shard(tmp_path, 0, head, [make_item("old", 3)])
    before = contents(tmp_path)
    bad = (replace(Meta("a", 640, 0.1), **change), codes)
    with pytest.raises(TokenStoreError, match=message):
        write_shard(tmp_path, 0, head, [make_item("b", 2), bad])
    assert contents(tmp_path) == before


@pytest.mark.filterwarnings("error")
def test_nothing_changes_where_the_items_raise(tmp_path: Path, head: StoreHead, make_item: Make) -> None:
    write_head(tmp_path, head)
    write_shard(tmp_path, 0, head, [make_item("old", 3)])
    before = contents(tmp_path)

    def broken() -> Iterator[tuple[Meta, np.ndarray]]:
        yield make_item("new", 300)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, 0, head, broken())
    with pytest.raises(TokenStoreError, match="'a' is there twice"):
        write_shard(tmp_path, 0, head, [make_item("a", 3), make_item("a", 4)])
    with pytest.raises(TokenStoreError, match="is a store of other codes"):
        write_shard(tmp_path, 0, replace(head, codec="other"), [])
    assert contents(tmp_path) == before


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Runs `work` in a process that ends, without a word, at that call which changes the disk. Whether it did."""
    pid = os.fork()
    if pid == 0:
        left = step

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return function(*args, **kwargs)

            return call

        for name in ("replace", "fsync", "unlink"):
            setattr(os, name, counted(getattr(os, name)))
        builtins.open = counted(builtins.open)  # type: ignore[assignment]
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("kind", ["new", "again", "annotated", "annotate"])
def test_a_kill_at_each_step(tmp_path: Path, head: StoreHead, make_item: Make, kind: str) -> None:
    other, new = [make_item("o", 4)], [make_item("a", 5), make_item("b", 6)]
    said = [replace(meta, texts=("new",)) for meta, _ in new]

    def prepare(folder: Path) -> None:
        if (tmp_path / "before").exists():
            shutil.copytree(tmp_path / "before", folder)
            return
        write_head(folder, head)
        write_shard(folder, 1, head, other)
        if kind == "again":
            write_shard(folder, 0, head, [make_item("older", 9)])
        if kind in ("annotated", "annotate"):
            write_shard(folder, 0, head, new)
            rewrite_meta(folder, 0, said)

    def work(folder: Path) -> None:
        if kind == "annotate":
            rewrite_meta(folder, 0, [replace(meta, texts=("newest",)) for meta in said])
        else:
            write_shard(folder, 0, head, new)

    prepare(tmp_path / "before")
    prepare(tmp_path / "whole")
    work(tmp_path / "whole")
    step = 0
    while True:
        folder = tmp_path / str(step)
        prepare(folder)
        if not killed_at(step, lambda folder=folder: work(folder)):
            break
        store = TokenStore(folder, verify=True)  # opens, and all that is in it is whole
        assert all(check_shard(folder, shard, head) == () for shard in store.shards)
        keys = store.keys
        assert keys[-1] == "o" and keys[:-1] in ([], ["older"], ["a", "b"])
        if kind == "annotate":
            assert keys[:-1] == ["a", "b"] and store.meta(0).texts in (("new",), ("newest",))
            if store.meta(0).texts == ("newest",):  # done, but for the old table's end
                step += 1
                continue
        work(folder)
        sweep(folder)
        assert contents(folder) == contents(tmp_path / "whole")
        step += 1
    assert step > 10  # or nothing was counted


def test_other_metadata_for_the_same_codes(tmp_path: Path, head: StoreHead, make_item: Make) -> None:
    items = [make_item(str(i), 3 * i) for i in range(4)]
    metas = [meta for meta, _ in items]
    write_head(tmp_path, head)
    write_shard(tmp_path, 0, head, items, [Quarantined("q", "q", "q")], "fp")
    codes = (tmp_path / "00000.codes.safetensors").read_bytes()
    reader = TokenStore(tmp_path)
    assert reader.meta(0).texts == metas[0].texts
    for number in (1, 2):
        said = [replace(meta, texts=(f"{number}",)) for meta in metas]
        manifest = rewrite_meta(tmp_path, 0, iter(said))
        assert manifest.meta.name == f"00000.meta.{number}.parquet"
        assert (manifest.fingerprint, len(manifest.quarantined)) == ("fp", 1)
        assert list(TokenStore(tmp_path, verify=True).metas()) == said
    assert sorted(contents(tmp_path)) == ["00000.codes.safetensors", "00000.json", "00000.meta.2.parquet", "store.json"]
    assert (tmp_path / "00000.codes.safetensors").read_bytes() == codes
    assert reader.meta(3).texts == metas[3].texts  # what was opened before is read as it was
    before = contents(tmp_path)
    for wrong in (metas[:3], [*metas, metas[0]], metas[::-1], [replace(metas[0], samples=1), *metas[1:]]):
        with pytest.raises(TokenStoreError, match="item"):
            rewrite_meta(tmp_path, 0, wrong)
    assert contents(tmp_path) == before


def test_sweeping(tmp_path: Path, head: StoreHead, make_item: Make) -> None:
    write_head(tmp_path, head)
    write_shard(tmp_path, 0, head, [make_item("a", 2)])
    before = contents(tmp_path)
    (tmp_path / ".solfa-0123.tmp").write_bytes(b"left")
    (tmp_path / "00000.meta.7.parquet").write_bytes(b"left")
    assert TokenStore(tmp_path).keys == ["a"]
    assert sweep(tmp_path) == 2 and contents(tmp_path) == before
    (tmp_path / "00000.meta.7.parquet").write_bytes(b"one of them is the old shard's")
    (tmp_path / "00000.json").unlink()
    assert sweep(tmp_path) == 0 and len(contents(tmp_path)) == 4


def test_one_shard_is_written_without_a_look_at_the_others(
    tmp_path: Path, head: StoreHead, make_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a store of n shards would be written, and annotated, in the time of n * n."""
    write_head(tmp_path, head)
    looked: list[str] = []
    for name in ("listdir", "scandir"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda path, real=real: looked.append(path) or real(path))
    metas = [make_item("a", 2)[0]]
    write_shard(tmp_path, 0, head, [make_item("a", 2)])
    rewrite_meta(tmp_path, 0, metas)
    write_shard(tmp_path, 0, head, [make_item("a", 2)], rewrites=2)
    assert looked == [] and sorted(contents(tmp_path)) == [
        "00000.codes.safetensors", "00000.json", "00000.meta.2.parquet", "store.json"
    ]  # fmt: skip
