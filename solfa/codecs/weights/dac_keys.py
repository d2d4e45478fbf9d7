"""Names of DAC's tensors: ours, those of transformers, and those of the original package.

Stages are counted from i = 0, residual units from j = 0, their layers are m = 0 to 3: Snake, convolution, Snake, convolution.

| ours                              | transformers                             | original                                 |
|-----------------------------------|------------------------------------------|------------------------------------------|
| encoder.layers.0.conv             | encoder.conv1                            | encoder.block.0                          |
| encoder.layers.(5i+1+j).block.m   | encoder.block.i.res_unit(j+1).*          | encoder.block.(i+1).block.j.block.m      |
| encoder.layers.(5i+4), (5i+5).conv| encoder.block.i.snake1, .conv1           | encoder.block.(i+1).block.3, .4          |
| encoder.layers.(5n+1), (5n+2).conv| encoder.snake1, .conv2                   | encoder.block.(n+1), (n+2)               |
| decoder.layers.0.conv             | decoder.conv1                            | decoder.model.0                          |
| decoder.layers.(5i+1), (5i+2).conv| decoder.block.i.snake1, .conv_t1         | decoder.model.(i+1).block.0, .1          |
| decoder.layers.(5i+3+j).block.m   | decoder.block.i.res_unit(j+1).*          | decoder.model.(i+1).block.(j+2).block.m  |
| decoder.layers.(5n+1), (5n+2).conv| decoder.snake1, .conv2                   | decoder.model.(n+1), (n+2)               |
| quantizer.books.K.*               | quantizer.quantizers.K.*                 | quantizer.quantizers.K.*                 |

The original keeps weight norm, transformers has it fused. All functions take and give state dicts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from solfa.codecs.weights.weight_norm import DIRECTION, LENGTH, fuse, legacy, modern, unfuse

_UNITS = 3  # residual units a stage
_MOST = 1024  # stages, layers, codebooks
_UNIT_LAYERS = ("snake1", "conv1", "snake2", "conv2")


class _Names(NamedTuple):
    """What one layer is called in each place."""

    ours: str
    transformers: str
    original: str
    normed: bool  # a convolution, with weight norm


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of transformers' DacModel (weight norm fused or not) under our names, with weight norm."""
    table = _table(tensors, r"encoder\.block\.(\d+)\.", r"decoder\.block\.(\d+)\.", 1)
    renamed = _renamed(modern(tensors), {row.transformers: row.ours for row in table})
    return unfuse(renamed, [row.ours for row in table if row.normed])


def to_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under the names of transformers, weight norm fused."""
    return fuse(_renamed(tensors, {row.ours: row.transformers for row in _our_table(tensors)}))


def from_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of dac's DAC under our names."""
    table = _table(tensors, r"encoder\.block\.(\d+)\.", r"decoder\.model\.(\d+)\.", -2)
    return _renamed(modern(tensors), {row.original: row.ours for row in table})


def to_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under the names of dac's DAC, with weight norm as its older modules name it."""
    table = _our_table(tensors)
    normed = unfuse(tensors, [row.ours for row in table if row.normed])
    return legacy(_renamed(normed, {row.ours: row.original for row in table}))


def _our_table(tensors: Mapping[str, Tensor]) -> list[_Names]:
    def stages(last: int) -> int:
        return (last - 2) // (_UNITS + 2)

    return _layers(
        stages(_last(tensors, r"encoder\.layers\.(\d+)\.")),
        stages(_last(tensors, r"decoder\.layers\.(\d+)\.")),
        _last(tensors, r"quantizer\.books\.(\d+)\.") + 1,
    )


def _table(tensors: Mapping[str, Tensor], encoder: str, decoder: str, more: int) -> list[_Names]:
    books = _last(tensors, r"quantizer\.quantizers\.(\d+)\.") + 1
    return _layers(_last(tensors, encoder) + more, _last(tensors, decoder) + more, books)


def _last(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """The highest number that the pattern finds in a name; -1 if none. ValueError for one that no model has."""
    last = max((int(found[1]) for name in tensors if (found := re.match(pattern, name))), default=-1)
    if last > _MOST:
        raise ValueError(f"tensors are numbered up to {last} ({pattern}): at most {_MOST} is possible")
    return last


def _layers(encoder: int, decoder: int, books: int) -> list[_Names]:
    """Every layer of a model with so many stages and codebooks."""
    return [*_encoder(encoder), *_decoder(decoder), *_quantizer(books)]


def _encoder(stages: int) -> Iterator[_Names]:
    yield _Names("encoder.layers.0.conv", "encoder.conv1", "encoder.block.0", True)
    for i in range(stages):
        first, theirs, original = (_UNITS + 2) * i + 1, f"encoder.block.{i}", f"encoder.block.{i + 1}.block"
        for j in range(_UNITS):
            yield from _unit(f"encoder.layers.{first + j}", f"{theirs}.res_unit{j + 1}", f"{original}.{j}")
        yield _Names(f"encoder.layers.{first + 3}", f"{theirs}.snake1", f"{original}.3", False)
        yield _Names(f"encoder.layers.{first + 4}.conv", f"{theirs}.conv1", f"{original}.4", True)
    yield from _end("encoder", "encoder.block", stages)


def _decoder(stages: int) -> Iterator[_Names]:
    yield _Names("decoder.layers.0.conv", "decoder.conv1", "decoder.model.0", True)
    for i in range(stages):
        first, theirs, original = (_UNITS + 2) * i + 1, f"decoder.block.{i}", f"decoder.model.{i + 1}.block"
        yield _Names(f"decoder.layers.{first}", f"{theirs}.snake1", f"{original}.0", False)
        yield _Names(f"decoder.layers.{first + 1}.conv", f"{theirs}.conv_t1", f"{original}.1", True)
        for j in range(_UNITS):
            yield from _unit(f"decoder.layers.{first + 2 + j}", f"{theirs}.res_unit{j + 1}", f"{original}.{j + 2}")
    yield from _end("decoder", "decoder.model", stages)


def _unit(ours: str, transformers: str, original: str) -> Iterator[_Names]:
    for m, layer in enumerate(_UNIT_LAYERS):
        normed = layer.startswith("conv")
        here = f"{ours}.block.{m}.conv" if normed else f"{ours}.block.{m}"
        yield _Names(here, f"{transformers}.{layer}", f"{original}.block.{m}", normed)


def _end(stack: str, original: str, stages: int) -> Iterator[_Names]:
    last = (_UNITS + 2) * stages + 1
    yield _Names(f"{stack}.layers.{last}", f"{stack}.snake1", f"{original}.{stages + 1}", False)
    yield _Names(f"{stack}.layers.{last + 1}.conv", f"{stack}.conv2", f"{original}.{stages + 2}", True)


def _quantizer(books: int) -> Iterator[_Names]:
    for k in range(books):
        for part, normed in (("in_proj", True), ("out_proj", True), ("codebook", False)):
            theirs = f"quantizer.quantizers.{k}.{part}"
            yield _Names(f"quantizer.books.{k}.{part}", theirs, theirs, normed)


def _renamed(tensors: Mapping[str, Tensor], modules: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors under the new names of their modules; one of an unknown module keeps its name."""
    renamed = {}
    for name, tensor in tensors.items():
        ending = next((end for end in (LENGTH, DIRECTION) if name.endswith(end)), "." + name.rpartition(".")[2])
        module = name.removesuffix(ending)
        renamed[modules.get(module, module) + ending] = tensor
    return renamed
