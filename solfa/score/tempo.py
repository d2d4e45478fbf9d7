"""The tempo map: ticks to seconds and back, exact to a tick."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from solfa.score.score import TempoChange

DEFAULT_TEMPO = 500_000  # microseconds a quarter note, 120 bpm: what a MIDI file means where it says nothing


def microseconds(bpm: float) -> int:
    """Whole microseconds a quarter note, the unit of tempo in a MIDI file (1 to 16,777,215)."""
    return min(max(round(60_000_000 / bpm), 1), 0xFFFFFF)


def written_bpm(length: int) -> float:
    """Quarter notes a minute in the fewest decimals that are still this many microseconds each: 97.2137, not 97.21369352086936."""
    exact = 60_000_000 / length
    return next(
        (bpm for bpm in (round(exact, digits) for digits in range(8)) if bpm and microseconds(bpm) == length), exact
    )


class TempoMap:
    """A piecewise constant tempo over ticks.

    The time at every change is kept as a whole number of (microseconds x ticks), so that no error adds up: `seconds` is
    the correctly rounded value, and `tick(seconds(n)) == n` for every n as long as a tick is much longer than the
    spacing of floats (a nanosecond is plenty for a day).
    """

    def __init__(self, ticks_per_beat: int, changes: Iterable[tuple[int, int]] = ()) -> None:
        """`changes` are (tick, microseconds a quarter note) in order of tick; of several on a tick the last counts."""
        self.ticks_per_beat = ticks_per_beat
        self._scale = ticks_per_beat * 1_000_000
        self._ticks = [0]
        self._tempi = [DEFAULT_TEMPO]
        self._starts = [0]  # time of each change, in microseconds x ticks
        self._seconds = [0.0]
        for tick, tempo in changes:
            self._append(tick, tempo)

    @classmethod
    def of(cls, tempi: Iterable[TempoChange], ticks_per_beat: int) -> TempoMap:
        """The map of a score's tempi. Changes are moved to the nearest tick, each by less than half a tick."""
        result = cls(ticks_per_beat)
        for change in sorted(tempi, key=lambda change: change.time):
            # The tick comes from the map as written so far, so that rounding does not add up over many changes.
            result._append(max(result.tick(change.time), result._ticks[-1]), microseconds(change.bpm))
        return result

    def _append(self, tick: int, tempo: int) -> None:
        if tick < self._ticks[-1]:
            raise ValueError(f"tempo change at tick {tick} comes after one at {self._ticks[-1]}")
        if tick == self._ticks[-1]:
            self._tempi[-1] = tempo
            return
        self._starts.append(self._starts[-1] + (tick - self._ticks[-1]) * self._tempi[-1])
        self._ticks.append(tick)
        self._tempi.append(tempo)
        self._seconds.append(self._starts[-1] / self._scale)

    @property
    def changes(self) -> list[tuple[int, int]]:
        """(tick, microseconds a quarter note) from tick 0 on."""
        return list(zip(self._ticks, self._tempi, strict=True))

    @property
    def tempi(self) -> tuple[TempoChange, ...]:
        """The changes as a score holds them."""
        pairs = zip(self._seconds, self._tempi, strict=True)
        return tuple(TempoChange(time, 60_000_000 / tempo) for time, tempo in pairs)

    def seconds(self, tick: int) -> float:
        """The time of a tick."""
        index = bisect_right(self._ticks, tick) - 1
        return (self._starts[index] + (tick - self._ticks[index]) * self._tempi[index]) / self._scale

    def tick(self, seconds: float) -> int:
        """The nearest tick to a time."""
        index = bisect_right(self._seconds, seconds) - 1
        return self._ticks[index] + round((seconds * self._scale - self._starts[index]) / self._tempi[index])
