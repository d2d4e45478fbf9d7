"""Reading a store: crops are slices, every flipped byte is found, and a stranger's files give an error in bounded memory."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import safetensors.torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.tokenize_audio.store import meta_file, pages
from solfa.tokenize_audio.store.check import check_shard
from solfa.tokenize_audio.store.codes_file import codes_header
from solfa.tokenize_audio.store.format import (
    Meta,
    StoreHead,
    TokenStoreError,
    file_record,
    read_manifest,
    write_head,
    write_manifest,
)
from solfa.tokenize_audio.store.meta_file import COLUMNS
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.writer import rewrite_meta, write_shard

Make = Callable[..., TokenStore]
Item = Callable[..., tuple[Meta, np.ndarray]]


def test_items_are_what_was_written(make_store: Make, make_item: Item) -> None:
    shards = [[30, 0, 41], [], [12, 55]]
    store = make_store(shards)
    expected = [make_item(f"{i}/{j}", n) for i, lengths in enumerate(shards) for j, n in enumerate(lengths)]
    assert len(store) == 5 and store.shards == (0, 1, 2)
    assert store.lengths.tolist() == [30, 0, 41, 12, 55]
    assert store.keys == [meta.key for meta, _ in expected] and store.find("2/1") == 4
    assert store.splits == [meta.split for meta, _ in expected]
    assert list(store.metas()) == [store.meta(i) for i in range(5)] == [meta for meta, _ in expected]
    for i, (_, codes) in enumerate(expected):
        assert np.array_equal(store.codes(i), codes) and store.codes(i).dtype == np.int16
        assert np.array_equal(store.codes(i, codes.shape[1] // 2, 9), codes[:, codes.shape[1] // 2 :][:, :9])
    with pytest.raises(ValueError, match="read-only"):
        store.codes(0)[0, 0] = 1
    for item in (-1, 5):
        with pytest.raises(IndexError, match="the store has 5"):
            store.codes(item)
        with pytest.raises(IndexError):
            store.meta(item)
    for start, frames in ((31, 1), (-1, 1), (0, -1)):
        with pytest.raises(ValueError, match="item 0 has 30 frames"):
            store.codes(0, start, frames)
    with pytest.raises(KeyError):
        store.find("x")


@settings(max_examples=40)
@given(st.data())
def test_crops_are_slices(crop_store: TokenStore, data: st.DataObject) -> None:
    store = crop_store
    frames = data.draw(st.integers(0, 60))
    items = data.draw(st.lists(st.sampled_from(np.flatnonzero(store.lengths >= frames).tolist() or [0]), max_size=9))
    items = [item for item in items if store.lengths[item] >= frames]
    starts = [data.draw(st.integers(0, int(store.lengths[item]) - frames)) for item in items]
    crops = store.crops(items, starts, frames)
    assert crops.shape == (len(items), store.head.codebooks, frames) and crops.dtype == store.head.dtype
    for crop, item, start in zip(crops, items, starts, strict=True):
        assert np.array_equal(crop, store.codes(item)[:, start : start + frames])


@pytest.fixture(scope="module")
def crop_store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    folder = tmp_path_factory.mktemp("crops")
    head = StoreHead("c", "", 8000, 1, 1, 3, 1 << 16)
    write_head(folder, head)
    random = np.random.default_rng(0)
    for index, lengths in enumerate([[60, 5, 33], [0], [47, 60]]):
        items = [(Meta(f"{index}-{j}", n, 1.0), random.integers(0, 1 << 16, (3, n))) for j, n in enumerate(lengths)]
        write_shard(folder, index, head, items)
    return TokenStore(folder)


def test_crops_that_are_filled_up(crop_store: TokenStore) -> None:
    store = crop_store
    crops = store.crops([1, 0, 3, 1], [2, 7, 0, 5], 10, pad=9)
    expected = np.full((4, 3, 10), 9)
    expected[0, :, :3], expected[1] = store.codes(1)[:, 2:], store.codes(0)[:, 7:17]
    assert np.array_equal(crops, expected)
    crops[:] = 0  # is the caller's own
    assert store.crops([], [], 10).shape == (0, 3, 10)


@pytest.mark.parametrize(
    ("items", "starts", "frames", "error", "message"),
    [
        ([6], [0], 1, IndexError, "items from 6 to 6; the store has 0 to 5"),
        ([-1], [0], 1, IndexError, "-1"),
        ([0, 1], [0, 0], 6, ValueError, "item 1 has 5 frames: cannot read 6 from 0"),
        ([0, 2], [-1, 0], 6, ValueError, "item 0 has 60 frames: cannot read 6 from -1"),
        ([0], [0, 1], 6, ValueError, "must be"),
        ([0], [0], -6, ValueError, "must be"),
    ],
)
def test_crops_that_are_not_there(
    crop_store: TokenStore, items: list[int], starts: list[int], frames: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        crop_store.crops(items, starts, frames)


def test_crops_beyond_the_end_with_a_pad(crop_store: TokenStore) -> None:
    with pytest.raises(ValueError, match="item 1 has 5 frames"):
        crop_store.crops([1], [6], 2, pad=0)


def test_safetensors_reads_the_codes(make_store: Make, tmp_path: Path) -> None:
    store = make_store([[3, 4]])
    path = tmp_path / "store" / "00000.codes.safetensors"
    for read in (safetensors.numpy.load_file, safetensors.torch.load_file):
        found = {name: np.asarray(tensor) for name, tensor in read(path).items()}
        assert found["offsets"].tolist() == [0, 3, 7]
        assert np.array_equal(found["codes"].T, np.concatenate([store.codes(0), store.codes(1)], 1))


def test_other_codecs_are_refused(make_store: Make, tmp_path: Path, head: StoreHead) -> None:
    make_store()
    head_of = type("Codec", (), {**vars(head), "name": "tiny_codec"})
    assert len(TokenStore(tmp_path / "store", codec=head_of())) == 5
    other = type("Codec", (), {**vars(head), "name": "other_codec", "weights_hash": "cd" * 32})
    with pytest.raises(TokenStoreError, match="the codec here is other_codec"):
        TokenStore(tmp_path / "store", codec=other())


def test_a_key_twice(tmp_path: Path, head: StoreHead, make_item: Item) -> None:
    write_head(tmp_path, head)
    for index in (0, 1):
        write_shard(tmp_path, index, head, [make_item("same", 3)])
    with pytest.raises(TokenStoreError, match="'same' is there twice"):
        _ = TokenStore(tmp_path).keys


def look(store: TokenStore) -> list[Any]:
    return [store.codes(4).tolist(), store.meta(2).key, store.lengths.tolist(), len(store)]


def test_a_copy_sees_the_same(make_store: Make, head: StoreHead, make_item: Item) -> None:
    store = make_store()
    expected = look(store)
    write_shard(store.path, 7, head, [make_item("later", 3)])
    copy = pickle.loads(pickle.dumps(store))  # as it goes to another process
    assert len(pickle.dumps(store)) < 5000 and look(copy) == expected
    assert len(TokenStore(store.path)) == 6


def test_what_is_known_without_notes(make_store: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the notes and pedals, which are not read, whatever was read of the group before."""
    store = make_store()
    expected = [replace(meta, notes=None, pedals=()) for meta in store.metas()]
    assert any(meta.notes for meta in store.metas())
    assert store.meta(2).notes
    read: list[str] = []
    real = meta_file.check_group
    monkeypatch.setattr(meta_file, "check_group", lambda *a: read.extend(list(COLUMNS)[i] for i in a[3]) or real(*a))
    assert [store.meta(i, notes=False) for i in range(5)] == list(store.metas(notes=False)) == expected
    assert read and not {"notes", "pedals"} & set(read)
    assert store.meta(2).notes


def test_a_store_stays_open_while_it_is_annotated(make_store: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes stay, and each row is the old one or the new one of its own item, here and in a copy elsewhere."""
    monkeypatch.setattr("solfa.tokenize_audio.store.store._OPEN_TABLES", 1)
    monkeypatch.setattr(meta_file, "GROUP_ROWS", 2)
    store = make_store([[30, 9, 12, 7], [5]])
    expected, copy = look(store), pickle.dumps(store)
    old, seen = list(store.metas()), store.meta(3)
    said = [replace(meta, texts=(f"new {meta.key}",)) for meta in old]
    for rows in (3, 1):  # other rows in a group, so that a group of the table before has others
        monkeypatch.setattr(meta_file, "GROUP_ROWS", rows)
        for shard, metas in enumerate((said[:4], said[4:])):
            rewrite_meta(store.path, shard, metas)
        for reader in (store, pickle.loads(copy)):
            assert [reader.meta(i).texts for i in (4, 3, 2, 1, 0, 4)] == [said[i].texts for i in (4, 3, 2, 1, 0, 4)]
            assert (
                look(reader) == expected and reader.keys == [meta.key for meta in old] and list(reader.metas()) == said
            )
    assert seen == old[3]


def test_a_shard_that_was_made_again_is_not_taken_for_annotated(
    make_store: Make, head: StoreHead, make_item: Item
) -> None:
    store = make_store([[30, 9]])
    write_shard(store.path, 0, head, [make_item("0/0", 12), make_item("0/1", 9)], rewrites=1)
    with pytest.raises(TokenStoreError, match=r"00000.meta.parquet: No such file"):
        store.meta(0)


def test_many_shards_keep_few_files_open(tmp_path: Path, head: StoreHead, make_item: Item) -> None:
    write_head(tmp_path, head)
    for index in range(80):
        write_shard(tmp_path, index, head, [make_item(f"{index}", 4)])
    before = len(os.listdir("/proc/self/fd"))
    store = TokenStore(tmp_path)
    store.crops(np.arange(80), np.zeros(80, int), 4)
    assert [store.meta(i).key for i in range(80)] == store.keys
    assert len(os.listdir("/proc/self/fd")) - before <= 64  # of tables; codes keep none


# What is damaged


def test_every_flipped_byte_is_found(make_store: Make, head: StoreHead) -> None:
    folder = Path(make_store([[3, 2]]).path)
    assert check_shard(folder, 0, head) == ()
    for name in ("00000.codes.safetensors", "00000.meta.parquet", "00000.json"):
        whole = (folder / name).read_bytes()
        with open(folder / name, "rb+", buffering=0) as file:
            for at in range(0, len(whole), 1 if len(whole) < 1000 else 7):
                os.pwrite(file.fileno(), bytes([whole[at] ^ (1 << at % 8)]), at)
                found = check_shard(folder, 0, head)
                assert len(found) == 1 and name in found[0]
                os.pwrite(file.fileno(), whole[at : at + 1], at)
        for other in (whole[:-1], whole + b"\0", b""):
            (folder / name).write_bytes(other)
            assert len(found := check_shard(folder, 0, None)) == 1 and name in found[0]
        (folder / name).unlink()
        assert "No such file" in check_shard(folder, 0, head)[0]
        (folder / name).write_bytes(whole)
    assert check_shard(folder, 0, head) == ()


def test_verify_finds_a_flipped_code(make_store: Make) -> None:
    folder = Path(make_store([[3, 2]]).path)
    path = folder / "00000.codes.safetensors"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    assert TokenStore(folder).codes(1).shape == (4, 2)
    with pytest.raises(TokenStoreError, match=r"codes\.safetensors: damaged, its xxh3"):
        TokenStore(folder, verify=True).codes(1)


# What is hostile: the hashes are right, the contents are not


def resigned(folder: Path, **changes: Any) -> None:
    """The shard's manifest, with the hashes of the files as they are now."""
    manifest = read_manifest(folder, 0)
    records = {name: file_record(folder / getattr(manifest, name).name) for name in ("codes", "meta")}
    write_manifest(folder, replace(manifest, **records | changes))


def refused(folder: Path, head: StoreHead, message: str) -> None:
    """By the check and by reading, both naming the file."""
    (found,) = check_shard(folder, 0, head)
    assert message in found
    store = TokenStore(folder)
    with pytest.raises(TokenStoreError, match="0000"):
        _ = store.codes(1), list(store.metas()), store.crops([0], [0], 1)


def safetensors_file(tensors: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return struct.pack("<Q", len(text)) + text + data


def codes_bytes(offsets: list[int], codes: np.ndarray, **changes: Any) -> bytes:
    first, second = np.array(offsets, "<i8").tobytes(), codes.tobytes()
    tensors = {
        "offsets": {"dtype": "I64", "shape": [len(offsets)], "data_offsets": [0, len(first)]},
        "codes": {"dtype": "I16", "shape": list(codes.shape), "data_offsets": [len(first), len(first) + len(second)]},
    }
    for name, value in changes.items():
        tensors["codes"][name] = value
    return safetensors_file(tensors, first + second)


GOOD = np.arange(20, dtype="<i2").reshape(5, 4)


def test_the_hostile_bytes_are_otherwise_ours(make_store: Make, head: StoreHead) -> None:
    folder = Path(make_store([[3, 2]]).path)
    (folder / "00000.codes.safetensors").write_bytes(codes_bytes([0, 3, 5], GOOD))
    resigned(folder)
    assert check_shard(folder, 0, head) == ()
    assert codes_bytes([0, 3, 5], GOOD).startswith(codes_header(head, 2, 5))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (codes_bytes([0, 6, 5], GOOD), "the offsets must not fall"),
        (codes_bytes([0, -3, 5], GOOD), "the offsets must not fall"),
        (codes_bytes([1, 3, 5], GOOD), "the offsets must go from 0 to 5"),
        (codes_bytes([0, 3, 4], GOOD), "the offsets must go from 0 to 5"),
        (codes_bytes([0, 3, 1 << 62], GOOD), "the offsets must go from 0 to 5"),
        (codes_bytes([0, 5], GOOD), "items of 5 frames in all make"),
        (codes_bytes([0, 3, 5], np.full((5, 4), 1024, "<i2")), "a code of frame 0 is not from 0 to 1023"),
        (codes_bytes([0, 3, 5], GOOD * 100 - 1), "a code of frame 0 is not"),
        (codes_bytes([0, 3, 5], GOOD.astype("<i4")), "items of 5 frames in all make"),
        (codes_bytes([0, 3, 5], GOOD, dtype="F16"), "its header is"),
        (codes_bytes([0, 3, 5], GOOD, shape=[4, 5]), "its header is"),
        (codes_bytes([0, 3, 5], GOOD, data_offsets=[0, 40]), "its header is"),
        (
            struct.pack("<Q", 1 << 62) + codes_bytes([0, 3, 5], GOOD)[8:],
            "its header says that it has 4611686018427387904 bytes",
        ),
        (b"", "0 bytes"),
    ],
)
def test_hostile_codes(make_store: Make, head: StoreHead, data: bytes, message: str) -> None:
    folder = Path(make_store([[3, 2]]).path)
    (folder / "00000.codes.safetensors").write_bytes(data)
    resigned(folder)
    refused(folder, head, message)


@pytest.mark.parametrize("changes", [{"frames": 1 << 40}, {"items": 1 << 24}, {"items": 1}, {"frames": 4}])
def test_hostile_counts(make_store: Make, head: StoreHead, changes: dict[str, int]) -> None:
    folder = Path(make_store([[3, 2]]).path)
    resigned(folder, **changes)
    assert "bytes;" in check_shard(folder, 0, head)[0]
    with pytest.raises(TokenStoreError, match="in all make"):
        _ = TokenStore(folder).lengths


ROW: dict[str, Any] = dict(
    zip(COLUMNS, ["a", "", 0, 0, "", 960, 0.0, "", "[]", "{}", "null", "[]", True, "{}"], strict=True)
)
TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}


def table(rows: list[dict[str, Any]], nullable: bool = False) -> pa.Table:
    schema = pa.schema([pa.field(name, TYPES[kind], nullable=nullable) for name, kind in COLUMNS.items()])
    return pa.Table.from_pylist(rows, schema=schema)


def write_table(folder: Path, rows: pa.Table, **options: Any) -> None:
    plain = {"use_dictionary": False, "write_statistics": False, "compression": "zstd", "store_schema": False}
    pq.write_table(rows, folder / "00000.meta.parquet", **plain | options)
    resigned(folder)


TWO = [ROW, ROW | {"key": "b", "samples": 640}]


def test_the_hostile_rows_are_otherwise_ours(make_store: Make, head: StoreHead) -> None:
    folder = Path(make_store([[3, 2]]).path)
    write_table(folder, table(TWO))
    assert check_shard(folder, 0, head) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "../../etc/passwd"}, "must be a relative path"),
        ({"key": "a"}, "'a' is there twice"),
        ({"samples": 9600}, "has 9600 samples, and 2 frames of 320"),
        ({"samples": -640}, "samples must be"),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"texts": "{}"}, "texts must be a list"),
        ({"texts": "[1]"}, "must be text"),
        ({"texts": '["\\ud800"]'}, "must be text that UTF-8 can hold"),
        ({"attributes": "[]"}, "attributes must be a JSON object"),
        ({"attributes": '{"a": NaN}'}, "NaN is no number"),
        ({"extra": "[" * 100_000}, "makes no sense"),
        ({"extra": "import os"}, "makes no sense"),
        ({"notes": "[[0.0, 1.0, 60, 80, 0]]"}, "must be float, float, int"),
        ({"notes": "[[0.0, 1.0, 200, 80, 0, false]]"}, "pitch 200"),
        ({"notes": "[[0.0, 1e999, 60, 80, 0, false]]"}, "1e999 is no number"),
        ({"attributes": '{"a": 1e999}'}, "1e999 is no number"),
        ({"attributes": '{"a": ' + "[" * 70 + "]" * 70 + "}"}, "nested deeper than 64"),
        ({"notes": "{}"}, "notes must be a list"),
        ({"pedals": "[[1.0, 0.0, 0]]"}, "pedal from 1.0"),
        ({"pedals": "null"}, "pedals must be a list"),
    ],
)
def test_hostile_rows(make_store: Make, head: StoreHead, change: dict[str, Any], message: str) -> None:
    folder = Path(make_store([[3, 2]]).path)
    write_table(folder, table([ROW, TWO[1] | change]))
    assert message in check_shard(folder, 0, head)[0]
    if message.startswith(("'a'", "has 9600")):
        return  # each row makes sense by itself
    with pytest.raises(TokenStoreError, match=r"00000\.meta\.parquet: row 1 of a group"):
        TokenStore(folder).meta(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_dictionary": True}, "without a dictionary"),
        ({"compression": "gzip"}, "compression must be one of UNCOMPRESSED, ZSTD"),
        ({"column_encoding": {"texts": "DELTA_BYTE_ARRAY"}}, "column texts: a page is not of plain values"),
        ({"data_page_version": "2.0"}, "a page is not of plain values"),
    ],
)
def test_tables_that_could_unfold(make_store: Make, head: StoreHead, options: dict[str, Any], message: str) -> None:
    folder = Path(make_store([[3, 2]]).path)
    write_table(folder, table(TWO), **options)
    refused(folder, head, message)


def test_other_tables(make_store: Make, head: StoreHead) -> None:
    folder = Path(make_store([[3, 2]]).path)
    for rows, message in (
        (table(TWO, nullable=True), "its columns must be key, source"),
        (table(TWO).drop_columns(["key"]), "its columns must be key, source"),
        (table(TWO).append_column("more", pa.array([1, 2])), "its columns must be"),
        (table([*TWO, ROW]), "it has 3 rows; the shard has 2 items"),
    ):
        write_table(folder, rows)
        refused(folder, head, message)
    for data in (b"", b"PAR1PAR1", b"PAR1" + b"\xff\xff\xff\x7fPAR1", b"PAR1\0\0\0\0" + b"\x04\0\0\0PAR1", b"x" * 100):
        (folder / "00000.meta.parquet").write_bytes(data)
        resigned(folder)
        refused(folder, head, "00000.meta.parquet")


def test_a_page_that_unfolds_beyond_bounds(make_store: Make, head: StoreHead, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by what the page says, before it is unfolded. (A string of 300 MB is 30 kB in zstd.)"""
    monkeypatch.setattr(pages, "MAX_GROUP_BYTES", 1 << 20)
    folder = Path(make_store([[3, 2]]).path)
    write_table(folder, table([ROW, TWO[1] | {"extra": " " * (32 << 20)}]))
    assert (folder / "00000.meta.parquet").stat().st_size < 1 << 16
    pool = pa.default_memory_pool()
    before, peak = pool.bytes_allocated(), pool.max_memory()
    refused(folder, head, "column extra: its pages unfold to")
    assert pool.bytes_allocated() - before < 1 << 20 and pool.max_memory() == peak


def test_a_page_that_lies_about_its_size(make_store: Make, head: StoreHead) -> None:
    folder = Path(make_store([[3, 2]]).path)
    write_table(folder, table(TWO), compression="none")
    path = folder / "00000.meta.parquet"
    data = path.read_bytes()
    # Of the first page: field 1 (type 0), field 2 (bytes unfolded, zigzag), field 3 (bytes).
    assert data[4:7] == b"\x15\x00\x15" and data[8:9] == b"\x15"
    path.write_bytes(data[:7] + bytes([data[7] + 2]) + data[8:])
    resigned(folder)
    refused(folder, head, "column key: a page that is not compressed has two sizes")


def test_a_page_without_its_checksum_is_noticed_by_hash_only(make_store: Make, head: StoreHead) -> None:
    folder = Path(make_store([[3, 2]]).path)
    path = folder / "00000.meta.parquet"
    record = read_manifest(folder, 0).meta
    data = bytearray(path.read_bytes())
    data[60] ^= 1  # within the first page
    path.write_bytes(data)
    with pytest.raises(TokenStoreError):
        record.check(path)
    with pytest.raises(TokenStoreError, match=r"00000\.meta\.parquet"):  # the page's own checksum
        list(TokenStore(folder).metas())


def test_a_pipe_in_place_of_a_file(make_store: Make, head: StoreHead) -> None:
    folder = Path(make_store([[3, 2]]).path)
    for name in ("00000.codes.safetensors", "00000.meta.parquet"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    assert len([found for found in check_shard(folder, 0, head) if "not a regular file" in found]) == 2
    with pytest.raises(TokenStoreError, match="not a regular file"):
        TokenStore(folder).codes(0)
    with pytest.raises(TokenStoreError, match="not a regular file"):
        TokenStore(folder).meta(0)
