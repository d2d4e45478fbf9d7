"""The metre of notes on a pulse: which taps are beats, how many make a bar, and where it begins.

Every reading of the taps (a beat of a third to four taps, simple or compound; bars of two to five beats, or 7/8; every phase) is scored by
a linear function of what is played on its bar lines, beats and divisions, of how the music repeats after a bar, and of the beat's tempo;
the best reading wins. The weights (metre_weights.py) were fitted by logistic regression over the readings of composed pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solfa.score.note import Note
from solfa.score.quantising.grid import UNITS
from solfa.score.quantising.metre_weights import WEIGHTS

METRES = ((4, 4), (3, 4), (2, 4), (6, 8), (12, 8), (9, 8), (5, 4), (7, 8))
SLOWEST, FASTEST = 38.0, 240.0  # beats a minute
_BEATS = (8, 12, 16, 24, 36, 48, 72, 96)  # lengths of a beat in 1/24 taps
_BAR_SECONDS = (0.7, 9.0)
# What may stand on a place of the grid.
_MARKS = ("onset", "count", "length", "loud", "bass", "pause", "kick", "snare", "change", "wide change")


@dataclass(frozen=True)
class Reading:
    """A way to count the taps. Times are 1/24 taps."""

    numerator: int
    denominator: int
    quarter: int  # length of a quarter note
    phase: int  # the place of a bar line, 0 <= phase < bar

    @property
    def compound(self) -> bool:
        """Whether a beat is a dotted quarter."""
        return self.denominator == 8 and self.numerator % 3 == 0

    @property
    def beat(self) -> int:
        """Length of a beat."""
        return self.quarter * 3 // 2 if self.compound else self.quarter

    @property
    def bar(self) -> int:
        """Length of a bar."""
        return self.quarter * 4 * self.numerator // self.denominator


def readings(
    period: float, metres: Sequence[tuple[int, int]] | None = None, quarter: int | None = None
) -> list[Reading]:
    """Every reading of taps that are `period` seconds apart, at least one.

    Only of these metres, if they are given, and only with quarter notes of this length (1/24 taps). Tempi and lengths of bars that are
    rare are left out where neither is given.
    """
    found = []
    for numerator, denominator in metres or METRES:
        compound = denominator == 8 and numerator % 3 == 0
        for length in (
            [quarter]
            if quarter
            else [beat * 2 // 3 if compound else beat for beat in _BEATS if not compound or beat % 3 == 0]
        ):
            reading = Reading(numerator, denominator, length, 0)
            bpm, seconds = 60.0 * UNITS / (reading.beat * period), reading.bar * period / UNITS
            usual = SLOWEST <= bpm <= FASTEST and (metres or _BAR_SECONDS[0] <= seconds <= _BAR_SECONDS[1])
            if (usual or quarter) and length * 4 * numerator % denominator == 0:
                # Phases are whole and half taps, or thirds where the beat is thirds of taps.
                step = 8 if reading.beat in (8, 16) else 12
                phases = range(0, reading.bar, step if reading.bar % step == 0 else 4)
                found += [Reading(numerator, denominator, length, phase) for phase in phases]
    if not found:
        raise ValueError(f"no legal reading of metres {metres or METRES}: legal denominators are 1, 2, 4, 8, 16, 32")
    return found


@dataclass(frozen=True)
class Surface:
    """What is played at every place of the grid, from 0 on."""

    marks: (
        np.ndarray
    )  # [G, 10] in the order of _MARKS, each divided by its mean over the places where notes begin (and a little more)
    chroma: np.ndarray  # [G, 14] pitch classes that begin, by length; bass drum and snare
    first: int  # the first place where a note begins
    presence: float  # what the mark "onset" was divided by


def surface(notes: Sequence[Note], places: np.ndarray, period: float) -> Surface:
    """notes [N], at least one, and the place of each in 1/24 taps (0 or more); `period`: seconds between taps."""
    pitch = np.array([note.pitch for note in notes])
    drum = np.array([note.is_drum for note in notes])
    length = np.minimum(np.array([note.duration for note in notes]) / period, 4.0)
    marks = np.zeros((int(places.max()) + 1, len(_MARKS)))
    marks[places, 0] = 1.0
    marks[:, 1] = np.sqrt(np.bincount(places, minlength=len(marks)))
    np.maximum.at(marks[:, 2], places, np.where(drum, 0.0, np.log1p(length)))
    np.maximum.at(marks[:, 3], places, np.array([note.velocity for note in notes]) / 100.0)
    np.maximum.at(marks[:, 6], places, (drum & np.isin(pitch, (35, 36))) * 1.0)
    np.maximum.at(marks[:, 7], places, (drum & np.isin(pitch, (37, 38, 39, 40))) * 1.0)
    chroma = np.zeros((len(marks), 14))
    chroma[:, 12:] = marks[:, 6:8]
    if not drum.all():
        tonal, where = pitch[~drum], places[~drum]
        np.add.at(chroma, (where, tonal % 12), np.sqrt(0.2 + length[~drum]))
        _mark_bass(marks, tonal, where)
    marks[:, 8], marks[:, 9] = _change(chroma[:, :12], UNITS), _change(chroma[:, :12], 2 * UNITS)
    scale = marks[marks[:, 0] > 0].mean(axis=0) + 0.05  # a mark that is rare on notes stays finite
    return Surface(marks / scale, chroma, int(places.min()), float(scale[0]))


def _mark_bass(marks: np.ndarray, pitch: np.ndarray, places: np.ndarray) -> None:
    """How far the lowest note of an event lies below those around it, in octaves; and the way to the next event."""
    lowest = np.full(len(marks), 128.0)
    np.minimum.at(lowest, places, pitch.astype(np.float64))
    at = np.flatnonzero(lowest < 128)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(lowest[at], 4, mode="edge"), 9)
    marks[at, 4] = np.clip((np.median(around, axis=1) - lowest[at]) / 12.0, 0.0, 1.5)
    marks[at, 5] = np.log1p(np.minimum(np.diff(at, append=at[-1] + 2 * UNITS) / UNITS, 4.0))


def _change(chroma: np.ndarray, width: int) -> np.ndarray:
    """How unlike the pitch classes of the next `width` units are to those of the last: 0 to 1."""
    size = len(chroma)
    total = np.concatenate([np.zeros((1, 12)), np.cumsum(chroma, axis=0)])
    here = np.arange(size)
    after = total[np.minimum(here + width, size)] - total[here]
    before = total[here] - total[np.maximum(here - width, 0)]
    norm = np.linalg.norm(after, axis=1) * np.linalg.norm(before, axis=1)
    return np.where(norm > 0, 1 - (after * before).sum(axis=1) / np.maximum(norm, 1e-9), 0.0)


class _Scorer:
    """Means and similarities that many readings share, each computed once."""

    def __init__(self, found: Surface, period: float) -> None:
        self.found, self.period = found, period
        self.total = found.marks[:, 0].sum()
        self._means: dict[tuple[int, int], np.ndarray] = {}
        self._similar: dict[int, float] = {}

    def mean(self, phase: int, step: int) -> np.ndarray:
        """The mean marks [10] over every `step`th place from the phase on, places without notes among them."""
        start = self._start(phase, step)
        if (start, step) not in self._means:
            rows = self.found.marks[start::step]
            self._means[start, step] = rows.mean(axis=0) if len(rows) else np.zeros(len(_MARKS))
        return self._means[start, step]

    def share(self, phase: int, step: int) -> float:
        """The share of all events that lies on these places."""
        start = self._start(phase, step)
        return self.mean(phase, step)[0] * len(range(start, len(self.found.marks), step)) / self.total

    def _start(self, phase: int, step: int) -> int:
        return self.found.first + (phase - self.found.first) % step

    def similar(self, lag: int) -> float:
        """How like the music is to itself `lag` units later: 0 to 1."""
        if lag not in self._similar:
            before, after = self.found.chroma[:-lag], self.found.chroma[lag:]
            norm = np.sqrt((before**2).sum() * (after**2).sum()) if len(after) else 0.0
            self._similar[lag] = float((before * after).sum() / norm) if norm > 0 else 0.0
        return self._similar[lag]

    def features(self, r: Reading) -> dict[str, float]:
        """What the weights are for, by name; those that are 0 may be left out."""
        beat, bar, first = r.beat, r.bar, self.found.first
        kind = "compound" if r.compound else "simple"
        beats, down = self.mean(r.phase % beat, beat), self.mean(r.phase, bar)
        half = self.mean((r.phase + beat // 2) % beat, beat)
        result = {f"{r.numerator}/{r.denominator}": 1.0}
        named = [("beat over half", beats - half)]
        if r.numerator in (4, 12):
            middle = self.mean((r.phase + bar // 2) % bar, bar)
            named += [("bar over middle", down - middle), ("middle over beat", middle - beats)]
        else:
            named.append((f"bar over beat in {min(bar // beat, 4)}", down - beats))
        for name, contrast in named:
            result |= {f"{name}: {mark}": float(x) for mark, x in zip(_MARKS, contrast, strict=True)}
        shares = {"beats": self.share(r.phase % beat, beat), "halves": self.share((r.phase + beat // 2) % beat, beat)}
        for name, parts in (("thirds", 3), ("quarters", 4)):
            places = (1, 2) if parts == 3 else (1, 3)
            shares[name] = (
                sum(self.share((r.phase + n * beat // parts) % beat, beat) for n in places)
                if beat % parts == 0
                else 0.0
            )
        result |= {f"{kind} {name}": share for name, share in shares.items()}
        result |= {
            "beats filled": beats[0] * self.found.presence,
            f"{kind} halves filled": half[0] * self.found.presence,
        }
        tempo, length = np.log(60.0 * UNITS / (beat * self.period) / 110.0), np.log(bar * self.period / UNITS / 2.2)
        result |= {
            f"{kind} tempo": tempo,
            f"{kind} tempo squared": tempo**2,
            "bar length": length,
            "bar length squared": length**2,
        }
        result |= {f"repeats after {n} beats": self.similar(n * beat) for n in (1, 2, 3, 4)}
        result |= {"repeats after a bar": self.similar(bar), "repeats after two bars": self.similar(2 * bar)}
        result |= {
            "begins on a bar": float((first - r.phase) % bar == 0),
            "begins on a beat": float((first - r.phase) % beat == 0),
        }
        result["ends on a bar"] = float((len(self.found.marks) - 1 - r.phase) % bar == 0)
        return result


def best_reading(notes: Sequence[Note], places: np.ndarray, period: float, options: Sequence[Reading]) -> Reading:
    """The best of the readings (at least one) for notes [N] (at least one) at their places [N] in 1/24 taps of `period` seconds."""
    scorer = _Scorer(surface(notes, places, period), period)
    scores = [sum(WEIGHTS.get(name, 0.0) * x for name, x in scorer.features(r).items()) for r in options]
    return options[int(np.argmax(scores))]
