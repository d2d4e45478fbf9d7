"""A sheet of music: notes on a grid of beats, in voices, with what a notation has to say of them. ABC and MusicXML are written from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Literal

from solfa.score.note import Note
from solfa.score.score import KeySignature, Metre, Part, Score
from solfa.score.tempo import TempoMap, microseconds

Clef = Literal["treble", "bass", "percussion"]


@dataclass(frozen=True, order=True)
class Symbol:
    """A note or chord of one voice, as long as it sounds: bar lines and printable lengths are not its business.

    onset and duration: quarter notes, the onset from the sheet's start. pitches: MIDI numbers, sorted, at least one; of drums, percussion
    keys.
    """

    onset: Fraction
    duration: Fraction
    pitches: tuple[int, ...]
    velocity: int = 80


@dataclass(frozen=True)
class Voice:
    """A line of one part, whose symbols do not overlap; what lies between them is rests. Voices of one part follow one another."""

    name: str
    program: int
    is_drum: bool
    clef: Clef
    symbols: tuple[Symbol, ...]


@dataclass(frozen=True, order=True)
class BarLength:
    """From `onset` (quarter notes, a bar line) on, bars of numerator / denominator."""

    onset: Fraction
    numerator: int
    denominator: int

    @property
    def quarters(self) -> Fraction:
        """Length of one bar in quarter notes."""
        return Fraction(4 * self.numerator, self.denominator)


def bar_of_length(onset: Fraction, length: Fraction, denominator: int) -> BarLength | None:
    """A bar of so many quarter notes, counted in notes of `denominator` where that goes; None for a length that no metre has."""
    for unit in (denominator, 4, 8, 16, 32, 64):
        count = length * unit / 4
        if count.denominator == 1 and 1 <= count <= 255:
            return BarLength(onset, int(count), unit)
    return None


@dataclass(frozen=True, order=True)
class Key:
    """From `onset` on: tonic (pitch class, 0 is C) and mode ("major" or "minor")."""

    onset: Fraction
    tonic: int
    mode: str


@dataclass(frozen=True, order=True)
class Tempo:
    """From `onset` on, `bpm` quarter notes a minute."""

    onset: Fraction
    bpm: float


@dataclass(frozen=True)
class Sheet:
    """Voices, and the time line they share. The first of each list holds from 0 on; metres change on bar lines only.

    upbeat: quarter notes before the first full bar, 0 where there are none.
    """

    voices: tuple[Voice, ...]
    metres: tuple[BarLength, ...] = (BarLength(Fraction(0), 4, 4),)
    keys: tuple[Key, ...] = (Key(Fraction(0), 0, "major"),)
    tempi: tuple[Tempo, ...] = (Tempo(Fraction(0), 120.0),)
    upbeat: Fraction = Fraction(0)
    title: str = ""


def beats_of(metre: BarLength) -> list[Fraction]:
    """Where the beats of a bar begin, in quarter notes from the bar line.

    Quarters and longer notes are beats themselves. Eighths and shorter make beats of three where their number divides by three, else of
    two, with one of three at the end where it is odd: 7/8 is 2 + 2 + 3.
    """
    unit, count = Fraction(4, metre.denominator), metre.numerator
    if metre.denominator < 8 or count == 1:
        groups = [1] * count
    elif count % 3 == 0:
        groups = [3] * (count // 3)
    else:
        groups = [2] * (count // 2 - count % 2) + [3] * (count % 2)
    starts, now = [], Fraction(0)
    for group in groups:
        starts.append(now)
        now += group * unit
    return starts


def has_dotted_beat(metre: BarLength) -> bool:
    """Whether all beats of a bar are dotted quarters, as in 6/8."""
    return metre.denominator == 8 and metre.numerator % 3 == 0


def sheet_score(sheet: Sheet) -> Score:
    """The sheet in seconds: what it says, played by a machine. Voices of one name and instrument that follow one another make a part.

    Times are exact (rounded once, to floats) where one tick of at most 1/32767 quarter note divides them all; else they are rounded to
    1/10080. Tempi are kept to the microsecond a quarter note, as in a MIDI file; an upbeat is a bar of its own length.
    """
    ticks = _ticks_per_beat(sheet)
    clock = TempoMap(ticks, [(round(tempo.onset * ticks), microseconds(tempo.bpm)) for tempo in sheet.tempi])

    def seconds(quarters: Fraction) -> float:
        return clock.seconds(round(quarters * ticks))

    parts: list[Part] = []
    for voice in sheet.voices:
        notes = [
            Note(seconds(s.onset), seconds(s.onset + s.duration), pitch, s.velocity, voice.program, voice.is_drum)
            for s in voice.symbols
            for pitch in s.pitches
        ]
        if parts and (parts[-1].name, parts[-1].program, parts[-1].is_drum) == (
            voice.name,
            voice.program,
            voice.is_drum,
        ):
            notes += parts.pop().notes
        parts.append(Part(voice.name, voice.program, voice.is_drum, tuple(notes)))
    metres = [Metre(seconds(m.onset), m.numerator, m.denominator) for m in sheet.metres]
    if sheet.upbeat:
        metres[0] = replace(metres[0], time=seconds(sheet.upbeat))
        own = bar_of_length(Fraction(0), sheet.upbeat, sheet.metres[0].denominator)
        if own is not None:  # any other length is no metre: before the first full bar none is said
            metres.insert(0, Metre(0.0, own.numerator, own.denominator))
    keys = tuple(KeySignature(seconds(key.onset), key.tonic, key.mode) for key in sheet.keys)
    return Score(tuple(parts), clock.tempi, tuple(metres), keys, ticks_per_beat=ticks)


def _ticks_per_beat(sheet: Sheet) -> int:
    """A grid that holds every time of the sheet and is fine enough for a performance (480 or more), if one does."""
    times = {tempo.onset for tempo in sheet.tempi} | {sheet.upbeat}
    for voice in sheet.voices:
        for symbol in voice.symbols:
            times |= {symbol.onset, symbol.duration}
    grid = 1
    for denominator in {time.denominator for time in times}:
        grid = lcm(grid, denominator)
        if grid > 32767:
            return 10080  # divisible by 2 to the 5th, 9, 5 and 7
    return grid * -(-480 // grid)
