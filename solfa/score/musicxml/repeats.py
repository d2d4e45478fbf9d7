"""Repeats and endings of a MusicXML file: the order in which its measures are played."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from xml.etree.ElementTree import Element

from solfa.score.musicxml.file import MusicXmlError
from solfa.score.repeats import playing_order

MAX_PASSES = 99
MAX_REPEATED = 100_000  # measures that repeats add

Row = list[tuple[str, Element]]  # the (part id, measure) of all parts that begin together


@dataclass
class _Marks:
    """What the bar lines of a row say; see `playing_order`."""

    opens: bool = False
    closes: int = 0
    double: bool = False
    ending: tuple[int, ...] = ()


def played_rows(rows: Sequence[Row]) -> Iterable[int]:
    """The numbers of the rows as they are played: repeats and endings written out, as the bar lines of any part say.

    Da capo and dal segno are not followed, and warned of. Raises MusicXmlError for more than 99 passes and for what repeats make longer by
    more than 100,000 measures.
    """
    if any(
        sound.get("dacapo") == "yes" or sound.get("dalsegno")
        for row in rows
        for _, m in row
        for sound in m.iter("sound")
    ):
        warnings.warn("da capo and dal segno are not followed", stacklevel=4)
    marks = [_marks(row) for row in rows]
    if not any(each.closes or each.ending for each in marks):
        return range(len(rows))
    most = len(rows) + MAX_REPEATED
    order = list(islice(playing_order(marks), most + 1))
    if len(order) > most:
        raise MusicXmlError(f"its repeats add more than {MAX_REPEATED} measures")
    return order


def _marks(row: Row) -> _Marks:
    marks = _Marks()
    for _, measure in row:
        for line in measure.iterfind("barline"):
            ending, repeat = line.find("ending"), line.find("repeat")
            if ending is not None and ending.get("type") == "start":
                marks.ending = _passes(ending.get("number", ""))
            elif ending is not None:
                marks.double = True  # the ending ends here, with or without a repeat
            if repeat is not None and repeat.get("direction") == "forward":
                marks.opens = True
            elif repeat is not None:
                marks.closes = max(marks.closes, _times(repeat.get("times", "2")) - 1)
    return marks


def _passes(text: str) -> tuple[int, ...]:
    """Those of "1", "1, 2" and "1-3"; none for what names none."""
    passes: list[int] = []
    for low, high in re.findall(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?", text[:400]):
        first, last = int(low), int(high or low)
        if not 1 <= first <= last <= MAX_PASSES:
            raise MusicXmlError(f"an ending of number {text[:20]!r}: legal are 1 to {MAX_PASSES}")
        passes += range(first, last + 1)
    return tuple(passes)


def _times(text: str) -> int:
    if not re.match(r"\s*\d{1,9}\s*\Z", text) or not 1 <= int(text) <= MAX_PASSES:
        raise MusicXmlError(f"a repeat of {text[:20]!r} times: legal are 1 to {MAX_PASSES}")
    return int(text)
