"""A stack of layers over a whole recording: stage after stage, each in blocks of one fixed shape.

Convolutions run in windows with context (see `windows`), several at once; layers that remember the whole past (an LSTM) run block
after block, with their state carried on, in a thread of their own beside the others. Each block is computed on one thread, and its
shape depends on nothing but the stage, so the result depends on the recording alone: not on how it arrives, nor on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from solfa.codecs.windows import Window, in_order, pool, windows

Span = tuple[int, int]


def same(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class WindowStage:
    """Layers that look at a bounded part of the recording.

    run: a window [1, ., n * take], and which part of it lies in the recording, to [1, ., n * give]. chunk: frames of a window, without
    the `left` and `right` frames of context that make the others exact. take, give: entries a frame. after: applied to what is left
    when the context has been cut off; it looks at each entry by itself.
    """

    run: Callable[[Tensor, Span], Tensor]
    chunk: int
    left: int = 0
    right: int = 0
    take: int = 1
    give: int = 1
    after: Callable[[Tensor], Tensor] = same


@dataclass(frozen=True)
class StateStage:
    """Layers that go through the recording from its start.

    step: a block [1, ., n * take], the state before it, and whether the recording ends with it (it then may be of any length), to
    [1, ., n * give] and the state after it. first: frames that the first step must bring, unless it is the last.
    """

    step: Callable[[Tensor, Any, bool], tuple[Tensor, Any]]
    start: Callable[[], Any]
    chunk: int
    take: int = 1
    give: int = 1
    first: int = 1


Stage: TypeAlias = WindowStage | StateStage


def run_stages(parts: Iterable[Tensor], stages: list[Stage], workers: int, first: int = 0) -> Iterator[Tensor]:
    """Parts [., n] of a recording through all stages, to blocks [., m] on the CPU; memory is bounded.

    workers: how many threads compute windows. first: the window to begin with, where there is one stage only (see `windows`).
    """
    flow: Iterable[Tensor] = parts
    for stage in stages:
        flow = _in_windows(stage, flow, workers, first) if isinstance(stage, WindowStage) else _in_steps(stage, flow)
    for block in flow:
        yield block.cpu()


def run_range(
    read: Callable[[int, int], Tensor], stages: list[Stage], total: int, start: int, stop: int, workers: int
) -> Iterator[Tensor]:
    """The entries start to stop, block by block, of what the stages make of a recording of which `read(a, b)` gives the frames a to b.

    total: entries of the whole. No more is read than the blocks need that start to stop lie in; where a stage goes by steps, all from
    the beginning.
    """
    give, chunk = stages[-1].give, stages[0].chunk
    only = stages[0] if len(stages) == 1 else None
    first = start // (give * chunk) if isinstance(only, WindowStage) else 0
    begin = max(0, first * chunk - only.left) if isinstance(only, WindowStage) else 0
    end = min(-(-total // give), _needed(stages, -(-stop // give)))
    parts = (read(i, min(i + chunk, end)) for i in range(begin, end, chunk))
    position = first * chunk * give
    for block in run_stages(parts, stages, workers, first):
        low, high = max(start - position, 0), min(stop - position, block.shape[-1])
        position += block.shape[-1]
        if low < high:
            yield block[:, low:high]
        if position >= stop:
            return


def _needed(stages: list[Stage], stop: int) -> int:
    """How many frames of input are enough for the first `stop` frames of output."""
    for stage in reversed(stages):
        stop = -(-stop // stage.chunk) * stage.chunk + (stage.right if isinstance(stage, WindowStage) else 0)
    return stop


def _in_windows(stage: WindowStage, parts: Iterable[Tensor], workers: int, first: int) -> Iterator[Tensor]:
    def work(window: Window) -> Tensor:
        with torch.no_grad():
            y = stage.run(window.data[None], window.span)
            middle = stage.after(y[..., stage.left * stage.give : (stage.left + stage.chunk) * stage.give])
        return middle[0, :, : window.units * stage.give]

    cut = windows(parts, stage.chunk, stage.left, stage.right, stage.take, first)
    return in_order(cut, work, pool(workers), workers)


def _in_steps(stage: StateStage, parts: Iterable[Tensor]) -> Iterator[Tensor]:
    state = stage.start()

    def work(window: Window) -> Tensor:
        nonlocal state
        with torch.no_grad():
            y, state = stage.step(window.data[None], state, False)
        return y[0, :, : window.units * stage.give]

    return in_order(windows(parts, stage.chunk, 0, 0, stage.take), work, pool(1), 1)
