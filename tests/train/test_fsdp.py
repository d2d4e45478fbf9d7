"""Weights divided among processes: the same training, the same files."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa import checkpoint
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import TokenHeader, TokenWriter
from solfa.lm.model import load_lm
from solfa.train.config import TrainConfig
from solfa.train.metrics import read_metrics
from solfa.train.sharding import units

FORKED, RECIPE = (Path(__file__).with_name(name) for name in ("forked.py", "lm_recipe.py"))


@pytest.fixture
def codes(tiny_music: Callable[..., tuple[Path, Path]], tmp_path: Path) -> Path:
    place = tmp_path / "data"
    shutil.copytree(tiny_music()[0], place / "codec")
    (place / "codes").mkdir()
    header = TokenHeader("tiny", load_codec(place / "codec").weights_hash, 8000, 1, 160, 3, 16, coding="packed")
    for i in range(4):
        with TokenWriter(place / "codes" / f"{i}.solfa", header) as writer:
            writer.write(np.random.default_rng(i).integers(0, 16, (3, 16)))
    lines = [{"id": str(i), "audio": f"{i}.wav", "text": f"song {i}"} for i in range(4)]
    (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


def test_divided_equals_whole_and_resumes(codes: Path, tmp_path: Path) -> None:
    """Two processes with FSDP2, stopped and resumed, end as one process does: weights, averages, the optimizer's state and the exported
    model, all of them whole; also with accumulation and checkpointing."""
    shared = {"recipe": str(RECIPE), "environment": {"SOLFA_TEST_CODES": str(codes)}}
    rate = "--gamma=1.0"  # one that does not depend on the number of steps
    two = {**shared, "run": str(tmp_path / "two"), "world": 2}
    divided = [rate, "--parallel=fsdp", "--accumulate=2", "--checkpointing"]
    jobs = [
        {**shared, "run": str(tmp_path / "one"), "world": 1, "fields": [rate]},
        {**two, "fields": [*divided, "--steps=2"]},
        {**two, "fields": divided},
    ]
    done = subprocess.run(
        [sys.executable, str(FORKED)],
        input=json.dumps(jobs),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.stdout.split("\n") == ["0", "0 0", "0 0", ""], done.stderr
    sessions = json.loads((tmp_path / "two" / "run.json").read_text())["sessions"]
    assert [(session["first_step"], session["world"]) for session in sessions] == [(0, 2), (2, 2)]
    for folder in ("step-000004", "model"):
        whole, shares = (checkpoint.load(tmp_path / name / folder).tensors for name in ("one", "two"))
        assert whole.keys() == shares.keys() and any("average/" in key for key in whole) == (folder != "model")
        for name, tensor in whole.items():
            # Adam's first steps are as long as the rate, 0.01, whatever the gradient: where that is nearly 0, rounding shows.
            torch.testing.assert_close(shares[name].float(), tensor.float(), rtol=1e-3, atol=5e-4, msg=name)
    ours, theirs = (read_metrics(tmp_path / name)[-1] for name in ("one", "two"))
    assert ours.keys() == theirs.keys() and ours["split"] == "evaluation"
    assert theirs["ce"] == pytest.approx(ours["ce"], abs=1e-3)


def test_layers_are_what_is_gathered_at_a_time(tiny_music: Callable[..., tuple[Path, Path]]) -> None:
    names = [type(unit).__name__ for unit in units(load_lm(tiny_music()[1]))]
    assert names == ["Block", "Block", "_Block"]


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ValueError, match="Muon needs whole matrices"):
        TrainConfig(parallel="fsdp", muon="*")
    with pytest.raises(ValueError, match="parallel is 'both'"):
        TrainConfig(parallel="both")  # type: ignore[arg-type]
