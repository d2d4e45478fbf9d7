"""The learning rate: exponential decay as torch has it, with warm-up and floor, in the loop and in the configuration."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from solfa.train.config import TrainConfig
from solfa.train.loop import train
from solfa.train.optimizer import make_optimizer
from solfa.train.recipe import load_recipe
from solfa.train.schedule import learning_rate_factor

TOY = str(Path(__file__).with_name("toy.py"))


def test_gamma_is_torchs_exponential_rate() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.999996)
    for step in range(50):
        assert learning_rate_factor(step, 10, 0, 0.0, 0.999996) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-12
        )
        optimizer.step()
        theirs.step()
    assert learning_rate_factor(400_000, 400_000, 0, 0.0, 0.999996) == pytest.approx(0.2019, abs=1e-4)


def test_gamma_begins_after_the_warm_up_and_ends_at_the_floor() -> None:
    factors = [learning_rate_factor(step, 7, 2, 0.3, 0.5) for step in range(7)]
    assert factors == [0.5, 1.0, 1.0, 0.5, 0.3, 0.3, 0.3]


def test_the_loop_follows_it(tmp_path: Path) -> None:
    recipe = load_recipe(TOY, ["--steps", "4", "--gamma", "0.5", "--learning_rate", "0.01"])
    train(recipe.task, recipe.train, tmp_path / "run", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    key = next(key for key in lines[0] if key.endswith("/learning_rate"))
    assert [line[key] for line in lines if key in line] == pytest.approx([0.01, 0.005, 0.0025, 0.00125])


@pytest.mark.parametrize("gamma", [0.0, -1.0, 1.5])
def test_gamma_is_checked(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma"):
        TrainConfig(gamma=gamma)


def test_decay_all_is_torchs_own_adamw() -> None:
    torch.manual_seed(0)
    nets = [torch.nn.Conv1d(2, 3, 3) for _ in range(3)]
    for net in nets[1:]:
        net.load_state_dict(nets[0].state_dict())
    config = TrainConfig(weight_decay=0.5, betas=(0.8, 0.99), decay_all=True)
    theirs = torch.optim.AdamW(nets[0].parameters(), 1e-2, (0.8, 0.99), weight_decay=0.5)
    ours = [
        make_optimizer(dict(net.named_parameters()), c, 1e-2)
        for net, c in ((nets[1], config), (nets[2], dataclasses.replace(config, decay_all=False)))
    ]
    for _ in range(3):
        for net, optimizer in zip(nets, (theirs, *ours), strict=True):
            optimizer.zero_grad()
            net(torch.ones(1, 2, 8)).square().sum().backward()
            optimizer.step()
    for p, q, r in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(p, q)
        assert p.ndim > 1 or not torch.allclose(p, r, atol=1e-4)
