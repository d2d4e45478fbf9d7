"""The state of a training run on disk: `step-000123/` folders, a `latest` pointer, nothing half-written."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from solfa import checkpoint
from solfa.checkpoint import CheckpointError
from solfa.files import write_whole
from solfa.train.ema import WeightAverage
from solfa.train.metrics import Meter
from solfa.train.phase import Phase
from solfa.train.sharding import divided_as, whole

KIND = "training-state"
LATEST_NAME = "latest"
_FOLDER = re.compile(r"step-(\d{6,})")


class TrainingState:
    """Everything that a resumed run needs: weights, averages, optimizers, loss scales, the running means, the clock.

    Random generators are not in it: the loop seeds them anew at each step, from the run's seed, the step and the rank. Nor are parameters
    that were frozen before training began (those that adapters are added to): a resumed run must build the same, and that is checked.
    """

    def __init__(self, model: nn.Module, phases: Mapping[str, Phase], average: WeightAverage, meter: Meter) -> None:
        self.model, self.phases, self.average, self.meter = model, phases, average, meter
        self.step = 0  # updates done
        self.seconds = 0.0  # of training, over all sessions
        self.saved: Path | None = None  # the last state that is on disk
        frozen = {
            f"{prefix}/{name}": parameter
            for prefix, module in self.modules().items()
            for name, parameter in module.named_parameters()
            if not parameter.requires_grad
        }
        self.frozen, self.frozen_hash = frozenset(frozen), _hash(frozen)

    def modules(self) -> dict[str, nn.Module]:
        """What is saved, by prefix: the phases' modules, and the model where it is not part of one."""
        parts = {f"phase/{name}": phase.module for name, phase in self.phases.items()}
        if not any(module is self.model for part in parts.values() for module in part.modules()):
            parts["model"] = self.model
        return parts

    def tensors(self, keep: bool = True) -> dict[str, Tensor]:
        """All tensors, whole: where they are divided every process must ask, and one that does not `keep` them gets none."""
        found: dict[str, Tensor] = {}
        for prefix, module in self.modules().items():
            found.update({f"{prefix}/{key}": value for key, value in module.state_dict().items()})
        found = {key: value for key, value in found.items() if key not in self.frozen}
        found.update({f"average/{key}": value for key, value in self.average.state_dict().items()})
        for name, phase in self.phases.items():
            found.update({f"optimizer/{name}/{key}": value for key, value in phase.state_dict().items()})
        foreign = sorted(key for key, value in found.items() if not isinstance(value, Tensor))
        if foreign:
            raise ValueError(f"module state that is no tensor cannot be saved: {foreign[:5]}")
        gathered = ((key, whole(value)) for key, value in found.items())
        return {key: value.cpu() if value is not found[key] else value for key, value in gathered if keep}

    def save(self, run: Path, keep: int, tensors: dict[str, Tensor]) -> Path:
        """Write `step-N` with what `tensors` gave, then point `latest` at it, then remove all but the newest `keep`."""
        numbers = {
            "step": self.step,
            "seconds": self.seconds,
            "meter": self.meter.state_dict(),
            "frozen": self.frozen_hash,
            "scalers": {name: phase.scaler.state_dict() for name, phase in self.phases.items()},
        }
        folder = run / f"step-{self.step:06d}"
        checkpoint.save(folder, KIND, numbers, tensors)
        write_whole(run / LATEST_NAME, folder.name + "\n")
        self.saved = folder
        for old in sorted(list_states(run), key=step_of)[:-keep]:
            if old != folder:
                shutil.rmtree(old)
        return folder

    def load(self, folder: Path) -> None:
        """Continue from a saved state. Raises CheckpointError where it does not fit this task."""
        saved = checkpoint.load(folder, KIND)
        try:
            if saved.config.get("frozen", self.frozen_hash) != self.frozen_hash:
                raise ValueError("the weights that are not trained were others")
            for prefix, module in self.modules().items():
                self._load_module(prefix, module, _under(saved.tensors, prefix))
            self.average.load_state_dict(_under(saved.tensors, "average"))
            for name, phase in self.phases.items():
                phase.load_state_dict(_under(saved.tensors, f"optimizer/{name}"))
                phase.scaler.load_state_dict(saved.config["scalers"][name])
            self.meter.load_state_dict(saved.config["meter"])
            self.step, self.seconds = int(saved.config["step"]), float(saved.config["seconds"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{folder}: does not fit this task: {error}") from error
        self.saved = folder

    def _load_module(self, prefix: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
        own = module.state_dict()
        tensors = {name: divided_as(tensor, own[name]) if name in own else tensor for name, tensor in tensors.items()}
        result = module.load_state_dict(tensors, strict=False)
        missing = [name for name in result.missing_keys if f"{prefix}/{name}" not in self.frozen]
        if missing or result.unexpected_keys:
            raise ValueError(f"{prefix}: missing {missing[:5]}, unknown {result.unexpected_keys[:5]}")


def latest_state(run: Path) -> Path | None:
    """The folder that `latest` names, or None where nothing was saved yet. Raises CheckpointError if it is gone."""
    pointer = run / LATEST_NAME
    if not pointer.is_file():
        return None
    name = pointer.read_text(encoding="utf-8").strip()
    if not _FOLDER.fullmatch(name) or not (run / name).is_dir():
        there = [path.name for path in list_states(run)]
        raise CheckpointError(f"{pointer}: names {name!r}, which is not there; there are {there}")
    return run / name


def list_states(run: Path) -> list[Path]:
    return sorted(path for path in run.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir())


def step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def sweep(run: Path) -> None:
    """Remove what a kill left half-written. Only for the process that holds the run's lock."""
    for path in run.glob(".step-*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + "/")}


def _hash(tensors: Mapping[str, Tensor]) -> str:
    """Of names and contents; "" of nothing."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(whole(tensor.detach()).cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest() if tensors else ""
