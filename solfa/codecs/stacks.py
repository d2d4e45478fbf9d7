"""An encoder or a decoder as stages: what `stages` runs over a recording, and `stream` over a live signal."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.codecs.stages import Span, Stage, StateStage, WindowStage
from solfa.nn.frames import FrameDecoder, FrameEncoder
from solfa.nn.seanet import SEANetDecoder, SEANetEncoder
from solfa.nn.seanet import Stage as Layers
from solfa.nn.streaming import Span as LayerSpan

Encoder: TypeAlias = FrameEncoder | SEANetEncoder
Decoder: TypeAlias = FrameDecoder | SEANetDecoder


def end_of(stack: Encoder | Decoder, size: int, grid: int) -> int:
    """Where a recording of that size ends for the stack.

    EnCodec's stack, which reflects, does so layer by layer where its last frame is not full. The others fill that up with zeros,
    which count as sound, as DAC does.
    """
    return size if _reflects(stack) else -(-size // grid) * grid


def window_stages(stack: Encoder | Decoder, chunk: int) -> list[Stage]:
    """The stages of a stack over a whole recording: convolutions in windows of `chunk` frames, an LSTM by steps of as many."""
    if isinstance(stack, SEANetEncoder | SEANetDecoder) and stack.config.lstm_layers:
        return [_steps(stack, part, chunk) if part.steps else _windows(stack, part, chunk) for part in stack.stages()]
    encodes, hop = isinstance(stack, FrameEncoder | SEANetEncoder), stack.config.hop
    take, give = (hop, 1) if encodes else (1, hop)
    left = right = stack.context
    if isinstance(stack, SEANetEncoder | SEANetDecoder):
        left, right = stack.stages()[0].context(chunk)
    device = _device(stack)

    def run(x: Tensor, span: Span) -> Tensor:
        return stack(x.to(device), (span[0], end_of(stack, span[1], take)))

    return [WindowStage(run, chunk, left, right, take, give)]


def stream_stages(stack: Encoder | Decoder, chunk: int) -> list[Stage]:
    """The stages of a stack over a live signal: a causal one by steps, without context to compute again; else as above."""
    if not isinstance(stack, SEANetEncoder | SEANetDecoder) or not stack.config.causal:
        return window_stages(stack, chunk)
    take, give = (stack.hop, 1) if isinstance(stack, SEANetEncoder) else (1, stack.hop)
    device = _device(stack)

    def step(x: Tensor, state: Any, last: bool) -> tuple[Tensor, Any]:
        missing = end_of(stack, x.shape[-1], take) - x.shape[-1]
        return stack.step(F.pad(x.to(device), (0, missing)), state, last)

    return [StateStage(step, lambda: stack.start(1), chunk, take, give, stack.first_step)]


def _windows(stack: Encoder | Decoder, part: Layers, chunk: int) -> WindowStage:
    left, right = part.context(chunk)
    device = _device(stack)

    def run(x: Tensor, span: Span) -> Tensor:
        return part.layers(x.to(device), LayerSpan(span[0], end_of(stack, span[1], part.down)))

    return WindowStage(run, chunk, left, right, part.down, part.up)


def _steps(stack: Encoder | Decoder, part: Layers, chunk: int) -> StateStage:
    weight = next(stack.parameters())
    return StateStage(
        lambda x, state, last: part.layers.step(x, state, last),
        lambda: part.layers.start(1, weight.device, weight.dtype),
        chunk,
    )


def _reflects(stack: Encoder | Decoder) -> bool:
    return isinstance(stack, SEANetEncoder | SEANetDecoder) and stack.config.pad_mode == "reflect"


def _device(stack: Encoder | Decoder) -> torch.device:
    return next(stack.parameters()).device
