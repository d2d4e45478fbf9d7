"""A run that was killed and resumed ends with the bytes of one that was not."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solfa.checkpoint import CheckpointError
from solfa.cli.app import run
from solfa.train import train
from solfa.train.metrics import read_metrics
from solfa.train.recipe import load_recipe

TOY = str(Path(__file__).with_name("toy.py"))
RECIPE = load_recipe(TOY)
FORKED = Path(__file__).with_name("forked.py")


def hashes(folder: Path) -> dict[str, str]:
    files = ("model/model.safetensors", "step-000020/model.safetensors")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}


def measured(folder: Path) -> list[dict[str, Any]]:
    clocks = ("seconds", "steps_per_second")
    return [{k: v for k, v in line.items() if k not in clocks} for line in read_metrics(folder)]


def test_resume_after_sigkill_is_bit_exact(tmp_path: Path) -> None:
    """Killed at three random steps, in either phase: weights, optimizers, averages and metrics are equal."""
    rng = random.Random()
    steps = rng.randrange(1, 6), rng.randrange(6, 12), rng.randrange(12, 20)
    moments = [f"{rng.choice(['generator', 'opponent'])} {step}" for step in steps]
    fields = ["--log-every=2", "--evaluate-every=4"]
    broken = {"run": str(tmp_path / "broken"), "world": 1, "fields": fields}
    jobs = [{**broken, "run": str(tmp_path / "unbroken"), "environment": {}}]
    jobs += [{**broken, "environment": {"TOY_SIGNAL": f"SIGKILL {moment}"}} for moment in moments]
    jobs += [{**broken, "environment": {}}]
    done = subprocess.run(
        [sys.executable, str(FORKED)],
        input=json.dumps(jobs),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.stdout.split() == ["0", "-9", "-9", "-9", "0"], (moments, done.stderr)
    assert hashes(tmp_path / "broken") == hashes(tmp_path / "unbroken"), moments
    assert measured(tmp_path / "broken") == measured(tmp_path / "unbroken"), moments
    sessions = json.loads((tmp_path / "broken" / "run.json").read_text())["sessions"]
    assert [session["ended"] for session in sessions] == [None, None, None, "finished"]


def test_what_a_kill_leaves_half_written_is_cleared(tmp_path: Path) -> None:
    toy(tmp_path, resume=False, steps=10)
    before = measured(tmp_path)
    (tmp_path / ".step-000015.elsewhere.1.abc.tmp").mkdir()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "split": "train", "seconds": 1}\n{"step": 13, "spl')
    toy(tmp_path, steps=10)
    assert measured(tmp_path) == before and not list(tmp_path.glob(".step-*"))


def test_sigterm_finishes_the_step_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("TOY_SIGNAL", "SIGTERM generator 7")
    assert run(["train", TOY, "-o", str(tmp_path / "a"), "--quiet"]) == 143
    assert signal.getsignal(signal.SIGTERM) is handler
    assert (tmp_path / "a" / "latest").read_text() == "step-000008\n"
    assert json.loads((tmp_path / "a" / "run.json").read_text())["sessions"][0]["ended"] == "SIGTERM"
    monkeypatch.delenv("TOY_SIGNAL")
    assert toy(tmp_path / "a").reason == "finished"
    toy(tmp_path / "b", resume=False)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def toy(folder: Path, task: Any = RECIPE.task, resume: bool = True, **changes: Any) -> Any:
    return train(task, replace(RECIPE.train, **changes), folder, resume=resume, quiet=True)


def test_another_configuration_is_refused_by_name(tmp_path: Path) -> None:
    toy(tmp_path, resume=False, steps=5)
    with pytest.raises(ValueError) as refusal:
        toy(tmp_path, replace(RECIPE.task, rows=4, weights=(1.0, 0.5)), learning_rate=0.5, log_every=3, steps=6)
    changes, free = str(refusal.value).split(" (free to change: ")
    assert changes.endswith(
        "task.rows: 8 -> 4; task.weights: [1.0, 0.1] -> [1.0, 0.5]; train.learning_rate: 0.01 -> 0.5"
    )
    assert "log_every" in free and "steps" in free
    result = toy(tmp_path, steps=8, log_every=3, save_every=1, evaluate_every=2, keep=1, max_minutes=5.0)
    assert (result.step, result.reason) == (8, "finished")
    assert json.loads((tmp_path / "config.json").read_text())["train"]["steps"] == 8
    with pytest.raises(ValueError, match="at step 8 already, beyond steps 7"):
        toy(tmp_path, steps=7)


def test_a_damaged_or_missing_state_is_an_error(tmp_path: Path) -> None:
    toy(tmp_path, resume=False, steps=10)
    path = tmp_path / "step-000010" / "model.safetensors"
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match=r"step-000010.*damaged"):
        toy(tmp_path)
    (tmp_path / "latest").write_text("step-000099\n")
    with pytest.raises(CheckpointError, match=r"'step-000099', which is not there; there are \['step-000005'"):
        toy(tmp_path)
    (tmp_path / "latest").write_text("step-000005\n")
    assert toy(tmp_path, steps=10).step == 10


def test_a_missed_evaluation_is_made_up_for(tmp_path: Path) -> None:
    """A kill between the save and the evaluation of a step must not cost the evaluation."""

    def evaluated() -> list[int]:
        return [line["step"] for line in read_metrics(tmp_path) if line["split"] == "evaluation"]

    toy(tmp_path, resume=False, steps=5, evaluate_every=5)
    assert evaluated() == [5]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(f"{line}\n" for line in metrics.read_text().splitlines() if "evaluation" not in line))
    toy(tmp_path, steps=10, evaluate_every=5)
    assert evaluated() == [5, 10]
    toy(tmp_path, steps=10, evaluate_every=5)
    assert evaluated() == [5, 10], "and none is made twice"
