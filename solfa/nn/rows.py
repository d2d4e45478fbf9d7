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

BLOCK = 1 << 18  # values of a block: a megabyte
FEWEST = 128  # rows of a block, at least: matrix products of fewer are slow
# The same for the Fourier form, which sees ten rows as one and needs more memory.
BLOCK_TILED, FEWEST_TILED = 1 << 17, 900
MOST_PLANES = (
    1 << 24
)  # values of a layer's weights in the Fourier form, at most; wider layers have few rows and gain little
FEW_COLUMNS = 3  # columns that are computed one by one
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
            self.flat[purpose] = torch.empty(size, dtype=torch.float32)
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


class Product:
    """Rows times a matrix `[K, N]`, and a bias: by compiled kernels, or in torch."""

    def __init__(self, matrix: Tensor, bias: Tensor) -> None:
        self.wide = matrix.shape[1]
        self.bias, self.weight = bias.detach(), matrix.detach().contiguous()
        self.columns: list[float] = []  # their biases, where there are too few for a panel
        if not kernels.compiled():
            return
        if self.wide <= FEW_COLUMNS:
            self.columns, self.weight = self.bias.tolist(), self.weight.T.contiguous()
        else:
            self.weight = kernels.product_weights(matrix)
            self.bias = F.pad(self.bias, (0, -self.wide % kernels.PANEL))

    def __call__(self, x: Tensor, out: Tensor, more: Tensor | None = None, beside: Tensor | None = None) -> Tensor:
        """out `[rows, N]` = bias + rows of x `[rows, parts, width]` and, below them, of more, times the matrix, + beside."""
        if not kernels.compiled():
            deep = x.shape[1] * x.shape[2]
            torch.addmm(self.bias, x.flatten(1), self.weight[:deep], out=out)
            if more is not None:
                out.addmm_(more, self.weight[deep:])
            return out if beside is None else out.add_(beside)
        if not self.columns:
            kernels.product(x, self.weight, self.bias, out, more, beside)
            return out
        if more is not None:
            x = torch.cat([x.flatten(1), more], 1)[:, None]
        for i, bias in enumerate(self.columns):
            kernels.column(x, self.weight[i], bias, out[:, i])
        return out if beside is None else out.add_(beside)


class TwoTaps:
    """Two taps, out i = bias + x i times one matrix `[K, N]` + x i+1 times another, as three products for two rows instead of four.

    With d i = x i - x i+1: out 0 = x 1 (a + b) + d 0 a, and out 1 = x 1 (a + b) - d 1 b. (Karatsuba's; in Winograd's words F(2, 2).)
    """

    def __init__(self, first: Tensor, second: Tensor, bias: Tensor) -> None:
        self.wide = first.shape[1]
        self.both = Product(first.detach() + second.detach(), torch.zeros_like(bias))
        self.first, self.second = Product(first, bias), Product(-second, bias)

    def __call__(self, x: Tensor, out: Tensor) -> Tensor:
        """x `[rows + 1, K]`, contiguous, to out `[rows, N]`."""
        rows = len(out)
        less = torch.sub(x[:-1], x[1:], out=scratch.get("less", rows, x.shape[1]))[:, None]
        middle = self.both(x[1::2, None], scratch.get("middle", (rows + 1) // 2, self.wide))
        self.first(less[::2], out[::2], beside=middle)
        self.second(less[1::2], out[1::2], beside=middle[: rows // 2])
        return out


class BlockConv:
    """A convolution of stride 1 on a block of padded rows: a product with all its taps, or the Fourier form (see `fourier.c`)."""

    def __init__(self, conv: Conv1d, tiled: bool) -> None:
        """tiled: whether the Fourier form may be taken; for a few rows it is slower."""
        weight, bias = conv.conv.weight.detach(), conv.conv.bias
        assert bias is not None
        self.wide, self.width, self.taps = weight.shape
        self.dilation = conv.conv.dilation[0]
        self.bias = bias.detach()
        self.grain = 1  # rows that a block is made of
        self.product: Product | None = None
        big = min(self.width, self.wide) >= 32 and self.width * self.wide * kernels.PLANES <= MOST_PLANES
        if tiled and self.taps == kernels.TAPS and big and kernels.compiled():
            self.weight = kernels.fourier_weights(weight)
            self.grain = kernels.TILE * self.dilation
        else:
            self.product = Product(weight.permute(2, 1, 0).flatten(0, 1), bias)

    def __call__(self, x: Tensor, rows: int, out: Tensor | None = None) -> Tensor:
        """`[rows + (k - 1) * dilation, in]` or more to `[rows, out]`, in `out` where that is given; rows a multiple of `grain`."""
        if self.product is not None:
            out = scratch.get("conv", rows, self.wide) if out is None else out
            if self.dilation == 1:  # the taps of a row lie side by side
                return self.product(x.as_strided((rows, 1, self.taps * self.width), (self.width, 0, 1)), out)
            shape, apart = (rows, self.taps, self.width), self.dilation * self.width
            return self.product(x.as_strided(shape, (self.width, apart, 1)), out)
        tiles = rows // kernels.TILE
        spare = [
            scratch.get(f"plane{i}", 1, kernels.fourier_scratch(tiles, c))[0]
            for i, c in enumerate((self.width, self.wide))
        ]
        y = scratch.get("conv", rows, self.wide)
        kernels.fourier_conv(x, self.weight, self.bias, tiles, self.dilation, (spare[0], spare[1]), y)
        return y if out is None else out.copy_(y[: len(out)])


def block_rows(channels: int, grain: int = 1) -> int:
    """Rows of a block, a multiple of the grain."""
    rows = max(FEWEST, BLOCK // channels) if grain == 1 else max(FEWEST_TILED, BLOCK_TILED // channels)
    return -(-rows // grain) * grain
