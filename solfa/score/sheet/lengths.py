"""Which lengths a note head can show, and where in a bar they may stand.

The rules follow the usual ones (E. Gould, Behind Bars, 2011): a note may lean over a beat from the half of the beat before it, but not
over a stronger place; in compound and irregular metres what crosses a beat begins and ends on one; rests lean over nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from fractions import Fraction

from solfa.score.sheet.notation import BarLength, beats_of

SHORTEST = Fraction(4, 1024)  # a 1024th note, the shortest that MusicXML knows
LONGEST = Fraction(8)  # a breve


def printable(length: Fraction) -> tuple[Fraction, int] | None:
    """(value, dots) of a length that one note head with at most one dot shows."""
    for dots, share in ((0, Fraction(1)), (1, Fraction(3, 2))):
        value = length / share
        if SHORTEST <= value <= LONGEST and _is_power(value.numerator) and _is_power(value.denominator):
            return value, dots
    return None


def _is_power(number: int) -> bool:
    return number & (number - 1) == 0


def odd_part(number: int) -> int:
    """A whole number from 1 without its factors of two: what of a denominator only tuplets have."""
    return number // (number & -number)


def plain_split(start: Fraction, end: Fraction) -> Iterator[tuple[Fraction, Fraction]]:
    """Printable lengths between two places of a tuplet, cut at its roundest places."""
    while start < end:
        if printable(end - start):
            yield start, end
            return
        if max(start.denominator, end.denominator) * SHORTEST > 1:
            raise ValueError(f"a length of {end - start} quarters is finer than a 1024th note")
        cut = _roundest(start, end)
        yield from plain_split(start, cut)
        start = cut


def _roundest(start: Fraction, end: Fraction) -> Fraction:
    """The place between the two with the smallest denominator; of several the one nearest the end."""
    step = LONGEST
    while True:
        place = (end / step).__ceil__() * step - step
        if start < place < end:
            return place
        step /= 2


class Metrical:
    """Where a length may stand in a bar of some metre."""

    def __init__(self, metre: BarLength) -> None:
        self.beats = beats_of(metre)
        self.edges = {*self.beats, metre.quarters}
        self.unit = Fraction(4, metre.denominator)
        count = len(self.beats)
        self.middle = self.beats[count // 2] if count % 2 == 0 and count > 2 else None
        # Beats of three units, or of several kinds: what crosses one begins and ends on one.
        self.grouped = count != metre.numerator

    def level(self, place: Fraction) -> int:
        """3 on the bar line, 2 in the middle of an even bar, 1 on beats, 0 and below between them."""
        if place in self.edges:
            return 3 if place == 0 else 2 if place == self.middle else 1
        step, level = self.unit if self.grouped else self.unit / 2, 0
        while place % step and step >= SHORTEST:
            step, level = step / 2, level - 1
        return level

    def split(self, start: Fraction, end: Fraction, rest: bool) -> Iterator[tuple[Fraction, Fraction]]:
        """The printable pieces from one place to another."""
        waiting = [(start, end)]
        while waiting:
            start, end = waiting.pop()
            cut = self._cut(start, end, rest)
            if cut is None:
                yield start, end
            else:
                waiting += [(cut, end), (start, cut)]

    def _cut(self, start: Fraction, end: Fraction, rest: bool) -> Fraction | None:
        """Where the length has to be cut, if anywhere."""
        shown, level = printable(end - start), self.level(start)
        first, last, strength = self._strongest(start, end)
        if shown and first is None:
            return None
        bad = rest and shown is not None and self._bad_rest(start, *shown, level, strength)
        if shown and not bad and not self._hides(start, end, level, strength):
            return None
        if first is None:
            raise ValueError(f"a length of {end - start} quarters is finer than a 1024th note")
        return last if level >= strength else first

    def _strongest(self, start: Fraction, end: Fraction) -> tuple[Fraction | None, Fraction | None, int]:
        """The first and last of the strongest places between two, and how strong they are; None where there is none."""
        inner = self.beats[bisect_right(self.beats, start) : bisect_left(self.beats, end)]
        if inner:
            strength = 2 if self.middle in inner else 1
            best = [beat for beat in inner if strength == 1 or beat == self.middle]
            return best[0], best[-1], strength
        step, level = self.unit if self.grouped else self.unit / 2, 0
        while step >= SHORTEST:
            first, last = (start / step).__floor__() * step + step, (end / step).__ceil__() * step - step
            if first < end:
                return first, last, level
            step, level = step / 2, level - 1
        return None, None, level

    def _hides(self, start: Fraction, end: Fraction, level: int, strength: int) -> bool:
        """Whether a note would hide the beat."""
        if self.grouped and strength >= 1:
            return start not in self.edges or end not in self.edges
        return strength > level + 1

    def _bad_rest(self, start: Fraction, value: Fraction, dots: int, level: int, strength: int) -> bool:
        """Whether a rest stands where none of its length belongs."""
        base = self.beats[bisect_right(self.beats, start) - 1] if self.grouped else Fraction(0)
        dotted = bool(dots) and not (self.grouped and level >= 1)
        return dotted or strength > level or (start - base) % value != 0
