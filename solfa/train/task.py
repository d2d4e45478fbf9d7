"""What the loop asks of a task: modules to train, batches, a loss for each phase, an evaluation and an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Loss:
    """The result of one phase on one batch.

    `total` is a scalar, a mean over the batch. A total that needs no gradient (a constant) means that the phase rests
    at this step: its weights and its optimizer stay as they are. `logs` are averaged until the next line of metrics.
    """

    total: Tensor  # []
    logs: dict[str, Tensor | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """Where a row of a step's batch is from: a recording (its path, or the store and the key in it), from `start` on, in seconds.

    row: its number in the whole batch, all shards together. A row that several recordings were mixed for has several origins.
    """

    row: int
    recording: str
    start: float


class Task(Protocol):
    """A family of models to train. `train(task, ...)` calls these methods; the task never sees an optimizer.

    One that has a method `identity() -> DataIdentity` says which recordings it learns from: a run is not resumed on other held-out ones.
    One that has `origins(step, rank, world) -> list[Origin]` says what the rows of `batch(step, rank, world)` are of: it is asked where
    training stops at that step because a number is not finite.
    """

    name: str

    @property
    def model(self) -> nn.Module:
        """What is averaged (EMA), evaluated and exported."""
        ...

    def phases(self) -> dict[str, nn.Module]:
        """The modules to train, in the order of their updates within a step; one optimizer each, no shared weights.

        While a phase is computed the parameters of the others are frozen. Everything that must survive a resume is a
        parameter or a persistent buffer of one of these modules or of `model`.
        """
        ...

    def batch(self, step: int, rank: int, world: int) -> Any:
        """Shard `rank` of the `world` shards of step `step`'s batch, on the CPU.

        A pure function of its arguments (and the task's seed): it is called in other threads, ahead of time, and again
        after a resume, so it must draw from generators of its own and never from the global ones. Gradient
        accumulation and data parallelism both ask for more shards.
        """
        ...

    def loss(self, phase: str, batch: Any, step: int) -> Loss:
        """The loss of one phase on a batch that was moved to the device. Global random generators may be used here."""
        ...

    def evaluate(self, model: nn.Module, step: int, folder: Path) -> dict[str, float]:
        """Validate `model` (averaged weights, evaluation mode). Files such as audio samples go into `folder`."""
        ...

    def export(self, model: nn.Module, folder: Path) -> None:
        """Write the checkpoint for inference from `model` (averaged weights, evaluation mode) to `folder`."""
        ...


class TaskConfig(Protocol):
    """A frozen dataclass that describes a task."""

    def build(self) -> Task: ...
