"""Watches for losses, gradients and weights that are not finite, and tells which recordings they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solfa.train.distributed import World
from solfa.train.record import write_document
from solfa.train.task import Task


class NotFinite(ValueError):
    """Training cannot go on: the message names step, phase and values.

    step: whose batch it was. found: what was seen, as JSON data.
    """

    def __init__(self, message: str, step: int, found: dict[str, Any]) -> None:
        super().__init__(message)
        self.step, self.found = step, found


class FiniteGuard:
    """Remembers the first step at which a phase's loss or gradient norm was not finite.

    On the CPU it raises at once, before the weights are touched. On a GPU asking costs a wait for the device, so that
    the memory stays there until `check`, which the loop calls before it logs, saves or evaluates.
    """

    def __init__(self, phase: str, device: torch.device) -> None:
        self.phase = phase
        self.immediate = device.type == "cpu"
        self.first = torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64, device=device)  # step, loss, gradient norm

    def watch(self, step: int, loss: Tensor, norm: Tensor | None) -> None:
        """`norm` is None where the loss scaler may legally see an overflow."""
        loss = loss.detach().double()
        norm = torch.zeros_like(loss) if norm is None else norm.detach().double()
        bad = ~(torch.isfinite(loss) & torch.isfinite(norm)) & (self.first[0] < 0)
        seen = torch.stack([torch.full_like(loss, step), loss, norm])
        self.first = torch.where(bad, seen, self.first)
        if self.immediate and (error := self.found()) is not None:
            raise error

    def found(self) -> NotFinite | None:
        """What to raise, None while all was finite."""
        step, loss, norm = self.first.tolist()
        if step < 0:
            return None
        values = {"loss": loss, "gradient norm": norm}
        infinite = {name: f"{value:g}" for name, value in values.items() if not math.isfinite(value)}
        return NotFinite(
            f"step {step:.0f}, phase {self.phase}: loss {loss:g}, gradient norm {norm:g}",
            int(step),
            {"phase": self.phase, "not_finite": infinite},
        )


def infinite_weights(step: int, tensors: Mapping[str, Tensor]) -> NotFinite | None:
    """What to raise where a state's tensors are not finite after `step`, None where they are."""
    names = sorted(name for name, tensor in tensors.items() if not bool(tensor.isfinite().all()))
    if not names:
        return None
    message = f"step {step}: {len(names)} tensors of the state hold NaN or infinity, {names[0]} the first"
    return NotFinite(message, step, {"not_finite": {"weights": names}})


def tell_rows(error: NotFinite, run: Path, task: Task, world: World, accumulate: int) -> Path:
    """Writes which recordings the batch of that step was made of; gives the file's path.

    It is RUN/not-finite.json, of other processes than the leading one RUN/not-finite-rank-1.json and so on: each says what it saw itself,
    and of all rows which process computed them. Raises OSError or ValueError where it cannot be written or a recording not be read.
    """
    rows: list[dict[str, Any]] | None = None
    if (origins := getattr(task, "origins", None)) is not None:
        shards = world.size * accumulate
        told = [
            (shard // accumulate, origin) for shard in range(shards) for origin in origins(error.step, shard, shards)
        ]
        rows = [{"rank": rank} | asdict(origin) for rank, origin in told]
    path = run / ("not-finite.json" if world.leads else f"not-finite-rank-{world.rank}.json")
    write_document(path, {"step": error.step, "rank": world.rank, **error.found, "rows": rows})
    return path
