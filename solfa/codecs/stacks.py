"""An encoder or a decoder as stages: what `stages` runs over a recording, `stream` over a live signal, `device_batch` over many."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.codecs.stages import Span, Stage, StateStage, WindowStage
from solfa.nn.fast import fused
from solfa.nn.frames import FrameDecoder, FrameEncoder
from solfa.nn.seanet import SEANetDecoder, SEANetEncoder
from solfa.nn.seanet import Stage as Layers
from solfa.nn.streaming import Chain
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


@dataclass(frozen=True)
class BatchPart:
    """Layers that are run over a batch in one way: by steps, or in windows, with left and right frames of context.

    run: windows [B, ., n], and which part of each lies in its recording, from [B] to [B]. down, up: entries of the input and of the output
    that a frame has.
    """

    layers: Chain | FrameEncoder | FrameDecoder
    run: Callable[[Tensor, Tensor, Tensor], Tensor]
    down: int
    up: int
    left: int = 0
    right: int = 0
    steps: bool = False


def batch_parts(stack: Encoder | Decoder, chunk: int) -> list[BatchPart]:
    """The parts of a stack, which share its weights. Raises ValueError where a context is longer than a chunk."""
    if isinstance(stack, FrameEncoder | FrameDecoder):
        down, up = (stack.config.hop, 1) if isinstance(stack, FrameEncoder) else (1, stack.config.hop)
        parts = [BatchPart(stack, lambda x, start, end: stack(x, (start, end)), down, up, stack.context, stack.context)]
    else:
        parts = [_batch_part(part, chunk) for part in stack.stages()]
    if (least := max(max(part.left, part.right) for part in parts)) > chunk:
        raise ValueError(f"chunk is {chunk}: at least {least} are needed")
    return parts


def inference_copy(stack: Encoder | Decoder) -> Encoder | Decoder:
    """A copy whose layers may be moved and cast."""
    return fused(stack) if isinstance(stack, SEANetEncoder | SEANetDecoder) else deepcopy(stack).requires_grad_(False)


def _batch_part(part: Layers, chunk: int) -> BatchPart:
    left, right = (0, 0) if part.steps else part.context(chunk)

    def run(x: Tensor, start: Tensor, end: Tensor) -> Tensor:
        return part.layers(x, LayerSpan(start, end))

    return BatchPart(part.layers, run, part.down, part.up, left, right, part.steps)


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
