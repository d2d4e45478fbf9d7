"""What a run's folder says about itself: `config.json` (what was asked for), `run.json` (what happened, and where)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import torch

from solfa.checkpoint import from_plain, read_json
from solfa.files import write_whole
from solfa.train.config import FREE_FIELDS, TrainConfig
from solfa.train.task import TaskConfig

CONFIG_NAME = "config.json"
RECORD_NAME = "run.json"


def plain(value: Any) -> Any:
    """A configuration as JSON data: dataclasses become objects, tuples lists, paths strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    return value


def resolved_config(task: Any, train: TrainConfig, world: int) -> dict[str, Any]:
    """All that decides what the run computes, with every default filled in."""
    return {"task_class": type(task).__qualname__, "task": plain(task), "train": plain(train), "world": world}


def differences(old: Any, new: Any, path: str = "") -> dict[str, str]:
    """Each dotted field that differs, with "old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, str] = {}
        for key in dict.fromkeys([*old, *new]):
            found |= differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return found
    return {} if old == new else {path: f"{json.dumps(old)} -> {json.dumps(new)}"}


def completed(document: Any, config: Any) -> Any:
    """A configuration that was written before some of its fields were there, with their defaults for them."""
    if not (isinstance(document, dict) and dataclasses.is_dataclass(config)):
        return document
    filled = {name: completed(value, getattr(config, name, None)) for name, value in document.items()}
    for field in dataclasses.fields(config):
        if field.name not in filled and field.default is not dataclasses.MISSING:
            filled[field.name] = plain(field.default)
    return filled


def begun(run: Path, task: TaskConfig, train: TrainConfig) -> tuple[TaskConfig, TrainConfig]:
    """The configuration that the run in this folder was begun with; the given one if none was, or one of another task.

    Raises ValueError for a file that does not fit the given one's classes.
    """
    path = run / CONFIG_NAME
    old = read_json(path) if path.is_file() else None
    if not isinstance(old, dict) or old.get("task_class") != type(task).__qualname__:
        return task, train
    return from_plain(type(task), old.get("task"), f"{path}: task"), from_plain(
        TrainConfig, old.get("train"), f"{path}: train"
    )


def check_same(run: Path, config: dict[str, Any], task: Any, train: TrainConfig) -> None:
    """Raises ValueError where the run in this folder was started with another configuration. config: of `task` and `train`, resolved."""
    old = read_json(run / CONFIG_NAME)
    if isinstance(old, dict):
        old = {**old, "task": completed(old.get("task"), task), "train": completed(old.get("train"), train)}
    free = {f"train.{name}" for name in FREE_FIELDS}
    changes = [f"{name}: {change}" for name, change in differences(old, config).items() if name not in free]
    if changes:
        raise ValueError(
            f"{run}: cannot resume with another configuration: {'; '.join(changes)} (free to change: {', '.join(FREE_FIELDS)})"
        )


def write_document(path: Path, document: Any) -> None:
    write_whole(path, json.dumps(document, indent=2) + "\n")


class RunRecord:
    """`run.json`: one entry a session (a start or a resume), brought up to date at every save."""

    def __init__(self, run: Path, device: torch.device, world: int, step: int, data: dict[str, Any] | None) -> None:
        """data: what `identity_of` says. ValueError where a run at a step above 0 was validated on other recordings."""
        self.path = run / RECORD_NAME
        self.sessions: list[dict[str, Any]] = read_json(self.path)["sessions"] if self.path.is_file() else []
        before = self.sessions[-1].get("data") if self.sessions else None
        self.other_data = _other_data(run, before, data) if step and before and data else ""
        self.session: dict[str, Any] = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "first_step": step,
            "machine": machine(device),
            "threads": torch.get_num_threads(),
            "world": world,
            "data": data,
        }
        self.other_threads = sorted({s["threads"] for s in self.sessions} - {self.session["threads"]})
        self.sessions.append(self.session)

    def write(self, step: int, seconds: float, ended: str | None = None) -> None:
        """`seconds` of training over all sessions; `ended` says why this session is over, None while it runs."""
        self.session.update({"last_step": step, "ended": ended})
        write_document(self.path, {"steps": step, "seconds": round(seconds, 3), "sessions": self.sessions})


def _other_data(run: Path, before: dict[str, Any], now: dict[str, Any]) -> str:
    """What to say of other recordings to train on, "" where they are the same; ValueError where those that are held out are others."""
    counts = "; ".join(f"{name} {before[name]['count']} -> {now[name]['count']}" for name in now)
    if before["held_out"] != now["held_out"]:
        raise ValueError(
            f"{run}: cannot resume with other held-out recordings, of which some may have been trained on ({counts}): "
            "bring back those of its start, or begin a new run"
        )
    return f"its recordings are others than they were ({counts})" if before != now else ""


def machine(device: torch.device) -> dict[str, Any]:
    """Where the numbers come from."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "system": platform.platform(),
        "device": device.type,
        "processor": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    with contextlib.suppress(OSError):  # only Linux has it, and the name is only for the record
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
