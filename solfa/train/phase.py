"""One phase of a step: loss, backward, clip, update. Its own optimizer, its own rate."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from solfa.train.config import TrainConfig
from solfa.train.distributed import World
from solfa.train.finite import FiniteGuard
from solfa.train.optimizer import load_optimizer_tensors, make_optimizer, optimizer_tensors
from solfa.train.sharding import divided_as, shard, whole
from solfa.train.task import Task

_DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class PhaseLoss(nn.Module):
    """The task's loss as the forward of a module that owns the phase's weights: what DDP's hooks need."""

    def __init__(self, task: Task, phase: str, module: nn.Module, joined: bool) -> None:
        super().__init__()
        self.module = module
        self.joined = joined
        self.compute = partial(task.loss, phase)  # no submodule, even where the task is a module with all phases in it

    def forward(self, batch: Any, step: int) -> tuple[Tensor, bool, dict[str, Tensor | float]]:
        """The total, whether the phase rests, and detached logs."""
        loss = self.compute(batch, step)
        total, rests = loss.total, not loss.total.requires_grad
        if rests and self.joined:  # every process must join the reduction of gradients, if only with zeros
            for parameter in self.module.parameters():
                total = total + 0.0 * parameter.sum()
        logs = {key: value.detach() if isinstance(value, Tensor) else value for key, value in loss.logs.items()}
        return total, rests, logs


class Phase:
    """Trains one module of the task; optimizer, rate, clipping and precision come from the loop's config."""

    def __init__(self, name: str, module: nn.Module, task: Task, config: TrainConfig, world: World) -> None:
        self.name, self.module, self.config, self.device = name, module, config, world.device
        order = list(task.phases())
        self.rate = config.learning_rates(order)[name]
        self.clip = config.clips(order)[name]
        divided = world.size > 1 and config.parallel == "fsdp"
        if divided and len(order) > 1:
            raise ValueError(f"parallel is fsdp: for tasks of one phase; this one has {', '.join(order)}: take ddp")
        self.loss: nn.Module = PhaseLoss(task, name, module, joined=world.size > 1 and not divided)
        if divided:
            shard(self.loss, world)
        self.trainable = {key: p for key, p in module.named_parameters() if p.requires_grad}
        if not self.trainable:
            raise ValueError(f"phase {name!r} has no parameters to train")
        self.optimizer = make_optimizer(self.trainable, config, self.rate)
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=config.precision == "float16")
        self.guard = FiniteGuard(name, world.device)
        if world.size > 1 and not divided:
            ids = [world.device.index] if world.device.type == "cuda" else None
            self.loss = DistributedDataParallel(self.loss, device_ids=ids, find_unused_parameters=True)

    def freeze(self, frozen: bool) -> None:
        for parameter in self.trainable.values():
            parameter.requires_grad_(not frozen)

    def update(self, shards: Sequence[Any], step: int, factor: float) -> dict[str, Tensor | float]:
        """One update from the mean of the shards' losses, at `factor` times the peak rate. Returns what to log."""
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor | float] = {}
        whole: Tensor | None = None
        resting = True
        for index, batch in enumerate(shards):
            with self._synced(index == len(shards) - 1):
                with self._autocast():
                    total, rests, logs = self.loss(batch, step)
                part = total.float() / len(shards)
                if part.requires_grad:
                    self.scaler.scale(part).backward()
            resting = resting and rests
            whole = part.detach() if whole is None else whole + part.detach()
            for key, value in logs.items():
                sums[key] = sums.get(key, 0.0) + value / len(shards)
        assert whole is not None, "the loop hands over at least one shard"
        report: dict[str, Tensor | float] = {"loss": whole, **sums}
        if resting:
            self.optimizer.zero_grad(set_to_none=True)
        else:
            report["gradient_norm"] = self._step(step, whole, self.rate * factor)
            report["learning_rate"] = self.rate * factor
        return {f"{self.name}/{key}": value for key, value in report.items()}

    def _step(self, step: int, loss: Tensor, rate: float) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        limit = float("inf") if self.clip is None else self.clip
        norm = whole(nn.utils.clip_grad_norm_(list(self.trainable.values()), limit))
        self.guard.watch(step, loss, None if self.scaler.is_enabled() else norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _DTYPES[self.config.precision]
        return contextlib.nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _synced(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients travel between processes only with the last shard."""
        if isinstance(self.loss, DistributedDataParallel) and not last:
            return self.loss.no_sync()
        if isinstance(self.loss, FSDPModule):
            self.loss.set_requires_gradient_sync(last)
        return contextlib.nullcontext()

    def state_dict(self) -> dict[str, Tensor]:
        """The optimizer's tensors, by the names of the parameters."""
        return optimizer_tensors(self.optimizer, self.trainable)

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        owners = {path: self.trainable.get(path.rpartition("/")[0]) for path in tensors}
        tensors = {path: t if (own := owners[path]) is None else divided_as(t, own) for path, t in tensors.items()}
        load_optimizer_tensors(self.optimizer, self.trainable, tensors, self.name)
