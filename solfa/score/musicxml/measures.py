"""The metres that the measures of a file show, where these are not as long as the metre says."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from solfa.score.sheet.notation import bar_of_length

Metres = dict[
    tuple[Fraction, int, int], None
]  # (onset in quarter notes, numerator, denominator), in the order of the file
_SLOPPY = Fraction(1, 100)  # quarter notes by which programs miss a bar's length when they round those of notes


@dataclass(frozen=True)
class Measure:
    """What lies between two bar lines, in quarter notes. implicit: it is not counted, as an upbeat or the rest of a measure."""

    onset: Fraction
    end: Fraction
    implicit: bool


def shown_metres(metres: Metres, measures: Sequence[Measure]) -> Metres:
    """The metres with one of its own for every measure that is too short or too long, so that all others stay where they are.

    A measure that is not counted goes with the one before, if both fit in a bar: a repeat has split it. The last may be short. One of a
    length that no metre has gets none; the metre begins anew after it.
    """
    given = sorted(metres, key=lambda metre: metre[0])
    times = [time for time, _, _ in given]
    bars = _joined(measures, given, times)
    added: dict[Fraction, tuple[int, int]] = {}
    unsaid: set[Fraction] = set()
    before: tuple[int, int] | None = None  # the metre of the last measure
    for start, end in bars:
        last = end == bars[-1][1]
        inner = times[bisect_right(times, start) : bisect_left(times, end)]
        for onset, following in pairwise([start, *dict.fromkeys(inner), end]):
            here = _in_force(given, times, onset)
            ends = last and following == end
            if here is None or _is_full(following - onset, here, ends):
                before = here
                continue
            own = bar_of_length(onset, following - onset, here[1])
            if own is not None or onset == 0:
                unsaid.add(onset)
                added.pop(onset, None)
            if own is not None and (own.numerator, own.denominator) != before:
                added[onset] = before = own.numerator, own.denominator
            if following not in times and not ends:
                added[following] = here  # unless the next measure has one of its own too
    kept = [metre for metre in metres if metre[0] not in unsaid]
    return dict.fromkeys([*kept, *((onset, *metre) for onset, metre in added.items())])


def _in_force(given: list[tuple[Fraction, int, int]], times: list[Fraction], time: Fraction) -> tuple[int, int] | None:
    place = bisect_right(times, time) - 1
    return given[place][1:] if place >= 0 else None


def _is_full(length: Fraction, metre: tuple[int, int], last: bool) -> bool:
    """Whether bar lines of the metre are where the measure has its own: it is full, or several times; the last need not be."""
    whole = Fraction(4 * metre[0], metre[1])
    return abs(length - round(length / whole) * whole) <= _SLOPPY or (last and length < whole)


def _joined(
    measures: Iterable[Measure], given: list[tuple[Fraction, int, int]], times: list[Fraction]
) -> list[tuple[Fraction, Fraction]]:
    """Where bars begin and end: what a repeat has split is one."""
    bars: list[tuple[Fraction, Fraction]] = []
    for measure in measures:
        if measure.end == measure.onset:
            continue
        if bars and measure.implicit and measure.onset not in times:
            metre = _in_force(given, times, measure.onset)
            if metre is not None and measure.end - bars[-1][0] <= Fraction(4 * metre[0], metre[1]):
                bars[-1] = bars[-1][0], measure.end
                continue
        bars.append((measure.onset, measure.end))
    return bars
