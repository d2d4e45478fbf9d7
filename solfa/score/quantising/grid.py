"""Places on a grid: for every beat one division (halves, quarters, thirds ...) that all events within it share.

The divisions of a whole piece are chosen together, by the least cost along a path over its beats: the squared distance of events to their
places in units of their spread, what a place on so fine a division costs (the logarithm of the number of places), events that would fall
together though they were apart, and a change between duple and triple.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNITS = 24  # places are whole numbers of this part of a beat, so that halves, thirds, quarters, sixths and eighths are exact


@dataclass(frozen=True)
class Division:
    """`count` equal parts of a beat, what it costs to use them in one beat, and whether they are duple or triple (1: neither)."""

    count: int
    cost: float
    family: int


DUPLE = (Division(1, 0.0, 1), Division(2, 0.3, 2), Division(4, 0.8, 2), Division(8, 5.0, 2))
TRIPLE = (Division(3, 1.6, 3), Division(6, 3.5, 3))
COMPOUND = (
    Division(1, 0.0, 1),
    Division(3, 0.3, 1),
    Division(6, 0.9, 3),
    Division(12, 5.0, 3),
    Division(2, 3.0, 2),
    Division(4, 4.5, 2),
)
_CHANGE = 1.0  # from a duple beat to a triple one or back
_CLASH = 2.5  # for two events that were apart and fall on one place


def place(
    beats: np.ndarray, seconds: np.ndarray, weights: np.ndarray, divisions: Sequence[Division], spread: float
) -> np.ndarray:
    """The places [E] of events in 1/24 beats, int64.

    beats [E]: times in beats (rising); seconds [E]: how long a beat is there; weights [E]: how much each event counts; `spread`: the
    standard deviation (seconds) of events around their place. Order is kept: places never fall.
    """
    if not len(beats):
        return np.zeros(0, dtype=np.int64)
    counts = np.array([division.count for division in divisions])
    nearest = np.round(beats[:, None] * counts) * (UNITS // counts)  # [E, M] in units
    away = (beats[:, None] - nearest / UNITS) * seconds[:, None] / spread
    cost = weights[:, None] * (0.5 * np.minimum(away**2, 16.0)) + 0.8 * np.log(counts)
    # Two events at one place though they came apart: the later pays, more the further apart they are.
    apart = np.diff(beats) * seconds[1:] / spread
    cost[1:] += (nearest[1:] == nearest[:-1]) * (_CLASH * np.clip(apart / 2 - 0.5, 0.0, 2.0))[:, None]
    # An event belongs to the beat whose coarse place it could fall on: a little before a beat counts as on it.
    cells = np.floor(beats + np.minimum(0.08, spread / seconds)).astype(np.int64)
    used, index = np.unique(cells, return_inverse=True)
    table = np.zeros((len(used), len(divisions)))
    np.add.at(table, index, cost)
    chosen = _choose(table + [division.cost for division in divisions], used, [d.family for d in divisions])
    return np.maximum.accumulate(nearest[np.arange(len(beats)), chosen[index]].astype(np.int64))


def _choose(table: np.ndarray, cells: np.ndarray, families: list[int]) -> np.ndarray:
    """The division [C] of every cell along the path of least cost."""
    kinds = np.array(families)
    change = np.where((kinds[:, None] != kinds) & (kinds[:, None] > 1) & (kinds > 1), _CHANGE, 0.0)  # [from, to]
    # Leaving one family through plain beats costs half, so that triplets stand together.
    change += np.where((kinds[:, None] == 1) != (kinds == 1), 0.25, 0.0)
    total = table[0].copy()
    back = np.zeros(table.shape, dtype=np.int64)
    for cell in range(1, len(table)):
        arriving = total[:, None] + (change if cells[cell] - cells[cell - 1] < 4 else 0.0)
        back[cell] = arriving.argmin(axis=0)
        total = arriving.min(axis=0) + table[cell]
    state = int(total.argmin())
    result = np.zeros(len(table), dtype=np.int64)
    for cell in range(len(table) - 1, -1, -1):
        result[cell] = state
        state = int(back[cell, state])
    return result
