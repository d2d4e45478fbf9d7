"""A performance with the tempi, metres and keys found in it: notes keep their seconds, bars of a MIDI file fall where they are heard."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import ceil

from solfa.score.note import Note
from solfa.score.quantising.quantise import Quantised
from solfa.score.score import KeySignature, Metre, Score, TempoChange, score_of_notes
from solfa.score.sheet.notation import BarLength, Sheet, bar_of_length, sheet_score

_SLOWEST = 60e6 / 0xFFFFFF  # quarter notes a minute that a MIDI file can say
_USUAL_TICKS = 480
_EXACT = 0.001  # seconds by which a note may leave its place in a MIDI file
_ON_TIME = 0.02  # seconds by which the first bar line may lie beside the file's beginning


def performed_score(source: Score | Iterable[Note], found: Quantised) -> Score:
    """The same notes (and pedals) at the same seconds, with the time line of their sheet.

    A MIDI file counts bars from second 0, where no bar line has to be. The time before the first bar line is filled with whole bars
    and, where some of a bar is left over, one short bar of sixteenths before them, at the tempo that makes them end on that line. A
    score whose own tempi were used keeps its time line; metres and keys that it lacked, or that others were given for, are the sheet's.
    """
    score = source if isinstance(source, Score) else score_of_notes(source)
    if found.timing is None:
        written = sheet_score(found.sheet)
        own_metres = [(m.numerator, m.denominator) for m in score.metres]
        if own_metres != [(m.numerator, m.denominator) for m in written.metres]:
            score = replace(score, metres=written.metres)
        if [(k.tonic, k.mode) for k in score.keys] != [(k.tonic, k.mode) for k in written.keys]:
            score = replace(score, keys=written.keys)
        return score
    sheet, metre, times = found.sheet, found.sheet.metres[0], _Times(found.sheet, found.start)
    first = sheet.upbeat  # the first bar line that lies in the recording
    while times.at(first) < -_ON_TIME:
        first += metre.quarters
    lead = times.at(first)
    speed = sheet.tempi[bisect_right(times.onsets, first) - 1].bpm
    tempi, metres = [], []
    if lead > _ON_TIME:
        sixteenths, short = _lead_in(lead, speed, metre)
        tempi.append(TempoChange(0.0, sixteenths * 15 / lead))
        if short is not None:
            metres.append(Metre(0.0, short.numerator, short.denominator))
        metres.append(
            Metre(lead * float(short.quarters if short else 0) * 4 / sixteenths, metre.numerator, metre.denominator)
        )
        late = 0.0
    else:
        metres.append(Metre(0.0, metre.numerator, metre.denominator))
        late = lead  # the whole time line moves by so little that no one hears it

    tempi.append(TempoChange(lead - late, speed))
    tempi += [TempoChange(times.at(tempo.onset) - late, tempo.bpm) for tempo in sheet.tempi if tempo.onset > first]
    metres += [Metre(times.at(m.onset) - late, m.numerator, m.denominator) for m in sheet.metres[1:] if m.onset > first]
    keys = [KeySignature(max(times.at(key.onset) - late, 0.0), key.tonic, key.mode) for key in sheet.keys[1:]]
    keys.insert(0, KeySignature(0.0, sheet.keys[0].tonic, sheet.keys[0].mode))
    return Score(score.parts, tuple(tempi), tuple(metres), tuple(keys), score.pedals, _ticks_per_beat(tempi))


def _lead_in(lead: float, speed: float, metre: BarLength) -> tuple[int, BarLength | None]:
    """How many sixteenths the time before the first bar line is, and the short bar that it begins with, if any.

    As many as there are at this speed; more where they would be slower than a tempo may be, and a multiple of some where no metre could
    say the short bar: the tempo makes up for it.
    """
    fewest = lead * _SLOWEST / 15
    for step in (1, 2, 4, 8, 16):  # of whole notes there are legal metres for all that is shorter than a legal bar
        sixteenths = step * max(1, round(lead * speed / 15 / step), ceil(fewest / step))
        over = Fraction(sixteenths, 4) % metre.quarters
        short = bar_of_length(Fraction(0), over, (over / 4).denominator)
        if short is not None or not over:
            return sixteenths, short
    raise AssertionError(f"a bar of {over} quarter notes in {metre}")


def _ticks_per_beat(tempi: Iterable[TempoChange]) -> int:
    """The usual grid, or one so much finer that notes stay within a millisecond of their times at the slowest tempo."""
    slowest = min(tempo.bpm for tempo in tempi)
    return _USUAL_TICKS * max(1, ceil(60.0 / slowest / (2 * _EXACT) / _USUAL_TICKS))


class _Times:
    """Seconds at places of a sheet that begins at `start`."""

    def __init__(self, sheet: Sheet, start: float) -> None:
        self.tempi = sheet.tempi
        self.onsets = [tempo.onset for tempo in sheet.tempi]
        self.seconds = [start]
        for before, now in zip(sheet.tempi, sheet.tempi[1:], strict=False):
            self.seconds.append(self.seconds[-1] + float(now.onset - before.onset) * 60.0 / before.bpm)

    def at(self, quarters: Fraction) -> float:
        index = max(bisect_right(self.onsets, quarters) - 1, 0)
        return self.seconds[index] + float(quarters - self.onsets[index]) * 60.0 / self.tempi[index].bpm
