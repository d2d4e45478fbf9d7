"""Voices: the notes of one staff as lines of chords that do not overlap.

Two ways. `exact_voices` keeps every length and opens as many voices as the notes need. `reading_voices` makes at most so many, and cuts
notes where their voice goes on: the assignment with the least cost (crossing, leaps, cut notes, more voices than needed) is searched for
with a beam over the onsets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

BEAM = 8  # assignments that are followed at once
_LEGATO = 0.25  # the share of a chord that may lie over the next without counting
_TALLEST = 12  # notes of a chord beyond which it is split at its widest gap only


@dataclass(frozen=True)
class Placed:
    """A note on the grid: times in units of the sheet's grid; `offset` is where it stops sounding, after the onset."""

    onset: int
    offset: int
    pitch: int
    velocity: int = 80


@dataclass(frozen=True)
class Chord:
    """Notes of one voice that begin and end together; pitches rise."""

    onset: int
    offset: int
    pitches: tuple[int, ...]
    velocity: int


def chord_of(notes: Sequence[Placed], offset: int) -> Chord:
    """The notes as one chord: as loud as the loudest."""
    pitches = tuple(sorted({note.pitch for note in notes}))
    return Chord(notes[0].onset, offset, pitches, max(note.velocity for note in notes))


def exact_voices(notes: Sequence[Placed]) -> list[list[Chord]]:
    """Every note with its own length, in as many voices as that takes; the highest voice first. Equal notes stay two."""
    voices: list[list[Chord]] = []
    for (_, offset, _), group in groupby(sorted(_numbered(notes), key=_span), key=_span):
        chord = chord_of([note for note, _ in group], offset)
        middle = sum(chord.pitches) / len(chord.pitches)
        free = [voice for voice in voices if voice[-1].offset <= chord.onset]
        if free:
            min(free, key=lambda voice: abs(sum(voice[-1].pitches) / len(voice[-1].pitches) - middle)).append(chord)
        else:
            voices.append([chord])
    return sorted(voices, key=_height, reverse=True)


def _numbered(notes: Sequence[Placed]) -> Iterator[tuple[Placed, int]]:
    """Each note with how many equal ones came before: those cannot share a chord."""
    seen: dict[tuple[int, int, int], int] = {}
    for note in notes:
        key = (note.onset, note.offset, note.pitch)
        seen[key] = seen.get(key, -1) + 1
        yield note, seen[key]


def _span(pair: tuple[Placed, int]) -> tuple[int, int, int]:
    return pair[0].onset, pair[0].offset, pair[1]


def _height(voice: list[Chord]) -> float:
    return sum(sum(chord.pitches) / len(chord.pitches) for chord in voice) / len(voice)


@dataclass(frozen=True)
class _Line:
    """What is remembered of a voice: where its last chord ends, its length and its outer pitches."""

    onset: int
    offset: int
    low: int
    high: int


@dataclass(frozen=True)
class _State:
    """One assignment of the notes so far: the voices' ends, the cost, and the choices (linked to the state before)."""

    cost: float
    lines: tuple[_Line | None, ...]
    groups: tuple[tuple[int, tuple[Placed, ...]], ...]
    before: _State | None


def reading_voices(notes: Sequence[Placed], most: int, quarter: int) -> list[list[Chord]]:
    """At most `most` voices (1 or more), the highest first. Of a chord's notes the longest says how long it sounds; a chord is cut where
    its voice goes on. `quarter` units make a quarter note. Equal pitches that begin together become one."""
    states = [_State(0.0, (None,) * most, (), None)]
    for _, group in groupby(sorted(notes, key=lambda n: (n.onset, n.pitch)), key=lambda note: note.onset):
        slice_ = tuple(_unique(group))
        found = [
            after
            for state in states
            for partition in _partitions(slice_, most)
            for after in _after(state, partition, quarter)
        ]
        found.sort(key=lambda state: state.cost)
        states = found[:BEAM]
    voices: list[list[Chord]] = [[] for _ in range(most)]
    state: _State | None = states[0]
    while state is not None:
        for voice, members in state.groups:
            voices[voice].append(chord_of(members, max(note.offset for note in members)))
        state = state.before
    return [list(_cut(voice[::-1])) for voice in voices if voice]


def _unique(notes: Iterator[Placed]) -> Iterator[Placed]:
    """Of equal pitches the one that sounds longest."""
    best: dict[int, Placed] = {}
    for note in notes:
        if note.pitch not in best or note.offset > best[note.pitch].offset:
            best[note.pitch] = note
    yield from (best[pitch] for pitch in sorted(best))


def _cut(chords: Sequence[Chord]) -> Iterator[Chord]:
    """Chords that end where the next begins at the latest."""
    for chord, following in zip(chords, [*chords[1:], None], strict=True):
        offset = chord.offset if following is None else min(chord.offset, following.onset)
        yield Chord(chord.onset, offset, chord.pitches, chord.velocity)


def _partitions(notes: tuple[Placed, ...], most: int) -> Iterator[tuple[tuple[Placed, ...], ...]]:
    """All in one voice, or the upper and the lower notes in two. The upper come first."""
    yield (notes,)
    if most < 2 or len(notes) < 2:
        return
    cuts = range(1, len(notes))
    if len(notes) > _TALLEST:
        cuts = range(widest := max(cuts, key=lambda i: notes[i].pitch - notes[i - 1].pitch), widest + 1)
    for cut in cuts:
        yield notes[cut:], notes[:cut]


def _after(state: _State, partition: tuple[tuple[Placed, ...], ...], quarter: int) -> Iterator[_State]:
    """The states that follow when these groups go to voices in falling order."""
    most = len(state.lines)
    for first in range(most):
        places = (first,) if len(partition) == 1 else (first, first + 1)
        if places[-1] >= most:
            return
        cost, lines = state.cost, list(state.lines)
        for voice, members in zip(places, partition, strict=True):
            cost += _group_cost(members, quarter) + _step_cost(lines[voice], members, voice, quarter)
            offset = max(note.offset for note in members)
            lines[voice] = _Line(members[0].onset, offset, members[0].pitch, members[-1].pitch)
        if len(partition) > 1:
            cost += 0.8
        onset = partition[0][0].onset
        cost += _crossing(lines, places, onset)
        if first > 0 and not _sounds(lines[0], partition[0], quarter):
            cost += 0.8  # a lower voice alone: one line is not shared out by its leaps
        yield _State(cost, tuple(lines), tuple(zip(places, partition, strict=True)), state)


def _sounds(line: _Line | None, members: tuple[Placed, ...], quarter: int) -> bool:
    """Whether a voice goes on under the beginning of these notes by more than legato does."""
    over = line.offset - members[0].onset if line else 0
    return over > max(quarter // 8, 0.4 * (members[0].offset - members[0].onset))


def _group_cost(members: tuple[Placed, ...], quarter: int) -> float:
    """What it costs to give notes of several lengths one."""
    if len(members) == 1:
        return 0.0
    lengths = [note.offset - note.onset for note in members]
    longest = max(lengths)
    return 0.8 * sum(min((longest - length) / quarter, 2.0) * (1 - length / longest) for length in lengths)


def _step_cost(line: _Line | None, members: tuple[Placed, ...], voice: int, quarter: int) -> float:
    """What it costs that a voice goes on with these notes."""
    if line is None:
        return 1.5 * voice
    onset = members[0].onset
    late = (line.offset - onset) / max(line.offset - line.onset, 1)  # the share of the last chord that is cut
    cut = min((line.offset - onset) / quarter, 2.0) * late if late > _LEGATO else 0.0
    rest = min(max(onset - line.offset, 0) / quarter, 2.0) * 0.15
    leap = abs(members[-1].pitch - line.high) if voice == 0 else abs(members[0].pitch - line.low)
    return 1.2 * cut + rest + 0.02 * min(leap, 24) + 0.1 * voice


def _crossing(lines: list[_Line | None], places: tuple[int, ...], onset: int) -> float:
    """What it costs that a voice sounds above the one over it."""
    cost = 0.0
    for upper in range(len(lines) - 1):
        above, below = lines[upper], lines[upper + 1]
        if (upper in places or upper + 1 in places) and above and below and min(above.offset, below.offset) > onset:
            cost += 0.5 + 0.1 * (below.high - above.low) if below.high >= above.low else 0.0
    return cost
