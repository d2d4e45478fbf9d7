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
from solfa.eval.bootstrap import Difference, Estimate, group_means, mean_estimate, paired_difference

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
    """One clip, piece or take: its values by measure (NaN: nothing to measure), and the sounds or pages to look at, by label.

    group: what several items are takes of (the prompt of several seeds), so that they say one thing together; else its own name.
    """

    name: str
    values: Mapping[str, float]
    files: Mapping[str, Path] = field(default_factory=dict)
    group: str | None = None

    @property
    def of(self) -> str:
        """The group, of one item its name."""
        return self.name if self.group is None else self.group


@dataclass(frozen=True)
class Evaluation:
    """Items measured by one task; `tables` holds what belongs to the whole and to no item (a distance of two sets), by name."""

    task: str
    settings: Mapping[str, Any]
    measures: Sequence[Measure]
    items: Sequence[Item]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    failed: Sequence[str] = ()
    programs: Mapping[str, str] = field(
        default_factory=dict
    )  # outside of Python that sounds went through, and their versions

    def values(self, measure: str) -> list[float]:
        """Of each item, in order; NaN where it has none."""
        return [float(item.values.get(measure, np.nan)) for item in self.items]

    @property
    def independent(self) -> int:
        """How many items there are, those of one group counted once."""
        return len(set(self._groups()))

    def means(self, measure: str) -> list[float]:
        """As `values`, with the items of a group as one: the mean of those that have a value."""
        return list(group_means(self.values(measure), self._groups()).values())

    def means_by_name(self, measure: str) -> dict[str, float]:
        """The same by the name of the group, or of the item."""
        return group_means(self.values(measure), [item.of for item in self.items])

    def _groups(self) -> list[str | int]:
        return [number if item.group is None else item.group for number, item in enumerate(self.items)]


def summary(evaluation: Evaluation) -> dict[str, Estimate]:
    """Mean over items, 95 % interval and n of each measure; of items that belong to one group their mean is one item."""
    return {measure.name: mean_estimate(evaluation.means(measure.name)) for measure in evaluation.measures}


def differences(first: Evaluation, second: Evaluation) -> dict[str, Difference]:
    """Each measure of the first system minus that of the second, over the items that both have, by name; of groups their means.

    Raises ValueError where they share none, and where two items of one system have one name.
    """
    for system in (first, second):
        _check_names(system)
    theirs = {item.of for item in second.items}
    shared = [name for name in dict.fromkeys(item.of for item in first.items) if name in theirs]
    if not shared:
        raise ValueError("the two systems have no item of one name: nothing to compare")
    result = {}
    for measure in first.measures:
        a, b = (system.means_by_name(measure.name) for system in (first, second))
        result[measure.name] = paired_difference([a[name] for name in shared], [b[name] for name in shared])
    return result


def _check_names(evaluation: Evaluation) -> None:
    taken: set[str] = set()
    for item in evaluation.items:
        if item.name in taken:
            raise ValueError(f"{item.name}: two items of one name: which belongs to the other system's?")
        taken.add(item.name)


def worst_first(evaluation: Evaluation, measure: Measure) -> list[Item]:
    """The items that have the measure, from worst to best; of equals the earlier first."""
    sign = {"higher": 1.0, "lower": -1.0, "zero": -1.0}[measure.better]

    def goodness(item: Item) -> float:
        value = float(item.values[measure.name])
        return sign * (abs(value) if measure.better == "zero" else value)

    return sorted((i for i in evaluation.items if not np.isnan(i.values.get(measure.name, np.nan))), key=goodness)


def document(evaluation: Evaluation, against: Evaluation | None = None) -> dict[str, Any]:
    """The report that `--json` prints: everything needed to read its numbers years later. A table stands under its own name.

    Values of items are as they were measured, NaN and infinities among them (JSON has neither: it gets null for both). n: groups, so
    of items that are not several takes of one thing their number. An item says its group where it is not its name.
    """
    result = {
        "task": evaluation.task,
        "versions": versions() | dict(evaluation.programs),
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
        "n": evaluation.independent,
        "summary": {name: asdict(value) for name, value in summary(evaluation).items()},
        "items": [_item(item) for item in evaluation.items],
        "failed": list(evaluation.failed),
    }
    taken = {"task", "versions", "definitions", "against", "differences", *own}
    assert not taken & evaluation.tables.keys(), f"tables of the names {taken & evaluation.tables.keys()}"
    return own | dict(evaluation.tables)


def _item(item: Item) -> dict[str, Any]:
    own = {"name": item.name, "values": dict(item.values), "files": dict(item.files)}
    return own if item.of == item.name else {**own, "group": item.group}


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
