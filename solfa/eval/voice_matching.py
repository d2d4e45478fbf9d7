"""Which voices of an estimate are which of a reference: edit distances of their pitches, and the pairing of least cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def edit_distances(sequence: Sequence[int], others: Sequence[Sequence[int]]) -> Ints:
    """Levenshtein's distance of a sequence to each of several, [V]: how many insertions, deletions and substitutions lead from one to
    the other, at least the difference and at most the larger of their lengths.

    One row of the usual table for all of the others at a time (Wagner and Fischer 1974), which lie end to end. An insertion depends on
    the cell to the left of it: the cheapest run of them is a running minimum, from which a ramp was taken that falls so far between one
    sequence and the next that no minimum runs on into it.
    """
    if not others:
        return np.zeros(0, np.int64)
    starts = np.cumsum(
        [0, *(len(other) + 1 for other in others)]
    )  # of each a cell for nothing yet, then one for each element
    place = np.concatenate([np.arange(len(other) + 1) for other in others])
    far = 2 * (len(sequence) + int(place.max()) + 1)
    ramp = place + far * np.repeat(np.arange(len(others)), np.diff(starts))
    first = place == 0
    symbols = np.zeros(len(place), np.int64)
    symbols[~first] = np.concatenate([np.asarray(other, np.int64) for other in others])
    row = place.astype(np.int64)
    for symbol in sequence:
        diagonal = np.roll(row, 1) + (symbols != symbol)
        diagonal[first] = far
        row = np.minimum.accumulate(np.minimum(row + 1, diagonal) - ramp) + ramp
    return row[starts[1:] - 1]


def cheapest_pairing(costs: Floats) -> Ints:
    """For each row of a square matrix [V, V] the column that it is paired with, so that the sum of costs is least.

    The Hungarian method by shortest paths (Jonker and Volgenant 1987), in V cubed steps. Of several best ones it is any.
    """
    size = len(costs)
    rows, columns = np.zeros(size + 1), np.zeros(size + 1)  # potentials; column 0 is where each search begins
    holder = np.zeros(size + 1, np.int64)  # of each column, the row from 1, or 0 for none
    for row in range(1, size + 1):
        holder[0] = row
        best, came_from = np.full(size + 1, np.inf), np.zeros(size + 1, np.int64)
        seen, here = np.zeros(size + 1, np.bool_), 0
        while holder[here]:
            seen[here] = True
            reached = costs[holder[here] - 1] - rows[holder[here]] - columns[1:]
            nearer = ~seen[1:] & (reached < best[1:])
            best[1:][nearer], came_from[1:][nearer] = reached[nearer], here
            step = np.where(seen, np.inf, best)
            step[0] = np.inf
            after = int(step.argmin())
            rows[holder[seen]] += step[after]
            columns[seen] -= step[after]
            best[~seen] -= step[after]
            here = after
        while here:
            holder[here] = holder[came_from[here]]
            here = int(came_from[here])
    pairing = np.zeros(size, np.int64)
    pairing[holder[1:] - 1] = np.arange(size)
    return pairing
