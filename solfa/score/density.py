"""How busy a piece is: moments at which notes begin, a second, and the word for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from solfa.score.note import Note

DENSITIES = ("sparse", "medium", "dense")
SPARSE, DENSE = 2.0, 6.0  # onsets a second: below, above
TOGETHER = 0.03  # seconds


def onset_rate(notes: Sequence[Note]) -> float | None:
    """Onsets a second, from the first to the last end (a second at least); None for no notes.

    Notes that begin within 30 ms of the one before are one onset: a chord counts once, however many play.
    """
    if not notes:
        return None
    onsets = sorted(note.onset for note in notes)
    distinct = 1 + sum(1 for a, b in pairwise(onsets) if b - a > TOGETHER)
    return distinct / max(1.0, max(note.offset for note in notes) - onsets[0])


def density_of(rate: float) -> str:
    """Of `DENSITIES`: "sparse" below two onsets a second, "dense" above six."""
    return "sparse" if rate < SPARSE else "dense" if rate > DENSE else "medium"
