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
    """One window: its data, which part of it lies in the recording, and how many units of its middle do."""

    data: Tensor  # [..., (left + chunk + right) * hop]
    span: tuple[int, int]  # start and stop in data
    units: int  # of the middle that are in the recording: chunk but for the last window


def windows(
    parts: Iterable[Tensor], chunk: int, left: int, right: int, hop: int = 1, first: int = 0
) -> Iterator[Window]:
    """Cut parts [..., n] of a recording, joined along the last axis, into windows; a unit is `hop` entries of that axis.

    The last unit may be partly filled. first: the window to begin with; the parts then begin with its first unit that lies in the
    recording. Memory: one window and one part. Raises ValueError where the parts hold nothing.
    """
    size, step = (left + chunk + right) * hop, chunk * hop
    buffer: Tensor | None = None
    origin = first * step - left * hop  # position of buffer[0] in the recording
    for part in parts:
        buffer = F.pad(part, (max(0, -origin), 0)) if buffer is None else torch.cat([buffer, part], -1)
        while buffer.shape[-1] >= size:
            yield Window(buffer[..., :size], (max(0, -origin), size), chunk)
            buffer, origin = buffer[..., step:], origin + step
    if buffer is None or origin + buffer.shape[-1] <= 0:
        raise ValueError("the recording holds no samples")
    total = origin + buffer.shape[-1]
    while origin + left * hop < total:
        data = F.pad(buffer[..., :size], (0, max(0, size - buffer.shape[-1])))
        ahead = -(-(total - origin - left * hop) // hop)
        yield Window(data, (max(0, -origin), min(size, total - origin)), min(chunk, ahead))
        buffer, origin = buffer[..., step:], origin + step


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
