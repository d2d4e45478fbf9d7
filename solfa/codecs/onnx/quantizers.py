"""Residual quantizers as ONNX nodes: levels that search a codebook, in groups of channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from solfa.codecs.onnx.graph import Graph
from solfa.codecs.quantizers.base import Quantizer
from solfa.codecs.quantizers.factorized import FactorizedLevel
from solfa.codecs.quantizers.frozen import RandomProjectionLevel, SimVQLevel
from solfa.codecs.quantizers.residual import ResidualQuantizer
from solfa.codecs.quantizers.vector import VectorLevel

KINDS = ("rvq", "product", "grouped", "factorized", "simvq", "random_projection")
Linear = tuple[Tensor, Tensor | None]  # weight [E, D] and bias [E]


@dataclass(frozen=True)
class _Book:
    """One level: an input [B, T, D] through `inner` to [B, T, H, d], its nearest rows of `search` [N, d], as codes [B, T, H].

    The codes' vectors are the rows of `rows` [N, d'], side by side, through `outer`.
    """

    inner: Callable[[Graph, str], str]
    search: Tensor
    rows: Tensor
    heads: int = 1
    outer: Linear | None = None

    def encode(self, graph: Graph, x: str) -> str:
        """The squared distance, halved, and without the part that all codes share."""
        part = graph.add("MatMul", self.inner(graph, x), graph.weight(-self.search.t()))
        distance = graph.add("Add", part, graph.weight(self.search.square().sum(1) * 0.5))  # [B, T, H, N]
        return graph.add("ArgMin", distance, axis=-1, keepdims=0)

    def decode(self, graph: Graph, codes: str) -> str:
        y = graph.reshape(graph.add("Gather", graph.weight(self.rows), codes), 0, 0, -1)
        return y if self.outer is None else graph.linear(y, *self.outer)


def encode(graph: Graph, quantizer: Quantizer, latents: str, count: int) -> str:
    """Latents [B, D, T] to the first `count` codes of each frame, [B, count, T]."""
    books, groups = _books(quantizer, count)
    residuals = _groups(graph, graph.add("Transpose", latents, perm=[0, 2, 1]), quantizer.input_dim, groups)
    found = []
    for index, book in enumerate(books):
        codes = book.encode(graph, residuals[index % groups])
        found.append(codes)
        if index + groups < len(books):
            residuals[index % groups] = graph.add("Sub", residuals[index % groups], book.decode(graph, codes))
    return graph.add("Transpose", graph.add("Concat", *found, axis=2), perm=[0, 2, 1])


def decode(graph: Graph, quantizer: Quantizer, codes: str, count: int) -> str:
    """Codes [B, count, T] to latents [B, D, T]."""
    books, groups = _books(quantizer, count)
    rows = graph.add("Transpose", codes, perm=[0, 2, 1])
    totals: list[str] = []
    place = 0
    for index, book in enumerate(books):
        vectors = book.decode(graph, graph.cut(rows, 2, place, place + book.heads))
        place += book.heads
        if index < groups:
            totals.append(vectors)
        else:
            totals[index % groups] = graph.add("Add", totals[index % groups], vectors)
    return graph.add("Transpose", graph.add("Concat", *totals, axis=2), perm=[0, 2, 1])


def _groups(graph: Graph, x: str, width: int, groups: int) -> list[str]:
    size = width // groups
    return [x] if groups == 1 else [graph.cut(x, 2, i * size, (i + 1) * size) for i in range(groups)]


def _books(quantizer: Quantizer, count: int) -> tuple[list[_Book], int]:
    """The levels that play, and into how many groups the channels are cut. Raises ValueError for a quantizer without codebooks."""
    if not isinstance(quantizer, ResidualQuantizer):
        kinds = ", ".join(KINDS)
        raise ValueError(f"a quantizer of kind {quantizer.config.kind!r} cannot be exported: the kinds are {kinds}")
    levels = list(quantizer.books)[: count // quantizer.config.heads]
    return [_book(level) for level in levels], quantizer.groups


def _book(level: nn.Module) -> _Book:
    if isinstance(level, FactorizedLevel):
        rows = level.codebook.weight.detach()
        into, outer = (_pointwise(conv) for conv in (level.in_proj, level.out_proj))
        return _Book(_inner(into, 1, 1e-12), F.normalize(rows, dim=1), rows, outer=outer)
    if isinstance(level, SimVQLevel):
        rows = level.layer.codebook.detach()
        return _Book(_inner(None, 1, None), rows, rows)
    if isinstance(level, RandomProjectionLevel):
        rows = level.codebook.detach()
        return _Book(_projected(level), rows, rows, outer=_matrix(level.project_out))
    assert isinstance(level, VectorLevel), f"a level that has no ONNX: {type(level).__name__}"
    rows = level.codebook.detach()
    inner = _inner(_matrix(level.project_in), level.heads, 1e-6 if level.config.cosine else None)
    return _Book(inner, rows, rows, level.heads, _matrix(level.project_out))


def _inner(linear: Linear | None, heads: int, eps: float | None) -> Callable[[Graph, str], str]:
    """A linear map, cut into heads, each on the unit sphere if an eps is given."""

    def write(graph: Graph, x: str) -> str:
        y = graph.reshape(x if linear is None else graph.linear(x, *linear), 0, 0, heads, -1)
        return y if eps is None else graph.unit(y, eps)

    return write


def _projected(level: RandomProjectionLevel) -> Callable[[Graph, str], str]:
    norm, matrix = level.layer.norm, level.layer.rand_projs[0]

    def write(graph: Graph, x: str) -> str:
        width = len(matrix)
        scale = matrix.new_ones(width) if norm.weight is None else norm.weight
        shift = matrix.new_zeros(width) if norm.bias is None else norm.bias
        y = graph.add("LayerNormalization", x, graph.weight(scale), graph.weight(shift), epsilon=norm.eps)
        return _inner((matrix.t(), None), 1, 1e-6)(graph, y)

    return write


def _pointwise(conv: nn.Conv1d) -> Linear:
    return conv.weight.detach()[..., 0], None if conv.bias is None else conv.bias.detach()


def _matrix(layer: nn.Module) -> Linear | None:
    return (layer.weight.detach(), layer.bias.detach()) if isinstance(layer, nn.Linear) else None
