"""The lines of an ABC file: which belong to a tune, which are fields, directives or music, and what is comment."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from solfa.score.abc.error import AbcError

MAX_CHARACTERS = 4_000_000
MAX_LINES = 200_000
MAX_FIELD = 10_000
MAX_NUMBER = 999_999_999
# "c:|" and "z:|" are a note and a rest before a repeat; of the other letters, "w:| la" is a field that begins with a bar.
_FIELD = re.compile(r"[A-Ga-gx-zXZ]:(?![|:])|[H-WYh-w+]:")
_REST_OF_BAR = re.compile(r":(?![|:])")
_COMMENT = re.compile(r"(?<!\\)%")
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Line:
    """One line without its comment. `number` counts from 1; `column` is where `text` begins in it.

    A field "K:G" has name "K" and text "G"; a directive "%%MIDI program 1" has name "%%"; music and empty lines have name "".
    """

    number: int
    column: int
    kind: Literal["field", "directive", "music", "empty"]
    name: str
    text: str


@dataclass(frozen=True)
class Tune:
    """One tune of a file: its number (X:), where it begins, and its lines, those of the file's header before its own."""

    number: int
    start: int
    lines: tuple[Line, ...]


def split_tunes(text: str) -> list[Tune]:
    """The tunes of a file (ABC 2.1, section 2.2): a tune begins with X: and ends with an empty line or the next X:.

    A text without any X: that has a K: is read as one tune numbered 1. What stands between tunes is free text, and is left out.
    Raises AbcError for a text that is too long or holds no tune.
    """
    if len(text) > MAX_CHARACTERS:
        raise AbcError(1, 0, f"the text has {len(text)} characters: legal are at most {MAX_CHARACTERS}")
    lines = _lines(text)
    if not any(line.name == "X" for line in lines):
        return [_only_tune(lines)]
    header: list[Line] = []
    tunes: list[tuple[Line, list[Line]]] = []
    inside = False
    for line in lines:
        if line.name == "X":
            tunes.append((line, []))
            inside = True
        elif line.kind == "empty":
            inside = False
        elif inside:
            tunes[-1][1].append(line)
        elif not tunes and line.kind in ("field", "directive"):
            header.append(line)
    return [Tune(_tune_number(mark), mark.number, (*header, *body)) for mark, body in tunes]


def find_tune(text: str, number: int | None) -> Tune:
    """The tune of that number, the first tune for None. Raises AbcError naming the numbers that there are."""
    tunes = split_tunes(text)
    for tune in tunes:
        if number is None or tune.number == number:
            return tune
    there = ", ".join(str(tune.number) for tune in tunes[:20]) + (", ..." if len(tunes) > 20 else "")
    raise AbcError(1, 0, f"no tune X:{number}: there are {there}")


def _lines(text: str) -> list[Line]:
    rows = _LINE_END.split(text.removeprefix("\ufeff"))
    if len(rows) > MAX_LINES:
        raise AbcError(MAX_LINES + 1, 0, f"the text has {len(rows)} lines: legal are at most {MAX_LINES}")
    lines: list[Line] = []
    skipping = False
    for number, raw in enumerate(rows, start=1):
        if skipping or raw.startswith("%%begin"):  # blocks of text and of PostScript
            skipping = not raw.startswith("%%end")
            continue
        line = _line(number, raw)
        if line is None:
            continue
        if line.name == "+":  # goes on with the field above; after music there is nothing that it could go on with
            if lines and lines[-1].kind == "field":
                if len(lines[-1].text) > MAX_FIELD:
                    raise AbcError(number, 0, f"a field of more than {MAX_FIELD} characters")
                lines[-1] = replace(lines[-1], text=f"{lines[-1].text} {line.text}")
            continue
        if line.kind == "music" and lines:
            lines[-1], line = _bar_joined(lines[-1], line)
        lines.append(line)
    return lines


def _bar_joined(before: Line, line: Line) -> tuple[Line, Line]:
    """Two lines of music; where the first goes on (\\) after a bar line whose ":" begins the second, the first gets it."""
    bar = before.text.removesuffix("\\").rstrip()
    goes_on = before.kind == "music" and before.text.endswith("\\") and bar.endswith(("|", "]"))
    if not goes_on or not _REST_OF_BAR.match(line.text):
        return before, line
    return replace(before, text=bar + ":"), replace(line, text=" " + line.text[1:])


def _line(number: int, raw: str) -> Line | None:
    """None for a line that is only a comment: unlike an empty one it ends no tune."""
    if raw.startswith("%%"):
        return Line(number, 3, "directive", "%%", _COMMENT.split(raw[2:], maxsplit=1)[0].strip())
    if raw.startswith("%"):
        return None
    code = _COMMENT.split(raw, maxsplit=1)[0].rstrip()
    if not code:
        return None if raw.strip() else Line(number, 1, "empty", "", "")
    if _FIELD.match(code):
        body = code[2:]
        text = body.strip()
        return Line(number, 3 + len(body) - len(body.lstrip()), "field", code[0], text)
    return Line(number, 1, "music", "", code)


def _only_tune(lines: list[Line]) -> Tune:
    body = [line for line in lines if line.kind != "empty"]
    if not any(line.name == "K" for line in body):
        raise AbcError(1, 0, "no tune: a tune begins with a line X: and its music after a line K:")
    return Tune(1, body[0].number, tuple(body))


def _tune_number(mark: Line) -> int:
    match = re.match(r"\d{1,9}(?!\d)", mark.text)
    if mark.text and match is None:
        raise AbcError(
            mark.number, mark.column, f"tune number {mark.text[:20]!r}: legal are whole numbers of at most nine digits"
        )
    return int(match.group()) if match else 0
