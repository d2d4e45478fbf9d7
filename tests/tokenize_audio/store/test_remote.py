"""Stores at an address: the same items as in the folder, and nothing that was damaged on the way."""

import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solfa.tokenize_audio.store.export import export
from solfa.tokenize_audio.store.format import TokenStoreError, head_bytes, write_head
from solfa.tokenize_audio.store.merge import merge
from solfa.tokenize_audio.store.remote import RemoteFiles, cache_folder
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.verify import verify
from solfa.tokenize_audio.store.writer import rewrite_meta, write_shard

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
Make = Callable[..., TokenStore]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOLFA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "file"])
def address(request: pytest.FixtureRequest, make_store: Make, tmp_path: Path) -> Iterator[str]:
    make_store()
    if request.param == "file":
        yield f"file://{tmp_path / 'store'}"
        return
    files = fsspec.filesystem("memory")
    files.put(str(tmp_path / "store"), "/bucket/store", recursive=True)
    yield "memory://bucket/store"
    files.rm("/bucket", recursive=True)


def test_the_same_items_as_in_the_folder(address: str, tmp_path: Path) -> None:
    here, there = TokenStore(tmp_path / "store"), TokenStore(address)
    assert there.head == here.head and there.manifests == here.manifests and len(there) == len(here)
    copy = pickle.loads(pickle.dumps(there))
    for store in (there, copy, TokenStore(address, verify=True), TokenStore(address + "/")):
        assert store.keys == here.keys and store.lengths.tolist() == here.lengths.tolist()
        for i in range(len(here)):
            assert np.array_equal(store.codes(i), here.codes(i)) and store.meta(i) == here.meta(i)
    assert np.array_equal(there.crops([4, 0], [3, 1], 20), here.crops([4, 0], [3, 1], 20))


def test_only_what_is_needed_comes_and_only_once(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    real = RemoteFiles._fetch

    def fetch(self: RemoteFiles, record: object, target: Path) -> None:
        fetched.append(record.name)  # type: ignore[attr-defined]
        real(self, record, target)  # type: ignore[arg-type]

    monkeypatch.setattr(RemoteFiles, "_fetch", fetch)
    store = TokenStore(address)
    assert fetched == []
    store.codes(4)
    store.meta(4)
    assert fetched == ["00002.codes.safetensors", "00002.meta.parquet"]
    again = TokenStore(address)
    again.codes(3)
    assert len(fetched) == 2
    again.codes(0)
    assert fetched[2:] == ["00000.codes.safetensors"]
    assert not list(cache.rglob("*.tmp"))


def test_a_damaged_shard_is_refused(address: str, cache: Path) -> None:
    files, root = fsspec.core.url_to_fs(address)
    for name in ("00000.codes.safetensors", "00000.meta.parquet"):
        path = f"{root}/{name}"
        whole = files.cat_file(path)
        flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
        for bad in (flipped, whole[:-1], whole + b"x", b""):
            files.pipe_file(path, bad)
            store = TokenStore(address)
            with pytest.raises(TokenStoreError, match=f"^{address}/{name}: damaged"):
                store.codes(0) if "codes" in name else store.meta(0)
        files.rm_file(path)
        with pytest.raises(TokenStoreError, match=f"^{address}/{name}: No such file"):
            TokenStore(address).codes(0) if "codes" in name else TokenStore(address).meta(0)
        files.pipe_file(path, whole)
    assert not [path for path in cache.rglob("*") if path.suffix in (".tmp", ".safetensors", ".parquet")]
    TokenStore(address).codes(0)
    for name in ("store.json", "00001.json"):
        data = files.cat_file(f"{root}/{name}")
        files.pipe_file(f"{root}/{name}", data.replace(b"1", b"2", 1))
        with pytest.raises(TokenStoreError, match=f"^{address}/{name}: "):
            TokenStore(address)
        files.pipe_file(f"{root}/{name}", data)


def test_a_store_that_changed_is_seen_as_it_is_now(address: str, tmp_path: Path, make_item: Callable[..., Any]) -> None:
    before = TokenStore(address).codes(0).copy()
    files, root = fsspec.core.url_to_fs(address)
    head = TokenStore(tmp_path / "store").head
    write_head(tmp_path / "new", head)
    write_shard(tmp_path / "new", 0, head, [make_item("other", 30)])
    for path in (tmp_path / "new").iterdir():
        files.pipe_file(f"{root}/{path.name}", path.read_bytes())
    now = TokenStore(address)
    assert now.keys[0] == "other" and now.codes(0).shape == before.shape and not np.array_equal(now.codes(0), before)


def test_a_store_stays_open_while_it_is_annotated(address: str, tmp_path: Path) -> None:
    store = TokenStore(address)
    manifest = rewrite_meta(
        tmp_path / "store",
        0,
        [replace(meta, texts=("new",)) for meta in list(store.metas())[: store.manifests[0].items]],
    )
    files, root = fsspec.core.url_to_fs(address)
    for name in ("00000.json", manifest.meta.name):
        files.pipe_file(f"{root}/{name}", (tmp_path / "store" / name).read_bytes())
    if files.exists(f"{root}/00000.meta.parquet"):
        files.rm_file(f"{root}/00000.meta.parquet")
    for path in store._files.path(store.manifests[0].meta).parent.glob("*.00000.meta.parquet"):
        path.unlink()
    assert store.meta(1).texts == ("new",) and store.meta(4).texts[0] == "a 2/1"


def test_opening_writes_nothing(address: str, cache: Path) -> None:
    """What is read at every opening is read into memory: no file, no waiting for a disk."""
    assert len(TokenStore(address).manifests) == 3 and not cache.exists()


def test_manifests_come_side_by_side(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order all the same."""
    together, real = threading.Barrier(3, timeout=60), RemoteFiles._small

    def small(self: RemoteFiles, files: object, root: str, name: str, limit: int) -> bytes:
        if name != "store.json":
            together.wait()  # until all three are here
        return real(self, files, root, name, limit)

    monkeypatch.setattr(RemoteFiles, "_small", small)
    assert TokenStore(address).shards == (0, 1, 2)


def test_it_can_be_exported_and_merged(address: str, tmp_path: Path) -> None:
    here, there = export(tmp_path / "store", tmp_path / "a"), export(address, tmp_path / "b")
    assert here.files == there.files
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in here.files)
    assert merge([address], tmp_path / "c").items == 5


def test_verify_finds_what_it_finds_in_the_folder(
    address: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sentences, of the address; a shard at a time is here, and nothing stays."""
    folder, (files, root) = tmp_path / "store", fsspec.core.url_to_fs(address)
    shards = tmp_path / "shards"
    shards.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shards))
    most = [0]
    real = RemoteFiles._fetch

    def fetch(self: RemoteFiles, record: Any, target: Path) -> None:
        most[0] = max(most[0], sum(not each.is_dir() for each in shards.rglob("*")))
        real(self, record, target)

    monkeypatch.setattr(RemoteFiles, "_fetch", fetch)

    def both() -> tuple[str, ...]:
        here, there = verify(folder), verify(address)
        told = [problem.replace(f"{folder}", address) for problem in here.problems]
        assert list(there.problems) == told
        facts = [(each.shards, each.items, each.frames, each.bytes) for each in (here, there)]
        assert facts[0] == facts[1] and there.store == address
        assert not list(shards.iterdir()) and not cache.exists()
        return here.problems

    assert both() == () and most[0] == 1, "the codes of a shard, while its table comes; not those before it"
    for name in sorted(path.name for path in folder.iterdir()):
        whole = (folder / name).read_bytes()
        for bad in (whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], whole[:-1], whole + b"  ", None):
            (folder / name).unlink()
            files.rm_file(f"{root}/{name}") if "memory" in address else None
            if bad is not None:
                (folder / name).write_bytes(bad)
                files.pipe_file(f"{root}/{name}", bad)
            elif name == "store.json":
                with pytest.raises(TokenStoreError, match=f"^{address}: not a token store"):
                    verify(address)
                continue
            # of the last shard's manifest only its files are left
            assert both(), (name, bad)
        (folder / name).write_bytes(whole)
        files.pipe_file(f"{root}/{name}", whole)
    for name in ("notes.txt", "00003.codes.safetensors", ".solfa-0123456789abcdef.tmp"):
        (folder / name).write_bytes(b"")
        files.pipe_file(f"{root}/{name}", b"")
    assert len(both()) == 3


def test_verify_of_values_that_hashes_cannot_tell(address: str, tmp_path: Path, make_item: Callable[..., Any]) -> None:
    files, root = fsspec.core.url_to_fs(address)
    head = TokenStore(address).head
    write_head(tmp_path / "new", head)
    write_shard(tmp_path / "new", 7, head, [make_item("0/0", 30)])
    for path in (tmp_path / "new").iterdir():
        files.pipe_file(f"{root}/{path.name}", path.read_bytes())
    files.pipe_file(f"{root}/store.json", head_bytes(replace(head, codebook_size=8)))
    told = [problem for problem in verify(address).problems if "missing" not in problem]
    assert told[0].startswith(f"{address}/00000.codes.safetensors: damaged, a code of frame") and len(told) == 3
    files.pipe_file(f"{root}/store.json", head_bytes(head))
    (twice,) = (problem for problem in verify(address).problems if "missing" not in problem)
    assert twice == f"{address}/00007.meta.parquet: item '0/0' is in shard 0 too"


def test_places_that_are_none(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TokenStoreError, match=r"^memory://nowhere: not a token store \(no store.json in it\)"):
        TokenStore("memory://nowhere")
    with pytest.raises(TokenStoreError, match=r"^nonsense://x: "):
        TokenStore("nonsense://x")
    with pytest.raises(TokenStoreError, match=r"^memory://nowhere: not a token store \(no store.json in it\)"):
        verify("memory://nowhere")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r'pip install "solfa\[scale\]"'):
        TokenStore("memory://x")
    assert cache_folder() == cache
    monkeypatch.delenv("SOLFA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/solfa")
