"""Seconds to quarter notes: a tempo and metre that are given, or found in the notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from solfa.score.note import Note
from solfa.score.quantising.grid import DUPLE, TRIPLE, UNITS, place
from solfa.score.quantising.metre import Reading, best_reading, readings
from solfa.score.quantising.pulse import SPREAD, Events, find_events, find_pulse, likely_phase
from solfa.score.sheet.notation import BarLength, Tempo
from solfa.score.tempo import TempoMap, microseconds, written_bpm

Origin = Literal["given", "found", "assumed"]
FEWEST = 4  # events below which a tempo is assumed
ASSUMED = 120.0  # quarter notes a minute
_STEADY = 0.12  # how far (of a beat, and of 0.4 s at most) the written tempo may be from the beats found


@dataclass(frozen=True)
class Timing:
    """The beats of a recording. Quarter notes count from the sheet's start; between and beyond the knots time runs evenly.

    `tempo` and `metre` say where each comes from: given, found in the notes, or assumed because there are too few.
    """

    quarters: np.ndarray  # [K] rising, at least two
    seconds: np.ndarray  # [K] rising
    metre: BarLength
    upbeat: Fraction
    tempo_origin: Origin
    metre_origin: Origin

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """Quarter notes at these times."""
        return _along(seconds, self.seconds, self.quarters)

    def time(self, quarters: np.ndarray) -> np.ndarray:
        """Seconds at these quarter notes."""
        return _along(quarters, self.quarters, self.seconds)

    @property
    def start(self) -> float:
        """The time of the sheet's start in seconds; below 0 where the first bar begins before the recording."""
        return float(self.time(np.zeros(1))[0])


def _along(x: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Piecewise linear interpolation that goes on beyond the ends with the mean slope of the nearest four stretches."""
    few = min(4, len(xs) - 1)
    before = ys[0] + (x - xs[0]) * (ys[few] - ys[0]) / (xs[few] - xs[0])
    after = ys[-1] + (x - xs[-1]) * (ys[-1] - ys[-1 - few]) / (xs[-1] - xs[-1 - few])
    return np.where(x < xs[0], before, np.where(x > xs[-1], after, np.interp(x, xs, ys)))


def find_timing(
    notes: Sequence[Note], bpm: float | None = None, metre: tuple[int, int] | None = None, start: float | None = None
) -> Timing:
    """Find what is not given: the tempo (`bpm` quarter notes a minute, constant), the metre, and where a bar line is (`start`, seconds).

    With fewer than four onsets nothing is found: tempo and metre are then assumed (120, 4/4) where they are not given, and the first
    note is on a bar line.
    """
    events = find_events(notes)
    if len(events.times) < FEWEST or (bpm and metre and start is not None):
        return _assumed(events, bpm, metre, start)
    if bpm is None:
        taps = find_pulse(events)
        options = readings(_period(taps), [metre] if metre else None)
    else:
        taps = _even_taps(events, 60.0 / bpm, start)
        options = readings(60.0 / bpm, [metre] if metre else None, UNITS)
    places, first = tap_places(events, taps)
    if start is not None:
        options = _on_bar(options, taps, start, first)
    reading = _read(notes, (places - first * UNITS)[events.index], _period(taps), options)
    return _timing(
        taps, reading, int(places[0]), first, "found" if bpm is None else "given", "given" if metre else "found"
    )


def tap_places(events: Events, taps: np.ndarray) -> tuple[np.ndarray, int]:
    """The places of the events [E] in 1/24 taps, and the number of the tap (0 or less) from which they are counted up."""
    index = np.clip(np.searchsorted(taps, events.times, side="right") - 1, 0, len(taps) - 2)
    beats = _along(events.times, taps, np.arange(len(taps), dtype=np.float64))
    places = place(beats, np.diff(taps)[index], events.weights, DUPLE + TRIPLE, SPREAD)
    return places, min(0, int(places[0]) // UNITS)


def _read(notes: Sequence[Note], places: np.ndarray, period: float, options: Sequence[Reading]) -> Reading:
    """The best reading of the stretch with the most notes that has no silence of 64 taps in it; at most 2048 taps of it."""
    order = np.argsort(places, kind="stable")
    cuts = np.flatnonzero(np.diff(places[order]) > 64 * UNITS) + 1
    stretch = max(np.split(order, cuts), key=len)
    stretch = stretch[places[stretch] < places[stretch[0]] + 2048 * UNITS]
    zero = int(places[stretch[0]]) // UNITS * UNITS
    here = [replace(r, phase=(r.phase - zero) % r.bar) for r in options]
    best = best_reading([notes[n] for n in stretch], places[stretch] - zero, period, here)
    return options[here.index(best)]


def _period(taps: np.ndarray) -> float:
    return float(np.median(np.diff(taps)))


def _even_taps(events: Events, period: float, start: float | None) -> np.ndarray:
    """Taps `period` apart from before the first event to after the last, in phase with `start` or, without one, with the events."""
    phase = likely_phase(events, period) if start is None else start
    first = np.floor((events.times[0] - phase) / period)
    count = int((events.times[-1] - events.times[0]) / period) + 3
    return phase + (first + np.arange(count)) * period


def _on_bar(options: list[Reading], taps: np.ndarray, start: float, first: int) -> list[Reading]:
    """The readings that have a bar line nearest to a time; at least one of each metre and beat."""
    at = float(_along(np.array([start]), taps, np.arange(len(taps)) * UNITS)[0]) - first * UNITS

    def away(r: Reading) -> float:
        return abs((at - r.phase + r.bar / 2) % r.bar - r.bar / 2)

    best: dict[tuple[int, int, int], float] = {}
    for r in options:
        kind = (r.numerator, r.denominator, r.quarter)
        best[kind] = min(best.get(kind, np.inf), away(r))
    return [r for r in options if away(r) <= best[r.numerator, r.denominator, r.quarter]]


def _assumed(events: Events, bpm: float | None, metre: tuple[int, int] | None, start: float | None) -> Timing:
    """Even beats from `start` or the first note on."""
    length = BarLength(Fraction(0), *(metre or (4, 4)))
    quarter = 60.0 / (bpm or ASSUMED)
    bar = float(length.quarters) * quarter
    zero = float(events.times[0]) if start is None and len(events.times) else start or 0.0
    if len(events.times):  # the bar that holds the first note
        zero += np.floor((events.times[0] - zero) / bar + 1e-6) * bar
    seconds = zero + np.array([0.0, quarter])
    origin: Origin = "given" if bpm else "assumed"
    return Timing(np.array([0.0, 1.0]), seconds, length, Fraction(0), origin, "given" if metre else "assumed")


def _timing(taps: np.ndarray, reading: Reading, first_place: int, first: int, tempo: Origin, metre: Origin) -> Timing:
    """Count quarter notes along the taps, from the bar or upbeat of the first note."""
    zero = reading.phase + first * UNITS  # a bar line
    zero += (first_place - zero) // reading.bar * reading.bar
    into = first_place - zero
    upbeat = Fraction(0)
    if 2 * into >= reading.bar:  # the first note comes late in its bar: an upbeat of whole beats
        beat = reading.beat if reading.bar % reading.beat == 0 else reading.quarter // 2
        missing = into // beat * beat
        upbeat = Fraction(reading.bar - missing, reading.quarter)
        zero += missing
    quarters = (np.arange(len(taps)) * UNITS - zero) / reading.quarter
    return Timing(quarters, taps, BarLength(Fraction(0), reading.numerator, reading.denominator), upbeat, tempo, metre)


def written_tempi(timing: Timing, end: float, beat: Fraction) -> tuple[Tempo, ...]:
    """The fewest tempi that keep every beat of the sheet (to `end`, quarter notes) near its time in the recording.

    Near is 12 % of a beat, and 50 ms at most. The tempi join: each begins where the last has led to, so that no error adds up.
    """
    count = max(2, int(end / float(beat)) + 2)
    times = timing.time(np.arange(count) * float(beat))
    allowed = _STEADY * min(float(np.median(np.diff(times))), 0.4)
    result: list[Tempo] = []
    first, now = 0, float(times[0])
    while first < count - 1:
        low, high, last = 0.0, np.inf, first
        for index in range(first + 1, count):
            below, above = (
                (times[index] - allowed - now) / (index - first),
                (times[index] + allowed - now) / (index - first),
            )
            if max(low, below) > min(high, above) and last > first:
                break
            low, high, last = max(low, below), min(high, above), index
        steps = np.arange(1, last - first + 1)
        fitted = float(((times[first + 1 : last + 1] - now) * steps).sum() / (steps * steps).sum())
        length = microseconds(60.0 / (min(max(fitted, low), high) / float(beat)))
        result.append(Tempo(beat * first, written_bpm(length)))
        now += (last - first) * length / 1e6 * float(beat)
        first = last
    return tuple(t for t, before in zip(result, [None, *result], strict=False) if before is None or t.bpm != before.bpm)


def count_bars(notes: Sequence[Note], clock: TempoMap) -> tuple[BarLength, Fraction, Origin]:
    """The metre of notes whose tempi are known: (metre, upbeat, origin). 4/4 without an upbeat is assumed where there are too few."""
    events = find_events(notes)
    if len(events.times) < FEWEST:
        return BarLength(Fraction(0), 4, 4), Fraction(0), "assumed"
    last = clock.tick(float(events.times[-1])) // clock.ticks_per_beat + 2
    taps = np.array([clock.seconds(n * clock.ticks_per_beat) for n in range(last + 1)])
    places, first = tap_places(events, taps)
    options = readings(_period(taps), None, UNITS)
    r = _read(notes, (places - first * UNITS)[events.index], _period(taps), options)
    return BarLength(Fraction(0), r.numerator, r.denominator), Fraction(r.phase, r.quarter), "found"
