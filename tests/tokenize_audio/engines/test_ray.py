"""How many actors a machine holds, and what is said where Ray is not there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

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


def never(*_: object) -> None:
    raise AssertionError("Ray is not to be started")


@pytest.mark.parametrize("address", [None, "local"])
def test_without_an_address_this_machine_is_counted(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "_cluster", never)
    monkeypatch.setattr(ray, "find_spec", lambda name: object())
    monkeypatch.setattr(ray, "cores", lambda: 2)
    monkeypatch.setattr(ray, "gpu_names", lambda: ["0"])
    for device, jobs, gpus in (("cpu", 0, None), ("cpu", 2, None), ("cuda", 1, None), ("cuda", 2, 0.5)):
        with ray.room(device, jobs, address, gpus):
            pass
    for device, jobs, gpus, told in (
        ("cpu", 99, None, "99 actors of 1 CPU and 0 GPUs: the machine has 2 CPUs and 0 GPUs, room for 2"),
        ("cuda", 2, None, "2 actors of 1 CPU and 1 GPUs: the machine has 2 CPUs and 1 GPUs, room for 1"),
        ("cpu", 0, 2.0, "1 actors of 1 CPU and 2 GPUs: the machine has 2 CPUs and 1 GPUs, room for 0"),
        ("cpu", -1, None, "neither may be below 0"),
    ):
        with pytest.raises(ValueError, match=told), ray.room(device, jobs, address, gpus):
            raise AssertionError("there is no room")


@pytest.mark.parametrize("by_variable", [False, True])
def test_with_an_address_the_cluster_is_asked(monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    """And left again."""
    machines = [{"CPU": 2.0}, {"CPU": 3.0, "GPU": 1.0}, {"CPU": 9.0}]
    nodes = [{"Alive": i < 2, "Resources": each} for i, each in enumerate(machines)]
    asked = []

    @contextmanager
    def cluster(address: str | None, gpus: float) -> Iterator[SimpleNamespace]:
        asked.append("connected")
        try:
            yield SimpleNamespace(nodes=lambda: nodes)
        finally:
            asked.append("left")

    monkeypatch.setattr(ray, "_cluster", cluster)
    monkeypatch.setattr(ray, "cores", lambda: 1)
    if by_variable:
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    address = None if by_variable else "10.0.0.1:6379"
    with ray.room("cpu", 5, address):
        assert asked == ["connected"]
    with (
        pytest.raises(ValueError, match="the 2 machines have 5 CPUs and 1 GPUs, room for 5"),
        ray.room("cpu", 6, address),
    ):
        raise AssertionError("there is no room")
    assert asked == ["connected", "left"] * 2
