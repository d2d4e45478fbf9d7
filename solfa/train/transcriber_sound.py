"""What is changed of the sound that a transcriber hears while it learns: pitch and level, where codes could not be changed.

Levels by pitch (`audio.bands`) are transposed by moving them along their axis; the notes go with them. A level in decibels is added to,
evenly and as a smooth curve over the bands, as another microphone or room would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from solfa.audio.bands import FLOOR, PER_SEMITONE, WINDOWS

KNOTS = 6  # of the curve over the bands


@dataclass(frozen=True)
class SoundChanges:
    """What is drawn for each crop; nothing by default.

    transpose: semitones up or down at most, whole ones. detune: the share of crops that are a third of a semitone off. level: dB up or down
    at most. tilt: dB up or down at most of a curve over the bands.
    """

    transpose: int = 0
    detune: float = 0.0
    level: float = 0.0
    tilt: float = 0.0

    def __post_init__(self) -> None:
        for each, most in zip(fields(self), (24, 1, 60, 60), strict=True):
            if not 0 <= getattr(self, each.name) <= most:
                raise ValueError(f"{each.name} is {getattr(self, each.name)}: it must lie between 0 and {most}")

    def draw(self, rng: np.random.Generator) -> SoundChange:
        off = int(rng.integers(0, 2)) * 2 - 1 if rng.random() < self.detune else 0
        steps = PER_SEMITONE * int(rng.integers(-self.transpose, self.transpose + 1)) + off
        level = rng.uniform(-self.level, self.level)
        return SoundChange(steps, tuple((level + rng.uniform(-self.tilt, self.tilt, KNOTS)).tolist()))


@dataclass(frozen=True)
class SoundChange:
    """Of one crop. steps: bands upward, thirds of a semitone; curve: dB, from the lowest band to the highest."""

    steps: int = 0
    curve: tuple[float, ...] = (0.0,) * KNOTS

    @property
    def transpose(self) -> int:
        """Semitones, for the notes."""
        return round(self.steps / PER_SEMITONE)


def changed(sound: Tensor, changes: Sequence[SoundChange]) -> Tensor:
    """Levels [B, D, T] of crops with their changes, one a row; nothing is lower than silence, 0."""
    levels = sound.unflatten(1, (len(WINDOWS), -1)).clone()  # [B, W, bands, T]
    count = levels.shape[2]
    for row, change in zip(levels, changes, strict=True):
        steps = max(-count, min(count, change.steps))
        if steps:
            moved = torch.zeros_like(row)
            moved[:, max(0, steps) : count + min(0, steps)] = row[:, max(0, -steps) : count - max(0, steps)]
            row.copy_(moved)
        at = np.linspace(0, len(change.curve) - 1, count)
        gain = np.interp(at, np.arange(len(change.curve)), change.curve) / -FLOOR
        row += torch.from_numpy(gain).to(row)[:, None]
    return levels.clamp_(min=0).flatten(1, 2)
