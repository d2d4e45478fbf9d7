"""The processes that train together: who am I, what do all of us agree on. One process alone needs no torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from solfa.nn.devices import pick_device


@dataclass(frozen=True)
class World:
    """This process among `size`; `device` is its own."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag is true where it is true in any process."""
        return tuple(bool(vote) for vote in self.most(*flags))

    def most(self, *numbers: float) -> tuple[float, ...]:
        """The largest of each number over the processes."""
        if self.size == 1:
            return numbers
        votes = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
        return tuple(votes.tolist())

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean over the processes, which must hold the same keys."""
        if self.size == 1 or not values:
            return values
        packed = torch.tensor([values[key] for key in sorted(values)], dtype=torch.float64, device=self.device)
        distributed.all_reduce(packed)
        return dict(zip(sorted(values), (packed / self.size).tolist(), strict=True))

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier()


@contextmanager
def join_world(device_name: str) -> Iterator[World]:
    """The world that torchrun's environment describes (nccl on cuda, gloo on cpu), or one process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local_rank = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    if device_name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {device_name!r}: legal are auto, cpu and cuda")
    device = pick_device(device_name)
    if device.type == "cuda":
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    if size == 1:
        yield World(0, 1, device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(hours=2))  # others wait while one evaluates
    try:
        yield World(rank, size, device)
    finally:
        distributed.destroy_process_group()


def group_rank() -> tuple[int, int]:
    """This process's number among those that train together, and how many they are; (0, 1) outside of `join_world`."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def group_wait() -> None:
    """Until all processes that train together are here."""
    if distributed.is_initialized():
        distributed.barrier()
