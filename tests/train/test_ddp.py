"""Two processes that share a batch train the weights of one process that has it all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from solfa import checkpoint
from solfa.train.metrics import read_metrics

FORKED = Path(__file__).with_name("forked.py")
FIELDS = ["--dropout=0", "--rest-until=3", "--steps=6", "--save-every=2", "--ema=0", "--evaluate-every=4"]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Also with accumulation, with a phase that rests, and across a kill; both processes, and the metrics, agree."""
    two = {"run": str(tmp_path / "two"), "world": 2, "fields": [*FIELDS, "--accumulate=2"]}
    jobs = [
        {"run": str(tmp_path / "one"), "world": 1, "fields": FIELDS, "environment": {}},
        {**two, "environment": {"TOY_SIGNAL": "SIGKILL generator 3"}},
        {**two, "environment": {}},
    ]
    done = subprocess.run(
        [sys.executable, str(FORKED)],
        input=json.dumps(jobs),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.stdout.split("\n") == ["0", "-9 -9", "0 0", ""], done.stderr
    sessions = json.loads((tmp_path / "two" / "run.json").read_text())["sessions"]
    assert [(session["first_step"], session["world"]) for session in sessions] == [(0, 2), (2, 2)]
    whole, halves = (checkpoint.load(tmp_path / name / "step-000006").tensors for name in ("one", "two"))
    assert whole.keys() == halves.keys()
    for name, tensor in whole.items():
        if not name.endswith("steps_seen"):
            torch.testing.assert_close(halves[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    for line, other in zip(read_metrics(tmp_path / "one"), read_metrics(tmp_path / "two"), strict=True):
        assert line.keys() == other.keys()
        for key in line.keys() & {"generator/loss", "generator/error", "opponent/loss", "error"}:
            assert abs(line[key] - other[key]) < 1e-4, (key, "must be the mean over the processes")


def test_each_process_says_which_rows_were_not_finite(tmp_path: Path) -> None:
    """The one whose loss it was, and the others, whose gradients it spoils; each names the rows of both."""
    fields = ["--dropout=0", "--steps=6", "--nan-at=2", "--accumulate=2", "--opponent=false"]
    job = {"run": str(tmp_path), "world": 2, "fields": fields, "environment": {"TOY_NAN_RANK": "1"}}
    done = subprocess.run(
        [sys.executable, str(FORKED)],
        input=json.dumps([job]),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.stdout.split() == ["1", "1"] and "not-finite-rank-1.json says which" in done.stderr, done.stderr
    files = [json.loads((tmp_path / f"not-finite{name}.json").read_text()) for name in ("", "-rank-1")]
    assert [(file["step"], file["rank"]) for file in files] == [(2, 0), (2, 1)]
    assert files[0]["not_finite"] == {"gradient norm": "nan"}
    assert files[1]["not_finite"] == {"loss": "nan", "gradient norm": "nan"}
    rows = [(row["rank"], row["row"], row["recording"]) for row in files[0]["rows"]]
    assert sorted(rows) == [(rank, row, "2.wav") for rank, of in ((0, (0, 1, 4, 5)), (1, (2, 3, 6, 7))) for row in of]
    assert files[1]["rows"] == files[0]["rows"]


def test_slow_steps_are_saved_soon_after_a_signal(tmp_path: Path) -> None:
    """Where a step takes long the processes agree after each: a signal is heeded when its step is done."""
    job = {"run": str(tmp_path / "two"), "world": 2, "fields": ["--accumulate=1", "--save-every=none"]}
    environment = {"TOY_SIGNAL": "SIGTERM generator 1", "TOY_SECONDS": "0.7"}  # of each of two phases
    done = subprocess.run(
        [sys.executable, str(FORKED)],
        input=json.dumps([{**job, "environment": environment}]),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.stdout.split() == ["0", "0"], done.stderr
    assert (tmp_path / "two" / "latest").read_text() == "step-000002\n"
    assert json.loads((tmp_path / "two" / "run.json").read_text())["sessions"][0]["ended"] == "SIGTERM"
