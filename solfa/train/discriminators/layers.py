"""What the families of discriminators are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class DiscriminatorOutput:
    """What one sub-discriminator says of a batch."""

    logits: Tensor  # [B, 1, ...], high for real
    features: tuple[Tensor, ...]  # the activations before the logits, [B, width, ...] each, for feature matching


class Stack(nn.Module):
    """Convolutions with leaky ReLUs; gives every activation."""

    def __init__(self, convs: list[nn.Module], slope: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.slope = slope

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), self.slope)
            features.append(x)
        return features


def conv2d(
    width_in: int,
    width_out: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> nn.Conv2d:
    """A convolution padded so that a stride of 1 keeps the size (odd kernels)."""
    padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    return nn.Conv2d(width_in, width_out, kernel, stride, (padding[0], padding[1]), dilation)


def spectrum(x: Tensor, window: Tensor) -> Tensor:
    """STFT of `[B, C, S]` without padding, hop a quarter window: `[B, 2C, T, F]`, reals then imaginaries.

    In float32 whatever the audio's dtype, for the sake of the quiet bins.
    """
    size = len(window)
    if x.shape[-1] < size:
        raise ValueError(f"window {size} needs at least {size} samples, got {x.shape[-1]}")
    z = torch.stft(x.float().flatten(0, 1), size, size // 4, window=window.float(), center=False, return_complex=True)
    z = z.unflatten(0, x.shape[:2]).transpose(-1, -2)  # [B, C, T, F]
    return torch.cat([z.real, z.imag], dim=1)
