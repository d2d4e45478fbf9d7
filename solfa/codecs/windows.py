"""Windows of one fixed shape over a recording that arrives in parts.

A window is `chunk` units and `context` units on either side; outside the recording it holds zeros. Window i stands at unit
`i * chunk - context`, whatever the parts were, so what is computed from it depends on the recording alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

Result = TypeVar("Result")


@dataclass(frozen=True)
class Window:
    """One window: its data, which part of it lies in the recording, and how many units of its middle do."""

    data: Tensor  # [..., (chunk + 2 * context) * hop]
    span: tuple[int, int]  # start and stop in data
    units: int  # of the middle that are in the recording: chunk but for the last window


def windows(parts: Iterable[Tensor], chunk: int, context: int, hop: int = 1) -> Iterator[Window]:
    """Cut parts [..., n] of a recording, joined along the last axis, into windows; a unit is `hop` entries of that axis.

    The last unit may be partly filled. Memory: one window and one part. Raises ValueError where the parts hold nothing.
    """
    size, step = (chunk + 2 * context) * hop, chunk * hop
    buffer: Tensor | None = None
    origin = -context * hop  # position of buffer[0] in the recording
    for part in parts:
        buffer = F.pad(part, (context * hop, 0)) if buffer is None else torch.cat([buffer, part], -1)
        while buffer.shape[-1] >= size:
            yield Window(buffer[..., :size], (max(0, -origin), size), chunk)
            buffer, origin = buffer[..., step:], origin + step
    if buffer is None or origin + buffer.shape[-1] <= 0:
        raise ValueError("the recording holds no samples")
    total = origin + buffer.shape[-1]
    while origin + context * hop < total:
        data = F.pad(buffer[..., :size], (0, max(0, size - buffer.shape[-1])))
        left = -(-(total - origin - context * hop) // hop)
        yield Window(data, (max(0, -origin), min(size, total - origin)), min(chunk, left))
        buffer, origin = buffer[..., step:], origin + step


def in_order(items: Iterable[Window], work: Callable[[Window], Result], workers: int) -> Iterator[Result]:
    """`work` on each window, several at once, results in order.

    Every worker computes on one thread: what a matrix product sums, and in which order, must not depend on the number of cores.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
