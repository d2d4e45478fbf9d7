"""The state of a training run on disk: `step-000123/` folders, a `latest` pointer, nothing half-written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .. import checkpoint
from ..checkpoint import CheckpointError
from .ema import WeightAverage
from .metrics import Meter
from .phase import Phase

KIND = "training-state"
LATEST_NAME = "latest"
_FOLDER = re.compile(r"step-(\d{6,})")


class TrainingState:
    """Everything that a resumed run needs: weights, averages, optimizers, loss scales, the running means, the clock.

    Random generators are not in it: the loop seeds them anew at each step, from the run's seed, the step and the rank.
    """

    def __init__(self, model: nn.Module, phases: Mapping[str, Phase], average: WeightAverage, meter: Meter) -> None:
        self.model, self.phases, self.average, self.meter = model, phases, average, meter
        self.step = 0  # updates done
        self.seconds = 0.0  # of training, over all sessions
        self.saved: Path | None = None  # the last state that is on disk

    def modules(self) -> dict[str, nn.Module]:
        """What is saved, by prefix: the phases' modules, and the model where it is not part of one."""
        parts = {f"phase/{name}": phase.module for name, phase in self.phases.items()}
        if not any(module is self.model for part in parts.values() for module in part.modules()):
            parts["model"] = self.model
        return parts

    def save(self, run: Path, keep: int) -> Path:
        """Write `step-N`, then point `latest` at it, then remove all but the newest `keep`."""
        tensors: dict[str, Tensor] = {}
        for prefix, module in self.modules().items():
            tensors.update({f"{prefix}/{key}": value for key, value in module.state_dict().items()})
        tensors.update({f"average/{key}": value for key, value in self.average.state_dict().items()})
        for name, phase in self.phases.items():
            tensors.update({f"optimizer/{name}/{key}": value for key, value in phase.state_dict().items()})
        foreign = sorted(key for key, value in tensors.items() if not isinstance(value, Tensor))
        if foreign:
            raise ValueError(f"module state that is no tensor cannot be saved: {foreign[:5]}")
        numbers = {
            "step": self.step,
            "seconds": self.seconds,
            "meter": self.meter.state_dict(),
            "scalers": {name: phase.scaler.state_dict() for name, phase in self.phases.items()},
        }
        folder = run / f"step-{self.step:06d}"
        checkpoint.save(folder, KIND, numbers, tensors)
        checkpoint.write_text(run / LATEST_NAME, folder.name + "\n")
        self.saved = folder
        for old in sorted(list_states(run), key=step_of)[:-keep]:
            if old != folder:
                shutil.rmtree(old)
        return folder

    def load(self, folder: Path) -> None:
        """Continue from a saved state. Raises CheckpointError where it does not fit this task."""
        saved = checkpoint.load(folder, KIND)
        try:
            for prefix, module in self.modules().items():
                module.load_state_dict(_under(saved.tensors, prefix))
            self.average.load_state_dict(_under(saved.tensors, "average"))
            for name, phase in self.phases.items():
                phase.load_state_dict(_under(saved.tensors, f"optimizer/{name}"))
                phase.scaler.load_state_dict(saved.config["scalers"][name])
            self.meter.load_state_dict(saved.config["meter"])
            self.step, self.seconds = int(saved.config["step"]), float(saved.config["seconds"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{folder}: does not fit this task: {error}") from error
        self.saved = folder


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
