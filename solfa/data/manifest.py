"""The manifest: JSON lines, one recording a line, that say what a folder of sound holds.

    {"id": "000000", "audio": "audio/000000.flac", "text": "A calm waltz ...", "notes": "notes/000000.mid", "split": "train"}

Paths are relative to the manifest's folder. `notes` is a MIDI path, or the notes themselves as a list of
[onset, offset, pitch, velocity, program, is_drum]. Keys that are not known here are kept, in `Entry.extra`, and written back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from solfa import strict_json
from solfa.files import WholeFile
from solfa.score.note import Note

MAX_LINE = 1 << 24  # characters
NAME = "manifest.jsonl"


class ManifestError(ValueError):
    """A manifest that cannot be read or written. The message names the file, the line and the reason."""


@dataclass(frozen=True)
class Entry:
    """One recording. `id` is unique in its manifest; `seconds` is its length; `soundfont` and `renderer` say what played it."""

    id: str
    audio: str
    text: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    notes: str | tuple[Note, ...] | None = None
    split: str = "train"
    seconds: float | None = None
    soundfont: str | None = None
    renderer: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("id", "audio", "split"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or "\0" in value:
                raise ValueError(f"{name} {value!r}: text that is not empty")
        if not isinstance(self.text, str):
            raise ValueError(f"text {self.text!r}: it must be text")
        for name in ("attributes", "extra"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(f"{name} {getattr(self, name)!r}: it must be an object")
        for name in ("soundfont", "renderer"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} {getattr(self, name)!r}: text or null")
        if self.notes is not None and (not isinstance(self.notes, str | tuple) or self.notes == ""):
            raise ValueError(f"notes {self.notes!r}: a path, notes, or null")
        seconds = self.seconds
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0
        ):
            raise ValueError(f"seconds {seconds!r}: a number from 0, or null")
        clash = self.extra.keys() & KNOWN
        if clash:
            raise ValueError(f"extra keys {sorted(clash)}: these are fields of their own")

    def to_dict(self) -> dict[str, Any]:
        """As a line holds it: fields that say nothing are left out."""
        data: dict[str, Any] = {"id": self.id, "audio": self.audio}
        for name in KNOWN_ORDER[2:]:
            value = getattr(self, name)
            if name == "split" or value not in (None, "", {}):
                data[name] = [_numbers(note) for note in value] if isinstance(value, tuple) else value
        return data | self.extra

    @classmethod
    def from_dict(cls, data: Any) -> Entry:
        """The inverse of `to_dict`. Raises ValueError for values of the wrong kind, and without id or audio."""
        if not isinstance(data, dict):
            raise ValueError("not a JSON object")
        missing = {"id", "audio"} - data.keys()
        if missing:
            raise ValueError(f"no {' and no '.join(sorted(missing))}")
        known = {name: data[name] for name in KNOWN_ORDER if name in data}
        if "notes" in known:
            known["notes"] = _notes(known["notes"])
        return cls(**known, extra={name: value for name, value in data.items() if name not in KNOWN})


KNOWN_ORDER = tuple(field.name for field in fields(Entry) if field.name != "extra")
KNOWN = frozenset(KNOWN_ORDER)


def read_manifest(path: str | os.PathLike[str]) -> list[Entry]:
    """The entries of a manifest, in order. Raises ManifestError, naming the line, for what is no entry and for an id twice."""
    return [entry for _, entry in read_rows(path)]


def read_rows(path: str | os.PathLike[str]) -> Iterator[tuple[dict[str, Any], Entry]]:
    """As `read_manifest`, each entry beside the fields of its line."""
    lines: dict[str, int] = {}
    for number, data in read_lines(path):
        try:
            entry = Entry.from_dict(data)
        except ValueError as error:
            raise ManifestError(f"{path}, line {number}: {error}") from error
        if entry.id in lines:
            raise ManifestError(f"{path}, line {number}: the id {entry.id!r} is that of line {lines[entry.id]} too")
        lines[entry.id] = number
        yield data, entry


def write_manifest(path: str | os.PathLike[str], entries: Iterable[Entry]) -> None:
    """Writes a manifest, whole or not at all. Raises ManifestError for an id twice and for values that JSON cannot hold."""
    rows, seen = [], set()
    for entry in entries:
        if entry.id in seen:
            raise ManifestError(f"{path}: two entries have the id {entry.id!r}")
        seen.add(entry.id)
        rows.append(entry.to_dict())
    try:
        write_lines(path, rows)
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{path}: {error}") from error


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of every line that is not blank. Raises ManifestError for what is not JSON in UTF-8."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise ManifestError(f"{path}, line {number}: longer than {MAX_LINE} characters")
                if line.strip():
                    yield number, _parse(line, path, number)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not text in UTF-8 ({error.reason})") from error
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}") from error


def write_lines(path: str | os.PathLike[str], rows: Iterable[Any]) -> None:
    """JSON lines, whole or not at all."""
    with WholeFile(path) as temporary, open(temporary, "x", encoding="utf-8", newline="\n") as file:
        file.writelines(json_line(row) for row in rows)


def json_line(value: Any) -> str:
    """One line of JSON. Raises ValueError for NaN and infinities, TypeError for what JSON does not know."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def _parse(line: str, path: str | os.PathLike[str], number: int) -> Any:
    try:
        return strict_json.loads(line)
    except ValueError as error:
        raise ManifestError(f"{path}, line {number}: not JSON ({error})") from error


def _numbers(note: Note) -> list[Any]:
    return [note.onset, note.offset, note.pitch, note.velocity, note.program, note.is_drum]


def _notes(value: Any) -> str | tuple[Note, ...] | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError(f"notes {str(value)[:40]!r}: a path, or a list of notes")
    return tuple(_note(row) for row in value)


def _note(row: Any) -> Note:
    kinds = ((int, float), (int, float), (int,), (int,), (int,), (bool,))
    if not isinstance(row, list) or len(row) != 6 or not all(type(v) in k for v, k in zip(row, kinds, strict=True)):
        raise ValueError(f"note {str(row)[:60]}: it is [onset, offset, pitch, velocity, program, is_drum]")
    return Note(*row)
