"""One signal in pieces: the whole, chunks with context, and streams all give the same numbers.

A `Layer` can be run in three ways:

- whole: `y = layer(x)`;
- in chunks: `y = layer(chunk, span)`, where the `Span` says which part of the chunk lies inside the true signal. What
  lies outside is overwritten before every layer that looks at its neighbours, by just what that layer's own padding would
  put there at the ends of the whole signal: zeros, or a reflection. `reach` says how much context a chunk needs;
- as a stream (causal layers only): `state = layer.start(batch)`, then `y, state = layer.step(piece, state)`, and for the last
  piece `layer.step(piece, state, last=True)`. States are values: a step never changes the state it was given, so a stream can
  be kept, copied, and resumed from any point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SpanLike: TypeAlias = "tuple[int, int] | Sequence[tuple[int, int]] | None"


def pad_reflect(x: Tensor, left: int, right: int) -> Tensor:
    """Reflect padding that also takes inputs no longer than the pad: EnCodec's rule.

    Such an input is first extended with zeros on the right, and the extension is cut off again at the end.
    """
    missing = max(left, right) - x.shape[-1] + 1
    if missing <= 0:
        return F.pad(x, (left, right), mode="reflect")
    return F.pad(F.pad(x, (0, missing)), (left, right), mode="reflect")[..., :-missing]


@dataclass(frozen=True)
class StreamState:
    """What a causal layer must remember between two steps.

    `tensors` are the layer's own, each with the batch on the axis that the layer chose; `parts` are the states of the
    layers inside it.
    """

    tensors: tuple[Tensor, ...] = ()
    parts: tuple[StreamState, ...] = ()

    def map(self, change: Callable[[Tensor], Tensor]) -> StreamState:
        """The same state with every tensor changed, as in `state.map(torch.Tensor.detach)`."""
        return StreamState(tuple(change(t) for t in self.tensors), tuple(part.map(change) for part in self.parts))


@dataclass(frozen=True)
class Span:
    """The part [start, end) of a chunk that lies inside the true signal, in samples of the layer at hand.

    Ints when the whole batch shares them, else int64 tensors `[B]`.
    """

    start: int | Tensor
    end: int | Tensor

    @staticmethod
    def check(pairs: Iterable[tuple[int, int]], size: int, grid: int) -> None:
        """Raise ValueError unless each pair has 0 <= start <= end <= size and start on the grid."""
        for start, end in pairs:
            if not 0 <= start <= end <= size or start % grid:
                raise ValueError(
                    f"span must be (start, end) with 0 <= start <= end <= {size} and start a multiple of {grid}, "
                    f"got {(start, end)}"
                )

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]], device: torch.device) -> Span:
        """One pair for each item of the batch; when they are all the same, plain ints."""
        if len(set(pairs)) == 1:
            return cls(*pairs[0])
        starts, ends = torch.tensor(pairs, dtype=torch.int64, device=device).unbind(1)
        return cls(starts, ends)

    def mask(self, x: Tensor) -> Tensor:
        """`x` `[B, C, S]` with zeros outside the span, whatever was there (NaN included)."""
        size = x.shape[-1]
        if isinstance(self.start, int) and isinstance(self.end, int):
            start = min(self.start, size)
            end = max(start, min(self.end, size))
            return x if (start, end) == (0, size) else F.pad(x[..., start:end], (start, size - end))
        where = torch.arange(size, device=x.device)
        outside = (where < torch.as_tensor(self.start)[:, None]) | (where >= torch.as_tensor(self.end)[:, None])
        return x.masked_fill(outside[:, None], 0.0)  # [B, 1, S]

    def reflect(self, x: Tensor, left: int, right: int, grid: int = 1) -> Tensor:
        """`x` `[B, C, S]` padded by `left` and `right`, and to a multiple of `grid`, by the reflection of what is in the span.

        It stands directly beside the span, as `pad_reflect` makes it; beyond it are zeros.
        """
        size = x.shape[-1]
        full = left + size + right + -size % grid
        if isinstance(self.start, int) and isinstance(self.end, int):
            start, end = min(self.start, size), min(self.end, size)
            if start == end:
                return x.new_zeros(*x.shape[:-1], full)
            padded = pad_reflect(x[..., start:end], left, right + -(end - start) % grid)
            return F.pad(padded, (start, full - start - padded.shape[-1]))
        first, last = torch.as_tensor(self.start)[:, None], torch.as_tensor(self.end)[:, None]
        inside = last - first  # [B, 1]
        after = right + -inside % grid
        turn = torch.maximum(inside - 1, after.clamp(min=left))  # where the reflection on the right turns
        place = torch.arange(full, device=x.device) - left - first  # [B, full], 0 at the start of the span
        source = torch.where(place > turn, 2 * turn - place, place.abs())
        outside = (place < -left) | (place >= inside + after) | (source < 0) | (source >= inside)
        source = (source + first).clamp(0, size - 1)[:, None].expand(-1, x.shape[1], -1)
        return x.gather(-1, source).masked_fill(outside[:, None], 0.0)

    def down(self, stride: int) -> Span:
        """The span after a layer of this stride; a last frame that is only partly inside counts."""
        return Span(self.start // stride, -(-self.end // stride))

    def up(self, stride: int) -> Span:
        """The span after a transposed layer of this stride."""
        return Span(self.start * stride, self.end * stride)


class Layer(nn.Module):
    """A layer that can be run whole, in chunks and as a stream. The defaults are those of an elementwise layer.

    Elementwise layers must map 0 to 0, so that a zeroed margin stays zero.
    """

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        """`x` `[B, C, S]`; `span` is the part of it that lies inside the true signal (None: all of it)."""
        raise TypeError(f"{type(self).__name__} has no forward")

    def span_after(self, span: Span) -> Span:
        """The span of the output, given that of the input."""
        return span

    def reach(self, low: int, high: int) -> tuple[int, int]:
        """First and last input index that the outputs low..high (inclusive) depend on, padding aside.

        Raises ValueError if they depend on the whole signal.
        """
        return low, high

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> StreamState:
        """The state before the first step. Raises ValueError if the layer cannot be streamed."""
        return StreamState()

    def step(self, x: Tensor, state: StreamState, last: bool = False) -> tuple[Tensor, StreamState]:
        """The output that belongs to the next piece `x`, and the state after it.

        last: the signal ends with this piece, which then may have any length of at least 1; no step may follow.
        """
        return self(x), state


class Chain(Layer):
    """Layers one after the other, as one layer; none at all is the identity. Parameters are named `0.alpha`."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        for index, layer in enumerate(layers):
            self.add_module(str(index), layer)

    def __iter__(self) -> Iterator[Layer]:
        return cast(Iterator[Layer], self.children())

    def part(self, begin: int, end: int) -> Chain:
        """The layers begin to end as a chain of the same kind, which shares their weights."""
        return Chain(list(self)[begin:end])

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        for layer in self:
            x = layer(x, span)
            span = None if span is None else layer.span_after(span)
        return x

    def span_after(self, span: Span) -> Span:
        for layer in self:
            span = layer.span_after(span)
        return span

    def reach(self, low: int, high: int) -> tuple[int, int]:
        for layer in reversed(list(self)):
            low, high = layer.reach(low, high)
        return low, high

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> StreamState:
        return StreamState(parts=tuple(layer.start(batch, device, dtype) for layer in self))

    def step(self, x: Tensor, state: StreamState, last: bool = False) -> tuple[Tensor, StreamState]:
        parts = []
        for layer, part in zip(self, state.parts, strict=True):
            x, part = layer.step(x, part, last)
            parts.append(part)
        return x, StreamState(parts=tuple(parts))
