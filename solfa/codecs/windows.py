"""Windows of one fixed shape over a recording that arrives in parts.

A window is `chunk` units with `left` units before and `right` units after them; outside the recording it holds zeros. Window i stands at
unit `i * chunk - left`, whatever the parts were, so what is computed from it depends on the recording alone.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Window:
    """One window: what it is made of, which part of it lies in the recording, and how many units of its middle do.

    It is put together when `data` is asked for, by the thread that computes it: where torch shares out a copy of some size over
    threads, those that helped are kept spinning for a while, on the cores that are needed.
    """

    pieces: tuple[Tensor, ...]  # [..., n] each, side by side
    before: int  # zeros before them
    after: int  # and after them
    span: tuple[int, int]  # start and stop in data
    units: int  # of the middle that are in the recording: chunk but for the last window

    @property
    def data(self) -> Tensor:
        """`[..., (left + chunk + right) * hop]`."""
        data = self.pieces[0] if len(self.pieces) == 1 else torch.cat(self.pieces, -1)
        return F.pad(data, (self.before, self.after)) if self.before or self.after else data


class _Held:
    """The parts of a recording that windows still need."""

    def __init__(self, begin: int) -> None:
        self.parts: deque[Tensor] = deque()
        self.begin = self.end = begin  # positions in the recording

    def append(self, part: Tensor) -> None:
        if part.shape[-1]:
            self.parts.append(_copied(part))
            self.end += part.shape[-1]

    def forget(self, before: int) -> None:
        """Parts that end before that position, and the beginning of the one that does not."""
        while self.parts and self.begin + self.parts[0].shape[-1] <= before:
            self.begin += self.parts.popleft().shape[-1]
        if self.parts and self.begin < before:
            self.parts[0] = self.parts[0][..., before - self.begin :]
            self.begin = before

    def cut(self, start: int, size: int, units: int) -> Window:
        """The window of that size that starts there."""
        low, high = max(start, self.begin), min(start + size, self.end)
        pieces, at = [], self.begin
        for part in self.parts:
            piece = part[..., max(0, low - at) : high - at] if at < high else part[..., :0]
            at += part.shape[-1]
            if piece.shape[-1]:
                pieces.append(piece)
        return Window(tuple(pieces), low - start, start + size - high, (max(0, -start), high - start), units)


def _copied(part: Tensor) -> Tensor:
    """A copy, for what comes next may be written to the same memory; by one thread (see `Window`), as numpy makes it."""
    if part.device.type != "cpu" or part.dtype == torch.bfloat16:
        return part.clone()
    return torch.from_numpy(part.detach().numpy().copy("K"))


def windows(
    parts: Iterable[Tensor], chunk: int, left: int, right: int, hop: int = 1, first: int = 0
) -> Iterator[Window]:
    """Cut parts [..., n] of a recording, joined along the last axis, into windows; a unit is `hop` entries of that axis.

    The last unit may be partly filled. first: the window to begin with; the parts then begin with its first unit that lies in the
    recording. Memory: the parts that a window lies in. Raises ValueError where the parts hold nothing.
    """
    size, step = (left + chunk + right) * hop, chunk * hop
    origin = first * step - left * hop  # position of the window in the recording
    held = _Held(max(0, origin))
    nothing = held.end
    for part in parts:
        held.append(part)
        while held.end - origin >= size:
            yield held.cut(origin, size, chunk)
            origin += step
            held.forget(origin)
    if held.end == nothing:
        raise ValueError("the recording holds no samples")
    while origin + left * hop < held.end:
        yield held.cut(origin, size, min(chunk, -(-(held.end - origin - left * hop) // hop)))
        origin += step
        held.forget(origin)


def pool(workers: int) -> Executor:
    """Threads that compute on one core each: what a matrix product sums, and in which order, must not depend on the number of cores.

    They are kept for later calls: to start one empties the caches of the library that computes convolutions.
    """
    return _pool(workers, os.getpid())  # a forked process has none of its parent's threads


@functools.cache
def _pool(workers: int, process: int) -> Executor:
    before = torch.get_num_threads()
    threads = ThreadPoolExecutor(workers, initializer=_one_core)
    together = threading.Barrier(workers)
    list(threads.map(lambda _: together.wait(), range(workers)))  # all of them start now
    torch.set_num_threads(before)  # the number that a thread sets is also that of all which start later
    return threads


def _one_core() -> None:
    torch.get_num_threads()  # else the first operation of a thread gives it the number that was set last anywhere
    torch.set_num_threads(1)


def in_order(items: Iterable[Item], work: Callable[[Item], Result], threads: Executor, ahead: int) -> Iterator[Result]:
    """`work` on each item, results in order; up to `ahead` items are computed before they are asked for."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(threads.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
