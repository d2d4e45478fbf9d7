"""What became of a shard that was planned before, or is in the store: what of it is to be encoded, and what stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from solfa.tokenize_audio.store.format import (
    Meta,
    ShardManifest,
    TokenStoreError,
    read_manifest,
)
from solfa.tokenize_audio.store.meta_file import MetaFile
from solfa.tokenize_audio.work.decode_child import file_hash
from solfa.tokenize_audio.work.describe import meta_of
from solfa.tokenize_audio.work.job import Job, Seen, read_left, read_redo, read_seen, stamp_of
from solfa.tokenize_audio.work.kept import old_folder
from solfa.tokenize_audio.work.sources import SourceItem

Facts = tuple[int, int, str]  # size, time, hash


@dataclass(frozen=True)
class Looked:
    """A shard as it was found. there: whether it is in the store, or was. again: it is made again, and of its items those of `encode` from
    their sound. changed: items whose sound is other than it was. retold: how many that stay are described otherwise than in the store.
    fingerprint: of its encoder. seen: of which files it is known now what they hold (see `job.read_seen`). news: whether what is
    written down of it is other."""

    index: int
    items: tuple[SourceItem, ...]  # as they are described now
    there: bool = False
    again: bool = False
    encode: frozenset[str] = frozenset()
    changed: tuple[str, ...] = ()
    damaged: bool = False
    retold: int = 0
    fingerprint: str | None = None
    seen: dict[str, Seen] = field(default_factory=dict)
    news: bool = False


def look(job: Job, index: int, items: tuple[SourceItem, ...], given: Mapping[str, SourceItem], retry: bool) -> Looked:
    """Look at a shard of these items. given: what there is to tokenize now, by key; of others nothing is encoded that is in the store."""
    now = tuple(given.get(item.key, item) for item in items)
    keys = frozenset(item.key for item in items)
    folder = old_folder(job.store, index)
    if folder is None:
        return Looked(index, now)
    try:
        manifest, facts = _facts(folder, index)
    except ValueError:
        return Looked(index, now, True, again=True, encode=keys, damaged=True)
    seen = read_seen(job.store, index)
    known = dict(seen)
    left = read_left(job.store, index)
    changed = tuple(
        item.key
        for before, item in zip(items, now, strict=True)
        if item.key in given
        and (
            _changed(item, facts[item.key], seen)
            if item.key in facts
            else _left_changed(item, left) or before.fault != item.fault
        )
    )
    pending = read_redo(job.store, index)
    refused = {each.key for each in manifest.quarantined}
    encode = {*changed, *(keys if pending is None else pending & keys), *(refused & given.keys() if retry else ())}
    forgotten = _forgotten(items, refused - given.keys()) if retry else frozenset()
    again = bool(changed or forgotten or (retry and refused & given.keys()))
    if encode:  # with the rest, what is easily tried again; and as far as it can be, a shard is of one encoder
        others = keys if manifest.fingerprint != job.fingerprint else refused
        encode |= {item.key for item in now if item.key in others & given.keys() and stamp_of(item.path) is not None}
    both = [(item, there) for item, there in zip(items, now, strict=True) if item.key not in forgotten]
    # What stays in the store is described as it was: the list of the shard stays too, so that it is said again.
    other = [there for item, there in both if item.key not in encode and _said(item) != _said(there)]
    retold = len(other) - _kept(folder, manifest, other)
    found = tuple(there if item.key in encode else replace(item, path=there.path) for item, there in both)
    return Looked(
        index,
        found,
        True,
        again=again,
        encode=frozenset(encode),
        changed=changed,
        retold=retold,
        fingerprint=manifest.fingerprint,
        seen=seen,
        news=seen != known or found != items,
    )


def same_content(path: str, other: str) -> bool:
    """Whether two files hold the same. Raises OSError where one cannot be read."""
    mine, theirs = stamp_of(path), stamp_of(other)
    return (
        mine is not None and theirs is not None and mine[0] == theirs[0] and _hash(path, mine) == _hash(other, theirs)
    )


@lru_cache(1 << 16)
def _hash(path: str, stamp: tuple[int, int]) -> str:
    """Of a file of that size and time: a plan is looked at twice, and is not to read all files twice."""
    return file_hash(path)


def _forgotten(items: Sequence[SourceItem], refused: set[str]) -> frozenset[str]:
    """Those of these keys whose files are gone: nobody will mend them."""
    paths = {item.key: item.path for item in items}
    return frozenset(key for key in refused if key not in paths or stamp_of(paths[key]) is None)


def _facts(folder: Path, index: int) -> tuple[ShardManifest, dict[str, Facts]]:
    """What a shard's items were made of. Raises ValueError where its files are not as long as they must be, or cannot be read."""
    manifest = read_manifest(folder, index)
    for file in (manifest.codes, manifest.meta):
        stamp = stamp_of(str(folder / file.name))
        if stamp is None or stamp[0] != file.bytes:
            raise TokenStoreError(f"{folder / file.name}: not as it was written")
    table = MetaFile(folder / manifest.meta.name, manifest.items)
    names = ("key", "source_bytes", "source_stamp", "source_hash")
    return manifest, {key: facts for key, *facts in zip(*map(table.column, names), strict=True)}  # type: ignore[misc]


def _changed(item: SourceItem, facts: Facts, seen: dict[str, Seen]) -> bool:
    """Whether a file is other than it was. One that is gone is not: its codes are there. One of another time or place that is the same is
    noted in `seen`, and not read another time."""
    stamp = stamp_of(item.path)
    if stamp is None or stamp == tuple(facts[:2]):
        return False
    now = (item.path, *stamp, facts[2])
    if seen.get(item.key) == now:
        return False
    try:
        if stamp[0] != facts[0] or _hash(item.path, stamp) != facts[2]:
            return True
    except OSError:
        return False
    seen[item.key] = now
    return False


def _left_changed(item: SourceItem, left: dict[str, tuple[int, int] | None]) -> bool:
    return item.key in left and stamp_of(item.path) != left[item.key]


def _kept(folder: Path, manifest: ShardManifest, items: list[SourceItem]) -> int:
    """How many of these items are described in the store as they are now: it was told since (`store.annotate`)."""
    if not items:
        return 0
    metas = {meta.key: meta for meta in MetaFile(folder / manifest.meta.name, manifest.items).metas()}
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
