"""What each process of a crew is given: one thread, and its GPU."""

import os

import pytest

from solfa.tokenize_audio.engines.crew import count_jobs, environments


@pytest.fixture(autouse=True)
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 1,2,5")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")


def gpus(device: str, jobs: int) -> list[str | None]:
    return [each.get("CUDA_VISIBLE_DEVICES") for each in environments(device, jobs)]


def test_processes_take_turns_on_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus("cuda", 6) == ["0", "1", "2", "5", "0", "1"]
    assert gpus("cpu", 2) == ["0, 1,2,5"] * 2  # as it was
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert gpus("cuda", 2) == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")  # a launcher that gives each rank its own
    assert gpus("cuda", 2) == ["5", "5"]


def test_each_has_one_thread() -> None:
    assert [each["OMP_NUM_THREADS"] for each in environments("cpu", 2)] == ["1", "1"]


def test_how_many_processes() -> None:
    assert count_jobs(3, "cpu") == 3
    assert count_jobs(0, "cuda") == 4
    assert count_jobs(0, "cpu") == len(os.sched_getaffinity(0))
    with pytest.raises(ValueError, match="-1 jobs"):
        count_jobs(-1, "cpu")
