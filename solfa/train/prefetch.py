"""Batches made ahead of time in threads, in order."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor


def prefetch(make: Callable[[int], Any], start: int, stop: int, threads: int) -> Generator[Any, None, None]:
    """make(start), ..., make(stop - 1), each computed up to `threads` + 1 items before it is asked for."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="batch")
    waiting: deque[Future[Any]] = deque()
    try:
        upcoming = iter(range(start, stop))
        for step in upcoming:
            waiting.append(executor.submit(make, step))
            if len(waiting) > threads:
                break
        while waiting:
            item = waiting.popleft().result()
            for step in upcoming:
                waiting.append(executor.submit(make, step))
                break
            yield item
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """`function` of every tensor in nested dicts, lists, tuples and dataclasses; everything else stays."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(item, function) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, function) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(item, function) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {f.name: map_tensors(getattr(value, f.name), function) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **changes)
    return value


def pin(batch: Any) -> Any:
    """Page-locked copies, from which a GPU copies while it computes."""
    return map_tensors(batch, lambda tensor: tensor.pin_memory())


def move(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on `device`."""
    if device.type == "cpu":
        return batch
    return map_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True))
