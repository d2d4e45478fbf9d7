"""Each layer of a stack on rows, with the activation before it: read blocks of padded rows, write blocks of rows (see `nn.rows`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.nn.activations import ELU, Snake
from solfa.nn.conv import Conv1d, ConvTranspose1d
from solfa.nn.rows import Act, Activation, BlockConv, Product, Rows, TwoTaps, block_rows, scratch
from solfa.nn.seanet import ResidualBlock
from solfa.nn.streaming import Layer, Span


class RowLayer:
    """One layer. before, after: rows that it needs around those of the signal; step: rows of a block."""

    before = after = 0
    step = 1

    def __init__(self, layer: Layer, conv: Conv1d | ConvTranspose1d, act: Act) -> None:
        self.layer, self.conv, self.act = layer, conv, Activation(act)
        self.width, self.wide = conv.conv.in_channels, conv.conv.out_channels

    def rows_out(self, size: int) -> int:
        return size

    def block(self, x: Rows, out: Rows, at: int) -> None:
        """Compute block `at`, a multiple of step, as far as the signal goes."""
        raise TypeError(f"{type(self).__name__} has no block")

    def blocks(self, out: Rows) -> tuple[int, int]:
        """From where to where blocks are needed."""
        return out.start, out.end

    def run(self, x: Rows, before: int, after: int, purpose: str) -> Rows:
        """The layer's output with room for the next layer's padding; of its rows those inside the span are computed."""
        x.pad(self.conv)
        span = self.layer.span_after(Span(x.start, x.end))
        assert isinstance(span.start, int) and isinstance(span.end, int)
        size = self.rows_out(x.size)
        out = Rows(
            scratch.get(purpose, before + size + after, self.wide), before, size, span.start, min(span.end, size)
        )
        first, last = self.blocks(out)
        for at in range(first // self.step * self.step, last, self.step):
            self.block(x, out, at)
        return out

    def padded(self, x: Rows, first: int, rows: int) -> Tensor:
        """Rows of the signal from `first` on, which may be negative, with their padding, activated."""
        part = x.data[x.before + first : x.before + first + rows]
        assert len(part) == rows
        return part if self.act.none else self.act(part, scratch.get("act", rows, self.width))


class RowConv(RowLayer):
    """A convolution of stride 1."""

    def __init__(self, layer: Layer, conv: Conv1d, act: Act) -> None:
        super().__init__(layer, conv, act)
        # One by itself is at an end of the stack, where rows or channels are few.
        self.inner = BlockConv(conv, tiled=layer is not conv)
        self.left, self.reach = conv.left, conv.kernel - 1
        self.step = block_rows(max(self.width, self.wide), self.inner.grain)
        # A reflection reads as far behind the end as it writes before the start.
        self.before, self.after = conv.left, max(conv.kernel + self.inner.grain, conv.left + 1)

    def convolved(self, x: Rows, at: int, rows: int, out: Tensor | None = None) -> Tensor:
        """Rows of the convolution from `at` on."""
        whole = -(-rows // self.inner.grain) * self.inner.grain
        return self.inner(self.padded(x, at - self.left, whole + self.reach), whole, out)

    def block(self, x: Rows, out: Rows, at: int) -> None:
        rows = min(self.step, x.size - at)
        self.convolved(x, at, rows, out.signal[at : at + rows])


class RowUnit(RowConv):
    """A residual block: the sum of a shortcut and of two convolutions, the second of one tap."""

    def __init__(self, layer: ResidualBlock) -> None:
        first, conv, second, last = layer.block
        assert isinstance(first, ELU | Snake) and isinstance(second, ELU | Snake)
        assert isinstance(conv, Conv1d) and isinstance(last, Conv1d)
        super().__init__(layer, conv, first)
        self.wide = last.conv.out_channels
        self.second = Activation(second)
        matrix, bias = _matrix(last)
        self.straight = not isinstance(layer.shortcut, Conv1d)  # the shortcut is the input itself
        if isinstance(layer.shortcut, Conv1d):
            beside, more = _matrix(layer.shortcut)
            matrix, bias = torch.cat([beside, matrix]), bias + more
        self.last = Product(matrix, bias)

    def block(self, x: Rows, out: Rows, at: int) -> None:
        rows = min(self.step, x.size - at)
        y = self.convolved(x, at, rows)[:rows]
        self.second(y, y)
        source, sink = x.signal[at : at + rows], out.signal[at : at + rows]
        if self.straight:
            self.last(y[:, None], sink, beside=source)
        else:
            self.last(source[:, None], sink, more=y)


class RowDown(RowLayer):
    """A convolution with a stride: a product with all its taps, of every s-th row."""

    def __init__(self, layer: Layer, conv: Conv1d, act: Act) -> None:
        super().__init__(layer, conv, act)
        self.stride, self.left = conv.stride, conv.left
        self.deep = conv.kernel * self.width
        self.two: TwoTaps | None = None
        matrix = conv.conv.weight.permute(2, 1, 0).flatten(0, 1)  # [k * in, out]
        if conv.kernel == 2 * conv.stride:
            first, second = matrix.chunk(2)
            self.two = TwoTaps(first, second, _bias(conv))
        else:
            self.product = Product(matrix, _bias(conv))
        self.step = block_rows(max(self.width * self.stride, self.wide))
        self.before = conv.left
        self.after = max(conv.kernel + self.stride + conv.right, conv.left + 1)

    def rows_out(self, size: int) -> int:
        return -(-size // self.stride)

    def block(self, x: Rows, out: Rows, at: int) -> None:
        rows = min(self.step, out.size - at)
        part = self.padded(x, at * self.stride - self.left, (rows - 1) * self.stride + self.conv.kernel)
        sink = out.signal[at : at + rows]
        if self.two is not None:
            self.two(part.view(rows + 1, -1), sink)
        else:
            self.product(part.as_strided((rows, 1, self.deep), (self.stride * self.width, 0, 1)), sink)


class RowUp(RowLayer):
    """A transposed convolution: the s rows that a row becomes are seen as one of s * C channels, of ceil(k / s) taps."""

    def __init__(self, layer: Layer, conv: ConvTranspose1d, act: Act) -> None:
        super().__init__(layer, conv, act)
        self.stride, self.left = conv.stride, conv.left
        weight = conv.conv.weight.detach()  # [in, out, k]
        self.taps = -(-conv.kernel // self.stride)
        weight = F.pad(weight, (0, self.taps * self.stride - weight.shape[-1]))
        parts = weight.unflatten(2, (self.taps, self.stride)).permute(2, 0, 3, 1)  # [taps, in, stride, out]
        taps = parts.flip(0).flatten(2, 3)  # [taps, in, stride * out]; the last tap is of the earliest row
        self.two: TwoTaps | None = None
        if self.taps == 2:
            self.two = TwoTaps(taps[0], taps[1], _bias(conv).repeat(self.stride))
        else:
            self.product = Product(taps.flatten(0, 1), _bias(conv).repeat(self.stride))
        self.step = block_rows(max(self.width, self.wide * self.stride))  # rows of the input
        self.before = self.after = self.taps + 1

    def rows_out(self, size: int) -> int:
        return size * self.stride

    def blocks(self, out: Rows) -> tuple[int, int]:
        # Before it is trimmed, output j stands at j + left.
        return (out.start + self.left) // self.stride, -(-(out.end + self.left) // self.stride)

    def run(self, x: Rows, before: int, after: int, purpose: str) -> Rows:
        """As above, with room for what is trimmed."""
        return super().run(x, max(before, self.left), after + self.taps * self.stride, purpose)

    def block(self, x: Rows, out: Rows, at: int) -> None:
        rows = min(self.step, -(-(out.size + self.left) // self.stride) - at)
        part = self.padded(x, at - self.taps + 1, rows + self.taps - 1)
        begin = out.before + at * self.stride - self.left
        sink = out.data[begin : begin + rows * self.stride].view(rows, -1)
        if self.two is not None:
            self.two(part, sink)
        else:
            self.product(part.as_strided((rows, 1, self.taps * self.width), (self.width, 0, 1)), sink)


def row_layers(layers: list[Layer]) -> list[RowLayer] | None:
    """The layers as row layers, each convolution with the activation before it; None where one has no such form."""
    found: list[RowLayer] = []
    act: Act = None
    for layer in layers:
        if isinstance(layer, ELU | Snake) and act is None:
            act = layer
        elif isinstance(layer, ResidualBlock) and act is None and _plain(layer):
            found.append(RowUnit(layer))
        elif isinstance(layer, Conv1d | ConvTranspose1d) and _plain(layer):
            kind = RowUp if isinstance(layer, ConvTranspose1d) else RowConv if layer.stride == 1 else RowDown
            found.append(kind(layer, layer, act))  # type: ignore[arg-type]
            act = None
        else:
            return None
    return found if act is None else None


def _plain(layer: Layer) -> bool:
    """Whether its convolutions have no norm after them (a weight norm must have been fused), and are float32 on the CPU."""
    convs = [part for part in layer.modules() if isinstance(part, Conv1d | ConvTranspose1d)]
    weights = [weight for conv in convs for weight in conv.parameters()]
    return all(isinstance(conv.norm, nn.Identity) for conv in convs) and all(
        weight.dtype == torch.float32 and weight.device.type == "cpu" for weight in weights
    )


def _bias(conv: Conv1d | ConvTranspose1d) -> Tensor:
    assert conv.conv.bias is not None
    return conv.conv.bias.detach()


def _matrix(conv: Conv1d) -> tuple[Tensor, Tensor]:
    """A convolution of one tap as a matrix [in, out] and a bias."""
    return conv.conv.weight.detach()[..., 0].T.contiguous(), _bias(conv)
