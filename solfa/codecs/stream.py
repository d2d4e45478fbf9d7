"""A codec on a live signal: samples in, codes out as soon as they are certain; or codes in, samples out.

The same layers as in `stages`, run on pieces as they come. What a stream must remember is an explicit value: `stream.state` is never
changed, so it can be kept, and a stream can be resumed from it any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.codecs.stages import Stage, StateStage, WindowStage


@dataclass(frozen=True)
class StageState:
    """What a stage must remember between two pieces.

    held: input that is not done with, from the context of the next frame on (or from the next frame, where layers keep their own
    state). done: frames given out. seen: entries taken in. layers: the layers' own state.
    """

    held: Tensor  # [C, n]
    done: int = 0
    seen: int = 0
    layers: Any = None


@dataclass(frozen=True)
class StreamState:
    """The state of a stream between two pushes: of each stage, None as long as nothing has reached it."""

    stages: tuple[StageState | None, ...]
    finished: bool = False


def check_floats(samples: Tensor) -> None:
    """ValueError for samples that are no floats: those of 16 bits, say, would be taken for sound of 32768 times the level."""
    if not isinstance(samples, Tensor) or not samples.is_floating_point():
        kind = samples.dtype if isinstance(samples, Tensor) else type(samples).__name__
        raise ValueError(f"samples are {kind}: a tensor of floats between -1 and 1 is needed")


def finite_sound(samples: Tensor) -> Tensor:
    """Samples of any floating type as float32, without what they were computed from. ValueError for others, and for NaN and infinity."""
    check_floats(samples)
    samples = samples.detach().float()
    # By numpy, on one thread: those of torch that help would be kept spinning for a while, on the cores that are needed.
    if not (np.isfinite(samples.numpy()) if samples.device.type == "cpu" else torch.isfinite(samples)).all():
        raise ValueError("the samples hold NaN or infinity")
    return samples


class _Stream:
    """Pushes pieces through stages."""

    @property
    def _rows(self) -> int:
        """Of what is pushed."""
        return self.channels

    def __init__(
        self,
        stages: Sequence[Stage],
        device: torch.device,
        channels: int,
        codebooks: int,
        hop: int,
        state: StreamState | None = None,
    ) -> None:
        self._stages, self._device = tuple(stages), device
        self.channels, self.codebooks = channels, codebooks
        ahead = sum(stage.right for stage in stages if isinstance(stage, WindowStage))
        least = [stage.first for stage in stages if isinstance(stage, StateStage)]
        self.latency, self.first = ahead * hop, max([1 + ahead, *least]) * hop
        self.state = StreamState((None,) * len(self._stages)) if state is None else state
        first = self.state.stages[0]
        if len(self.state.stages) != len(self._stages) or (first is not None and first.held.shape[0] != self._rows):
            raise ValueError("the state is of another stream: of another codec, or of the other direction")

    def _push(self, piece: Tensor | None) -> Tensor | None:
        """The next piece [., n], or None for the end, to what comes out."""
        if self.state.finished:
            raise ValueError("the stream is finished: take a new one for another recording, or resume an earlier state")
        last = piece is None
        flow = None if piece is None else piece.to(self._device)
        states: list[StageState | None] = []
        with torch.no_grad():
            for stage, state in zip(self._stages, self.state.stages, strict=True):
                if flow is not None:
                    state = StageState(flow[:, :0]) if state is None else state
                    state = replace(state, held=torch.cat([state.held, flow], -1), seen=state.seen + flow.shape[-1])
                if state is not None:
                    flow, state = _run(stage, state, last)
                states.append(state)
        self.state = StreamState(tuple(states), last)
        return None if flow is None else flow.cpu()


class EncodeStream(_Stream):
    """Samples to codes, piece by piece: `push` samples [C, n] of any n, `finish` once. The codes are those of the whole recording.

    latency: samples after the end of a frame that must have come before `push` gives its codes: 0 for a causal codec, its context
    for others. first: samples that must have come before the first codes; a codec with reflect padding needs a few frames there,
    because they are what its border reflects. state: between two pushes; `codec.stream("encode", state=...)` resumes from it.
    """

    def push(self, samples: Tensor) -> Tensor:
        """The codes [k, t] that the next samples [C, n] make certain, perhaps none.

        Raises ValueError for another shape, samples that are no floats or not finite, or a stream that is finished.
        """
        samples = finite_sound(samples)
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"samples have the shape {list(samples.shape)}: [{self.channels}, n] is needed")
        return self._codes(samples)

    def finish(self) -> Tensor:
        """The codes [k, t] of the rest; the recording ends here. One without samples has no codes."""
        return self._codes(None)

    def _codes(self, samples: Tensor | None) -> Tensor:
        tokens = self._push(samples)
        return torch.zeros(self.codebooks, 0, dtype=torch.int64) if tokens is None else tokens


class DecodeStream(_Stream):
    """Codes to samples, piece by piece: `push` codes [k, t] of any t, `finish` once; t frames give t * hop samples in all.

    Where the recording ended inside its last frame, the rest of that is to be dropped. latency, first, state: as of `EncodeStream`;
    the samples are those of the frames that must have come.
    """

    @property
    def _rows(self) -> int:
        return self.codebooks

    def push(self, tokens: Tensor) -> Tensor:
        """The samples [C, n] that the next codes [k, t] make certain, perhaps none.

        Raises ValueError for another shape, codes out of range, or a stream that is finished.
        """
        if tokens.ndim != 2 or tokens.shape[0] != self.codebooks or tokens.is_floating_point():
            raise ValueError(
                f"codes are {tokens.dtype} {list(tokens.shape)}: integers [{self.codebooks}, t] are needed"
            )
        return self._sound(tokens.long())

    def finish(self) -> Tensor:
        """The samples [C, n] of the rest; the recording ends here."""
        return self._sound(None)

    def _sound(self, tokens: Tensor | None) -> Tensor:
        sound = self._push(tokens)
        return torch.zeros(self.channels, 0, dtype=torch.float32) if sound is None else sound.float()


def _run(stage: Stage, state: StageState, last: bool) -> tuple[Tensor | None, StageState]:
    return _window(stage, state, last) if isinstance(stage, WindowStage) else _step(stage, state, last)


def _window(stage: WindowStage, state: StageState, last: bool) -> tuple[Tensor | None, StageState]:
    """All frames whose context is there, in one window."""
    frames = -(-state.seen // stage.take) if last else state.seen // stage.take - stage.right
    count = frames - state.done
    if count <= 0:
        return None, state
    # The window begins `left` frames before the next one: in the recording, or up to that many before its start.
    begin = (state.done - stage.left) * stage.take
    size = (stage.left + count + stage.right) * stage.take
    before = max(0, -begin)
    data = F.pad(state.held, (before, max(0, size - before - state.held.shape[-1])))[None, :, :size]
    y = stage.run(data, (before, min(size, state.seen - begin)))
    y = stage.after(y[..., stage.left * stage.give : (stage.left + count) * stage.give])
    past = max(0, (frames - stage.left) * stage.take) - max(0, begin)  # entries of held that no later frame looks at
    return y[0], replace(state, held=state.held[:, past:], done=frames)


def _step(stage: StateStage, state: StageState, last: bool) -> tuple[Tensor | None, StageState]:
    """All whole frames, in one step; at the end, the rest with them."""
    size = state.held.shape[-1] if last else state.held.shape[-1] // stage.take * stage.take
    if not size or (not last and state.layers is None and size < stage.first * stage.take):
        return None, state
    layers = stage.start() if state.layers is None else state.layers
    y, layers = stage.step(state.held[None, :, :size], layers, last)
    return y[0], replace(state, held=state.held[:, size:], layers=layers)
