"""Two hands on a keyboard: where the left ends and the right begins, at every onset, by dynamic programming.

The dividing pitch moves slowly, stays out of the middle of what is played together, and keeps either hand within a stretch of about a
ninth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

KEYBOARDS = frozenset({*range(9), *range(16, 21), 46})  # pianos, harpsichord, celesta, organs, and the harp
_LOW, _HIGH = 40, 81  # legal dividing pitches: the left hand plays what is below
_STRETCH = 13  # semitones that a hand spans without effort


def left_hand(onsets: Sequence[int], pitches: Sequence[int], quarter: int) -> np.ndarray:
    """Which notes [N] the left hand plays (bool). `onsets` in units of which `quarter` make a quarter note, in order."""
    if not len(onsets):
        return np.zeros(0, dtype=bool)
    times = np.asarray(onsets)
    keys = np.asarray(pitches)
    starts = np.flatnonzero(np.diff(times, prepend=times[0] - 1))
    slices = np.split(keys, starts[1:])
    splits = np.arange(_LOW, _HIGH)
    costs = np.stack([_cost(chord, splits) for chord in slices])  # [slices, splits]
    distance = np.abs(splits[:, None] - splits)
    gaps = np.diff(times[starts], prepend=times[0]) / quarter
    total, back = costs[0], np.zeros(costs.shape, dtype=np.int16)
    for index in range(1, len(costs)):
        arriving = total[:, None] + distance * (0.25 / (1.0 + gaps[index]))
        back[index] = arriving.argmin(axis=0)
        total = arriving.min(axis=0) + costs[index]
    state = int(total.argmin())
    chosen = np.zeros(len(costs), dtype=np.int64)
    for index in range(len(costs) - 1, -1, -1):
        chosen[index] = state
        state = int(back[index, state])
    slice_of = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(times)))
    return keys < splits[chosen[slice_of]]


def _cost(chord: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """What each dividing pitch costs for notes struck together."""
    cost = 0.15 * ((splits - 60) / 12.0) ** 2
    below = chord[None, :] < splits[:, None]  # [splits, notes]
    for side in (below, ~below):
        high = np.where(side, chord, -1).max(axis=1)
        low = np.where(side, chord, 200).min(axis=1)
        count = side.sum(axis=1)
        cost = (
            cost + np.where(count > 1, np.maximum(0, high - low - _STRETCH) * 0.8, 0.0) + 2.0 * np.maximum(0, count - 5)
        )
    near = np.abs(chord[None, :] - (splits[:, None] - 0.5))
    return cost + 0.35 * np.maximum(0.0, 3.5 - near).sum(axis=1)
