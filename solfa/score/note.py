"""One note: the atom that the composer writes, the renderer plays and the transcriber finds."""

from __future__ import annotations

import sys
from dataclasses import dataclass

LAST = sys.float_info.max


@dataclass(frozen=True, order=True, slots=True)
class Note:
    """A note on the time line. Notes sort by onset, then offset, then pitch.

    `onset` and `offset` are seconds from the start, 0 <= onset <= offset. `pitch` is a MIDI number (60 is middle C; for
    drums the General MIDI percussion key), `velocity` 1 to 127, `program` a General MIDI program counted from 0 (for
    drums the kit). Raises ValueError for anything outside these ranges.
    """

    onset: float
    offset: float
    pitch: int
    velocity: int = 80
    program: int = 0
    is_drum: bool = False

    def __post_init__(self) -> None:
        # Chained comparisons are false for NaN and the upper bound shuts out infinity, and integers that no float holds.
        if not 0.0 <= self.onset <= self.offset <= LAST:
            raise ValueError(f"note from {self.onset} to {self.offset} s: it needs 0 <= onset <= offset, both finite")
        if not 0 <= self.pitch <= 127:
            raise ValueError(f"pitch {self.pitch}: legal are 0 to 127")
        if not 1 <= self.velocity <= 127:
            raise ValueError(f"velocity {self.velocity}: legal are 1 to 127")
        if not 0 <= self.program <= 127:
            raise ValueError(f"program {self.program}: legal are 0 to 127")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.offset - self.onset
