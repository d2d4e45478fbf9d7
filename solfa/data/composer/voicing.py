"""Voice-leading: chords as pitches, each chord close to the one before."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, product

from solfa.data.composer.harmony import Plan
from solfa.data.composer.theory import Chord, nearest


def _tones(chord: Chord, count: int, rootless: bool) -> list[int]:
    """The pitch classes to sound: the colour tones first where there are more than voices."""
    classes = list(chord.pitches)
    if rootless and len(classes) > 3:
        classes = classes[1:]
    if len(classes) > count:
        fifth = chord.pitches[2] if len(chord.pitches) > 3 else None
        classes = [p for p in classes if p != fifth][:count] if fifth is not None else classes[:count]
    return classes


def voicings(
    chords: tuple[Chord, ...], low: int, high: int, count: int, rootless: bool = False
) -> list[tuple[int, ...]]:
    """Every chord in close position (or with its second voice from the top dropped an octave) between `low` and `high`,
    chosen so that the voices move least. Each is sorted, lowest first."""
    middle = (low + high) // 2
    before: tuple[int, ...] = ()
    result = []
    for chord in chords:
        classes = _tones(chord, count, rootless)
        best, best_cost = None, 1 << 30
        for start in range(low, high + 1):
            if start % 12 not in classes:
                continue
            close = [start]
            while len(close) < min(count, max(3, len(classes))):
                following = close[-1] + 1
                while following % 12 not in classes:
                    following += 1
                close.append(following)
            for shape in (tuple(close), _dropped(close)):
                if shape[-1] > high or shape[0] < low:
                    continue
                cost = abs(sum(shape) // len(shape) - middle)
                if before:
                    cost += 3 * sum(abs(a - b) for a, b in zip(shape, before, strict=False))
                if cost < best_cost:
                    best, best_cost = shape, cost
        if best is None:  # a range too narrow for close position
            best = tuple(sorted({nearest(middle, (p,)) for p in classes[:count]}))
        before = best
        result.append(best)
    return result


def _dropped(close: list[int]) -> tuple[int, ...]:
    return tuple(sorted([*close[:-2], close[-2] - 12, close[-1]])) if len(close) > 3 else tuple(close)


def bass_line(plan: Plan, low: int, high: int) -> dict[int, int]:
    """The bass pitch at the start of every chord: the nearest to the one before, drawn to the middle of its range."""
    pitch = (low + high) // 2
    middle = pitch
    result: dict[int, int] = {}
    for chord in plan.chords:
        options = [p for p in range(low, high + 1) if p % 12 == chord.bass]
        pitch = (
            min(options, key=lambda p: (2 * abs(p - pitch) + abs(p - middle), p))
            if options
            else nearest(middle, (chord.bass,))
        )
        result[chord.start] = pitch
    return result


def four_parts(plan: Plan, ranges: tuple[tuple[int, int], ...]) -> list[tuple[int, ...]]:
    """Soprano, alto, tenor and bass (or fewer voices) for every chord, by the rules of four-part writing: complete chords, no
    crossing, no parallel fifths or octaves between any two voices, small motion, contrary motion preferred.

    `ranges` are (low, high) from the top voice down. Each result is from the top down."""
    middles = [(low + high) // 2 for low, high in ranges]
    bass = bass_line(plan, *ranges[-1])
    before: tuple[int, ...] | None = None
    result = []
    for chord in plan.chords:
        best = _best(chord, (bass[chord.start],), ranges, middles, before, 4 if before else 8)
        if before is not None and (parallels(before, best) or _crossed(best)):
            # No good way nearby: let the voices go further, and the bass to its other octave.
            low, high = ranges[-1]
            basses = tuple(p for p in range(low, high + 1) if p % 12 == chord.bass) or (bass[chord.start],)
            best = _best(chord, basses, ranges, middles, before, 7)
        before = best
        result.append(best)
    return result


def _best(
    chord: Chord, basses: tuple[int, ...], ranges: tuple[tuple[int, int], ...], middles: list[int],
    before: tuple[int, ...] | None, reach: int,
) -> tuple[int, ...]:  # fmt: skip
    """The cheapest way to set a chord, each upper voice within `reach` semitones of where it was."""
    choices: list[Iterable[int]] = []
    for index, (bottom, top) in enumerate(ranges[:-1]):
        near = before[index] if before else middles[index]
        options = [p for p in range(max(bottom, near - reach), min(top, near + reach) + 1) if p % 12 in chord.pitches]
        choices.append(options or [nearest(middles[index], chord.pitches)])
    return min(product(*choices, basses), key=lambda voices: (_cost(voices, before, chord, middles), voices))


def _crossed(voices: tuple[int, ...]) -> bool:
    return any(upper <= lower for upper, lower in pairwise(voices))


def _cost(voices: tuple[int, ...], before: tuple[int, ...] | None, chord: Chord, middles: list[int]) -> int:
    cost = 0
    for upper, lower in pairwise(voices):
        if upper <= lower:
            cost += 400
    for upper, lower in pairwise(voices[:-1]):
        if upper - lower > 12:
            cost += 30
    sounding = {pitch % 12 for pitch in voices}
    cost += 25 * sum(1 for pitch in chord.pitches if pitch not in sounding) if len(voices) > 3 else 0
    cost += 25 if chord.pitches[1] not in sounding else 0
    if before is None:
        return cost + sum(abs(p - m) for p, m in zip(voices, middles, strict=True))
    moves = [b - a for a, b in zip(before, voices, strict=True)]
    cost += (
        sum(abs(move) for move in moves[:-1]) * 2
        + abs(moves[-1])
        + sum(abs(p - m) for p, m in zip(voices, middles, strict=True)) // 2
    )
    if not moves[0]:
        cost += 3  # a top voice that stands still is no tune
    elif (moves[0] > 0) == (moves[-1] > 0) and moves[-1]:
        cost += 2
    return cost + 150 * parallels(before, voices)


def parallels(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """How many pairs of voices move in parallel fifths, octaves or unisons from one chord to the next."""
    count = 0
    for i in range(len(before)):
        for j in range(i):
            gap = (before[j] - before[i]) % 12
            if gap in (0, 7) and (after[j] - after[i]) % 12 == gap and after[i] != before[i] and after[j] != before[j]:
                count += 1
    return count
