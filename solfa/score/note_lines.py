"""Notes as JSON: one object a note, a line each.

    {"onset": 0.5, "offset": 1.0, "pitch": 60, "velocity": 80, "program": 0, "is_drum": false}

| key | value | where it is missing |
|---|---|---|
| onset, offset | numbers: seconds from the start, 0 <= onset <= offset | an error |
| pitch | whole number, 0 to 127: MIDI number (60 is middle C), of drums the General MIDI percussion key | an error |
| velocity | whole number, 1 to 127 | 80 |
| program | whole number, 0 to 127: General MIDI program from 0, of drums the kit | 0 |
| is_drum | true or false | false |

A .jsonl file is these lines; a .json file is one array of the same objects, so that any JSON reader takes it. Seconds are written with all
their digits: what is read is what was written.
"""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from solfa.files import write_whole
from solfa.score.note import Note
from solfa.strict_json import value_at

MAX_BYTES = 64 << 20
_KEYS = tuple(field.name for field in fields(Note))
_KINDS = {"onset": "a number", "offset": "a number", "is_drum": "true or false"}  # the others: a whole number
_SPACE = re.compile(r"[ \t\r\n]*")


class NoteLineError(ValueError):
    """Lines of notes that cannot be read; the message names the line, counted from 1, and what is wrong in it."""


def write_note_lines(
    notes: Iterable[Note], path: str | os.PathLike[str] | None = None, *, array: bool = False
) -> bytes:
    """The notes in their order, also written to `path` (whole or not at all) if one is given.

    array: as one JSON array, which is what a .json file holds; its notes still stand a line each.
    """
    lines = [json.dumps({key: getattr(note, key) for key in _KEYS}) for note in notes]
    text = "[\n" + ",\n".join(lines) + "\n]\n" if array else "".join(f"{line}\n" for line in lines)
    data = text.encode("ascii")
    if path is not None:
        write_whole(path, data)
    return data


def read_note_lines(source: str | os.PathLike[str] | bytes) -> tuple[Note, ...]:
    """The notes of a file, or of its bytes, in their order: JSON lines, or one JSON array. Empty lines are passed over.

    Strict: a key that is not in the table above, or twice in a note, a value of another type, NaN, and more than one value on a line are
    errors. Raises NoteLineError naming the line; it also stands for a file of more than 64 MiB or that is not UTF-8. OSError for a file
    that cannot be opened.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return tuple(_notes(bytes(source)))
    with open(source, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    try:
        return tuple(_notes(data))
    except NoteLineError as error:
        raise NoteLineError(f"{os.fspath(source)}: {error}") from error


def _notes(data: bytes) -> Iterator[Note]:
    if len(data) > MAX_BYTES:
        raise NoteLineError(f"more than {MAX_BYTES} bytes: the largest file of note lines read here")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = data.count(b"\n", 0, error.start) + 1
        raise NoteLineError(f"line {place}: not UTF-8 text") from error
    if text.lstrip().startswith("["):
        yield from _array(text)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            value, end = _value(line, _skip(line, 0), number)
            if end != len(line):
                raise NoteLineError(f"line {number}: more than one value: {line[end : end + 20]!r}")
            yield _note(value, number)


def _array(text: str) -> Iterator[Note]:
    """The notes of one JSON array, each under the number of the line that it begins on."""
    breaks = [match.start() for match in re.finditer("\n", text)]

    def line(place: int) -> int:
        return bisect_left(breaks, place) + 1

    place = _skip(text, text.index("[") + 1)
    mark = "," if text[place : place + 1] != "]" else "]"  # as if a comma stood before the first note
    while mark == ",":
        value, end = _value(text, place, line(place))
        yield _note(value, line(place))
        mark = text[end : end + 1]
        if mark not in (",", "]"):
            raise NoteLineError(f"line {line(end)}: {mark or 'the end'!r} where a comma or the array's ] is due")
        place = _skip(text, end + 1) if mark == "," else end
    if _skip(text, place + 1) != len(text):
        raise NoteLineError(f"line {line(place)}: text after the array's end")


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    assert match is not None
    return match.end()


def _value(text: str, place: int, line: int) -> tuple[Any, int]:
    """The JSON value at a place, and where the next thing after it stands."""
    try:
        value, end = value_at(text, place)
    except json.JSONDecodeError as error:
        inside = line + text.count("\n", place, error.pos)  # a note of an array may go over several lines
        raise NoteLineError(f"line {inside}, column {error.colno}: not JSON: {error.msg}") from error
    except ValueError as error:  # also numbers of thousands of digits, and nesting without end
        raise NoteLineError(f"line {line}: {error}") from error
    return value, _skip(text, end)


def _shown(value: Any) -> str:
    return "an array" if isinstance(value, list) else "an object" if isinstance(value, dict) else repr(value)[:40]


def _note(value: Any, line: int) -> Note:
    if not isinstance(value, dict):
        raise NoteLineError(f"line {line}: {_shown(value)} where a note is due: an object with {', '.join(_KEYS)}")
    unknown = [key for key in value if key not in _KEYS]
    missing = [key for key in ("onset", "offset", "pitch") if key not in value]
    if unknown or missing:
        what = f"unknown key {unknown[0][:40]!r}" if unknown else f"no {missing[0]}"
        raise NoteLineError(f"line {line}: {what}: a note has {', '.join(_KEYS)}")
    for key, found in value.items():
        kind = _KINDS.get(key, "a whole number")
        types = {"a number": (int, float), "true or false": (bool,)}.get(kind, (int,))
        if type(found) not in types:
            raise NoteLineError(f"line {line}: {key} is {_shown(found)}: it must be {kind}")
    try:
        return Note(**{**value, "onset": float(value["onset"]), "offset": float(value["offset"])})
    except (ValueError, OverflowError) as error:
        raise NoteLineError(f"line {line}: {error}") from error
