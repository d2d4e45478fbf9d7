"""Which notes of an estimate are which of a reference: a largest one-to-one matching, the very one that mir_eval finds.

Two notes may be paired if their pitches are equal, their onsets near, and, where asked, their offsets too. mir_eval (0.8.2) compares every
note with every other one, and so needs time and memory for N x M. Here candidates are looked up in the sorted onsets of their pitch. Most
notes then have one candidate only; for the rest the same search for augmenting paths is done in the same order (Hopcroft and Karp 1973).
Such a search never leaves a connected part of the graph, and what it does in one part does not depend on the others: so the pairs are
mir_eval's own, not only as many, and what is computed from them (overlap, velocities) is the same number too.

Distances are rounded to a tenth of a millisecond before they are compared, as mir_eval does: an onset 50.05 ms away is within 50 ms.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from solfa.score.note import Note

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DECIMALS = 4  # of seconds, that distances are rounded to
MAX_SECONDS = 1e8  # three years; keys of whole units of time stay far within 64 bits
MAX_PAIRS = 8_000_000  # candidates: half a gigabyte at the peak
_UNITS = 100_000  # a second, in the keys that candidates are looked up by; what they find is then compared exactly
_SLACK = 8  # units: half of the rounding (5), that of two keys, and one to spare


@dataclass(frozen=True)
class Tolerances:
    """How near is near enough. Seconds, 0 to 1e8.

    onset: of two onsets. offset_ratio: of two offsets, as a share of the reference note's length; offset_floor: and never less than
    this. velocity: of velocities from 0 to 1, see `solfa.eval.transcription`. strict: a distance must be less than onset and offset
    tolerances, not equal. The defaults are those of mir_eval and of MIREX's note tracking.
    """

    onset: float = 0.05
    offset_ratio: float = 0.2
    offset_floor: float = 0.05
    velocity: float = 0.1
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("onset", "offset_ratio", "offset_floor", "velocity"):
            if not 0 <= getattr(self, name) <= MAX_SECONDS:
                raise ValueError(f"{name} tolerance of {getattr(self, name)}: legal are 0 to {MAX_SECONDS:g}")


MIREX = Tolerances()


@dataclass(frozen=True, eq=False)
class NoteTable:
    """Notes as columns, [N] each, in the order in which they came."""

    onset: Floats  # seconds
    offset: Floats  # seconds
    pitch: Ints
    velocity: Ints
    program: Ints
    is_drum: Bools

    def __len__(self) -> int:
        return len(self.onset)

    def __getitem__(self, kept: Ints | Bools) -> NoteTable:
        """The rows of a mask, or of their numbers."""
        return NoteTable(*(getattr(self, field.name)[kept] for field in fields(self)))


def note_table(notes: Sequence[Note] | NoteTable) -> NoteTable:
    """Notes as columns; a table as it is. Raises ValueError for a note that ends later than 1e8 s."""
    if isinstance(notes, NoteTable):
        return notes
    table = NoteTable(
        np.array([note.onset for note in notes], np.float64),
        np.array([note.offset for note in notes], np.float64),
        np.array([note.pitch for note in notes], np.int64),
        np.array([note.velocity for note in notes], np.int64),
        np.array([note.program for note in notes], np.int64),
        np.array([note.is_drum for note in notes], np.bool_),
    )
    if len(table) and table.offset.max() > MAX_SECONDS:
        raise ValueError(f"a note ends after {table.offset.max():g} s: legal are up to {MAX_SECONDS:g}")
    return table


@dataclass(frozen=True)
class Rates:
    """How much of an estimate is right, and how much of a reference is found: `matched` of `reference` and `estimate` (notes, or frames
    times pitches). precision = matched / estimate, recall = matched / reference, f1 is their harmonic mean: 0 to 1, higher is better.

    Where the reference or the estimate is empty all three are 0, also where both are: mir_eval's convention.
    """

    precision: float
    recall: float
    f1: float
    matched: int
    reference: int
    estimate: int


def rates(matched: int, reference: int, estimate: int) -> Rates:
    """The rates of counts."""
    if not matched:
        return Rates(0.0, 0.0, 0.0, 0, reference, estimate)
    precision, recall = matched / estimate, matched / reference
    return Rates(precision, recall, 2 * precision * recall / (precision + recall), matched, reference, estimate)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a reference note and an estimated one: their numbers, [P] each, sorted by the first and then by the second."""

    reference: Ints
    estimate: Ints

    def __len__(self) -> int:
        return len(self.reference)

    def __getitem__(self, kept: Bools) -> Pairs:
        return Pairs(self.reference[kept], self.estimate[kept])


def match_notes(
    reference: NoteTable,
    estimate: NoteTable,
    tolerances: Tolerances = MIREX,
    *,
    offsets: bool = True,
    kinds: tuple[Ints, Ints] | None = None,
) -> Pairs:
    """A largest one-to-one matching of notes with near onsets and equal pitches, and with `offsets` near offsets.

    kinds: what must be equal instead of the pitches, whole numbers from 0 to 100,000 for the notes of each table. Equal to
    `mir_eval.transcription.match_notes`, pair by pair, for pitches in semitones and its tolerance of 50 cents.
    """
    pairs = near_onsets(reference, estimate, tolerances, kinds)
    return largest_matching(near_offsets(pairs, reference, estimate, tolerances) if offsets else pairs)


def near_onsets(
    reference: NoteTable, estimate: NoteTable, tolerances: Tolerances, kinds: tuple[Ints, Ints] | None = None
) -> Pairs:
    """All pairs of equal kind (by default pitch) whose onsets are within the tolerance.

    Raises ValueError for more than 8 million candidates: that many notes of one pitch within the tolerance are no music.
    """
    wanted, found = kinds or (reference.pitch, estimate.pitch)
    if not len(wanted) or not len(found):
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    reach = int(np.ceil(tolerances.onset * _UNITS)) + _SLACK
    own, others = (np.rint(times * _UNITS).astype(np.int64) for times in (reference.onset, estimate.onset))
    span = int(max(own.max(), others.max())) + 2 * reach + 1  # of one kind: no key of another is within reach
    assert min(wanted.min(), found.min()) >= 0 and int(max(wanted.max(), found.max())) * span < 2**62
    own, others = own + wanted * span, others + found * span
    order = np.argsort(others)
    others = others[order]
    first = np.searchsorted(others, own - reach, side="left")
    count = np.searchsorted(others, own + reach, side="right") - first
    total = int(count.sum())
    if total > MAX_PAIRS:
        raise ValueError(
            f"{total} pairs of notes of one pitch within {tolerances.onset:g} s: at most {MAX_PAIRS} are compared; "
            "are notes repeated?"
        )
    left = np.repeat(np.arange(len(wanted)), count)
    right = order[np.arange(total) + np.repeat(first - (np.cumsum(count) - count), count)]
    ordered = np.argsort(left * len(found) + right)
    return nearer_onsets(Pairs(left[ordered], right[ordered]), reference, estimate, tolerances)


def nearer_onsets(pairs: Pairs, reference: NoteTable, estimate: NoteTable, tolerances: Tolerances) -> Pairs:
    """Those of the pairs whose onsets are within the tolerance."""
    start, other = reference.onset[pairs.reference], estimate.onset[pairs.estimate]
    return pairs[_within(start, other, tolerances.onset, tolerances.strict)]


def near_offsets(pairs: Pairs, reference: NoteTable, estimate: NoteTable, tolerances: Tolerances) -> Pairs:
    """Those of the pairs whose offsets are near too: within a share of the reference note's length, or the floor if that is more."""
    start, end = reference.onset[pairs.reference], reference.offset[pairs.reference]
    return pairs[
        _within(end, estimate.offset[pairs.estimate], _offset_tolerance(start, end, tolerances), tolerances.strict)
    ]


def _offset_tolerance(onset: Floats, offset: Floats, tolerances: Tolerances) -> Floats:
    return np.maximum(tolerances.offset_ratio * np.abs(offset - onset), tolerances.offset_floor)


def _within(a: Floats, b: Floats, tolerance: float | Floats, strict: bool) -> Bools:
    distance = np.around(np.abs(a - b), decimals=DECIMALS)
    return distance < tolerance if strict else distance <= tolerance


def largest_matching(pairs: Pairs) -> Pairs:
    """As many of the pairs as can be taken so that no note is in two; of equally many, those that mir_eval takes."""
    if not len(pairs):
        return pairs
    left, right = pairs.reference, pairs.estimate
    alone = (np.bincount(left)[left] == 1) & (np.bincount(right)[right] == 1)
    taken = _augmented(left[~alone].tolist(), right[~alone].tolist())
    left = np.concatenate([left[alone], np.fromiter(taken.keys(), np.int64, len(taken))])
    right = np.concatenate([right[alone], np.fromiter(taken.values(), np.int64, len(taken))])
    order = np.argsort(left)
    return Pairs(left[order], right[order])


def _augmented(left: list[int], right: list[int]) -> dict[int, int]:
    """left note -> right note, by Hopcroft and Karp. Every list below is in an order that decides which of equal matchings is found."""
    graph: dict[int, list[int]] = {}
    for v, u in zip(left, right, strict=True):
        graph.setdefault(u, []).append(v)
    taken: dict[int, int] = {}
    free = []
    for u, candidates in graph.items():
        for v in candidates:
            if v not in taken:
                taken[v] = u
                break
        else:
            free.append(u)
    while free:
        ends, before, came_from = _layers(graph, taken, free)
        if not ends:
            break
        joined = {_augment(v, taken, before, came_from) for v in ends}
        free = [u for u in free if u not in joined]
    return taken


def _layers(
    graph: dict[int, list[int]], taken: dict[int, int], free: list[int]
) -> tuple[list[int], dict[int, list[int]], dict[int, int | None]]:
    """Breadth first from all free right notes, until a layer has free left ones: these; for every left note that was met, the right
    notes of the layer before; for every right note the left one it was reached by, None for a free one."""
    before: dict[int, list[int]] = {}
    came_from: dict[int, int | None] = dict.fromkeys(free)
    layer, ends = free, list[int]()
    while layer and not ends:
        fresh: dict[int, list[int]] = {}
        for u in layer:
            for v in graph[u]:
                if v not in before:
                    fresh.setdefault(v, []).append(u)
        layer = []
        for v, reached_by in fresh.items():
            before[v] = reached_by
            if v in taken:
                layer.append(taken[v])
                came_from[taken[v]] = v
            else:
                ends.append(v)
    return ends, before, came_from


def _augment(
    end: int, taken: dict[int, int], before: dict[int, list[int]], came_from: dict[int, int | None]
) -> int | None:
    """Depth first from a free left note back to a free right one, which is given back; the pairs along the path change over. No note is
    visited twice. None where there is no path."""
    trail = [(end, iter(before.pop(end)))]
    through: list[int] = []  # the right note that leads on from each left note of the trail
    while trail:
        for u in trail[-1][1]:
            if u not in came_from:
                continue
            back = came_from.pop(u)
            if back is None:
                taken.update({v: u for (v, _), u in zip(trail, [*through, u], strict=True)})
                return u
            if back in before:
                through.append(u)
                trail.append((back, iter(before.pop(back))))
                break
        else:
            trail.pop()
            if through:
                through.pop()
    return None


def count_near(reference: NoteTable, estimate: NoteTable, tolerances: Tolerances, *, offsets: bool) -> int:
    """How many notes can be paired one to one by their onsets alone, or with `offsets` by their offsets alone, of whatever pitch.

    The estimated times that a reference note may be paired with follow one another in their order; so the largest matching is found by
    giving each to the note whose last candidate comes first (Glover 1967), in N log N steps.
    """
    if not len(reference) or not len(estimate):
        return 0
    wanted, found = (reference.offset, estimate.offset) if offsets else (reference.onset, estimate.onset)
    tolerance = np.full(len(wanted), tolerances.onset)
    if offsets:
        tolerance = _offset_tolerance(reference.onset, reference.offset, tolerances)
    times = np.sort(found)
    first, last = _ranges(wanted, tolerance, times, tolerances.strict)
    order = np.argsort(first)
    return _most(first[order].tolist(), last[order].tolist())


def _ranges(centre: Floats, tolerance: Floats, times: Floats, strict: bool) -> tuple[Ints, Ints]:
    """The first of the sorted times that is within the tolerance of each centre, and the one after the last: by bisection on the
    comparison itself, so that rounding is that of `_within`."""
    bounds = []
    for early in (True, False):
        edge = centre - tolerance if early else centre + tolerance
        low, high = np.searchsorted(times, edge - 1e-4, side="left"), np.searchsorted(times, edge + 1e-4, side="right")
        while (low < high).any():
            middle = (low + high) // 2
            here = times[np.minimum(middle, len(times) - 1)]
            near = _within(centre, here, tolerance, strict)
            after = (near | (here > centre)) if early else (~near & (here > centre))
            open_ = low < high
            high, low = np.where(open_ & after, middle, high), np.where(open_ & ~after, middle + 1, low)
        bounds.append(low)
    return bounds[0], bounds[1]


def _most(first: list[int], last: list[int]) -> int:
    """How many of the ranges first .. last - 1, sorted by first, can have a whole number of their own."""
    waiting: list[int] = []  # ends of the ranges that have begun, the nearest on top
    count = number = place = 0
    while place < len(first) or waiting:
        if not waiting:
            number = max(number, first[place])
        while place < len(first) and first[place] <= number:
            heapq.heappush(waiting, last[place])
            place += 1
        if heapq.heappop(waiting) > number:
            count += 1
            number += 1
    return count
