"""How many actors a machine holds, and what is said where Ray is not there."""

import sys
from pathlib import Path

import pytest

from solfa.tokenize_audio.engines import ray
from solfa.tokenize_audio.engines.ray import slots
from solfa.tokenize_audio.store.format import StoreHead
from solfa.tokenize_audio.work.job import Job
from solfa.tokenize_audio.work.plan import Plan


@pytest.mark.parametrize(
    ("machine", "gpus", "expected"),
    [
        ({"CPU": 8.0}, 0.0, 8),
        ({"CPU": 8.0}, 1.0, 0),
        ({"CPU": 8.0, "GPU": 2.0}, 0.5, 4),
        ({"CPU": 3.0, "GPU": 2.0}, 0.5, 3),
        ({"CPU": 8.0, "GPU": 0.7}, 0.1, 7),  # 0.7 / 0.1 is a little less
        ({"CPU": 0.5}, 0.0, 0),
        ({"GPU": 1.0}, 1.0, 0),
        ({}, 0.0, 0),
    ],
)
def test_slots(machine: dict[str, float], gpus: float, expected: int) -> None:
    assert slots(machine, gpus) == expected


def empty_plan(store: Path) -> Plan:
    return Plan(Job(str(store), "tiny", StoreHead("tiny", "0" * 64, 8000, 1, 160, 4, 16)), (), 0)


def test_ray_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"solfa\[scale\]"):
        ray.run(empty_plan(tmp_path))


@pytest.mark.parametrize("wrong", [{"jobs": -1}, {"gpus": -0.5}])
def test_actors_that_cannot_be(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="actors of"):
        ray.run(empty_plan(tmp_path), **wrong)  # type: ignore[arg-type]
