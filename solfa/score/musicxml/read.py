"""MusicXML in: enough of a score to play it. Source: MusicXML 4.0 (W3C Music Notation Community Group)."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from operator import itemgetter
from typing import TypeVar
from xml.etree.ElementTree import Element

from solfa.score.musicxml.elements import Line, Staff, read_measure, read_part
from solfa.score.musicxml.file import MAX_BYTES, MusicXmlError, read_tree
from solfa.score.musicxml.measures import Measure, shown_metres
from solfa.score.musicxml.repeats import Row, played_rows
from solfa.score.note import Note
from solfa.score.score import KeySignature, Metre, Part, Pedal, Score
from solfa.score.tempo import TempoMap, microseconds

__all__ = ["MusicXmlError", "read_musicxml"]

TICKS = 10080  # a quarter: divisible by 2 to the 5th, 9, 5 and 7, so tuplets fall on ticks
MAX_SECONDS = 24 * 3600.0
MAX_NOTES = 500_000  # more than a file of the largest size can hold, if they are played once
DEFAULT_TEMPO = 120.0
_Change = TypeVar("_Change", bound=tuple)
_Value = TypeVar("_Value")


def read_musicxml(source: str | os.PathLike | bytes) -> Score:
    """Read a MusicXML score (.musicxml, .xml or zipped .mxl; partwise or timewise) from a path or from its bytes.

    Kept: parts with their MIDI programs, notes, chords, ties, voices and staves, tempo, keys, metres, transposition,
    dynamics and the sustain pedal. Repeats and endings are written out; da capo and dal segno are not, with a warning. Modes are
    named major or minor, as in ABC. Grace and cue notes, ornaments, and hints for playback that are no numbers are left out. Raises
    MusicXmlError, naming the reason, and the part and measure; OSError for a file that cannot be opened.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(bytes(source))
    with open(source, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    try:
        return _read(data)
    except MusicXmlError as error:
        raise MusicXmlError(f"{os.fspath(source)}: {error}") from error


def _read(data: bytes) -> Score:
    root = read_tree(data)
    if root.tag not in ("score-partwise", "score-timewise"):
        raise MusicXmlError(f"the root element is {root.tag!r}: legal are score-partwise and score-timewise")
    rows = _rows(root)
    order = played_rows(rows)
    reading = _Reading(_parts(root))
    if isinstance(order, range):
        reading.play(rows, order)
    else:  # once as written, for what is in force where it is gone on
        noted = {after for before, after in pairwise([-1, *order]) if after != before + 1}
        written = _Reading(_parts(root))
        written.play(rows, range(len(rows)), noted)
        reading.play(rows, order, written=_Written(written))
        reading.say_once()
    line = reading.line
    line.metres = shown_metres(line.metres, reading.measures)
    return _score(list(reading.staves.values()), line, reading.end)


def _parts(root: Element) -> dict[str, Staff]:
    return dict(read_part(element) for element in root.iterfind("part-list/score-part"))


@dataclass
class _Reading:
    """Parts and their time line, as far as they are read. places: of rows, where they begin, and each part's state there."""

    staves: dict[str, Staff]
    line: Line = field(default_factory=Line)
    measures: list[Measure] = field(default_factory=list)
    end: Fraction = Fraction(0)
    places: dict[int, tuple[Fraction, dict[str, tuple[Fraction, int, int]]]] = field(default_factory=dict)

    def play(
        self, rows: Sequence[Row], order: Iterable[int], noted: Iterable[int] = (), written: _Written | None = None
    ) -> None:
        """Read rows in an order, and note the places of some. Where one does not follow the row before it, what is in force there comes
        from `written`, which has read them as they are written."""
        notes, before, noted = 0, -1, frozenset(noted)
        for index in order:
            if written is not None and index != before + 1:
                self._go_on_at(index, written)
            if index in noted:
                states = {key: self._staff(key).state for key, _ in rows[index]}
                self.places[index] = self.end, states
            start = longest = self.end
            for key, measure in rows[index]:
                staff = self._staff(key)
                staff.now = staff.chord_onset = start
                notes -= len(staff.notes)
                try:
                    longest = max(longest, read_measure(staff, measure, start, self.line))
                except MusicXmlError as error:
                    number = measure.get("number", str(index + 1))
                    raise MusicXmlError(f"part {key[:20]!r}, measure {number[:20]}: {error}") from error
                notes += len(staff.notes)
            if notes > MAX_NOTES:
                raise MusicXmlError(f"more than {MAX_NOTES} notes, repeats played out")
            implicit = any(measure.get("implicit") == "yes" for _, measure in rows[index][:1])
            self.measures.append(Measure(start, longest, implicit))
            self.end, before = longest, index

    def _staff(self, key: str) -> Staff:
        return self.staves.setdefault(key, Staff(name=key))

    def _go_on_at(self, index: int, written: _Written) -> None:
        """What is in force where a row begins holds from here on."""
        start, states = written.places[index]
        for key, state in states.items():
            self._staff(key).state = state
        now, line = self.end, self.line
        tempo, sign, metre = _last(written.tempi, start), _last(written.keys, start), _last(written.metres, start)
        bpm = DEFAULT_TEMPO if tempo is None else tempo[1]
        if bpm != (line.tempi[-1][1] if line.tempi else DEFAULT_TEMPO):
            line.tempi.append((now, bpm))
        if sign is not None and sign[1] != next(reversed(line.keys.values()), None):
            line.keys[now] = sign[1]
        # What the measure before says at its end is of one that does not follow.
        while line.metres and next(reversed(line.metres))[0] == now:
            line.metres.popitem()
        if metre is not None and metre[1:] != next(reversed(line.metres), (now,))[1:]:
            line.metres[now, metre[1], metre[2]] = None

    def say_once(self) -> None:
        """Leave out keys, metres and tempi that were in force already, as a repeat says them again."""
        line = self.line
        line.tempi = list(_changed(dict(sorted(line.tempi, key=itemgetter(0)))))
        line.keys = dict(_changed(dict(sorted(line.keys.items(), key=itemgetter(0)))))
        metres = _changed({time: (beats, unit) for time, beats, unit in sorted(line.metres, key=itemgetter(0))})
        line.metres = {(time, *metre): None for time, metre in metres}


class _Written:
    """A score as it is written: where rows begin, with the parts' states there, and what all parts share, in order of time."""

    def __init__(self, reading: _Reading) -> None:
        self.places = reading.places
        self.tempi = sorted(reading.line.tempi, key=itemgetter(0))
        self.keys = sorted(reading.line.keys.items(), key=itemgetter(0))
        self.metres = sorted(reading.line.metres, key=itemgetter(0))


def _last(changes: Sequence[_Change], time: Fraction) -> _Change | None:
    """The last of changes, in order of time, that is not after a time."""
    place = bisect_right(changes, time, key=itemgetter(0))
    return changes[place - 1] if place else None


def _changed(values: Mapping[Fraction, _Value]) -> Iterator[tuple[Fraction, _Value]]:
    """Those of the values, in order of time, that are not as the one before."""
    before: _Value | None = None
    for time, value in values.items():
        if value != before:
            yield time, value
        before = value


def _rows(root: Element) -> list[Row]:
    """Measure by measure, the (part id, element) of every part."""
    if root.tag == "score-timewise":
        return [
            [(part.get("id", ""), part) for part in measure.iterfind("part")] for measure in root.iterfind("measure")
        ]
    rows: list[Row] = []
    for part in root.iterfind("part"):
        for index, measure in enumerate(part.iterfind("measure")):
            if index == len(rows):
                rows.append([])
            rows[index].append((part.get("id", ""), measure))
    return rows


def _tick(quarters: Fraction) -> int:
    return round(quarters * TICKS)


def _score(staves: list[Staff], line: Line, end: Fraction) -> Score:
    # What is written beside its place may stand beyond the end.
    tempi = [(_tick(time), microseconds(bpm)) for time, bpm in line.tempi if time <= end]
    changes = sorted(tempi, key=lambda change: change[0])
    clock = TempoMap(TICKS, changes)
    if clock.seconds(_tick(end)) > MAX_SECONDS:
        raise MusicXmlError(f"lasts {clock.seconds(_tick(end)):.0f} s: the longest read here is {MAX_SECONDS:.0f} s")

    def at(quarters: Fraction) -> float:
        return clock.seconds(_tick(quarters))

    parts: list[Part] = []
    pedals: list[Pedal] = []
    for staff in staves:
        notes = tuple(Note(at(a), at(b), pitch, loud, staff.program, staff.drum) for a, b, pitch, loud in staff.notes)
        if staff.pedal_down is not None and end > staff.pedal_down:
            staff.pedals.append((staff.pedal_down, end))
        pedals += [Pedal(at(a), at(min(b, end)), len(parts)) for a, b in staff.pedals if a < end]
        parts.append(Part(staff.name, staff.program, staff.drum, notes))
    metres = tuple(Metre(at(time), beats, unit) for time, beats, unit in line.metres)
    keys = tuple(
        KeySignature(at(time), key.tonic, key.mode) for time, key in sorted(line.keys.items(), key=lambda each: each[0])
    )
    return Score(tuple(parts), clock.tempi, metres, keys, tuple(pedals), TICKS)
