"""Captions, attributes, notes and splits for a store that is there: new tables, the codes untouched.

    {"key": "sub/take.wav", "text": "A calm waltz ...", "attributes": {"bpm": 90}, "notes": "take.mid", "split": "train"}

Rows come from a manifest or other JSON lines (.jsonl) or a table (.csv, .tsv). `id`, or the name of the sound file, says which item a row
is of, the first that is a key of the store; without either `key` does, which beside them is a key such as C major. Other fields are read
as `solfa tokenize` reads them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from solfa.data.manifest import Entry
from solfa.data.tables import AUDIO, attributes_of, is_entry, rows, said_in, split_of, texts_of, velocities_of
from solfa.score.midi import read_midi
from solfa.score.note import Note
from solfa.score.score import Pedal
from solfa.tokenize_audio.store.format import Meta, ShardManifest, notes_of, read_head, read_manifest
from solfa.tokenize_audio.store.local_files import LocalFiles
from solfa.tokenize_audio.store.meta_file import MetaFile, check_row
from solfa.tokenize_audio.store.records import TokenStoreError
from solfa.tokenize_audio.store.writer import rewrite_meta, tables_in

KEYS = ("id", *AUDIO)  # fields that name the item
SUFFIXES = (".jsonl", ".csv", ".tsv")
_Row = tuple[str, Mapping[str, Any]]  # where it stands, its fields


@dataclass(frozen=True)
class Annotated:
    """What was done. matched: items that rows are of; changed: those whose metadata were others; shards: that were rewritten.

    unmatched: keys of the table that no item has. problems: rows whose notes cannot be read, or that say what no store can hold, each a
    sentence; their items are as they were.
    """

    matched: int
    changed: int
    shards: int
    unmatched: tuple[str, ...]
    problems: tuple[str, ...]


def annotate(
    folder: str | os.PathLike[str],
    table: str | os.PathLike[str],
    add_texts: bool = False,
    on_shard: Callable[[int, int], None] = lambda done, of: None,
    claim: Callable[[int], AbstractContextManager[object]] = lambda shard: nullcontext(),
) -> Annotated:
    """Give the items of a store what the rows of a table say of them.

    What a row says replaces what was known: captions, notes with pedals, split, and attributes one by one; what it does not say, or
    leaves blank, stays. add_texts: captions are added to those that are there. Notes are a MIDI path relative to the table, or a list as
    in a manifest. A shard is given its new table in one step, and one where nothing changes is not touched: after a kill the same call
    does the rest. claim: of a shard by its number, held while it is looked at and changed; where others may be at work on the store it
    must be `work.job.claim_shard`, whose Locked ends the call: what it has done stays.

    Raises ValueError for a table that cannot be read, names an item twice, or names none of the store's; TokenStoreError for a store that
    is damaged.
    """
    store, path = Path(folder), Path(table)
    read_head(store)
    manifests = LocalFiles(store).manifests()
    there = [_keys(store, manifest) for manifest in manifests]
    told = _read_table(path, set(chain.from_iterable(there)))
    tables = tables_in(store)
    if not any(key in told for key in chain.from_iterable(there)):
        raise ValueError(f"{path}: none of its {len(told)} keys is in {store}; the first is {next(iter(told))!r}")
    matched: set[str] = set()
    problems: list[str] = []
    changed = shards = 0
    for done, (number, keys) in enumerate(zip((manifest.shard for manifest in manifests), there, strict=True), 1):
        if any(key in told for key in keys):
            with claim(number):
                manifest = read_manifest(store, number)  # it may have been made again meanwhile
                matched.update(key for key in _keys(store, manifest) if key in told)
                new = _changes(store, manifest, told, path, add_texts, problems)
                _remove(store, manifest, tables.get(number, ()))
                if new:
                    _rewrite(store, manifest, new)
                    changed, shards = changed + len(new), shards + 1
        on_shard(done, len(manifests))
    return Annotated(len(matched), changed, shards, tuple(key for key in told if key not in matched), tuple(problems))


def _read_table(path: Path, known: Container[str]) -> dict[str, _Row]:
    """The rows by key. known: the store's."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: it must be a manifest (.jsonl) or a table (.csv, .tsv)")
    told: dict[str, _Row] = {}
    try:
        for where, row in rows(path, filled=False):
            named = [row[name] for name in KEYS if row.get(name) not in (None, "")] or [row.get("key")]
            if not isinstance(named[0], str) or not named[0]:
                raise ValueError(f"{where}: no item is named; one of id, {', '.join(AUDIO)}, key is needed, as text")
            key = next((name for name in named if isinstance(name, str) and name in known), named[0])
            if key in told:
                raise ValueError(f"{where}: {key!r} is named in {told[key][0]} too")
            told[key] = (where, {name: value for name, value in row.items() if name != "key" or value != key})
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    if not told:
        raise ValueError(f"{path}: it names no items")
    return told


def _keys(store: Path, manifest: ShardManifest) -> list[str]:
    return list(MetaFile(store / manifest.meta.name, manifest.items).column("key"))


def _changes(
    store: Path, manifest: ShardManifest, told: Mapping[str, _Row], table: Path, add_texts: bool, problems: list[str]
) -> dict[str, Meta]:
    """The items of a shard that become others, by key."""
    new: dict[str, Meta] = {}
    for meta in MetaFile(store / manifest.meta.name, manifest.items).metas():
        if meta.key not in told:
            continue
        where, row = told[meta.key]
        try:
            found = _told(meta, row, table, add_texts)
            check_row(found)
        except (ValueError, OSError) as error:
            problems.append(f"{where}: {getattr(error, 'strerror', None) or error}")
            continue
        if found != meta:
            new[meta.key] = found
    return new


def _remove(store: Path, manifest: ShardManifest, tables: Iterable[str]) -> None:
    """Remove those of a shard's tables that its manifest does not name: a call that was killed left them."""
    for name in tables:
        if name != manifest.meta.name:
            (store / name).unlink(missing_ok=True)


def _rewrite(store: Path, manifest: ShardManifest, new: Mapping[str, Meta]) -> None:
    if read_manifest(store, manifest.shard) != manifest:
        raise TokenStoreError(f"{store}: shard {manifest.shard} was written by somebody else meanwhile")
    old = MetaFile(store / manifest.meta.name, manifest.items).metas()
    rewrite_meta(store, manifest.shard, (new.get(meta.key, meta) for meta in old))


def _told(meta: Meta, row: Mapping[str, Any], table: Path, add_texts: bool) -> Meta:
    """An item with what a row says. Raises ValueError for what makes no sense, OSError for notes that are not there."""
    values: dict[str, Any] = {}
    if is_entry(row, table):
        said = said_in(Entry.from_dict(dict(row)))
        texts, attributes = said["texts"], said["attributes"]
        values["extra"] = {**meta.extra, **said["extra"]}
    else:
        texts, attributes = texts_of(row), attributes_of(row)
    if texts:
        values["texts"] = tuple(dict.fromkeys((*meta.texts, *texts))) if add_texts else texts
    if attributes:
        values["attributes"] = {**meta.attributes, **attributes}
    if split := split_of(row):
        values["split"] = split
    if row.get("notes") not in (None, ""):
        values["notes"], values["pedals"] = _notes(row["notes"], table.parent)
        values["velocities"] = velocities_of(row)
    return replace(meta, **values)


def _notes(value: Any, home: Path) -> tuple[tuple[Note, ...], tuple[Pedal, ...]]:
    if isinstance(value, str):
        return notes_of(read_midi(home / value))
    notes = Entry.from_dict({"id": "x", "audio": "x", "notes": value}).notes  # a manifest's form of them
    assert isinstance(notes, tuple)
    return notes, ()
