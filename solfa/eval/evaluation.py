"""What an evaluation found, as one document: values of items, what each measure means, means with how sure they are, and versions."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

import solfa
from solfa.eval.bootstrap import Difference, Estimate, mean_estimate, paired_difference

Better = Literal["higher", "lower", "zero"]
# Module and distribution of libraries that sounds and notes go through before a number comes out.
MEASURING = {
    "soundfile": "soundfile",
    "soxr": "soxr",
    "scipy": "scipy",
    "transformers": "transformers",
    "pystoi": "pystoi",
    "pesq": "pesq",
    "visqol": "visqol-python",
    "mir_eval": "mir_eval",
    "librosa": "librosa",
}


@dataclass(frozen=True)
class Measure:
    """What a number means. definition: a sentence with its source, and how it differs from others of the name. unit: "" for none.

    low, high: its range. better: which way; "zero" where 0 is best and either sign may come.
    """

    name: str
    definition: str
    unit: str
    low: float
    high: float
    better: Better


@dataclass(frozen=True)
class Item:
    """One clip, piece or prompt: its values by measure (NaN: nothing to measure), and the sounds or pages to look at, by label."""

    name: str
    values: Mapping[str, float]
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Items measured by one task; `tables` holds what belongs to the whole and to no item (a distance of two sets), by name."""

    task: str
    settings: Mapping[str, Any]
    measures: Sequence[Measure]
    items: Sequence[Item]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    failed: Sequence[str] = ()

    def values(self, measure: str) -> list[float]:
        """Of each item, in order; NaN where it has none."""
        return [float(item.values.get(measure, np.nan)) for item in self.items]


def summary(evaluation: Evaluation) -> dict[str, Estimate]:
    """Mean over items, 95 % interval and n of each measure."""
    return {measure.name: mean_estimate(evaluation.values(measure.name)) for measure in evaluation.measures}


def differences(first: Evaluation, second: Evaluation) -> dict[str, Difference]:
    """Each measure of the first system minus that of the second, over the items that both have, by name.

    Raises ValueError where they share no item, and where two items of one system have one name.
    """
    ours, theirs = _by_name(first), _by_name(second)
    shared = [(item, theirs[name]) for name, item in ours.items() if name in theirs]
    if not shared:
        raise ValueError("the two systems have no item of one name: nothing to compare")
    return {
        measure.name: paired_difference(
            [a.values.get(measure.name, np.nan) for a, _ in shared],
            [b.values.get(measure.name, np.nan) for _, b in shared],
        )
        for measure in first.measures
    }


def _by_name(evaluation: Evaluation) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for item in evaluation.items:
        if item.name in found:
            raise ValueError(f"{item.name}: two items of one name: which belongs to the other system's?")
        found[item.name] = item
    return found


def worst_first(evaluation: Evaluation, measure: Measure) -> list[Item]:
    """The items that have the measure, from worst to best; of equals the earlier first."""
    sign = {"higher": 1.0, "lower": -1.0, "zero": -1.0}[measure.better]

    def goodness(item: Item) -> float:
        value = float(item.values[measure.name])
        return sign * (abs(value) if measure.better == "zero" else value)

    return sorted((i for i in evaluation.items if not np.isnan(i.values.get(measure.name, np.nan))), key=goodness)


def document(evaluation: Evaluation, against: Evaluation | None = None) -> dict[str, Any]:
    """The report that `--json` prints: everything needed to read its numbers years later. A table stands under its own name.

    Values of items are as they were measured, NaN and infinities among them (JSON has neither: it gets null for both).
    """
    result = {
        "task": evaluation.task,
        "versions": versions(),
        **_system(evaluation),
        "definitions": {measure.name: asdict(measure) for measure in evaluation.measures},
    }
    if against is not None:
        gaps = differences(evaluation, against)
        result["against"] = {**_system(against), "differences": {name: asdict(gap) for name, gap in gaps.items()}}
    return result


def _system(evaluation: Evaluation) -> dict[str, Any]:
    """What was found of one system."""
    own = {
        "settings": dict(evaluation.settings),
        "n": len(evaluation.items),
        "summary": {name: asdict(value) for name, value in summary(evaluation).items()},
        "items": [
            {"name": item.name, "values": dict(item.values), "files": dict(item.files)} for item in evaluation.items
        ],
        "failed": list(evaluation.failed),
    }
    taken = {"task", "versions", "definitions", "against", "differences", *own}
    assert not taken & evaluation.tables.keys(), f"tables of the names {taken & evaluation.tables.keys()}"
    return own | dict(evaluation.tables)


def versions() -> dict[str, str]:
    """Of solfa and what its numbers hang on: of the libraries that measure, those that were loaded."""
    import torch

    found = {
        "solfa": solfa.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": str(torch.__version__),
        "machine": f"{platform.machine()} {platform.system()}",
    }
    for module, distribution in MEASURING.items():
        if module in sys.modules:
            with contextlib.suppress(PackageNotFoundError):
                found[distribution] = version(distribution)
    return found
