"""Matrices in fewer bits, for products with a few rows: what takes the time there is reading the matrix.

`pack` gives the forms that the compiled kernels read (nn/kernels/linear.c): float32, bfloat16, int8 with a scale for each output, int4
with a scale for each 64 weights of an output. Rows of inputs stay float32 for the first two; for the others they are rounded to eight bits
in groups of 64, each with its own scale, so that one large value does not coarsen a whole row. `unpack` gives the weights that a packed
matrix stands for.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16", "int8", "int4"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
GROUP = 64  # weights that share a scale in int4, and inputs that do in int8 and int4
BLOCK = 16  # outputs whose weights lie together
PART = 256  # outputs packed at a time: no float32 copy of a whole matrix
MULTIPLE = {"float32": 16, "bfloat16": 32, "int8": GROUP, "int4": GROUP}  # of which a row's width is made, by zeros


@dataclass(frozen=True)
class Matrix:
    """A packed matrix [outputs, inputs], with zeros to whole blocks.

    data: floats [outputs, inputs]; int8, bytes [outputs / 16, inputs / 4, 16, 4], 128 is zero; int4, [outputs / 16, inputs / 8, 16, 4], a
    weight in the low half and, four inputs on, one in the high half, 8 is zero. scale: float32 [outputs / 16, 16]; bfloat16
    [outputs / 16, inputs / 64, 16].
    """

    precision: Precision
    data: Tensor
    scale: Tensor | None
    outputs: int
    inputs: int

    @property
    def padded(self) -> int:
        """Values of a row in memory."""
        return self.data.shape[1] * {"int8": 4, "int4": 8}.get(self.precision, 1)

    @property
    def size(self) -> int:
        """Bytes."""
        scales = 0 if self.scale is None else self.scale.nbytes
        return self.data.nbytes + scales


def checked_precision(precision: str) -> Precision:
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}: it must be one of {', '.join(PRECISIONS)}")
    return precision


def pack(weight: Tensor, precision: Precision) -> Matrix:
    """A float matrix [outputs, inputs] on the CPU, packed. What already has the right form is not copied."""
    outputs, inputs = weight.shape
    weight = weight.detach()
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    missing = -inputs % MULTIPLE[precision]
    if precision in ("float32", "bfloat16"):
        same = F.pad(weight, (0, missing)) if missing else weight
        return Matrix(precision, same.to(dtype).contiguous(), None, outputs, inputs)
    blocks = [
        _rounded(F.pad(part.float(), (0, missing, 0, -len(part) % BLOCK)), precision) for part in weight.split(PART)
    ]
    data, scale = (torch.cat([block[i] for block in blocks]) for i in range(2))
    return Matrix(precision, data, scale, outputs, inputs)


def _rounded(weight: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
    """Data and scales of whole blocks of outputs."""
    if precision == "int8":
        scale = weight.abs().amax(1) / 127
        whole = (weight / _divisor(scale)[:, None]).round() + 128
        return _by_fours(whole), scale.unflatten(0, (-1, BLOCK))
    groups = weight.unflatten(1, (-1, GROUP))
    most = groups.gather(2, groups.abs().argmax(2, keepdim=True))
    scale = (most / -8).to(torch.bfloat16)  # its sign such that the largest value has the one place more that -8 has
    fours = _by_fours(((groups / _divisor(scale.float())).round().clamp(-8, 7) + 8).flatten(1))
    low, high = fours.unflatten(1, (-1, 2)).unbind(2)  # [blocks, inputs / 8, 16, 4]
    return low | high << 4, scale[..., 0].unflatten(0, (-1, BLOCK)).transpose(1, 2).contiguous()


def _by_fours(whole: Tensor) -> Tensor:
    """[outputs, inputs] as bytes [outputs / 16, inputs / 4, 16, 4]."""
    return whole.to(torch.uint8).unflatten(0, (-1, BLOCK)).unflatten(2, (-1, 4)).transpose(1, 2).contiguous()


def _divisor(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, torch.ones_like(scale), scale)


def unpack(matrix: Matrix) -> Tensor:
    """The weights as float32 [outputs, inputs]."""
    scale = matrix.scale
    if scale is None:
        weight = matrix.data.float()
    elif matrix.precision == "int8":
        weight = (_whole(matrix).float() - 128) * scale.flatten()[:, None]
    else:
        groups = (_whole(matrix).float() - 8).unflatten(1, (-1, GROUP))  # [outputs, groups, 64]
        weight = (groups * scale.float().transpose(1, 2).flatten(0, 1)[..., None]).flatten(1)
    return weight[: matrix.outputs, : matrix.inputs]


def _whole(matrix: Matrix) -> Tensor:
    """The whole numbers as they stand in the matrix, uint8 [outputs, inputs] with their padding."""
    data = matrix.data
    fours = data if matrix.precision == "int8" else torch.stack([data & 15, data >> 4], 2).flatten(1, 2)
    return fours.transpose(1, 2).flatten(2).flatten(0, 1)


class QuantizedLinear(nn.Module):
    """A linear layer without bias in int8 or int4 by torch's own products, for where nothing is compiled: [..., in] to [..., out].

    The same weights as `pack` gives; inputs are not rounded. Raises ValueError for a matrix, or a torch, that does not have them.
    """

    def __init__(self, weight: Tensor, precision: Precision) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        if not hasattr(torch, OPERATIONS[precision]):
            raise ValueError(f"this torch has no {OPERATIONS[precision]}")
        if outputs % BLOCK or inputs % GROUP:
            raise ValueError(f"a matrix [{outputs}, {inputs}]: {precision} needs multiples of {BLOCK} and {GROUP}")
        matrix, self.precision = pack(weight, precision), precision
        assert matrix.scale is not None
        self.scale: Tensor
        self.data: Tensor
        if precision == "int8":
            data, scale = (_whole(matrix) - 128).to(torch.int8), matrix.scale.flatten()
        else:
            scale = matrix.scale.float().transpose(1, 2).flatten(0, 1).T  # [groups, outputs]
            scale = torch.stack(
                [scale, torch.zeros_like(scale)], -1
            ).contiguous()  # and what stands for zero, which is 8
            data = torch._convert_weight_to_int4pack_for_cpu(_whole(matrix).to(torch.int32), 1)
        self.register_buffer("data", data)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, -2)
        if self.precision == "int8":
            y = torch._weight_int8pack_mm(flat, self.data, self.scale.to(x.dtype))
        else:
            y = torch._weight_int4pack_mm_for_cpu(flat, self.data, GROUP, self.scale.to(x.dtype))
        return y.unflatten(0, x.shape[:-1])


OPERATIONS = {"int8": "_weight_int8pack_mm", "int4": "_weight_int4pack_mm_for_cpu"}


@functools.cache
def torch_has(precision: Precision) -> bool:
    """Whether torch's products of this precision are there and right: they are not part of what it promises."""
    weight, x = torch.linspace(-1, 1, BLOCK * GROUP).sin().view(BLOCK, GROUP), torch.linspace(-1, 1, GROUP)[None]
    try:
        y = QuantizedLinear(weight, precision)(x)
    except (ValueError, RuntimeError, AttributeError):
        return False
    return bool(torch.allclose(y, x @ unpack(pack(weight, precision)).T, atol=1e-4))
