"""Planning: the recordings of a list into shards, beside what a store holds already."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from solfa.codecs.codec import Codec
from solfa.files import check_local
from solfa.tokenize_audio.store.format import (
    Meta,
    ShardManifest,
    StoreHead,
    TokenStoreError,
    read_head,
    read_manifest,
    shard_number,
    write_head,
)
from solfa.tokenize_audio.store.meta_file import MetaFile
from solfa.tokenize_audio.store.writer import sweep
from solfa.tokenize_audio.work.cut import cut
from solfa.tokenize_audio.work.decode_child import file_hash
from solfa.tokenize_audio.work.describe import meta_of
from solfa.tokenize_audio.work.job import (
    MEMORY,
    SHARD_BYTES,
    TIMEOUT,
    WORK,
    Job,
    ShardPlan,
    is_done,
    read_items,
    read_left,
    redo_path,
    shard_claim,
    stamp_of,
    write_items,
)
from solfa.tokenize_audio.work.sources import SourceItem

Facts = tuple[int, int, str]  # size, time, hash
_OURS, _TEMPORARY = (WORK, "status.json"), ".solfa-*.tmp"


@dataclass(frozen=True)
class Plan:
    """A job, and what it comes to. todo: shards that are to be made. new: recordings that the store did not know. changed: keys of those
    whose sound is not what it was: their shards are made again. damaged: shards that are made again because their files are not whole.
    retold: how many recordings of shards that stay are described otherwise than when they were encoded (see `store.annotate`)."""

    job: Job
    todo: tuple[int, ...]
    new: int
    changed: tuple[str, ...] = ()
    damaged: tuple[int, ...] = ()
    retold: int = 0


def plan(
    sources: Sequence[SourceItem],
    store: str | os.PathLike[str],
    codec: Codec,
    codec_name: str | None = None,
    *,
    codebooks: int | None = None,
    device: str = "cpu",
    shard_items: int | None = None,
    shard_bytes: int = SHARD_BYTES,
    timeout: float = TIMEOUT,
    memory: int = MEMORY,
    retry: bool = False,
    write: bool = True,
) -> Plan:
    """Plan the work on a store, which is made where there is none. For who holds `run_claim(store)`.

    codec_name: what workers load the codec by, where it is not its own name. A shard is at most shard_items recordings, and ends with the
    one that brings it to shard_bytes. shard_items None: a 64th of the recordings that are new, and of their bytes, but at least 4 or
    32 MiB, and at most 512 and shard_bytes, and less at the end (see `cut`); on a GPU 512. It hangs on the recordings, never on the
    number of workers. What was planned before keeps its shard, whatever shard_items was then or is now.

    A recording that the store holds stays as it is as long as its file has the size and time, or at least the content, that it had.
    retry: shards with inputs that were left out are made again. write: False only looks.

    Raises ValueError (TokenStoreError) where the store is of another codec, other weights, or other codebooks, naming both, where the
    folder is something else, where a source would take the place of another file that is still there, and for numbers out of range.
    """
    check_local(store)
    if (shard_items is not None and shard_items < 1) or shard_bytes < 1:
        raise ValueError(f"a shard of {shard_items} items and {shard_bytes} bytes: at least 1 of each is needed")
    head = StoreHead.of_codec(codec, codebooks)
    folder = os.path.abspath(store)
    name = codec_name or codec.name
    job = Job(folder, name, head, device, timeout, memory)
    known = _check_store(Path(folder), head)
    given = {item.key: item for item in sources}
    old = dict(_assigned(folder)) if known else {}
    _check_places(folder, old, given)
    looked = [_look(job, index, items, given, retry) for index, items in sorted(old.items())]
    placed = {item.key for items in old.values() for item in items}
    fresh = [item for item in sources if item.key not in placed]
    shards = {each.index: each.items for each in looked}
    sizes = {item.key: _size(item) for items in (*shards.values(), fresh) for item in items}
    shards |= dict(enumerate(cut(fresh, sizes, device, shard_items, shard_bytes), max(shards, default=-1) + 1))
    _say_encoders(job, looked)
    sized = tuple(
        ShardPlan(i, len(items), sum(sizes[item.key] for item in items)) for i, items in sorted(shards.items())
    )
    job = Job(folder, name, head, device, timeout, memory, sized)
    again = {each.index for each in looked if each.changed or each.damaged or each.retried}
    if write:
        _write(job, shards, old, again)
    todo = tuple(index for index in sorted(shards) if index in again or not is_done(folder, index))
    changed = tuple(key for each in looked for key in each.changed)
    damaged = tuple(each.index for each in looked if each.damaged)
    return Plan(job, todo, len(fresh), changed, damaged, sum(each.retold for each in looked))


@dataclass(frozen=True)
class _Looked:
    """What became of a shard that was planned before, or is in the store."""

    index: int
    items: tuple[SourceItem, ...]  # as they are described now
    changed: tuple[str, ...] = ()
    damaged: bool = False
    retried: bool = False
    retold: int = 0
    fingerprint: str | None = None


def _check_store(folder: Path, head: StoreHead) -> bool:
    """Whether there is a store; its head must be this one."""
    if folder.exists() and not folder.is_dir():
        raise TokenStoreError(f"{folder}: is a file, a token store is a folder")
    if not (folder / "store.json").exists():
        if folder.is_dir() and any(path.name not in _OURS and not path.match(_TEMPORARY) for path in folder.iterdir()):
            raise TokenStoreError(f"{folder}: holds other things, and no token store; name a new folder")
        return False
    there = read_head(folder)
    if there == head:
        return True
    told = [
        f"{name} {getattr(there, name)!r}, not {getattr(head, name)!r}"
        for name in (
            "codec",
            "weights_hash",
            "codebooks",
            "sample_rate",
            "channels",
            "hop",
            "codebook_size",
            "precision",
        )
        if getattr(there, name) != getattr(head, name)
    ]
    raise TokenStoreError(f"{folder}: holds other codes, with {'; '.join(told)}: name another folder")


def _assigned(folder: str) -> Iterator[tuple[int, tuple[SourceItem, ...]]]:
    """The recordings of the shards that were planned, or else of those that are in the store."""
    before = Job.load(folder)
    planned = {shard.index for shard in before.shards} if before else set()
    for index in planned:
        yield index, read_items(folder, index)
    for name in os.listdir(folder):
        number = shard_number(name)
        if number is not None and number not in planned:
            manifest = read_manifest(folder, number)
            found = MetaFile(Path(folder) / manifest.meta.name, manifest.items)
            pairs = [*zip(found.column("key"), found.column("source"), strict=True)]
            pairs += [(each.key, each.source) for each in manifest.quarantined]
            yield number, tuple(SourceItem(key, source, os.path.abspath(source)) for key, source in pairs)


def _check_places(store: str, old: dict[int, tuple[SourceItem, ...]], given: dict[str, SourceItem]) -> None:
    """ValueError where a key is that of one file in the store, and of another one now: which of two is meant, nobody can know.

    A corpus that was moved or copied is no such case: its files are gone from where they were, or of the same content.
    """
    clashes = []
    for item in (item for items in old.values() for item in items):
        now = given.get(item.key, item)
        if now.path != item.path and _differ(item.path, now.path):
            clashes.append(f"{item.key!r} is {item.path} in the store, and {now.path} now")
    if clashes:
        more = f" (and so are {len(clashes) - 1} more)" if len(clashes) > 1 else ""
        raise TokenStoreError(
            f"{store}: {clashes[0]}, another file{more}: name the folder above both, give them ids in a manifest, or name another store"
        )


def _differ(path: str, other: str) -> bool:
    """Whether two files are there and are not the same."""
    mine, theirs = stamp_of(path), stamp_of(other)
    if mine is None or theirs is None or mine == theirs:
        return False
    try:
        return not os.path.samefile(path, other) and (mine[0] != theirs[0] or file_hash(path) != file_hash(other))
    except OSError:
        return False  # one that cannot be read will say so when it is decoded


def _look(job: Job, index: int, items: tuple[SourceItem, ...], given: dict[str, SourceItem], retry: bool) -> _Looked:
    now = tuple(given.get(item.key, item) for item in items)
    if not is_done(job.store, index):
        return _Looked(index, now)
    try:
        manifest, facts = _facts(job.store, index)
    except ValueError:
        return _Looked(index, now, damaged=True)
    left = read_left(job.store, index)
    changed = tuple(
        item.key
        for before, item in zip(items, now, strict=True)
        if item.key in given
        and (
            _changed(item, facts[item.key])
            if item.key in facts
            else _left_changed(item, left) or before.fault != item.fault
        )
    )
    retried = retry and bool(manifest.quarantined)
    if changed or retried:
        return _Looked(index, now, changed, retried=retried, fingerprint=manifest.fingerprint)
    # What is in the store is described as it was: the list of the shard stays too, so that it is said again.
    other = [there for item, there in zip(items, now, strict=True) if _said(item) != _said(there)]
    retold = len(other) - _kept(job.store, manifest, other)
    moved = tuple(replace(item, path=there.path) for item, there in zip(items, now, strict=True))
    return _Looked(index, moved, retold=retold, fingerprint=manifest.fingerprint)


def _facts(store: str, index: int) -> tuple[ShardManifest, dict[str, Facts]]:
    """What a shard's items were made of. Raises ValueError where its files are not as long as they must be, or cannot be read."""
    manifest = read_manifest(store, index)
    for file in (manifest.codes, manifest.meta):
        stamp = stamp_of(str(Path(store) / file.name))
        if stamp is None or stamp[0] != file.bytes:
            raise TokenStoreError(f"{Path(store) / file.name}: not as it was written")
    table = MetaFile(Path(store) / manifest.meta.name, manifest.items)
    names = ("key", "source_bytes", "source_stamp", "source_hash")
    return manifest, {key: facts for key, *facts in zip(*map(table.column, names), strict=True)}  # type: ignore[misc]


def _changed(item: SourceItem, facts: Facts) -> bool:
    """Whether a file is other than it was. One that is gone is not: its codes are there."""
    stamp = stamp_of(item.path)
    if stamp is None or stamp == tuple(facts[:2]):
        return False
    try:
        return stamp[0] != facts[0] or file_hash(item.path) != facts[2]
    except OSError:
        return False


def _left_changed(item: SourceItem, left: dict[str, tuple[int, int] | None]) -> bool:
    return item.key in left and stamp_of(item.path) != left[item.key]


def _kept(store: str, manifest: ShardManifest, items: list[SourceItem]) -> int:
    """How many of these items are described in the store as they are now: it was told since (`store.annotate`)."""
    if not items:
        return 0
    metas = {meta.key: meta for meta in MetaFile(Path(store) / manifest.meta.name, manifest.items).metas()}
    return sum(_holds(metas.get(item.key), item) for item in items)


def _holds(meta: Meta | None, item: SourceItem) -> bool:
    """Whether what a source says of an item is what the store says. What it leaves out may be there besides."""
    try:
        now = meta_of(item)
    except ValueError:
        return False
    return (
        meta is not None
        and (not now.texts or now.texts == meta.texts)
        and {**meta.attributes, **now.attributes} == meta.attributes
        and (not now.split or now.split == meta.split)
        and (now.notes is None or (now.notes, now.pedals, now.velocities) == (meta.notes, meta.pedals, meta.velocities))
        and {**meta.extra, **now.extra} == meta.extra
    )


def _said(item: SourceItem) -> tuple[object, ...]:
    return item.texts, item.attributes, item.notes, item.velocities, item.split, item.extra


def _size(item: SourceItem) -> int:
    stamp = stamp_of(item.path)
    return stamp[0] if stamp else 0


def _say_encoders(job: Job, looked: list[_Looked]) -> None:
    others = sorted({each.fingerprint for each in looked if each.fingerprint} - {job.fingerprint})
    if others:
        warnings.warn(
            f"{job.store}: shards that are there were encoded by {others[0]!r}, what comes is by {job.fingerprint!r}: "
            "of equal sound, a code may differ where two are almost as near",
            stacklevel=3,
        )


def _write(
    job: Job,
    shards: dict[int, tuple[SourceItem, ...]],
    old: dict[int, tuple[SourceItem, ...]],
    again: set[int],
) -> None:
    """Head first, job last: what was planned by a process that died on the way was not planned."""
    folder = Path(job.store)
    if not (folder / "store.json").exists():
        write_head(folder, job.head)
    if not any(shard_claim(job, shard.index).holder() for shard in job.shards if not is_done(folder, shard.index)):
        sweep(folder)
    for index, items in shards.items():
        path = folder / WORK / "shards" / f"{index:05d}.json"
        if old.get(index) != items or not path.exists():
            write_items(folder, index, items)
        if index in again:
            redo_path(folder, index).touch()
    job.save()
