"""1-D convolutions whose output length is the input length over the stride (or times it), to the sample.

Padding follows EnCodec (arXiv 2210.13438): with an effective kernel k = (kernel_size - 1) * dilation + 1 and stride s,
k - s in all. Causal layers pad on the left; the others put half, rounded down, on the right. An input whose length is
not a multiple of the stride is filled up on the right. Transposed layers trim k - s samples in the same places, so n
frames give n * s samples for every stride, odd ones too.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from solfa.nn.streaming import Layer, Span, StreamState, pad_reflect

NORMS = ("none", "weight_norm", "time_group_norm")
PAD_MODES = ("zero", "reflect")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError, naming the choices, unless the value is one of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


_Conv = TypeVar("_Conv", nn.Conv1d, nn.ConvTranspose1d)


def _normed(conv: _Conv, norm: str) -> _Conv:
    check_choice("norm", norm, NORMS)
    if norm == "weight_norm":
        parametrizations.weight_norm(conv)
    return conv


def _norm_after(norm: str, channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels) if norm == "time_group_norm" else nn.Identity()


def _check_stream(layer: Conv1d | ConvTranspose1d) -> None:
    if not layer.causal:
        raise ValueError("only causal layers can be streamed; run this one in chunks with context instead")
    if layer.norm_name == "time_group_norm":
        raise ValueError("norm 'time_group_norm' sees the whole signal and cannot be streamed")


def _check_local(layer: Conv1d | ConvTranspose1d) -> None:
    if layer.norm_name == "time_group_norm":
        raise ValueError("norm 'time_group_norm' sees the whole signal: no finite context makes its chunks exact")


class Conv1d(Layer):
    """Convolution `[B, in, S]` -> `[B, out, ceil(S / stride)]`.

    norm: "none", "weight_norm", or "time_group_norm" (one group over channels and time, after the convolution).
    pad_mode: "zero", or "reflect". A reflected border shows the first output the samples to its right, so
    a causal reflect layer looks ahead there, and can be streamed only if the first piece is longer than the border.
    Raises ValueError if the effective kernel is shorter than the stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        causal: bool = False,
        pad_mode: str = "zero",
        norm: str = "none",
    ) -> None:
        super().__init__()
        check_choice("pad_mode", pad_mode, PAD_MODES)
        self.kernel = (kernel_size - 1) * dilation + 1  # effective, in input samples
        if self.kernel < stride:
            raise ValueError(f"a kernel that spans {self.kernel} samples is shorter than its stride {stride}")
        self.stride = stride
        self.causal = causal
        self.reflect = pad_mode == "reflect"
        self.norm_name = norm
        total = self.kernel - stride
        self.right = 0 if causal else total // 2
        self.left = total - self.right
        # Inputs that a stream remembers: a reflection at the end may reach further back than the kernel.
        self.kept = max(self.left, stride - 1) if self.reflect else self.left
        conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation)
        self.conv = _normed(conv, norm)
        self.norm = _norm_after(norm, out_channels)

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        if self.kernel > 1:
            x = self._padded(x, span)
        return self.norm(self.conv(x))

    def _padded(self, x: Tensor, span: Span | None) -> Tensor:
        if self.reflect and span is not None:
            return span.reflect(x, self.left, self.right, self.stride)
        left, right = self.left, self.right + -x.shape[-1] % self.stride
        if self.reflect:
            return pad_reflect(x, left, right)
        return F.pad(x if span is None else span.mask(x), (left, right))

    def span_after(self, span: Span) -> Span:
        return span.down(self.stride)

    def reach(self, low: int, high: int) -> tuple[int, int]:
        _check_local(self)
        ahead = self.kernel - 1 - self.left
        if not self.reflect:
            return low * self.stride - self.left, high * self.stride + ahead
        # A reflected border shows x[left] to the first output, and samples as far back to the last one.
        wider = max(ahead, self.left)
        return low * self.stride - wider, high * self.stride + wider

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> StreamState:
        _check_stream(self)
        # The past is the last inputs. Reflected, it is not known before the first piece: nothing yet.
        width = 0 if self.reflect else self.left
        in_channels = self.conv.in_channels
        return StreamState((torch.zeros(batch, in_channels, width, device=device, dtype=dtype),))

    def step(self, x: Tensor, state: StreamState, last: bool = False) -> tuple[Tensor, StreamState]:
        """`x` is as long as a multiple of the stride, but for the last piece. Raises ValueError otherwise, or where the first of
        several pieces is too short."""
        missing = -x.shape[-1] % self.stride
        if missing and not last:
            raise ValueError(f"a step must be a multiple of {self.stride} samples, got {x.shape[-1]}")
        (past,) = state.tensors
        if past.shape[-1] < self.left:
            if x.shape[-1] <= self.left:
                if last:
                    return self(x), state
                raise ValueError(
                    f"with reflect padding the first step must bring more than {self.left} samples to this layer, "
                    f"got {x.shape[-1]}"
                )
            past = x[..., 1 : self.left + 1].flip(-1)
        surplus = past.shape[-1] - self.left
        x = torch.cat([past, x], dim=-1)
        after = StreamState((x[..., max(0, x.shape[-1] - self.kept) :],))
        if missing:
            x = pad_reflect(x, 0, missing) if self.reflect else F.pad(x, (0, missing))
        return self.conv(x[..., surplus:]), after


class ConvTranspose1d(Layer):
    """Transposed convolution `[B, in, T]` -> `[B, out, T * stride]`; `norm` as in Conv1d.

    symmetric: DAC's rule, as many samples off the right as off the left. Where kernel - stride is odd, the signal then ends
    `short` = 1 sample early: without a span that sample is missing from the output, with one it lies outside the span.
    Raises ValueError if the kernel is shorter than the stride, or for a layer both causal and symmetric.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        causal: bool = False,
        symmetric: bool = False,
        norm: str = "none",
    ) -> None:
        super().__init__()
        if kernel_size < stride:
            raise ValueError(f"kernel_size {kernel_size} is shorter than its stride {stride}")
        if causal and symmetric:
            raise ValueError("a causal transposed convolution trims on the right alone: it cannot be symmetric")
        self.kernel = kernel_size
        self.stride = stride
        self.causal = causal
        self.norm_name = norm
        total = kernel_size - stride
        self.right = total if causal else total // 2
        self.left = total - self.right
        self.short = total % 2 if symmetric else 0
        self.conv = _normed(nn.ConvTranspose1d(in_channels, out_channels, kernel_size, stride=stride), norm)
        self.norm = _norm_after(norm, out_channels)

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        if span is not None:
            x = span.mask(x)
        # The group norm sees the samples that are trimmed, as in EnCodec.
        y = self.norm(self.conv(x))
        right = self.right + (self.short if span is None else 0)
        return y[..., self.left : y.shape[-1] - right]

    def span_after(self, span: Span) -> Span:
        after = span.up(self.stride)
        return Span(after.start, after.end - self.short) if self.short else after

    def reach(self, low: int, high: int) -> tuple[int, int]:
        _check_local(self)
        # Output j is tap m of input i where j + left = i * stride + m, 0 <= m < kernel.
        return -((self.kernel - 1 - low - self.left) // self.stride), (high + self.left) // self.stride

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> StreamState:
        _check_stream(self)
        out_channels = self.conv.out_channels
        return StreamState((torch.zeros(batch, out_channels, self.right, device=device, dtype=dtype),))

    def step(self, x: Tensor, state: StreamState, last: bool = False) -> tuple[Tensor, StreamState]:
        """The samples that no later piece can change; what spills over them is carried in the state."""
        (spill,) = state.tensors
        bias = self.conv.bias
        assert bias is not None
        y = F.conv_transpose1d(x, self.conv.weight, stride=self.stride)
        y = torch.cat([y[..., : self.right] + spill, y[..., self.right :]], dim=-1)
        done = x.shape[-1] * self.stride
        return y[..., :done] + bias[:, None], StreamState((y[..., done:],))


class LSTM(Layer):
    """LSTM over time with its input added to its output, `[B, D, T]` -> `[B, D, T]`.

    It remembers the whole past: exact in a stream, in chunks not.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, layers)

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        assert span is None, "an LSTM would start in the margin of the chunk"
        steps = x.permute(2, 0, 1)  # [T, B, D]
        return (self.lstm(steps)[0] + steps).permute(1, 2, 0)

    def reach(self, low: int, high: int) -> tuple[int, int]:
        raise ValueError("an LSTM remembers the whole signal: no finite context makes its chunks exact; stream it")

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> StreamState:
        shape = (self.lstm.num_layers, batch, self.lstm.hidden_size)
        return StreamState((torch.zeros(shape, device=device, dtype=dtype),) * 2)

    def step(self, x: Tensor, state: StreamState, last: bool = False) -> tuple[Tensor, StreamState]:
        steps = x.permute(2, 0, 1)
        hidden, cell = state.tensors
        y, memory = self.lstm(steps, (hidden, cell))
        return (y + steps).permute(1, 2, 0), StreamState(tuple(memory))
