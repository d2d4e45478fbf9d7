"""Compiled kernels for rows of channels `[rows, channels]`, float32 on the CPU, one thread each; in torch where nothing is compiled.

The two ways differ by rounding alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.nn.kernels.build import library

TILE, TAPS, PLANES = 10, 7, 23  # of a Fourier convolution: outputs of a tile, taps, products for each pair of channels
GATE_ROWS = 64  # that the LSTM kernel computes at a time
PANEL = 32  # columns that a product computes at a time


def compiled() -> bool:
    """Whether there are compiled kernels. The first call may compile them; where it cannot, it warns."""
    return library() is not None


def snake(x: Tensor, alpha: Tensor, inverse: Tensor, out: Tensor) -> None:
    """out = x + sin(alpha x)^2 / alpha for `[rows, channels]`; alpha and inverse, its reciprocal, `[channels]`. out may be x."""
    kernels = library()
    if kernels is None:
        wave = torch.mul(x, alpha)
        torch.addcmul(x, wave.sin_().square_(), inverse, out=out)
        return
    _check(x, alpha, inverse, out)
    kernels.solfa_snake(out.data_ptr(), x.data_ptr(), alpha.data_ptr(), inverse.data_ptr(), *x.shape)


def elu(x: Tensor, out: Tensor) -> None:
    """out = x where x > 0, else exp(x) - 1. out may be x."""
    kernels = library()
    if kernels is None:
        F.elu_(out if out.data_ptr() == x.data_ptr() else out.copy_(x))
        return
    _check(x, out)
    kernels.solfa_elu(out.data_ptr(), x.data_ptr(), x.numel())


def product_weights(matrix: Tensor) -> Tensor:
    """A matrix `[K, N]` as `product` reads it: panels of columns `[N / 32, K, 32]`, the last filled up with zeros."""
    deep, wide = matrix.shape
    panels = F.pad(matrix.detach(), (0, -wide % PANEL)).view(deep, -1, PANEL)
    return panels.transpose(0, 1).contiguous()


def product(
    x: Tensor, weights: Tensor, bias: Tensor, out: Tensor, more: Tensor | None = None, beside: Tensor | None = None
) -> None:
    """out `[rows, N]` = bias + x `[rows, parts, width]` times a matrix, that of `product_weights`.

    A row of x is its parts one after the other, then a row of `more` `[rows, ...]`; rows may overlap in memory. beside `[rows, N]` is
    added. bias: filled up to panels as the weights are. A row's result does not depend on the others. For compiled kernels only.
    """
    kernels = library()
    assert kernels is not None
    rows, parts, width = x.shape
    wide, deep = out.shape[1], 0 if more is None else more.shape[1]
    assert weights.is_contiguous() and weights.shape == (-(-wide // PANEL), parts * width + deep, PANEL)
    assert bias.is_contiguous() and bias.numel() == weights.shape[0] * PANEL
    for tensor in (x, out, more, beside):
        if tensor is not None:
            assert tensor.stride(-1) == 1 and len(tensor) == rows and tensor.dtype == torch.float32
    extra = (None, 0, 0) if more is None else (more.data_ptr(), more.stride(0), deep)
    added = (None, 0) if beside is None else (beside.data_ptr(), beside.stride(0))
    sink = out.data_ptr(), out.stride(0), rows, wide
    source = x.data_ptr(), x.stride(0), parts, x.stride(1), width
    kernels.solfa_products(*sink, weights.data_ptr(), bias.data_ptr(), *source, *extra, *added)


def column(x: Tensor, weights: Tensor, bias: float, out: Tensor) -> None:
    """out `[rows]` = bias + x `[rows, parts, width]` times one column `[parts * width]`. For compiled kernels only."""
    kernels = library()
    assert kernels is not None
    rows, parts, width = x.shape
    assert weights.is_contiguous() and weights.shape == (parts * width,)
    assert x.stride(-1) == 1 and len(out) == rows and x.dtype == out.dtype == torch.float32
    source = x.data_ptr(), x.stride(0), parts, x.stride(1), width
    kernels.solfa_column(out.data_ptr(), out.stride(0), rows, weights.data_ptr(), bias, *source)


def fourier_weights(weight: Tensor) -> Tensor:
    """Weights `[out, in, 7]` of a convolution as the 23 matrices `[23, in, out]` of its Fourier form (see fourier.c)."""
    bins = torch.fft.fft(weight.detach().double().flip(-1), 16).permute(2, 1, 0) / 16  # [16, in, out]
    planes = [bins[0].real, bins[8].real]
    for each in bins[1:8]:
        real, less = 2 * each.real, -2 * each.imag  # 2: the other half of the bins are their conjugates
        planes += [real, less - real, real + less]
    return torch.stack(planes).float().contiguous()


def fourier_conv(
    x: Tensor, weights: Tensor, bias: Tensor, tiles: int, dilation: int, scratch: tuple[Tensor, Tensor], out: Tensor
) -> None:
    """A convolution with 7 taps of `[>= (tiles / dilation * 10 + 6) * dilation, in]` to `[tiles * 10, out]`.

    tiles: a multiple of the dilation. scratch: two flat tensors of at least `fourier_scratch(tiles, channels)` values for the channels in
    and out. For compiled kernels only.
    """
    kernels = library()
    assert kernels is not None and tiles % dilation == 0
    _check(x, weights, bias, out)
    width, wide = x.shape[1], out.shape[1]
    assert len(x) >= (tiles * TILE + 6 * dilation) and len(out) >= tiles * TILE
    before, after = (_planes(flat, tiles, n) for flat, n in zip(scratch, (width, wide), strict=True))
    kernels.solfa_fourier(before.data_ptr(), x.data_ptr(), tiles, width, dilation, before.stride(0))
    torch.bmm(before, weights, out=after)
    kernels.solfa_fourier_back(
        out.data_ptr(), after.data_ptr(), bias.data_ptr(), tiles, wide, dilation, after.stride(0)
    )


def fourier_scratch(tiles: int, channels: int) -> int:
    """Values of scratch that so many tiles need."""
    return PLANES * _apart(tiles, channels)


def lstm_weights(weight: Tensor) -> Tensor:
    """Recurrent weights `[4 W, W]` of an LSTM layer in the kernel's order, `[4 W / 64, W, 64]`; W a multiple of 16."""
    return weight.detach().unflatten(0, (-1, GATE_ROWS)).transpose(1, 2).contiguous()


def lstm(gates: Tensor, weights: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
    """Outputs `[T, W]` of a layer from `gates` `[T, 4 W]`, what inputs and biases give (overwritten); hidden and cell `[W]` change.

    For compiled kernels only.
    """
    kernels = library()
    assert kernels is not None
    out = gates.new_empty(len(gates), len(hidden))
    _check(gates, weights, hidden, cell)
    pointers = (tensor.data_ptr() for tensor in (out, gates, weights, hidden, cell))
    kernels.solfa_lstm(*pointers, *out.shape)
    return out


def _apart(tiles: int, channels: int) -> int:
    """From plane to plane: never a multiple of 4 KiB, or all planes would want the same few lines of the cache."""
    size = tiles * channels
    return size + 16 if size % 1024 == 0 else size


def _planes(flat: Tensor, tiles: int, channels: int) -> Tensor:
    return flat.as_strided((PLANES, tiles, channels), (_apart(tiles, channels), channels, 1))


def _check(*tensors: Tensor) -> None:
    for tensor in tensors:
        assert tensor.is_contiguous() and tensor.dtype == torch.float32 and tensor.device.type == "cpu"
