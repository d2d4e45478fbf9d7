"""The time line of a sheet, and the place of every note on it: from the tempi of a score, or from beats found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

from solfa.score.note import Note
from solfa.score.quantising.grid import COMPOUND, DUPLE, TRIPLE, UNITS, Division, place
from solfa.score.quantising.pulse import SPREAD, find_events
from solfa.score.quantising.score_metres import bar_lengths
from solfa.score.quantising.timing import Origin, Timing, count_bars, find_timing, written_tempi
from solfa.score.score import Score
from solfa.score.sheet.lengths import odd_part
from solfa.score.sheet.notation import BarLength, Tempo
from solfa.score.tempo import TempoMap, written_bpm

GRID = 48  # units of a quarter note that places are whole numbers of; more where the music is on a finer grid
# Parts of a quarter note that count as a grid: music that lies on them throughout is taken as it is.
_FINE = frozenset({1, 2, 4, 8, 16, 32, 3, 6, 12, 24, 5, 10, 20, 7, 14, 28, 9, 18})
_PLAIN = frozenset({1, 2, 4, 8, 16, 32, 3, 6, 12, 24})


@dataclass(frozen=True)
class SheetGrid:
    """Times are units, `quarter` of them a quarter note, from the sheet's start. Notes are in the order they were given.

    exact: every note begins and ends on the grid. error: root mean square of the way (seconds) from the onsets to their places.
    """

    quarter: int
    onsets: np.ndarray  # [N] int64
    offsets: np.ndarray  # [N] where they sound, float64; whole numbers if exact
    exact: bool
    error: float
    metres: tuple[BarLength, ...]
    upbeat: Fraction
    tempi: tuple[Tempo, ...]
    tempo_origin: Origin
    metre_origin: Origin
    timing: Timing | None
    clock: TempoMap | None

    @property
    def start(self) -> float:
        """Seconds at the sheet's start."""
        return self.timing.start if self.timing else 0.0

    @property
    def beat(self) -> int:
        """A beat of the first metre in units."""
        return int(_cell(self.metres[0]) * self.quarter)

    @property
    def triplets(self) -> frozenset[int]:
        """The numbers of the quarter notes (from the first full bar) that are divided in three, by where notes begin."""
        places = self.onsets - int(self.upbeat * self.quarter)
        third = (places % (self.quarter // 4) != 0) & (places % (self.quarter // 6) == 0)
        return frozenset((places[third] // self.quarter).tolist())

    def quarters(self, seconds: float) -> Fraction:
        """The place of a time that a score gives, to a tick."""
        assert self.clock is not None
        return Fraction(self.clock.tick(seconds), self.clock.ticks_per_beat)


def found_grid(
    notes: Sequence[Note], bpm: float | None, metre: tuple[int, int] | None, start: float | None
) -> SheetGrid:
    """Find beats and metre, as far as they are not given, and put the notes on the grid that the beats make."""
    timing = find_timing(notes, bpm, metre, start)
    onsets = timing.at(np.array([note.onset for note in notes], dtype=np.float64))
    offsets = timing.at(np.array([note.offset for note in notes], dtype=np.float64))
    places = _places(
        notes,
        onsets,
        (timing.metre,),
        timing.upbeat,
        float(np.median(np.diff(timing.seconds) / np.diff(timing.quarters))),
    )
    places = np.maximum(places, 0)
    moved = timing.time(places / GRID) - timing.time(onsets)
    tempi = written_tempi(timing, float(max(offsets, default=1.0)), _cell(timing.metre))
    return SheetGrid(
        GRID, places, offsets * GRID, False, _rms(moved), (timing.metre,), timing.upbeat, tempi, timing.tempo_origin,
        timing.metre_origin, timing, None,
    )  # fmt: skip


def given_grid(score: Score, notes: Sequence[Note], metre: tuple[int, int] | None) -> SheetGrid:
    """The score's own tempi; its metres, unless one is given or has to be found."""
    clock = TempoMap.of(score.tempi, score.ticks_per_beat)
    beat = clock.ticks_per_beat
    begins, ends = [clock.tick(note.onset) for note in notes], [clock.tick(note.offset) for note in notes]
    ends = [max(end, begin + 1) for begin, end in zip(begins, ends, strict=True)]
    tempi = tuple(Tempo(Fraction(tick, beat), written_bpm(length)) for tick, length in clock.changes)
    metres, upbeat, origin = _metres(score, notes, metre, clock)
    starts, stops = ({Fraction(tick, beat).denominator for tick in ticks} for ticks in (begins, ends))
    on_grid = starts <= _FINE
    # Fifths and sevenths where notes only end are a player's touch: four fifths of a length, say.
    exact = on_grid and stops <= _FINE and all(d in _PLAIN or any(s % odd_part(d) == 0 for s in starts) for d in stops)
    quarter = GRID
    if on_grid:
        quarter = lcm(GRID, *starts, *(stops if exact else ()))
        onsets = np.array([tick * quarter // beat for tick in begins], dtype=np.int64)
    else:
        quarters = np.array(begins, dtype=np.float64) / beat
        onsets = np.maximum(_places(notes, quarters, metres, upbeat, _seconds(clock, notes)), 0)
    offsets = np.array(ends, dtype=np.float64) * quarter / beat
    moved = [
        clock.seconds(round(place * beat / quarter)) - note.onset
        for place, note in zip(onsets.tolist(), notes, strict=True)
    ]
    return SheetGrid(
        quarter, onsets, offsets, exact, _rms(np.array(moved)), metres, upbeat, tempi, "given", origin, None, clock
    )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def _seconds(clock: TempoMap, notes: Sequence[Note]) -> float:
    """The mean length of a quarter note under the notes."""
    last = clock.tick(max((note.onset for note in notes), default=0.0)) or clock.ticks_per_beat
    return clock.seconds(last) * clock.ticks_per_beat / last


def _cell(metre: BarLength) -> Fraction:
    """The stretch whose notes share a division: a beat, or in irregular metres their unit."""
    if metre.denominator >= 8:
        return Fraction(4 * (3 if metre.numerator % 3 == 0 else 1), metre.denominator)
    return Fraction(1)


def _places(
    notes: Sequence[Note], quarters: np.ndarray, metres: Sequence[BarLength], upbeat: Fraction, seconds: float
) -> np.ndarray:
    """The places [N] of notes at these quarter notes, in units of the grid; `seconds` is the length of a quarter."""
    if not len(notes):
        return np.zeros(0, dtype=np.int64)
    events = find_events(notes)
    size = np.bincount(events.index)
    at = np.bincount(events.index, quarters) / size
    result = np.zeros(len(at), dtype=np.int64)
    for metre, following in zip(metres, [*metres[1:], None], strict=True):
        first = float(metre.onset + (upbeat if metre is metres[0] else 0))
        inside = (at >= first - 1e-3) if metre is not metres[0] else np.full(len(at), True)
        inside &= at < float(following.onset) - 1e-3 if following else True
        cell = float(_cell(metre))
        divisions: tuple[Division, ...] = COMPOUND if _cell(metre) == Fraction(3, 2) else DUPLE + TRIPLE
        weights = np.clip(np.sqrt(size[inside]), 1.0, 2.0)
        units = place((at[inside] - first) / cell, np.full(inside.sum(), cell * seconds), weights, divisions, SPREAD)
        # Units of the cell become those of the grid; the finest of short cells are rounded.
        result[inside] = np.round(units * (cell * GRID / UNITS) + first * GRID).astype(np.int64)
    return np.maximum.accumulate(result)[events.index]


def _metres(
    score: Score, notes: Sequence[Note], metre: tuple[int, int] | None, clock: TempoMap
) -> tuple[tuple[BarLength, ...], Fraction, Origin]:
    """The metres in quarter notes, the upbeat, and where they come from."""
    if metre is not None:
        return (BarLength(Fraction(0), *metre),), Fraction(0), "given"
    if not score.metres:
        length, upbeat, origin = count_bars(notes, clock)
        return (length,), upbeat, origin
    return *bar_lengths(score.metres, clock), "given"
