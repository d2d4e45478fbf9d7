"""The layers of a codec's stack on rows `[S, C]`, one recording at a time, for speed on the CPU and without gradients.

Time runs along the rows and the channels of a moment lie side by side, so every product of a convolution is a matrix product of a piece
of memory as it lies there. Each layer runs in blocks that fit the cache: activation, convolution and sum of a block before the next one
is begun. A block's shape depends on the layer alone, so what is computed for a row does not depend on which other blocks are needed.

A convolution sees the ends of the signal as `nn.conv` says: rows outside the span are overwritten by its padding. The results are those
of the layers themselves, to rounding.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.nn import kernels
from solfa.nn.activations import ELU, Snake
from solfa.nn.conv import Conv1d, ConvTranspose1d

BLOCK = 1 << 17  # values of a block: half a megabyte
FEWEST = 128  # rows of a block, at least: matrix products of fewer are slow
FEWEST_TILED = 900  # the same for the Fourier form, which sees ten rows as one
MOST_PLANES = (
    1 << 24
)  # values of a layer's weights in the Fourier form, at most; wider layers have few rows and gain little
Act: TypeAlias = "ELU | Snake | None"


@dataclass
class Rows:
    """Rows `[before + size + after, C]` of which `size` are a signal's; the others are room for the padding of the layer that reads them.

    [start, end) of the signal's rows are inside the span.
    """

    data: Tensor
    before: int
    size: int
    start: int
    end: int

    @property
    def signal(self) -> Tensor:
        """The signal's rows `[size, C]`."""
        return self.data[self.before : self.before + self.size]

    def pad(self, conv: Conv1d | ConvTranspose1d) -> None:
        """Overwrite the rows outside the span by zeros, or as far as the layer's reflection reaches, by that."""
        first, last = self.before + self.start, self.before + self.end
        self.data[:first].zero_()
        self.data[last:].zero_()
        if not isinstance(conv, Conv1d) or not conv.reflect or not self.end > self.start:
            return
        inside = self.end - self.start
        after = conv.right + -inside % conv.stride
        turn = max(inside - 1, conv.left, after)  # a signal no longer than the border is extended by zeros first
        if conv.left:
            self.data[first - conv.left : first] = self.data[first + 1 : first + 1 + conv.left].flip(0)
        least = max(0, 2 * turn - (inside + after - 1))
        if least < turn:
            self.data[first + turn + 1 : first + 2 * turn + 1 - least] = self.data[first + least : first + turn].flip(0)


class Scratch(threading.local):
    """Memory of this thread for each purpose, kept from call to call: to get megabytes from the system costs more than to fill them."""

    def __init__(self) -> None:
        self.flat: dict[str, Tensor] = {}

    def get(self, purpose: str, rows: int, channels: int) -> Tensor:
        """Rows `[rows, channels]`, whatever they hold; they are the purpose's until it is asked for again."""
        size = rows * channels
        if purpose not in self.flat or self.flat[purpose].numel() < size:
            self.flat[purpose] = torch.empty(size)
        return self.flat[purpose][:size].view(rows, channels)


scratch = Scratch()


class Activation:
    """ELU, Snake or nothing on rows."""

    def __init__(self, layer: Act) -> None:
        self.alpha = self.inverse = None
        self.none = layer is None
        if isinstance(layer, Snake):
            alpha = layer.alpha.detach().flatten().float()
            self.alpha = alpha.abs().clamp(min=1e-9).copysign(alpha)
            self.inverse = self.alpha.reciprocal()

    def __call__(self, x: Tensor, out: Tensor) -> Tensor:
        """The activation of x, in `out`, which may be x; without an activation, x itself."""
        if self.none:
            return x
        if self.alpha is None or self.inverse is None:
            kernels.elu(x, out)
        else:
            kernels.snake(x, self.alpha, self.inverse, out)
        return out


class BlockConv:
    """A convolution of stride 1 on a block of padded rows. How it is computed is chosen by its shape; see `fourier.c` for one way."""

    def __init__(self, conv: Conv1d) -> None:
        weight, bias = conv.conv.weight.detach(), conv.conv.bias
        assert bias is not None
        self.wide, self.width, self.taps = weight.shape
        self.dilation = conv.conv.dilation[0]
        self.bias = bias.detach()
        self.grain = 1  # rows that a block is made of
        big = min(self.width, self.wide) >= 32 and self.width * self.wide * kernels.PLANES <= MOST_PLANES
        if self.taps == kernels.TAPS and big and kernels.compiled():
            self.way, self.weight = "fourier", kernels.fourier_weights(weight)
            self.grain = kernels.TILE * self.dilation
        elif self.width >= 256 or self.taps == 1:
            self.way, self.weight = "products", weight.permute(2, 1, 0).contiguous()  # [k, in, out]
        elif self.width < 8:
            self.way, self.weight = "unfolded", weight.flatten(1).T.contiguous()  # [in * k, out]
        else:
            self.way = "direct"
            self.weight = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor, rows: int) -> Tensor:
        """`[rows + (k - 1) * dilation, in]` or more to `[rows, out]`, rows a multiple of `grain`."""
        if self.way == "fourier":
            tiles = rows // kernels.TILE
            spare = [
                scratch.get(f"plane{i}", 1, kernels.fourier_scratch(tiles, c))[0]
                for i, c in enumerate((self.width, self.wide))
            ]
            out = scratch.get("conv", rows, self.wide)
            kernels.fourier_conv(x, self.weight, self.bias, tiles, self.dilation, (spare[0], spare[1]), out)
            return out
        if self.way == "products":
            out = torch.addmm(self.bias, x[:rows], self.weight[0], out=scratch.get("conv", rows, self.wide))
            for tap in range(1, self.taps):
                out.addmm_(x[tap * self.dilation :][:rows], self.weight[tap])
            return out
        x = x[: rows + (self.taps - 1) * self.dilation]
        if self.way == "unfolded":
            parts = [x[tap * self.dilation :][:rows] for tap in range(self.taps)]
            return torch.addmm(self.bias, torch.stack(parts, 2).flatten(1), self.weight)
        y = F.conv2d(x.T[None, :, None], self.weight, self.bias, dilation=(1, self.dilation))
        return y[0, :, 0].T


def block_rows(channels: int, grain: int = 1) -> int:
    """Rows of a block, a multiple of the grain."""
    rows = max(FEWEST if grain == 1 else FEWEST_TILED, BLOCK // channels)
    return -(-rows // grain) * grain
