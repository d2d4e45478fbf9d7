"""The bars of a score that says its metres in seconds: full ones, an upbeat, and short ones where a metre begins before a bar is full."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fractions import Fraction

from solfa.score.score import Metre
from solfa.score.sheet.notation import BarLength, bar_of_length
from solfa.score.tempo import TempoMap

_SLOPPY = Fraction(
    1, 100
)  # quarter notes that a metre may lie beside the place that is meant, as times are rounded to ticks
_FINEST = 48  # parts of a quarter note in which an upbeat may be counted: a notation has to fill its bar with rests


def bar_lengths(metres: Sequence[Metre], clock: TempoMap) -> tuple[tuple[BarLength, ...], Fraction]:
    """A score's metres (at least one), each from a bar line on, and the upbeat.

    A metre begins a bar where it stands. The bar that it cuts short has a metre of its own length; so programs write upbeats, and bars
    that are split. A first bar that is alone in its metre and shorter than those after it is an upbeat. Where the bar cut short has a
    length that no metre has, the metre begins at the nearest bar line instead, and a warning says so.
    """
    placed = {Fraction(clock.tick(m.time), clock.ticks_per_beat): m for m in metres}
    changes = [BarLength(onset, m.numerator, m.denominator) for onset, m in sorted(placed.items())]
    if changes[0].onset > 0:
        changes.insert(0, BarLength(Fraction(0), 4, 4))  # what MIDI means where nothing is said
    line = _Line(changes[0])
    for change in changes[1:]:
        line.change(change)
    if line.moved:
        warnings.warn(
            f"{line.moved} of {len(metres)} metres begin within bars that no metre is as long as: put on the nearest bar lines",
            stacklevel=2,
        )
    return line.done()


class _Line:
    """Metres one after the other, each on a bar line. moved: how many had to leave their place."""

    def __init__(self, first: BarLength) -> None:
        self.metres = [first]
        self.upbeat = Fraction(0)
        self.moved = 0

    def change(self, change: BarLength) -> None:
        """A metre that begins as near to its place as it can."""
        start, bar = self._start, self.metres[-1].quarters
        full, over = divmod(_straight(change.onset - start, bar), bar)
        if full < 0 or (over and not self._cut(start + full * bar, over, change)):
            full, over = max(1, round((change.onset - start) / bar)), Fraction(0)
            self.moved += 1
        self._put(start + full * bar + over, change.numerator, change.denominator)

    def done(self) -> tuple[tuple[BarLength, ...], Fraction]:
        """The metres and the upbeat: here a first bar becomes one."""
        first, *rest = self.metres
        if not self.upbeat and rest and rest[0].onset == first.quarters < rest[0].quarters:
            return (BarLength(Fraction(0), rest[0].numerator, rest[0].denominator), *rest[1:]), first.quarters
        return tuple(self.metres), self.upbeat % first.quarters

    @property
    def _start(self) -> Fraction:
        """The first full bar's line of the last metre."""
        return self.metres[-1].onset + (self.upbeat if len(self.metres) == 1 else 0)

    def _put(self, onset: Fraction, numerator: int, denominator: int) -> None:
        if onset <= self._start:  # of two on one line the later counts
            onset = self.metres.pop().onset
        if not self.metres or (self.metres[-1].numerator, self.metres[-1].denominator) != (numerator, denominator):
            self.metres.append(BarLength(onset, numerator, denominator))

    def _cut(self, onset: Fraction, length: Fraction, following: BarLength) -> bool:
        """Put a bar of this length; whether there can be one."""
        short = bar_of_length(onset, length, self.metres[-1].denominator)
        if short is not None:
            self._put(onset, short.numerator, short.denominator)
            return True
        if onset or _FINEST % length.denominator or length >= following.quarters:
            return False
        self.upbeat = length  # an upbeat needs no metre
        self.metres = [BarLength(Fraction(0), following.numerator, following.denominator)]
        return True


def _straight(way: Fraction, bar: Fraction) -> Fraction:
    """A distance from a bar line, without what rounding did to it: whole bars if it is near them, else whole 64th notes."""
    for step in (bar, Fraction(1, 16)):
        near = round(way / step) * step
        if abs(way - near) <= _SLOPPY:
            return near
    return way
