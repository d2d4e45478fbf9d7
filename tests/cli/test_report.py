"""What is printed, and where."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.cli import report


@dataclass(frozen=True)
class Result:
    path: Path
    scores: tuple[float, ...]


def test_json_is_always_json(capsys: pytest.CaptureFixture) -> None:
    value = {
        "result": Result(Path("a"), (1.5, float("nan"))),
        "numbers": [np.float32(0.5), np.int64(3), np.array([1.0, np.inf]), torch.tensor([[1, 2]])],
        3: {"ü"},
        "flag": np.bool_(True),
    }
    report.print_json(value)
    assert json.loads(capsys.readouterr().out) == {
        "result": {"path": "a", "scores": [1.5, None]},
        "numbers": [0.5, 3, [1.0, None], [[1, 2]]],
        "3": ["ü"],
        "flag": True,
    }


def test_a_table_is_aligned(capsys: pytest.CaptureFixture) -> None:
    report.print_table([{"name": "a", "kbps": 4.0}, {"name": "longer", "kbps": None}, {"name": "c", "kbps": 12345.678}])
    assert capsys.readouterr().out.splitlines() == [
        "name         kbps",
        "a               4",
        "longer          -",
        "c       1.235e+04",
    ]


def test_a_failure_names_its_input_once(capsys: pytest.CaptureFixture) -> None:
    report.fail("a.wav", ValueError("a.wav: no\nsound"))
    report.fail("a.wav", FileNotFoundError(2, "No such file", "a.wav"))
    report.fail("a.wav", RuntimeError("broken"))
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["a.wav: no sound", "a.wav: No such file", "a.wav: RuntimeError: broken"]
    assert shown.out == ""


def test_names_are_one_line_and_the_terminal_obeys_none(capfd: pytest.CaptureFixture) -> None:
    name = "a\nb\x1b[2J\tc\x9b.wav"
    told = r"a\nb\x1b[2J\tc\x9b.wav"
    report.say(f"{name}: loud")
    report.out(f"{name} -> b.mid")
    report.print_table([{"name": name, "n": 1}])
    report.fail(name, ValueError(f"{name}: no\nsound"))
    report.fail(name, FileNotFoundError(2, "No such file", name))
    report.fail(name, report.reason(ValueError(f"{name}: damaged")))
    shown = capfd.readouterr()
    assert shown.out.splitlines() == [f"{told} -> b.mid", "name" + " " * (len(told) - 4) + "  n", f"{told}  1"]
    assert shown.err.splitlines() == [f"{told}: {why}" for why in ("loud", "no sound", "No such file", "damaged")]
    report.print_json({"name": name})
    assert json.loads(capfd.readouterr().out) == {"name": name}


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert report.device("auto") == report.device("cpu") == "cpu"
    with pytest.raises(report.UsageError, match="cuda"):
        report.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert report.device("auto") == report.device("cuda") == "cuda"
    assert report.device("cpu") == "cpu"
