"""SEANet: the convolutional encoder and decoder of SoundStream, EnCodec and, with Snake, of DAC.

Geometry after EnCodec (arXiv 2210.13438, section 3.2) and DAC (arXiv 2306.06546, appendix A). One config says both:

- EnCodec 24 kHz: ratios (8, 5, 4, 2), 32 filters, kernels 7, 7 and 3, compress 2, two LSTM layers, ELU, causal,
  reflect.
- DAC 44.1 kHz: ratios (8, 8, 4, 2), Snake, residual kernel 7, three residual layers of dilation base 3, compress 1,
  true shortcuts; encoder 64 filters and last kernel 3, decoder 96 filters, a final tanh, symmetric.

Layers are numbered as in EnCodec: `layers.0.conv.weight` is the first convolution; with two LSTM layers and one
residual block a stage, `layers.13.lstm` and `layers.15.conv` end the encoder.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.nn.activations import ACTIVATIONS, activation
from solfa.nn.conv import LSTM, NORMS, PAD_MODES, Conv1d, ConvTranspose1d, check_choice
from solfa.nn.streaming import Chain, Layer, Span, SpanLike, StreamState


@dataclass(frozen=True)
class SEANetConfig:
    """Shape of an encoder or a decoder. The defaults stream (causal, no LSTM) and chunk exactly (zero padding).

    Raises ValueError for a field out of range.
    """

    channels: int = 1  # of the audio
    dimension: int = 128  # D, of the latents
    n_filters: int = 32  # width at the audio end; doubles at every stage
    ratios: tuple[int, ...] = (8, 5, 4, 2)  # strides in the decoder's order; the encoder runs them backwards
    kernel_size: int = 7  # of the first convolution
    last_kernel_size: int = 7  # of the last one
    residual_kernel_size: int = 3
    n_residual_layers: int = 1  # residual blocks a stage
    dilation_base: int = 2  # the j-th block of a stage has dilation dilation_base ** j
    compress: int = 2  # a residual block is narrower inside by this factor
    true_skip: bool = False  # shortcut by identity (AudioCraft, DAC), else by a 1x1 convolution (EnCodec)
    lstm_layers: int = 0
    norm: str = "weight_norm"  # "none", "weight_norm" or "time_group_norm"
    activation: str = "elu"  # "elu" or "snake"
    causal: bool = True
    pad_mode: str = "zero"  # "zero" or "reflect"
    final_tanh: bool = False  # the decoder's samples lie in (-1, 1)
    symmetric: bool = False  # transposed layers trim both ends alike, as DAC's do (see SEANetDecoder): for odd ratios

    def __post_init__(self) -> None:
        positive = ("channels", "dimension", "n_filters", "kernel_size", "last_kernel_size", "residual_kernel_size")
        for name in (*positive, "n_residual_layers", "dilation_base", "compress"):
            least = 0 if name == "n_residual_layers" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.ratios or min(self.ratios) < 1:
            raise ValueError(f"ratios must be one or more strides of at least 1, got {self.ratios}")
        if self.lstm_layers < 0:
            raise ValueError(f"lstm_layers must be at least 0, got {self.lstm_layers}")
        if self.n_filters < self.compress:
            raise ValueError(f"compress must be at most n_filters ({self.n_filters}), got {self.compress}")
        check_choice("norm", self.norm, NORMS)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("pad_mode", self.pad_mode, PAD_MODES)
        if self.symmetric and (self.causal or self.pad_mode != "zero" or not self.masks or min(self.ratios) == 1):
            raise ValueError(
                "symmetric must be False where a network is causal, has pad_mode 'reflect', an LSTM, norm 'time_group_norm' "
                "or a ratio of 1"
            )

    @property
    def hop(self) -> int:
        """Samples a latent frame."""
        return math.prod(self.ratios)

    @property
    def masks(self) -> bool:
        """Whether each layer can tell from the margin of a chunk what it would see at the ends of the signal."""
        return self.lstm_layers == 0 and self.norm != "time_group_norm"


class ResidualBlock(Layer):
    """x -> shortcut(x) + conv1x1(act(conv(act(x)))), the inner width divided by `compress`."""

    def __init__(self, config: SEANetConfig, width: int, dilation: int) -> None:
        super().__init__()
        inner = width // config.compress
        self.block = Chain(
            [
                activation(config.activation, width),
                _conv(config, width, inner, config.residual_kernel_size, dilation=dilation),
                activation(config.activation, inner),
                _conv(config, inner, width, 1),
            ]
        )
        self.shortcut = Chain([]) if config.true_skip else _conv(config, width, width, 1)

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        return self.shortcut(x, span) + self.block(x, span)

    def reach(self, low: int, high: int) -> tuple[int, int]:
        return self.block.reach(low, high)  # the shortcut looks at one sample

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> StreamState:
        return StreamState(parts=tuple(part.start(batch, device, dtype) for part in (self.shortcut, self.block)))

    def step(self, x: Tensor, state: StreamState, last: bool = False) -> tuple[Tensor, StreamState]:
        beside, kept = self.shortcut.step(x, state.parts[0], last)
        y, inner = self.block.step(x, state.parts[1], last)
        return beside + y, StreamState(parts=(kept, inner))


class Tanh(Layer):
    """tanh, the decoder's last activation in DAC."""

    def forward(self, x: Tensor, span: Span | None = None) -> Tensor:
        return torch.tanh(x)


def _conv(config: SEANetConfig, width_in: int, width_out: int, kernel: int, **shape: int) -> Conv1d:
    return Conv1d(
        width_in, width_out, kernel, causal=config.causal, pad_mode=config.pad_mode, norm=config.norm, **shape
    )


def _up(config: SEANetConfig, width: int, ratio: int) -> ConvTranspose1d:
    ends = {"causal": config.causal, "symmetric": config.symmetric}
    return ConvTranspose1d(width, width // 2, 2 * ratio, stride=ratio, norm=config.norm, **ends)


def _residuals(config: SEANetConfig, width: int) -> list[Layer]:
    return [ResidualBlock(config, width, config.dilation_base**j) for j in range(config.n_residual_layers)]


@dataclass(frozen=True)
class Stage:
    """Neighbouring layers of a stack that are run over a recording in one way: an LSTM by steps, the rest in exact chunks.

    down, up: entries of the input and of the output that a frame has.
    """

    layers: Chain
    down: int
    up: int

    @property
    def steps(self) -> bool:
        """Whether the layers remember the whole past, so that they are run by steps, with their state carried on."""
        return any(isinstance(layer, LSTM) for layer in self.layers)

    def context(self, chunk: int) -> tuple[int, int]:
        """Frames before and after a chunk of that many frames that make its own frames equal to those of the whole signal.

        Raises ValueError where no finite number does.
        """
        low, high = self.layers.reach(0, self.up - 1)  # what the outputs of frame 0 look at
        before, after = max(0, -(low // self.down)), high // self.down
        causal = all(layer.causal for layer in self.layers.modules() if isinstance(layer, Conv1d | ConvTranspose1d))
        # A causal stage looks ahead only at the start of the signal, where its border is reflected: its first chunk is enough.
        return before, max(0, after + 1 - chunk) if causal else after


class _SEANet(nn.Module):
    """What encoder and decoder share: spans, context, stages, streams."""

    def __init__(self, config: SEANetConfig, layers: list[Layer], *, encodes: bool) -> None:
        super().__init__()
        self.config = config
        self.layers = Chain(layers)
        self.hop = config.hop
        self._down, self._up = (config.hop, 1) if encodes else (1, config.hop)  # input and output positions a frame
        ends = (config.channels, config.dimension)
        self._in_channels, self._out_channels = ends if encodes else ends[::-1]

    def _run(self, x: Tensor, span: SpanLike) -> Tensor:
        """The layers on `x`, only the span counting; the output outside it is zero."""
        self._check_input(x)
        if span is None:
            return self.layers(x)
        pairs = _pairs(span, len(x))
        Span.check(pairs, x.shape[-1], self._down)
        if not self.config.masks:
            if len(set(pairs)) == 1:
                return self._run_cropped(x, *pairs[0])
            return torch.cat([self._run_cropped(row[None], *pair) for row, pair in zip(x, pairs, strict=True)])
        inside = Span.of(pairs, x.device)
        return self.layers.span_after(inside).mask(self.layers(x, inside))

    def _run_cropped(self, x: Tensor, start: int, end: int) -> Tensor:
        """The span as a signal of its own: for layers that treat its ends in another way than by zeros."""
        frames = x.shape[-1] * self._up // self._down
        before = start * self._up // self._down
        if start == end:
            return x.new_zeros(len(x), self._out_channels, frames)
        y = self.layers(x[..., start:end])
        return F.pad(y, (before, frames - before - y.shape[-1]))

    def _check_input(self, x: Tensor, ragged: bool = False) -> None:
        grid = 1 if ragged else self._down
        if x.dim() != 3 or x.shape[1] != self._in_channels or not x.shape[-1] or x.shape[-1] % grid:
            raise ValueError(
                f"input must be [B, {self._in_channels}, n] with n a positive multiple of {grid}, got {list(x.shape)}"
            )

    @property
    def context(self) -> int:
        """Latent frames on each side of a chunk that make its inner frames equal to those of the whole signal.

        Raises ValueError where no finite number does: with an LSTM, or with norm "time_group_norm".
        """
        low, high = self.layers.reach(0, self._up - 1)  # what the outputs of frame 0 look at
        return max(0, -(low // self._down), high // self._down)

    def stages(self) -> list[Stage]:
        """The layers before an LSTM, the LSTM, the layers after it; or all layers as one stage. They share the weights."""
        layers, stages = list(self.layers), []
        cuts = [i for i, layer in enumerate(layers) if isinstance(layer, LSTM)]
        bounds = [0, *(edge for i in cuts for edge in (i, i + 1)), len(layers)]
        rate = self._down  # positions a frame at the layer's input
        for begin, end in itertools.pairwise(bounds):
            down = rate
            for layer in layers[begin:end]:
                rate = rate // layer.stride if isinstance(layer, Conv1d) else rate
                rate = rate * layer.stride if isinstance(layer, ConvTranspose1d) else rate
            stages.append(Stage(self.layers.part(begin, end), down, rate))
        return stages

    @property
    def first_step(self) -> int:
        """Frames that the first step of a stream must bring at least: 1, or more with reflect padding."""
        least, rate = 1, self._down  # positions a frame at the layer's input
        for layer in self.layers:
            for conv in layer.modules():
                if isinstance(conv, Conv1d) and conv.reflect:
                    least = max(least, conv.left // rate + 1)
            if isinstance(layer, Conv1d):
                rate //= layer.stride
            elif isinstance(layer, ConvTranspose1d):
                rate *= layer.stride
        return least

    def start(
        self, batch: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> StreamState:
        """The state of `batch` streams before their first step, on the weights' device and dtype unless given.

        Raises ValueError if the model is not causal or has norm "time_group_norm".
        """
        weight = next(self.parameters())
        return self.layers.start(batch, torch.device(device or weight.device), dtype or weight.dtype)

    def step(self, x: Tensor, state: StreamState, last: bool = False) -> tuple[Tensor, StreamState]:
        """The next piece of the stream, `[B, ., n]` as in forward, and the state after it. No latency, nothing lost.

        The steps' outputs, one after the other, equal forward on the whole. The last piece may be of any length. With reflect
        padding the first of several steps must bring at least `first_step` frames, else ValueError.
        """
        self._check_input(x, ragged=last)
        return self.layers.step(x, state, last)


def _pairs(span: tuple[int, int] | Sequence[tuple[int, int]], batch: int) -> list[tuple[int, int]]:
    """One (start, end) for each item of the batch."""
    if len(span) == 2 and not isinstance(span[0], Sequence):
        return [cast(tuple[int, int], tuple(span))] * batch
    if len(span) != batch:
        raise ValueError(f"span must be one (start, end), or one for each of the {batch} items, got {span!r}")
    return [cast(tuple[int, int], tuple(cast(Sequence[int], pair))) for pair in span]


class SEANetEncoder(_SEANet):
    """Audio `[B, C, S]` to latents `[B, D, S / hop]`.

    Chunks: cut the signal on the hop grid, `context` frames more on either side (as far as the signal goes, anything
    beyond), and say by `span` which samples are real; the inner frames then equal those of the whole signal, to
    rounding. Reflect padding reflects at the ends of the span, so it is exact too.
    """

    def __init__(self, config: SEANetConfig) -> None:
        width = config.n_filters
        layers: list[Layer] = [_conv(config, config.channels, width, config.kernel_size)]
        for ratio in reversed(config.ratios):
            layers += _residuals(config, width)
            layers.append(activation(config.activation, width))
            layers.append(_conv(config, width, 2 * width, 2 * ratio, stride=ratio))
            width *= 2
        if config.lstm_layers:
            layers.append(LSTM(width, config.lstm_layers))
        layers.append(activation(config.activation, width))
        layers.append(_conv(config, width, config.dimension, config.last_kernel_size))
        super().__init__(config, layers, encodes=True)

    def forward(self, x: Tensor, span: SpanLike = None) -> Tensor:
        """`x` `[B, C, S]` -> `[B, D, S / hop]`.

        S is a multiple of the hop (pad with zeros on the right). `span` (start, end), or one pair for each item, is
        the part of `x` in samples that lies inside the true signal: start a multiple of the hop, end anywhere.
        None means all of it. Everything outside counts as each layer's own padding, whatever it holds, and gives
        frames of zeros. An end off the hop grid is the end of a ragged signal, which differs in its last
        frames from the same signal with zeros appended to the next hop: use one of the two throughout.
        Raises ValueError for another shape or span.
        """
        return self._run(x, span)


class SEANetDecoder(_SEANet):
    """Latents `[B, D, T]` to audio `[B, C, T * hop]`, exactly, for every ratio. Chunks as in SEANetEncoder.

    A symmetric decoder with an odd ratio is DAC's at 24 and 16 kHz, which gives `short` = 8 samples fewer than went in: the layers
    after the ratio of 5 see the end of the signal one sample early. Ours gives those samples as it does, and then the missing
    ones, decoded as if the last frame lasted for one more.
    """

    def __init__(self, config: SEANetConfig) -> None:
        width = config.n_filters * 2 ** len(config.ratios)
        layers: list[Layer] = [_conv(config, config.dimension, width, config.kernel_size)]
        if config.lstm_layers:
            layers.append(LSTM(width, config.lstm_layers))
        for ratio in config.ratios:
            layers.append(activation(config.activation, width))
            layers.append(_up(config, width, ratio))
            width //= 2
            layers += _residuals(config, width)
        layers.append(activation(config.activation, width))
        layers.append(_conv(config, width, config.channels, config.last_kernel_size))
        if config.final_tanh:
            layers.append(Tanh())
        super().__init__(config, layers, encodes=False)
        one = self.layers.span_after(Span(0, 1)).end
        assert isinstance(one, int)
        self.short = config.hop - one

    def forward(self, z: Tensor, span: SpanLike = None) -> Tensor:
        """`z` `[B, D, T]` -> `[B, C, T * hop]`.

        `span` (start, end), or one pair for each item, is the part of `z` in frames that lies inside the true signal;
        None means all of it. What `z` holds outside it has no effect, and the samples there are zero. Where the layers end
        `short` samples early, a span that ends before T has its last samples; one that ends at T is taken to be cut there,
        and they are zero. Raises ValueError for another shape or span.
        """
        sound = self._run(z, span)
        if not self.short:
            return sound
        frames = z.shape[-1]
        if span is None:
            return torch.cat([sound, self._last(z, 0, frames)], dim=-1)
        for item, (start, end) in enumerate(_pairs(span, len(z))):
            if start < end < frames:
                stop = end * self.hop
                sound[item, :, stop - self.short : stop] = self._last(z[item : item + 1], start, end)[0]
        return sound

    def _last(self, z: Tensor, start: int, end: int) -> Tensor:
        """The `short` samples before the end of a signal of the frames start to end, `[B, C, short]`."""
        first = max(start, end - 1 - self.context)
        held = torch.cat([z[..., first:end], z[..., end - 1 : end]], dim=-1)
        stop = (end - first) * self.hop
        return self.layers(held)[..., stop - self.short : stop]
