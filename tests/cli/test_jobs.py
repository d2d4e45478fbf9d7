"""Work in several processes: order, failures, and workers that die."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import solfa
from solfa.cli.jobs import run_jobs
from solfa.cli.report import UsageError

WORK = """
import os, sys, time

def work(item):
    if item == "die":
        os._exit(9)
    if item == "fail":
        raise ValueError("this one fails")
    if item == "odd":
        raise Odd(1, 2)
    if item == "endless":
        try:
            print(os.getpid(), flush=True)
            time.sleep(600)
        finally:
            open("tidied", "x").close()
    time.sleep(0.05 * (item == "slow"))
    return item, os.getpid(), os.environ.get("OMP_NUM_THREADS")

class Odd(Exception):
    def __init__(self, one, two):  # does not survive a pickle
        super().__init__("odd")
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "solfa_test_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "solfa_test_work", raising=False)
    return importlib.import_module("solfa_test_work")


@pytest.mark.parametrize("count", [1, 2])
def test_results_and_failures_come_in_order(jobs: ModuleType, count: int) -> None:
    items = ["slow", "fail", "b", "odd", *(str(n) for n in range(12))]
    outcomes = list(run_jobs(jobs.work, items, jobs=count))
    assert [outcome.item for outcome in outcomes] == items
    errors = {outcome.item: outcome.error for outcome in outcomes if outcome.error}
    assert errors == {"fail": "this one fails", "odd": "Odd: odd"}
    assert all(outcome.result[0] == outcome.item for outcome in outcomes if not outcome.error)


def test_a_worker_has_one_thread(jobs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    outcomes = list(run_jobs(jobs.work, ["a", "b"], jobs=2))
    assert [outcome.result[2] for outcome in outcomes] == ["1", "1"]


def test_a_worker_that_dies_costs_its_own_item_only(jobs: ModuleType) -> None:
    items = ["a", "die", "b", "fail", *(str(n) for n in range(9)), "die", "c"]
    outcomes = list(run_jobs(jobs.work, items, jobs=2))
    assert [outcome.item for outcome in outcomes] == items
    failed = [outcome.item for outcome in outcomes if outcome.error]
    assert failed == ["die", "fail", "die"]
    assert "died" in (outcomes[1].error or "")


def test_the_number_of_jobs(jobs: ModuleType) -> None:
    assert list(run_jobs(jobs.work, [], jobs=2)) == []
    assert next(iter(run_jobs(jobs.work, ["a"], jobs=0))).result[0] == "a"
    with pytest.raises(UsageError, match="-j -1"):
        run_jobs(jobs.work, ["a"], jobs=-1)


def test_workers_end_with_a_parent_that_is_killed(jobs: ModuleType, tmp_path: Path) -> None:
    """The one that is in the midst of an item, whose `finally` runs, and the one that waits for another."""
    script = (
        "import sys, solfa_test_work\nfrom solfa.cli.jobs import run_jobs\n"
        "for outcome in run_jobs(solfa_test_work.work, ['a', 'endless'], jobs=2): print(outcome.result[1], flush=True)"
    )
    paths = [str(tmp_path), str(Path(solfa.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=tmp_path, text=True) as parent:
        assert parent.stdout is not None
        workers = {int(parent.stdout.readline()) for _ in range(2)}
        workers |= {int(child) for child in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()}
        parent.send_signal(signal.SIGKILL)
    wait(lambda: not any(map(lives, workers)))
    left = [worker for worker in workers if lives(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert len(workers) > 1 and not left
    assert (tmp_path / "tidied").exists()


def lives(process: int) -> bool:
    """Whether it runs: what nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait(condition: Callable[[], bool]) -> None:
    """Until it comes true, or for very long: this machine may have other things to do."""
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
