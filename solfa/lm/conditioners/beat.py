"""Where in the beat and in the bar each step lies, added to what a model reads: so a small model need not keep a tempo by itself.

Rhythm conditioning as MusiConGen has it (Lan et al., 2024, arXiv 2407.15060), where frames are marked that have a beat or a downbeat. Ours
is a phase: every frame says how far it is from both, so that it also tells where the next ones come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solfa.lm.conditioners.grid import Grid

METRES = ((3, 2), (4, 2), (2, 3))  # beats in a bar and parts of a beat: 3/4, 4/4, 6/8; all others are one more
USUAL_TEMPO = 120.0
MOST = 32  # harmonics


@dataclass(frozen=True)
class BeatConfig:
    """How a grid is told: `beat` harmonics of the phase in the beat, `bar` harmonics of the phase in the bar."""

    beat: int = 4
    bar: int = 3

    def __post_init__(self) -> None:
        for name in ("beat", "bar"):
            if not 1 <= getattr(self, name) <= MOST:
                raise ValueError(f"{name} is {getattr(self, name)}: harmonics, between 1 and {MOST}")

    @property
    def features(self) -> int:
        """How many numbers each step has."""
        return 2 * (self.beat + self.bar) + len(METRES) + 2


class Beat(nn.Module):
    """Grids to vectors [B, S, D] that are added to the steps. The layer begins at zero: a model that gets it is what it was."""

    def __init__(self, config: BeatConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Linear(config.features, width, bias=False)
        nn.init.zeros_(self.project.weight)

    def features(self, grids: Sequence[Grid | None], frames: Tensor, frame_rate: float) -> Tensor:
        """[B, S, F] of B grids at the frames [S], on the CPU: what is true at the beginning of each frame. None gives zeros.

        Cosines, then sines, of the beat's phase times 1, 2 ...; the same of the bar's; whether the metre is 3/4, 4/4, 6/8 or another;
        the tempo in octaves above 120.
        """
        rows = torch.zeros(len(grids), len(frames), self.config.features, dtype=torch.float32)
        seconds = frames.cpu().double() / frame_rate
        for row, grid in zip(rows, grids, strict=True):
            if grid is not None:
                row.copy_(self._told(grid, seconds))
        return rows

    def _told(self, grid: Grid, seconds: Tensor) -> Tensor:
        beats = (seconds - grid.first) * (grid.tempo / 60)
        kind = METRES.index((grid.beats, grid.division)) if (grid.beats, grid.division) in METRES else len(METRES)
        steady = torch.zeros(len(seconds), len(METRES) + 2, dtype=torch.float64)
        steady[:, kind], steady[:, -1] = 1.0, math.log2(grid.tempo / USUAL_TEMPO)
        return torch.cat([_waves(beats, self.config.beat), _waves(beats / grid.beats, self.config.bar), steady], 1)

    def forward(self, features: Tensor) -> Tensor:
        """What `features` gave, projected: [B, S, D]. Zeros stay zeros."""
        return self.project(features.to(self.project.weight))


def _waves(turns: Tensor, harmonics: int) -> Tensor:
    """[S, 2 n]: cosines and sines of turns [S] times 1 to n."""
    angles = 2 * math.pi * (turns % 1)[:, None] * torch.arange(1, harmonics + 1, dtype=turns.dtype)
    return torch.cat([angles.cos(), angles.sin()], 1)
