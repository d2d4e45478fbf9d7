"""Segments of a recording, and the spans of the sustain pedal: what events are written from beside notes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solfa.score import Score

PEDAL = -1  # stands for the pedal where a pitch would stand; sorts before all pitches
MIN_DURATION = 0.01  # seconds: what is shorter than this lasts so long, as in MT3
_NEAR = 1e-6  # of a step: nearer to a whole one is that one, as products of seconds are not exact
_MOST_SECONDS = 1e9


@dataclass(frozen=True, order=True)
class PedalSpan:
    """The sustain pedal of the instrument of `program` is down from `onset` to `offset` (seconds)."""

    onset: float
    offset: float
    program: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.onset <= self.offset < float("inf"):
            raise ValueError(f"pedal from {self.onset} to {self.offset} s: it needs 0 <= onset <= offset, both finite")
        if not 0 <= self.program <= 127:
            raise ValueError(f"pedal of program {self.program}: legal are 0 to 127")


@dataclass(frozen=True, order=True)
class Segment:
    """`seconds` of a recording from `start` (seconds) on. A last segment may end with the recording, or be padded behind it."""

    start: float
    seconds: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= _MOST_SECONDS or not 0.0 < self.seconds <= _MOST_SECONDS:
            raise ValueError(
                f"segment of {self.seconds} s from {self.start} s: it needs 0 <= start, 0 < seconds, both at most 1e9"
            )

    @property
    def end(self) -> float:
        return self.start + self.seconds

    def steps(self, steps_per_second: int) -> tuple[int, int]:
        """Its first step, and the first of the next segment: start and end floored, as MT3 floors 2.048 s to 2.04."""
        return math.floor(self.start * steps_per_second + _NEAR), math.floor(self.end * steps_per_second + _NEAR)


def pedal_spans(score: Score) -> list[PedalSpan]:
    """The pedals of a score, sorted, each with the program of its part; those of drums are left out."""
    parts = ((pedal, score.parts[pedal.part]) for pedal in score.pedals)
    return sorted(PedalSpan(pedal.onset, pedal.offset, part.program) for pedal, part in parts if not part.is_drum)
