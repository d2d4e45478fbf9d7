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

from solfa.checkpoint import read_json
from solfa.files import write_whole
from solfa.train.config import FREE_FIELDS, TrainConfig

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


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Each dotted field that differs, as "name: old -> new", without the fields that may change."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in dict.fromkeys([*old, *new]):
            found += differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return found
    if old == new or path in {f"train.{name}" for name in FREE_FIELDS}:
        return []
    return [f"{path}: {json.dumps(old)} -> {json.dumps(new)}"]


def completed(document: Any, config: Any) -> Any:
    """A configuration that was written before some of its fields were there, with their defaults for them."""
    if not (isinstance(document, dict) and dataclasses.is_dataclass(config)):
        return document
    filled = {name: completed(value, getattr(config, name, None)) for name, value in document.items()}
    for field in dataclasses.fields(config):
        if field.name not in filled and field.default is not dataclasses.MISSING:
            filled[field.name] = plain(field.default)
    return filled


def check_same(run: Path, config: dict[str, Any], task: Any, train: TrainConfig) -> None:
    """Raises ValueError where the run in this folder was started with another configuration. config: of `task` and `train`, resolved."""
    old = read_json(run / CONFIG_NAME)
    if isinstance(old, dict):
        old = {**old, "task": completed(old.get("task"), task), "train": completed(old.get("train"), train)}
    found = differences(old, config)
    if found:
        free = ", ".join(FREE_FIELDS)
        changes = "; ".join(found)
        raise ValueError(
            f"{run}: cannot resume with another configuration: {changes}; give the options again that it was begun with (free to "
            f"change: {free})"
        )


def write_document(path: Path, document: Any) -> None:
    write_whole(path, json.dumps(document, indent=2) + "\n")


class RunRecord:
    """`run.json`: one entry a session (a start or a resume), brought up to date at every save."""

    def __init__(self, run: Path, device: torch.device, world: int, step: int) -> None:
        self.path = run / RECORD_NAME
        self.sessions: list[dict[str, Any]] = read_json(self.path)["sessions"] if self.path.is_file() else []
        self.session: dict[str, Any] = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "first_step": step,
            "machine": machine(device),
            "threads": torch.get_num_threads(),
            "world": world,
        }
        self.other_threads = sorted({s["threads"] for s in self.sessions} - {self.session["threads"]})
        self.sessions.append(self.session)

    def write(self, step: int, seconds: float, ended: str | None = None) -> None:
        """`seconds` of training over all sessions; `ended` says why this session is over, None while it runs."""
        self.session.update({"last_step": step, "ended": ended})
        write_document(self.path, {"steps": step, "seconds": round(seconds, 3), "sessions": self.sessions})


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
