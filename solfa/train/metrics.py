"""What is measured while training: means since the last line, `metrics.jsonl`, and TensorBoard where installed."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from solfa.files import write_whole

METRICS_NAME = "metrics.jsonl"


class Meter:
    """Running means by key. Sums stay on the device until they are asked for; they are part of the saved state."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor | float] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor | float]) -> None:
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + (value.float() if isinstance(value, Tensor) else value)
            self.counts[key] = self.counts.get(key, 0) + 1

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {key: float(total) / self.counts[key] for key, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means

    def state_dict(self) -> dict[str, list[float]]:
        return {key: [float(total), float(self.counts[key])] for key, total in self.sums.items()}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        self.sums = {key: total for key, (total, _) in state.items()}
        self.counts = {key: int(count) for key, (_, count) in state.items()}


class MetricsLog:
    """Appends one JSON object a line: `step`, `split` ("train" or "evaluation"), `seconds` of training, and the values.

    Opened at `step`, it first drops the lines beyond that step: a resumed run writes them again.
    """

    def __init__(self, run: Path, step: int) -> None:
        self.path = run / METRICS_NAME
        kept = [line for line in read_metrics(run) if line["step"] <= step]
        self.evaluated = any(line["step"] == step and line["split"] == "evaluation" for line in kept)
        write_whole(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self.path.open("a", encoding="utf-8")
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, split: str, seconds: float, values: dict[str, float]) -> None:
        line: dict[str, Any] = {"step": step, "split": split, "seconds": round(seconds, 3)}
        line.update({key: value if math.isfinite(value) else None for key, value in values.items()})
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(f"{split}/{key}", value, step)

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last line that a kill cut short is left out."""
    path = Path(run) / METRICS_NAME
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    return [json.loads(line) for line in lines[:-1]]
