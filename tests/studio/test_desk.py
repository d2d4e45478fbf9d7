import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from solfa.studio import desk as module
from solfa.studio.desk import KEPT, WAITING, Busy, Desk, Job, Result


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, str)
    yield made
    made.close()


def result(job: Job, size: int = 1) -> Result:
    path = job.folder / "made"
    path.write_bytes(bytes(size))
    return Result("", (path,), None, path)


class Gate:
    """Work that goes on while it is not let through, and tells that it has begun."""

    def __init__(self) -> None:
        self.begun, self.through = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> Result:
        self.begun.set()
        for _ in range(3000):  # half a minute
            if self.through.wait(0.01):
                break
            job.progress(0.5, "half")
        return result(job)


def ended(desk: Desk, *jobs: Job) -> None:
    """All that stand before a last job have ended when that runs."""
    last, gate = desk.open("last"), Gate()
    gate.through.set()
    desk.put(last, gate)
    assert gate.begun.wait(30)
    assert all(job.state in ("done", "failed", "stopped") for job in jobs)


def test_one_at_a_time_and_the_queue_says_so(desk: Desk) -> None:
    first, second, third = (desk.open(name) for name in "abc")
    gates = [Gate(), Gate(), Gate()]
    for job, gate in zip((first, second, third), gates, strict=True):
        desk.put(job, gate)
    assert gates[0].begun.wait(30)
    assert [job.state for job in (first, second, third)] == ["running", "waiting", "waiting"]
    assert [desk.ahead(job) for job in (first, second, third)] == [0, 1, 2] and not gates[1].begun.is_set()
    gates[0].through.set()
    assert gates[1].begun.wait(30) and first.state == "done" and desk.ahead(third) == 1
    gates[1].through.set()
    gates[2].through.set()
    ended(desk, second, third)


def test_a_stopped_job_ends_and_leaves_nothing(desk: Desk) -> None:
    running, waiting, gate = desk.open("a"), desk.open("b"), Gate()
    desk.put(running, gate)
    desk.put(waiting, Gate())
    assert gate.begun.wait(30)
    desk.stop(waiting)
    assert waiting.state == "stopped" and running.state == "running"
    desk.stop(running)
    ended(desk, running, waiting)
    assert running.state == "stopped" and running.result is None
    assert not running.folder.exists() and not waiting.folder.exists()


def test_an_error_is_one_line_of_its_job_alone(desk: Desk) -> None:
    def fails(job: Job) -> Result:
        job.upload.write_bytes(b"")
        raise ValueError(f"{job.upload}: is no sound")

    wrong, right = desk.open("take.wav"), desk.open("b")
    desk.put(wrong, fails)
    desk.put(right, result)
    ended(desk, wrong, right)
    assert (wrong.state, wrong.error) == ("failed", "take.wav: is no sound") and not wrong.folder.exists()
    assert right.state == "done" and right.error == ""


def test_warnings_are_said_once(desk: Desk) -> None:
    def warns(job: Job) -> Result:
        for _ in range(2):
            warnings.warn(f"{job.upload}: its channels cancel out", stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return result(job)

    job = desk.open("take.wav")
    desk.put(job, warns)
    ended(desk, job)
    assert job.said == ["take.wav: its channels cancel out"]


def test_no_more_than_so_many_wait(desk: Desk) -> None:
    jobs = [desk.open(str(number)) for number in range(WAITING)]
    with pytest.raises(Busy, match=f"{WAITING} jobs wait"):
        desk.open("one more")
    desk.fail(jobs[0], "too large")
    assert jobs[0].state == "failed"
    desk.open("one more")


def test_old_results_are_dropped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []
    for number in range(KEPT + 2):
        jobs.append(desk.open(str(number)))
        desk.put(jobs[-1], result)
        ended(desk, jobs[-1]) if number % 4 == 3 else None
    ended(desk, *jobs)
    assert desk.find(jobs[0].id) is None and not jobs[0].folder.exists()
    assert desk.find(jobs[-1].id) is jobs[-1] and jobs[-1].folder.exists()
    monkeypatch.setattr(module, "MOST", 100)
    large = desk.open("large")
    desk.put(large, lambda job: result(job, 101))
    ended(desk, large)
    assert large.folder.exists() is (desk.find(large.id) is not None) and not jobs[-1].folder.exists()


def test_close_stops_what_runs_and_what_waits(tmp_path: Path) -> None:
    desk = Desk(tmp_path, str)
    running, waiting, gate = desk.open("a"), desk.open("b"), Gate()
    desk.put(running, gate)
    desk.put(waiting, Gate())
    assert gate.begun.wait(30)
    desk.close()
    assert [running.state, waiting.state] == ["stopped", "stopped"] and list(tmp_path.iterdir()) == []
