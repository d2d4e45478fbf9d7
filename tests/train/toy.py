"""A recipe for the tests: a two-layer perceptron with a stateless batch, and an opponent as the second phase."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from solfa import checkpoint
from solfa.train import Loss, Recipe, TrainConfig
from solfa.train.task import Origin


@dataclass(frozen=True)
class ToyConfig:
    width: int = 8
    rows: int = 8
    seed: int = 0
    opponent: bool = True
    rest_until: int = 0  # the opponent rests before this step
    dropout: float = 0.1
    nan_at: int | None = None
    weights: tuple[float, ...] = (1.0, 0.1)

    def build(self) -> "Toy":
        return Toy(self)


class Model(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 2))
        self.register_buffer("steps_seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps_seen += 1
        return self.layers(x)


class Toy:
    name = "toy"

    def __init__(self, config: ToyConfig) -> None:
        self.config = config
        self.model = Model(config.width, config.dropout)
        self.opponent = nn.Linear(2, 1)

    def phases(self) -> dict[str, nn.Module]:
        both = {"generator": self.model, "opponent": self.opponent}
        return both if self.config.opponent else {"generator": self.model}

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        x = torch.randn(self.config.rows, 4, generator=generator)
        y = torch.stack([x[:, 0] * x[:, 1], x.sum(1)], 1)
        return x[rank::world], y[rank::world]

    def origins(self, step: int, rank: int, world: int) -> list[Origin]:
        return [Origin(row, f"{step}.wav", row / 4) for row in range(self.config.rows)[rank::world]]

    def loss(self, phase: str, batch: tuple[Tensor, Tensor], step: int) -> Loss:
        name, _, moment = os.environ.get("TOY_SIGNAL", "").partition(" ")
        if moment == f"{phase} {step}":  # a signal to itself in the middle of this step
            os.kill(os.getpid(), signal.Signals[name])
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))  # how slow a phase's step is
        x, y = batch
        if phase == "opponent":
            if step < self.config.rest_until:
                return Loss(torch.zeros(()), {"resting": 1.0})
            with torch.no_grad():
                made = self.model.layers(x)
            return Loss(torch.sigmoid(self.opponent(made)).mean() + torch.sigmoid(-self.opponent(y)).mean())
        made = self.model(x)
        error = (made - y).square().mean()
        total = self.config.weights[0] * error - self.config.weights[1] * torch.sigmoid(self.opponent(made)).mean()
        if step == self.config.nan_at and os.environ.get("TOY_NAN_RANK", "0") == os.environ.get("RANK", "0"):
            total = total * float("nan")
        return Loss(total, {"error": error})

    def evaluate(self, model: nn.Module, step: int, folder: Path) -> dict[str, float]:
        x, y = self.batch(10**6, 0, 1)
        value = (model(x) - y).square().mean().item()
        (folder / "sample.json").write_text(json.dumps(value))
        torch.rand(3)  # evaluations may draw random numbers: training must not notice
        return {"error": value}

    def export(self, model: nn.Module, folder: Path) -> None:
        checkpoint.save(folder, "toy", {"width": self.config.width}, model.state_dict())


def recipe() -> Recipe:
    return Recipe(
        ToyConfig(),
        TrainConfig(steps=20, learning_rate=1e-2, log_every=1, evaluate_every=None, save_every=5, device="cpu"),
    )


def wide() -> Recipe:
    return Recipe(ToyConfig(width=32), recipe().train)
