"""A layer on the map of pitches [B, C, T, P], the same for all of them, so that what is learnt of one is known of all.

As the harmonic layers of HPPNet (Wei et al., 2022, arXiv 2208.14339). There fixed intervals are heard together (octave, twelfth, ...); here
every interval has a weight of its own, and training finds which matter.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

KERNEL = 5  # frames that a layer sees


class PitchLayer(nn.Module):
    """x + time(gelu(x + intervals(x))): each channel's pitches weighted by their interval, then a convolution in time over all channels."""

    def __init__(self, channels: int, pitches: int) -> None:
        super().__init__()
        self.intervals = nn.Parameter(torch.empty(channels, 2 * pitches - 1))
        nn.init.normal_(self.intervals, 0.0, pitches**-0.5)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.time = nn.Conv2d(channels, channels, (KERNEL, 1), padding=(KERNEL // 2, 0))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:  # [B, C, T, P]
        # In bfloat16 all of the map is.
        y = _Across.apply(x, toeplitz(self.intervals).to(x.dtype), self.bias.to(x.dtype))
        y = y if mask is None else y * mask[:, None, :, None]
        return x + _Laid.apply(self.time(y))


def toeplitz(diagonals: Tensor) -> Tensor:
    """[..., 2 P - 1] as matrices [..., P, P] whose row p, column q holds diagonal q - p + P - 1."""
    pitches = (diagonals.shape[-1] + 1) // 2
    return diagonals.unfold(-1, pitches, 1).flip(-2)


class _Across(torch.autograd.Function):
    """gelu(x + x @ matrices + bias), laid channels-last, which in bfloat16 makes the convolution after it faster on a CPU.

    Its backward pass is written out because autograd's is slow on a CPU: the gradient comes back channels-last to where x is not, each
    elementwise step then walks through memory in strides, and the bias's is summed ten times slower than row by row.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrices: Tensor, bias: Tensor) -> Tensor:  # [B, C, T, P], [C, P, P], [C, 1, 1]
        bent = (x @ matrices).add_(x).add_(bias)
        ctx.save_for_backward(x, matrices, bent)
        return F.gelu(bent).contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, matrices, bent = ctx.saved_tensors
        back = torch.ops.aten.gelu_backward(gradient.contiguous(), bent)
        of_bias = back.flatten(2).sum(-1).sum(0)
        of_matrices = (x.transpose(-1, -2) @ back).sum(0)
        return (back @ matrices.transpose(-1, -2)).add_(back), of_matrices, of_bias[:, None, None]


class _Laid(torch.autograd.Function):
    """What is channels-last laid out as the map is; its gradient the other way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous(memory_format=torch.channels_last)
