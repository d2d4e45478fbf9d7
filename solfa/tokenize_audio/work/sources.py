"""What is to be tokenized: folders, sound files, patterns, lists, tables and manifests, as one list in one stable order.

A key is an item's name in the store: the path below the folder that was named, or a manifest's id. Of what a pattern (`in/*/take?.wav`)
matches it is the path below the folders before its first wildcard: that of the folder `in`. Of files named by themselves and in lists it is
the path as it was written, where that is relative and stays below its place, else the name alone.
"""

from __future__ import annotations

import codecs
import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from solfa.data.folders import by_parts, sound_among, sound_files
from solfa.data.manifest import Entry
from solfa.data.tables import (
    SUFFIXES,
    audio_of,
    is_entry,
    rows,
    said_in,
    sidecars,
    table_in,
    told_of,
    united,
    velocities_of,
)
from solfa.files import exhaustion
from solfa.score.midi import MidiError, read_midi
from solfa.score.note import Note
from solfa.score.score import Pedal
from solfa.tokenize_audio.store.format import check_key, notes_of

TABLE_SUFFIXES = (".jsonl", ".csv", ".tsv")
_UNSAFE = re.compile("[\\\\\0-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One recording. key: in the store. source: the file as it was named; path: where it is, absolute. notes: a MIDI file, absolute, or
    rows of [onset, offset, pitch, velocity, program, is_drum]; velocities: whether theirs are known. extra: other fields of its row.
    fault: why it is to be left out, where that is known before its sound is read."""

    key: str
    source: str
    path: str
    texts: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    notes: str | tuple[tuple[Any, ...], ...] | None = None
    velocities: bool = True
    split: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    fault: str = ""

    def read_notes(self) -> tuple[tuple[Note, ...] | None, tuple[Pedal, ...]]:
        """Notes and pedals; None where there are none to know. Raises ValueError for bad notes, OSError where no file can be read."""
        if not isinstance(self.notes, str):
            return None if self.notes is None else tuple(Note(*row) for row in self.notes), ()
        try:
            return notes_of(read_midi(self.notes))
        except MidiError:
            raise
        except OSError as error:
            if exhaustion(error):
                raise
            raise ValueError(f"{self.notes}: {error.strerror}") from error


def find_sources(arguments: Sequence[str | os.PathLike[str]]) -> list[SourceItem]:
    """The recordings that arguments name, in the order of the arguments; those of a folder are sorted by their path.

    An argument is a folder (searched through, hidden files left out; a table in it, see `solfa.data.tables`, says what there is), a sound
    file, a manifest (.jsonl), a table (.csv, .tsv), a pattern (`*`, `?`, `[ab]`, and `**` for any folders), or `@list.txt` with one of
    these a line (`@-`: from stdin). A pattern that ends as tables do names tables; any other sound files, and folders. What is said of a
    recording, in its row or in files of its name beside it (.txt, .json), comes with it. A file that is named and not there is an item all
    the same: it ends as a failure of its own, beside the others; so does one whose files beside it cannot be read. A recording that is
    named again, in another row too, is one item: with the captions of all, and of the rest what is said first. Warns of what looks like
    sound in a folder and is left out: of formats that are not read, and behind links to folders.

    Raises ValueError where nothing is named, a pattern matches nothing, a folder holds no sound or cannot be read, a table or list cannot
    be read, two recordings have one key, or one has two splits.
    """
    if not arguments:
        raise ValueError(
            "nothing to tokenize: name a folder, sound files, a pattern, a manifest, @list.txt, or - for a list on stdin"
        )
    found: dict[str, SourceItem] = {}
    for item in _all(os.fspath(argument) for argument in arguments):
        other = found.setdefault(item.key, item)
        if other is not item:
            found[item.key] = _united(other, item)
    return list(found.values())


def _united(first: SourceItem, second: SourceItem) -> SourceItem:
    """A recording that was named twice."""
    if first.path != second.path:
        raise ValueError(
            f"{first.path} and {second.path} would both be {first.key!r} in the store: name the folder above them, or give them ids "
            "in a manifest"
        )
    told = united(
        first.path, [{"texts": i.texts, "attributes": i.attributes, "split": i.split} for i in (first, second)]
    )
    noted = first if first.notes is not None else second
    return replace(
        first,
        **told,
        notes=noted.notes,
        velocities=noted.velocities,
        extra={**second.extra, **first.extra},
        fault=first.fault or second.fault,
    )


def safe_key(name: str) -> str:
    """A path as a key: control characters, backslashes and bytes that are no text become %XX. Raises ValueError for an unsafe one."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    key = _escaped("/".join(parts))
    check_key(key)
    return key


def _escaped(name: str) -> str:
    return _UNSAFE.sub(lambda letter: "".join(f"%{byte:02X}" for byte in os.fsencode(letter[0])), name)


def _all(arguments: Iterable[str]) -> Iterator[SourceItem]:
    for argument in arguments:
        if argument.startswith("@"):
            yield from _in_list(argument[1:])
        else:
            yield from _in_place(argument)


def _in_place(argument: str, listed: bool = False) -> Iterator[SourceItem]:
    """listed: a line of a list, which may name files of odd names that are gone: what matches nothing is a file, and no wrong pattern."""
    path = Path(argument)
    if not argument:
        raise ValueError("an empty name: name a folder, a sound file, a pattern, a list or a manifest")
    wild = glob.has_magic(argument) and not os.path.exists(argument)
    matches = glob.glob(argument, recursive=True) if wild else []
    if wild and not matches and not listed:
        raise ValueError(f"{argument}: no file matches")
    if matches:
        yield from _in_pattern(argument, sorted(map(Path, matches), key=by_parts))
    elif path.is_dir():
        table = table_in(path)
        yield from _in_table(table) if table else _in_folder(path)
    elif path.suffix.lower() in TABLE_SUFFIXES:
        yield from _in_table(path)
    else:
        yield _beside(_item(_named(path), path))


def _in_pattern(pattern: str, matches: Sequence[Path]) -> Iterator[SourceItem]:
    """What a pattern matches, in the order of a folder, each file once."""
    if Path(pattern).suffix.lower() in TABLE_SUFFIXES:
        for match in matches:
            yield from _in_place(str(match))
        return
    parts = Path(pattern).parts
    root = Path(*parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
    folders = {match for match in matches if match.is_dir()}
    sound = set(sound_among(match for match in matches if match not in folders))
    searched = os.path.basename(pattern) != "**"  # which gives the files below each folder itself
    taken, empty = set[Path](), True
    for match in matches:
        if searched and match in folders and (table := table_in(match)):
            empty = False
            yield from _in_table(table)
            continue
        found = sound_files(match) if searched and match in folders else [match] if match in sound else []
        for path in found:
            if path not in taken:
                taken.add(path)
                yield _beside(_item(str(path.relative_to(root)), path))
    if empty and not taken:
        raise ValueError(f"{pattern}: no sound file among what matches; their names end in {', '.join(SUFFIXES)}")


def _in_list(name: str) -> Iterator[SourceItem]:
    """What the lines of a list name; "-" is stdin."""
    where = "stdin" if name == "-" else name
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ValueError(f"{where}: cannot read this list ({error.strerror})") from error
    if b"\0" in data:
        raise ValueError(f"{where}: this is no list of files: one path a line is read, not sound")
    lines = [os.fsdecode(line) for line in data.removeprefix(codecs.BOM_UTF8).splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{where}: this list is empty")
    for line in lines:
        yield from _in_place(line, listed=True)


def _named(path: Path) -> str:
    """The key of a file that was named: the path as it was written, where it is relative and stays below its place."""
    return path.name if path.is_absolute() or ".." in path.parts else str(path)


def _in_folder(folder: Path) -> Iterator[SourceItem]:
    found = sound_files(folder)
    if not found:
        raise ValueError(f"{folder}: no sound file in it; their names end in {', '.join(SUFFIXES)}")
    for path in found:
        yield _beside(_item(str(path.relative_to(folder)), path))


def _item(name: str, path: Path) -> SourceItem:
    try:
        key = safe_key(name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    source = str(path)
    return SourceItem(key, _escaped(source), os.path.abspath(source))


def _beside(item: SourceItem) -> SourceItem:
    """With what the files of its name say."""
    try:
        lines, fields = sidecars(Path(item.path))
    except OSError as error:
        if exhaustion(error):
            raise
        return item  # a name too long for another suffix, a link that leads in a circle: nothing stands beside it
    except ValueError as error:
        return replace(item, fault=str(error))
    told = told_of(fields)
    return replace(item, **{**told, "texts": (*lines, *told["texts"])}) if lines or fields else item


def _in_table(path: Path) -> Iterator[SourceItem]:
    empty = True
    for where, row in _rows(path):  # one at a time: there may be millions
        empty, name = False, audio_of(where, row)
        try:
            yield _of_entry(Entry.from_dict(dict(row)), path) if is_entry(row, path) else _of_row(name, row, path)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    if empty:
        raise ValueError(f"{path}: it names no sound file")


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        yield from rows(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


def _of_row(name: str, row: Mapping[str, Any], table: Path) -> SourceItem:
    item = replace(_item(_named(Path(name)), table.parent / name), **told_of(row))
    if row.get("notes") in (None, ""):
        return item
    entry = Entry.from_dict({"id": item.key, "audio": name, "notes": row["notes"]})
    return replace(item, notes=_notes(entry, table), velocities=velocities_of(row))


def _of_entry(entry: Entry, manifest: Path) -> SourceItem:
    """An entry of a manifest; its paths are relative to the manifest's folder."""
    item = _item(entry.id, manifest.parent / entry.audio)
    return replace(item, **said_in(entry), notes=_notes(entry, manifest), split=entry.split)


def _notes(entry: Entry, manifest: Path) -> str | tuple[tuple[Any, ...], ...] | None:
    """As an item has them."""
    if entry.notes is None or isinstance(entry.notes, str):
        return entry.notes and os.path.abspath(manifest.parent / entry.notes)
    return tuple((n.onset, n.offset, n.pitch, n.velocity, n.program, n.is_drum) for n in entry.notes)
