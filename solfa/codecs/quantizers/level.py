"""What a level of a residual quantizer is: one codebook on vectors [B, T, D]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class LevelOutput:
    """quantized: what the level adds, with gradients to its own weights only. loss: one an item."""

    quantized: Tensor  # [B, T, D]
    codes: Tensor  # [B, T, H]
    loss: Tensor  # [B]
    regularisation: Tensor | float = 0.0


class Level(nn.Module, ABC):
    """Quantizes vectors [B, T, D] with H codes each: H heads that share one codebook."""

    @abstractmethod
    def forward(self, residual: Tensor) -> LevelOutput:
        """Quantize vectors [B, T, D]; in training, also move the codebook."""

    @abstractmethod
    def encode(self, residual: Tensor) -> Tensor:
        """Codes [B, T, H] of vectors [B, T, D]; nothing is changed."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Vectors [B, T, D] of codes [B, T, H]."""


def mean_square(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each item, [B], of a and b [B, ...]."""
    return (a - b).square().flatten(1).mean(dim=1)
