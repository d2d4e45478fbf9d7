"""Whether a store is whole: every byte of every file, every value, and no file too many or too few."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from solfa.tokenize_audio.store.check import check_files
from solfa.tokenize_audio.store.format import HEAD_NAME, ShardManifest, StoreHead, shard_number
from solfa.tokenize_audio.store.local_files import shard_numbers
from solfa.tokenize_audio.store.meta_file import MetaFile
from solfa.tokenize_audio.store.records import TokenStoreError
from solfa.tokenize_audio.store.store import StoreFiles, files_at

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


def verify(place: str | os.PathLike[str], on_shard: Callable[[int, int], None] = lambda done, of: None) -> Report:
    """Read a store through: hashes of every file, offsets, codes below N, rows that make sense, keys that are unique, files that are
    missing (a gap in the numbers; of the last shards nothing tells) or belong to no shard.

    place: a folder, or an address, of which shard by shard comes to a temporary folder and goes again. A store that is being written to
    has files that no manifest names yet: they are problems. on_shard(done, of) is called after each shard. Raises TokenStoreError for a
    place that is no store at all, or cannot be reached.
    """
    files = files_at(os.fspath(place))
    sizes = _sizes(files)
    numbers = shard_numbers(sizes)
    problems: list[str] = []
    items = frames = whole = 0
    head = _head(files, problems)
    seen: dict[str, int] = {}  # key -> its shard
    named: set[str] = set()  # files, by the manifests
    unread: set[int] = set()  # shards of manifests that cannot be read
    for done, number in enumerate(numbers, 1):
        try:
            manifest = files.manifest(number)
        except TokenStoreError as error:
            problems.append(str(error))
            unread.add(number)
        else:
            named |= {manifest.codes.name, manifest.meta.name}
            with files.apart() as here:
                found = [*_shard(here, manifest, head, seen)]
            problems += found
            if not found and head is not None:
                whole, items, frames = whole + 1, items + manifest.items, frames + manifest.frames
        on_shard(done, len(numbers))
    problems += _missing(files, numbers)
    problems += _superfluous(files, sorted(sizes), named, unread)
    size = sum(size for name, size in sizes.items() if name == HEAD_NAME or _SHARD_FILE.fullmatch(name))
    return Report(os.fspath(place), whole, items, frames, size, tuple(problems))


def _sizes(files: StoreFiles) -> dict[str, int]:
    """What lies in the store's folder. Raises TokenStoreError where there is no store."""
    try:
        sizes = files.sizes()
    except TokenStoreError:
        files.head()  # says what is wrong, unless it is that the place cannot be listed
        raise
    if HEAD_NAME not in sizes:
        files.head()  # says why it is none
    return sizes


def _head(files: StoreFiles, problems: list[str]) -> StoreHead | None:
    try:
        return files.head()
    except TokenStoreError as error:
        problems.append(str(error))
        return None


def _shard(files: StoreFiles, manifest: ShardManifest, head: StoreHead | None, seen: dict[str, int]) -> Iterator[str]:
    """What is wrong with a shard's files; without a head their hashes alone can be looked at. seen: the shard of each key so far."""
    found = check_files(files, manifest, head)
    yield from found
    if found:
        return
    for key in MetaFile(files.path(manifest.meta), manifest.items).column("key"):
        if seen.setdefault(key, manifest.shard) != manifest.shard:
            yield f"{files.named(manifest.meta.name)}: item {key!r} is in shard {seen[key]} too"


def _missing(files: StoreFiles, numbers: list[int]) -> list[str]:
    there = set(numbers)
    gone = [number for number in range(numbers[-1]) if number not in there][: _NAMED + 1] if numbers else []
    told = [f"{files.named(f'{number:05d}.json')}: missing, and there are shards after it" for number in gone[:_NAMED]]
    return [*told, f"{files.where}: more shards are missing"] if len(gone) > _NAMED else told


def _superfluous(files: StoreFiles, names: list[str], named: set[str], unread: set[int]) -> Iterator[str]:
    """Files that no manifest names. Those of a manifest that cannot be read are not counted: it is told of already."""
    expected = {HEAD_NAME, *BESIDE, *named}
    for name in names:
        match = _SHARD_FILE.fullmatch(name)
        if name in expected or shard_number(name) is not None or (match and int(match[1]) in unread):
            continue
        if _LEFT.fullmatch(name):
            yield f"{files.named(name)}: left by a writer that was killed, or that is at work"
        elif match:
            yield f"{files.named(name)}: superfluous, no manifest names it"
        else:
            yield f"{files.named(name)}: superfluous, it is not of a token store"
