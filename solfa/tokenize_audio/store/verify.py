"""Whether a store is whole: every byte of every file, every value, and no file too many or too few."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from solfa.tokenize_audio.store.check import check_shard
from solfa.tokenize_audio.store.format import HEAD_NAME, StoreHead, read_head, read_manifest, shard_number
from solfa.tokenize_audio.store.meta_file import MetaFile
from solfa.tokenize_audio.store.records import TokenStoreError

BESIDE = (".work", "status.json")  # what lies in a store's folder and is not of the store
_SHARD_FILE = re.compile(r"([0-9]{5,9})\.(codes\.safetensors|meta(\.[0-9]+)?\.parquet|json)")
_LEFT = re.compile(r"\.solfa-[0-9a-f]+\.tmp")
_NAMED = 20  # shards that are missing, one by one


@dataclass(frozen=True)
class Report:
    """What was found. shards, items, frames: of the shards that are whole; bytes: of all files of the store that are there.

    problems: a sentence each, which begins with the file's path. A store without any is whole.
    """

    store: str
    shards: int
    items: int
    frames: int
    bytes: int
    problems: tuple[str, ...]


def verify(folder: str | os.PathLike[str], on_shard: Callable[[int, int], None] = lambda done, of: None) -> Report:
    """Read a store through: hashes of every file, offsets, codes below N, rows that make sense, keys that are unique, files that are
    missing (a gap in the numbers; of the last shards nothing tells) or belong to no shard.

    A store that is being written to has files that no manifest names yet: they are problems. on_shard(done, of) is called after each
    shard. Raises TokenStoreError for a folder that is no store at all.
    """
    path = Path(folder)
    if not (path / HEAD_NAME).exists():
        read_head(path)  # says why it is none
    names = sorted(os.listdir(path))
    numbers = sorted(number for name in names if (number := shard_number(name)) is not None)
    problems: list[str] = []
    items = frames = whole = 0
    head = _head(path, problems)
    seen: dict[str, int] = {}
    for done, number in enumerate(numbers, 1):
        found = list(_shard(path, number, head, seen))
        problems += found
        if not found and head is not None:
            manifest = read_manifest(path, number)
            whole, items, frames = whole + 1, items + manifest.items, frames + manifest.frames
        on_shard(done, len(numbers))
    problems += _missing(path, numbers)
    problems += _superfluous(path, names, numbers)
    size = sum((path / name).stat().st_size for name in names if name == HEAD_NAME or _SHARD_FILE.fullmatch(name))
    return Report(os.fspath(folder), whole, items, frames, size, tuple(problems))


def _head(folder: Path, problems: list[str]) -> StoreHead | None:
    try:
        return read_head(folder)
    except TokenStoreError as error:
        problems.append(str(error))
        return None


def _shard(folder: Path, number: int, head: StoreHead | None, seen: dict[str, int]) -> Iterator[str]:
    """What is wrong with a shard; without a head its hashes alone can be looked at. seen: the shard of each key so far."""
    found = check_shard(folder, number, head)
    yield from found
    if found:
        return
    manifest = read_manifest(folder, number)
    table = MetaFile(folder / manifest.meta.name, manifest.items)
    for key in table.column("key"):
        if seen.setdefault(key, number) != number:
            yield f"{table.path}: item {key!r} is in shard {seen[key]} too"


def _missing(folder: Path, numbers: list[int]) -> list[str]:
    there = set(numbers)
    gone = [number for number in range(numbers[-1]) if number not in there][: _NAMED + 1] if numbers else []
    told = [f"{folder / f'{number:05d}.json'}: missing, and there are shards after it" for number in gone[:_NAMED]]
    return [*told, f"{folder}: more shards are missing"] if len(gone) > _NAMED else told


def _superfluous(folder: Path, names: list[str], numbers: list[int]) -> Iterator[str]:
    """Files that no manifest names. Those of a manifest that cannot be read are not counted: it is told of already."""
    expected, unknown = {HEAD_NAME, *BESIDE}, set()
    for number in numbers:
        expected.add(f"{number:05d}.json")
        try:
            manifest = read_manifest(folder, number)
        except TokenStoreError:
            unknown.add(number)
            continue
        expected |= {manifest.codes.name, manifest.meta.name}
    for name in names:
        match = _SHARD_FILE.fullmatch(name)
        if name in expected or (match and int(match[1]) in unknown):
            continue
        if _LEFT.fullmatch(name):
            yield f"{folder / name}: left by a writer that was killed, or that is at work"
        elif match:
            yield f"{folder / name}: superfluous, no manifest names it"
        else:
            yield f"{folder / name}: superfluous, it is not of a token store"
