"""Activations of the codec stacks: ELU (SoundStream, EnCodec) and Snake (Ziyin et al. 2020, arXiv 2006.08195; DAC)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.nn.streaming import Layer, Span


class ELU(Layer):
    """x where x > 0, else exp(x) - 1."""

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        return F.elu(x)


def snake(x: Tensor, alpha: Tensor) -> Tensor:
    """x + sin(alpha x)^2 / alpha, in `x`'s dtype; `alpha` broadcasts against `x`.

    Safe for every alpha: values nearer to zero than 1e-9 are moved out to that distance, keeping their sign, and still
    receive the gradient of where they stand. The arithmetic runs in float32 or wider, where the reciprocals and their
    squares fit. Elementwise throughout, so that torch.compile makes one kernel of it.
    """
    alpha = alpha.to(torch.promote_types(alpha.dtype, torch.float32))
    clear = alpha.abs().clamp(min=1e-9).copysign(alpha)
    alpha = alpha + (clear - alpha).detach()
    wave = x * alpha
    if torch.is_grad_enabled() and wave.requires_grad:
        return torch.addcmul(x, wave.sin().square(), alpha.reciprocal()).to(x.dtype)
    # Without a gradient to keep, one temporary is enough: in eager mode Snake costs memory traffic, not arithmetic.
    wave.sin_().square_().mul_(alpha.reciprocal())
    return wave.add_(x).to(x.dtype)


class Snake(Layer):
    """`snake` with a trained alpha for each channel, `[1, C, 1]`, 1 at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        return snake(x, self.alpha)


ACTIVATIONS = ("elu", "snake")


def activation(name: str, channels: int) -> Layer:
    """The activation of this name. Raises ValueError for a name not in ACTIVATIONS."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ELU() if name == "elu" else Snake(channels)
