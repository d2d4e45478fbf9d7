"""What `verify` finds: any flipped byte, and any file that is missing or too many."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.tokenize_audio.store.format import (
    Meta,
    Quarantined,
    StoreHead,
    TokenStoreError,
    head_bytes,
    read_manifest,
    write_head,
    write_manifest,
)
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.verify import verify
from solfa.tokenize_audio.store.writer import write_shard

Make = Callable[..., TokenStore]
Item = Callable[..., tuple[Meta, np.ndarray]]


def test_a_whole_store(make_store: Make, tmp_path: Path) -> None:
    make_store()
    (tmp_path / "store" / ".work").mkdir()
    (tmp_path / "store" / "status.json").write_text("{}")
    steps: list[tuple[int, int]] = []
    report = verify(tmp_path / "store", lambda done, of: steps.append((done, of)))
    assert report.problems == ()
    assert (report.shards, report.items, report.frames) == (3, 5, 138)
    assert report.bytes == sum(path.stat().st_size for path in (tmp_path / "store").glob("[!.s]*")) + len(
        head_bytes(TokenStore(tmp_path / "store").head)
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_flipped_byte_anywhere(head: StoreHead, make_item: Item, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    write_head(folder, head)
    write_shard(folder, 0, head, [make_item("a", 9), make_item("b", 4)], [Quarantined("c", "c.wav", "cut")], "encoder")
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 4

    @given(st.sampled_from(names), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
    @settings(max_examples=60)
    def finds(name: str, place: float, bit: int) -> None:
        path = folder / name
        data = path.read_bytes()
        at = int(place * len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        try:
            problems = verify(folder).problems
        finally:
            path.write_bytes(data)
        assert problems and all(problem.startswith(f"{path}: ") for problem in problems), (at, problems)

    finds()
    assert verify(folder).problems == ()


def test_missing_and_superfluous_files_are_named(make_store: Make, tmp_path: Path) -> None:
    make_store()
    folder = tmp_path / "store"
    for name in sorted(path.name for path in folder.iterdir()):
        shutil.copytree(folder, tmp_path / "copy")
        (tmp_path / "copy" / name).unlink()
        if name == "store.json":
            with pytest.raises(TokenStoreError, match=r"not a token store \(no store.json in it\)"):
                verify(tmp_path / "copy")
        else:
            named = [Path(problem.split(": ")[0]).name for problem in verify(tmp_path / "copy").problems]
            shard = name[:5]
            gone = [
                f"{shard}.codes.safetensors",
                f"{shard}.meta.parquet",
            ]  # of the last shard's manifest only these are left
            expected = [name] if name.count(".") > 1 else gone if shard == "00002" else [name, *gone]
            assert sorted(named) == sorted(expected), name
        shutil.rmtree(tmp_path / "copy")
    for name in (
        "notes.txt",
        "00003.codes.safetensors",
        "00000.meta.1.parquet",
        ".solfa-0123456789abcdef.tmp",
        "0.json",
    ):
        (folder / name).write_bytes(b"")
        (problem,) = verify(folder).problems
        assert problem.startswith(f"{folder / name}: ")
        (folder / name).unlink()


def test_values_that_hashes_cannot_tell(head: StoreHead, make_item: Item, tmp_path: Path) -> None:
    """Files that are what their manifests say, and make no sense."""
    folder = tmp_path / "store"
    write_head(folder, head)
    write_shard(folder, 0, head, [make_item("a", 9)])
    write_shard(folder, 1, head, [make_item("a", 7)])
    (problem,) = verify(folder).problems
    assert problem == f"{folder / '00001.meta.parquet'}: item 'a' is in shard 0 too"
    write_head(folder, replace(head, codebook_size=8))
    assert any("not from 0 to 7" in problem for problem in verify(folder).problems)
    write_head(folder, head)
    write_manifest(folder, replace(read_manifest(folder, 1), frames=8))
    (problem,) = verify(folder).problems
    assert problem.startswith(str(folder / "00001.codes.safetensors"))


def test_a_damaged_head_hides_no_other_damage(make_store: Make, tmp_path: Path) -> None:
    make_store()
    folder = tmp_path / "store"
    for name in ("store.json", "00002.codes.safetensors"):
        data = bytearray((folder / name).read_bytes())
        data[-2] ^= 1
        (folder / name).write_bytes(data)
    named = [Path(problem.split(": ")[0]).name for problem in verify(folder).problems]
    assert named == ["store.json", "00002.codes.safetensors"]
