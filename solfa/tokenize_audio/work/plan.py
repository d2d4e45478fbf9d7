"""Planning: the recordings of a list into shards, beside what a store holds already."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from solfa.codecs.codec import Codec
from solfa.files import check_local
from solfa.tokenize_audio.store.format import (
    Meta,
    StoreHead,
    TokenStoreError,
    read_head,
    read_manifest,
    shard_number,
    write_head,
)
from solfa.tokenize_audio.store.meta_file import MetaFile
from solfa.tokenize_audio.store.place import is_store
from solfa.tokenize_audio.store.writer import sweep
from solfa.tokenize_audio.work.cut import cut
from solfa.tokenize_audio.work.job import (
    MEMORY,
    SHARD_BYTES,
    TIMEOUT,
    WORK,
    Job,
    ShardPlan,
    forget_shard,
    is_done,
    read_items,
    shard_claim,
    spool_path,
    stamp_of,
    write_items,
    write_redo,
    write_seen,
)
from solfa.tokenize_audio.work.look import Looked, look, same_content
from solfa.tokenize_audio.work.sources import SourceItem
from solfa.tokenize_audio.work.spool import spooled

_OURS, _TEMPORARY = (WORK, "status.json"), ".solfa-*.tmp"


@dataclass(frozen=True)
class Plan:
    """A job, and what it comes to. todo: shards that are to be made. new: recordings that the store did not know. changed: keys of those
    whose sound is not what it was: their shards are made again. damaged: shards that are made again because their files are not whole.
    retold: how many recordings that stay are described otherwise than when they were encoded (see `store.annotate`). others: keys of the
    store, or of its plan, that are not among the sources; earlier: sources of those of them that are encoded too, since an earlier plan
    has them. news: whether a plan that only looked found what is not written down, though no shard is to be made for it."""

    job: Job
    todo: tuple[int, ...]
    new: int
    changed: tuple[str, ...] = ()
    damaged: tuple[int, ...] = ()
    retold: int = 0
    others: frozenset[str] = frozenset()
    earlier: tuple[str, ...] = ()
    news: bool = False


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
    shared: bool = False,
) -> Plan:
    """Plan the work on a store, which is made where there is none. For who holds `run_claim(store)`.

    codec_name: what workers load the codec by, where it is not its own name. A shard is at most shard_items recordings, and ends with the
    one that brings it to shard_bytes. shard_items None: a 64th of the recordings that are new, and of their bytes, but at least 4 or
    32 MiB, and at most 512 and shard_bytes, and less at the end (see `cut`); on a GPU 512. It hangs on the recordings, never on the
    number of workers. What was planned before keeps its shard, whatever shard_items was then or is now.

    A recording that the store holds stays as it is as long as its file has the size and time, or at least the content, that it had, or is
    gone, or not among the sources. retry: inputs that were left out are tried again; those that are gone, and no source now, are
    forgotten. write: False only looks. shared: other runs may be at the store's work. Where none is, shards that an earlier plan had, that
    nobody began and of which nothing is among the sources, are not planned any more.

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
    looked = [look(job, index, items, given, retry) for index, items in sorted(old.items())]
    if not shared:
        looked = _named(job, looked, given)
    placed = {item.key for each in looked for item in old[each.index]}
    fresh = [item for item in sources if item.key not in placed]
    shards = {each.index: each.items for each in looked}
    sizes = {item.key: _size(item) for items in (*shards.values(), fresh) for item in items}
    shards |= dict(enumerate(cut(fresh, sizes, device, shard_items, shard_bytes), max(shards, default=-1) + 1))
    _say_encoders(job, looked)
    sized = (ShardPlan(i, len(items), sum(sizes[item.key] for item in items)) for i, items in sorted(shards.items()))
    job = replace(job, shards=tuple(sized))
    if write:
        _write(job, shards, old, looked)
    return _told(job, looked, given, len(fresh))


def check_any(sources: Sequence[SourceItem], store: str | os.PathLike[str]) -> None:
    """ValueError where none of the sources' files is there, and no store: what was named is wrong, and a store of nothing helps nobody.

    Where there is a store, what is in it stays though its files are gone.
    """
    if is_store(os.fspath(store)) or any(stamp_of(item.path) for item in sources):
        return
    more = f", nor any of the {len(sources) - 1} others that are named" if len(sources) > 1 else ""
    raise ValueError(f"{sources[0].source}: no such file{more}: there is nothing to make a store of")


def _told(job: Job, looked: list[Looked], given: Mapping[str, SourceItem], new: int) -> Plan:
    """What was found, as a plan."""
    again = {each.index for each in looked if each.again}
    unnamed = [(each, item) for each in looked for item in each.items if item.key not in given]
    return Plan(
        job,
        todo=tuple(each.index for each in job.shards if each.index in again or not is_done(job.store, each.index)),
        new=new,
        changed=tuple(key for each in looked for key in each.changed),
        damaged=tuple(each.index for each in looked if each.damaged),
        retold=sum(each.retold for each in looked),
        others=frozenset(item.key for _, item in unnamed),
        earlier=tuple(item.source for each, item in unnamed if not each.there),
        news=any(each.news for each in looked),
    )


def _named(job: Job, looked: list[Looked], given: Mapping[str, SourceItem]) -> list[Looked]:
    """Without the shards that an earlier command planned, and nobody began, of which this one names nothing."""

    def idle(each: Looked) -> bool:
        unwanted = not each.there and not any(item.key in given for item in each.items)
        return unwanted and not spooled(spool_path(job, each.index)) and not is_done(job.store, each.index)

    stays = [each for each in looked if not idle(each)]
    busy = len(stays) < len(looked) and any(shard_claim(job, each.index).holder() for each in looked)
    return looked if busy else stays


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
            left = (SourceItem(each.key, each.source, os.path.abspath(each.source)) for each in manifest.quarantined)
            yield number, (*map(_item_of, found.metas()), *left)


def _item_of(meta: Meta) -> SourceItem:
    """An item of a store as a source, where nothing else tells of it."""
    return SourceItem(
        meta.key,
        meta.source,
        os.path.abspath(meta.source),
        meta.texts,
        dict(meta.attributes),
        None if meta.notes is None else tuple(map(astuple, meta.notes)),
        meta.velocities,
        meta.split,
        dict(meta.extra),
    )


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
        return not os.path.samefile(path, other) and not same_content(path, other)
    except OSError:
        return False  # one that cannot be read will say so when it is decoded


def _size(item: SourceItem) -> int:
    stamp = stamp_of(item.path)
    return stamp[0] if stamp else 0


def _say_encoders(job: Job, looked: list[Looked]) -> None:
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
    looked: list[Looked],
) -> None:
    """Head first, job last: what was planned by a process that died on the way was not planned."""
    folder = Path(job.store)
    if not (folder / "store.json").exists():
        write_head(folder, job.head)
    if not any(shard_claim(job, shard.index).holder() for shard in job.shards if not is_done(folder, shard.index)):
        sweep(folder)
    dropped = old.keys() - {each.index for each in looked}
    for index in dropped & shards.keys():
        forget_shard(folder, index)  # its number is another's now
    for index, items in shards.items():
        path = folder / WORK / "shards" / f"{index:05d}.json"
        if index in dropped or old.get(index) != items or not path.exists():
            write_items(folder, index, items)
    for each in looked:
        if each.news:
            write_seen(folder, each.index, each.seen)
        if each.again:
            write_redo(folder, each.index, each.encode)
    job.save()
    for index in dropped - shards.keys():
        forget_shard(folder, index)
