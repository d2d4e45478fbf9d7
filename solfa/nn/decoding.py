"""The decoder transformer step by step, its weights in float32, bfloat16, int8 or int4.

On the CPU in compiled kernels, one call a step: the sums of a row do not depend on the rows beside it, so a sequence gets the same bits
alone and among others that are at other places. Keys and values are kept in float32 beside float32 weights, else in bfloat16; everything
else is float32. On a GPU, and where nothing is compiled, in torch (`TorchDecoder`).
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from solfa.nn.kernels.build import library
from solfa.nn.kernels.threads import together
from solfa.nn.quantized import BLOCK, GROUP, PRECISIONS, Matrix, Precision, QuantizedLinear, pack, torch_has
from solfa.nn.transformer import Block, Memory, Transformer, TransformerState, rotations, sinusoids
from solfa.nn.unmade import unmade

ROWS = 64  # at a time; more are cut into pieces
LANES = 16
POINTER, COUNT = ctypes.c_void_p, ctypes.c_int64
PAIR = POINTER * 2
NORMS = ("norm_self", "norm_cross", "norm_feed")
MATRICES = ("qkv", "out", "cross_q", "cross_out", "up", "down")


class LinearStruct(ctypes.Structure):
    _fields_ = (("weight", POINTER), ("scale", POINTER), ("outputs", COUNT), ("inputs", COUNT))


class BlockStruct(ctypes.Structure):
    _fields_ = (*((name, PAIR) for name in NORMS), *((name, LinearStruct) for name in MATRICES))


class DecoderStruct(ctypes.Structure):
    _fields_ = (
        *((name, COUNT) for name in ("layers", "width", "heads", "inner", "kind", "half")),
        ("blocks", ctypes.POINTER(BlockStruct)),
        ("norm", PAIR),
    )


class CacheStruct(ctypes.Structure):
    _fields_ = (("data", POINTER), ("capacity", COUNT), ("length", COUNT))


class SequenceStruct(ctypes.Structure):
    _fields_ = (("past", CacheStruct), ("memory", CacheStruct))


def floats(*shape: int) -> Tensor:
    """Memory as the kernels have it: they are told addresses, so it must not follow torch's default."""
    return torch.empty(*shape, dtype=torch.float32)


class PackedLinear:
    """A packed matrix and its products, [..., inputs] to [..., outputs] in float32."""

    def __init__(self, weight: Tensor, precision: Precision) -> None:
        self.matrix = pack(weight, precision)
        self._struct = _struct(self.matrix)
        self._meeting = (COUNT * 8)()

    def __call__(self, x: Tensor) -> Tensor:
        flat = x.detach().reshape(-1, self.matrix.inputs).float()
        out = [self._product(part.contiguous()) for part in flat.split(ROWS)]
        return (out[0] if len(out) == 1 else torch.cat(out)).unflatten(0, x.shape[:-1])

    def _product(self, x: Tensor) -> Tensor:
        kernels = library()
        assert kernels is not None
        matrix, threads = self.matrix, torch.get_num_threads()
        out, scratch = floats(len(x), matrix.outputs), floats(threads * len(x) * (matrix.padded + LANES))
        first = PRECISIONS.index(matrix.precision), ctypes.addressof(self._struct), x.data_ptr(), *x.shape
        rest = out.data_ptr(), scratch.data_ptr(), ctypes.addressof(self._meeting)
        together(kernels, "solfa_linear", (*first, *rest), threads)
        return out


def _struct(matrix: Matrix) -> LinearStruct:
    scale = 0 if matrix.scale is None else matrix.scale.data_ptr()
    return LinearStruct(matrix.data.data_ptr(), scale, matrix.outputs, matrix.padded)


@dataclass(frozen=True)
class Past:
    """What is known of a few sequences that are at one place. As in TransformerState, the buffers are written in place."""

    buffers: tuple[Tensor, ...]  # what `rows` points into
    rows: tuple[SequenceStruct, ...]
    capacity: int
    position: int = 0


class Decoder:
    """A transformer's inference form: `start` as the transformer's, `advance` for several groups of sequences at once."""

    def __init__(self, transformer: Transformer, precision: Precision) -> None:
        config = self.config = transformer.config
        self.precision = precision
        self._kept: list[Tensor | Matrix] = []  # what the structures point to
        self._blocks = (BlockStruct * config.layers)()
        self._memory: list[PackedLinear] = []
        for struct, block in zip(self._blocks, transformer.blocks, strict=True):
            self._fill(struct, cast(Block, block))
        self._cache_type = torch.float32 if precision == "float32" else torch.bfloat16
        shape = config.layers, config.width, config.heads, config.inner
        kind, half = PRECISIONS.index(precision), self._cache_type == torch.bfloat16
        self._struct = DecoderStruct(*shape, kind, half, self._blocks, self._norm(transformer.norm))
        self._widest = max(self._blocks[0].qkv.inputs, self._blocks[0].down.inputs)
        self._meeting = (COUNT * 8)()
        self._places = floats(0, config.width)  # sinusoids, or turns of a head

    def _fill(self, struct: BlockStruct, block: Block) -> None:
        for name in NORMS:
            if hasattr(block, name):
                setattr(struct, name, self._norm(getattr(block, name)))
        for name in MATRICES:
            if hasattr(block, name):
                matrix = pack(getattr(block, name).weight, self.precision)
                self._kept.append(matrix)
                setattr(struct, name, _struct(matrix))
        if block.cross:
            self._memory.append(PackedLinear(block.cross_kv.weight, self.precision))

    def _norm(self, norm: nn.LayerNorm) -> ctypes.Array[ctypes.c_void_p]:
        assert norm.eps == 1e-5  # the kernel's
        both = [tensor.detach().float().contiguous() for tensor in (norm.weight, norm.bias)]
        self._kept += both
        return PAIR(*(tensor.data_ptr() for tensor in both))

    def start(self, batch: int, capacity: int, memory: Memory | None = None) -> Past:
        """Before the first step of `batch` sequences of at most `capacity` steps."""
        past, rows = self._caches(batch, capacity)
        buffers, sequences = [past], [SequenceStruct(row, CacheStruct(0, 0, 0)) for row in rows]
        for row, sequence in enumerate(sequences if memory is not None and self._memory else ()):
            assert memory is not None
            heard = memory.values[row] if memory.mask is None else memory.values[row][memory.mask[row]]
            if heard.any():  # zeros are the null condition: they add nothing
                kept, (cache,) = self._caches(1, len(heard))
                self._remember(heard, cache)
                sequence.memory = cache
                buffers.append(kept)
        return Past(tuple(buffers), tuple(sequences), capacity)

    def _caches(self, batch: int, places: int) -> tuple[Tensor, list[CacheStruct]]:
        """Room for keys and values. Zeros that have not been touched take no memory."""
        room = -(-places // LANES) * LANES
        data = torch.zeros(batch, self.config.layers * 2 * room * self.config.width, dtype=self._cache_type)
        return data, [CacheStruct(row.data_ptr(), room, 0) for row in data]

    def _remember(self, heard: Tensor, cache: CacheStruct) -> None:
        """Keys and values of a memory [L, D]."""
        kernels = library()
        assert kernels is not None
        cache.length = len(heard)
        for layer, linear in enumerate(self._memory):
            both = linear(heard)
            pointers = ctypes.addressof(self._struct), ctypes.addressof(cache)
            kernels.solfa_remember(*pointers, layer, both.data_ptr(), len(both))

    def advance(self, x: Tensor, groups: Sequence[Past]) -> tuple[Tensor, tuple[Past, ...]]:
        """The next S steps [B, S, D] of all groups' sequences, one group after the other."""
        steps = x.shape[1]
        for group in groups:
            assert group.position + steps <= group.capacity, f"{group.position} + {steps} of {group.capacity} steps"
        size, parts = max(1, ROWS // len(x)), []
        for part in x.split(size, 1):
            parts.append(self._piece(part, groups))
            groups = tuple(replace(group, position=group.position + part.shape[1]) for group in groups)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1), tuple(groups)

    def _piece(self, x: Tensor, groups: Sequence[Past]) -> Tensor:
        kernels = library()
        assert kernels is not None
        batch, steps, width = x.shape
        sequences = (SequenceStruct * batch)(*(row for group in groups for row in group.rows))
        for sequence, place in zip(sequences, (group.position for group in groups for _ in group.rows), strict=True):
            sequence.past.length = place
        x, turns = self._placed(x.detach().float(), groups)
        longest = max(max(row.past.capacity, row.memory.capacity) for row in sequences)
        rows, threads = batch * steps, torch.get_num_threads()
        shared, own = rows * (4 * width + self.config.inner), rows * (width + self._widest + LANES) + longest
        first = ctypes.addressof(self._struct), ctypes.addressof(sequences), batch, steps, x.data_ptr()
        scratch = floats(shared + threads * own)
        start = scratch.data_ptr()
        rest = 0 if turns is None else turns.data_ptr(), start, start + 4 * shared, own, longest
        together(kernels, "solfa_decode", (*first, *rest, ctypes.addressof(self._meeting)), threads)
        return x

    def _placed(self, x: Tensor, groups: Sequence[Past]) -> tuple[Tensor, Tensor | None]:
        """A copy of the input with its positions, and for rotary ones the turns [B, S, 2, d / 2] of queries and keys."""
        steps, sinusoidal = x.shape[1], self.config.positions == "sinusoidal"
        needed = max(group.position for group in groups) + steps
        if len(self._places) < needed:
            places = torch.arange(2 * needed)
            if sinusoidal:
                self._places = sinusoids(places, self.config.width)
            else:
                self._places = rotations(places, self.config.width // self.config.heads).transpose(0, 1).contiguous()
        at = [self._places[group.position : group.position + steps] for group in groups for _ in group.rows]
        table = torch.stack(at)
        return (x + table, None) if sinusoidal else (x.clone(memory_format=torch.contiguous_format), table)


class TorchDecoder:
    """The same in torch. In int8 and int4 by torch's products of them, or, where this torch has none, in bfloat16, which is said."""

    def __init__(self, transformer: Transformer, precision: Precision) -> None:
        self.config, self.precision = transformer.config, available(precision, transformer.norm.weight.device)
        self.transformer = _copy(transformer, self.precision)

    def start(self, batch: int, capacity: int, memory: Memory | None = None) -> TransformerState:
        return self.transformer.start(batch, capacity, memory)

    def advance(self, x: Tensor, groups: Sequence[TransformerState]) -> tuple[Tensor, tuple[TransformerState, ...]]:
        y, after = self.transformer.advance_together(x.to(self.transformer.norm.weight.dtype), groups)
        return y.float(), after


class TorchLinear:
    """A matrix and its products in torch, as PackedLinear."""

    def __init__(self, weight: Tensor, precision: Precision) -> None:
        self.linear = _linear(weight, available(precision, weight.device))
        self.dtype = torch.float32 if precision == "float32" else torch.bfloat16

    def __call__(self, x: Tensor) -> Tensor:
        return self.linear(x.to(self.dtype)).float()


AnyDecoder = Decoder | TorchDecoder
AnyLinear = PackedLinear | TorchLinear


def compiled_for(weight: Tensor) -> bool:
    """Whether the compiled kernels run where this weight is."""
    return weight.device.type == "cpu" and library() is not None


def make_decoder(transformer: Transformer, precision: Precision) -> AnyDecoder:
    """The fastest form that this machine has."""
    return (Decoder if compiled_for(transformer.norm.weight) else TorchDecoder)(transformer, precision)


def make_linear(weight: Tensor, precision: Precision) -> AnyLinear:
    """The same for one matrix [outputs, inputs]."""
    return (PackedLinear if compiled_for(weight) else TorchLinear)(weight, precision)


def available(precision: Precision, device: torch.device) -> Precision:
    """The precision that torch has there: where it has no int8 or int4, bfloat16, which is said. ValueError for these on a GPU."""
    if precision in ("float32", "bfloat16"):
        return precision
    if device.type != "cpu":
        raise ValueError(f"precision is {precision!r}: on {device.type} it must be float32 or bfloat16")
    if torch_has(precision):
        return precision
    warnings.warn(f"this torch has no product in {precision}: bfloat16 is used", RuntimeWarning, stacklevel=2)
    return "bfloat16"


def _copy(transformer: Transformer, precision: Precision) -> Transformer:
    """The transformer with its matrices in a precision; what needs no change is shared."""
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    with unmade():
        copy = Transformer(transformer.config)
    weights = {name: weight.detach().to(dtype) for name, weight in transformer.state_dict().items()}
    copy.load_state_dict(weights, assign=True)
    if precision in ("int8", "int4"):
        for mine, theirs in zip(copy.blocks, transformer.blocks, strict=True):
            for name, module in list(mine.named_children()):
                if isinstance(module, nn.Linear):
                    setattr(mine, name, _linear(getattr(theirs, name).weight, precision))
    return copy.requires_grad_(False).eval()


def _linear(weight: Tensor, precision: Precision) -> nn.Module:
    if precision in ("int8", "int4") and weight.shape[0] % BLOCK == 0 and weight.shape[1] % GROUP == 0:
        return QuantizedLinear(weight, precision)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    linear.weight = nn.Parameter(weight.detach().to(dtype), requires_grad=False)
    return linear
