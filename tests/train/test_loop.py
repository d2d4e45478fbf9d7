"""The loop trains, averages, schedules, stops and reports as it says."""

import json
import math
import random
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from solfa import checkpoint
from solfa.train import Loss, TrainConfig, train
from solfa.train.ema import WeightAverage
from solfa.train.finite import FiniteGuard
from solfa.train.loop import seed_everything
from solfa.train.metrics import Meter, read_metrics
from solfa.train.prefetch import map_tensors, prefetch
from solfa.train.progress import Progress
from solfa.train.recipe import load_recipe
from solfa.train.schedule import learning_rate_factor

TOY = str(Path(__file__).with_name("toy.py"))
RECIPE = load_recipe(TOY)
TASK, CONFIG = RECIPE.task, RECIPE.train
Toy = sys.modules["solfa_recipe_toy"].Toy
ToyConfig: Any = type(TASK)


def run_toy(run: Path, task: Any = TASK, resume: bool = False, **changes: Any) -> Any:
    return train(task, replace(CONFIG, **changes), run, resume=resume, quiet=True)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / "model", "toy").tensors


def test_one_phase_equals_a_plain_loop(tmp_path: Path) -> None:
    """Twelve steps against twenty lines of torch: AdamW, decay of matrices only, clipping, warm-up and cosine, EMA."""
    task = replace(TASK, opponent=False, dropout=0.0)
    run_toy(tmp_path, task, steps=12, warmup=3, floor=0.1, clip=0.5, weight_decay=0.1, ema=0.9, keep=1)
    seed_everything(CONFIG.seed, "build", 0)
    reference = Toy(task)
    names = dict(reference.model.named_parameters())
    groups = [
        {"params": [p for p in names.values() if p.ndim == 2], "weight_decay": 0.1},
        {"params": [p for p in names.values() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=CONFIG.betas)
    average = {name: p.detach().clone() for name, p in names.items()}
    for step in range(12):
        loss = reference.loss("generator", reference.batch(step, 0, 1), step).total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(names.values(), 0.5)
        cosine = 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 3) / 9)) / 2
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * ((step + 1) / 3 if step < 3 else cosine)
        optimizer.step()
        decay = min(0.9, (1 + step) / (10 + step))
        average = {name: decay * average[name] + (1 - decay) * p.detach() for name, p in names.items()}
    found = weights(tmp_path)
    for name, tensor in average.items():
        torch.testing.assert_close(found[name], tensor)
    assert found["steps_seen"] == 12, "buffers are copied, not averaged"
    state = checkpoint.load(tmp_path / "step-000012").tensors
    for name, parameter in names.items():
        torch.testing.assert_close(state[f"phase/generator/{name}"], parameter.detach())


def test_learning(tmp_path: Path) -> None:
    run_toy(tmp_path, replace(TASK, opponent=False, dropout=0.0), steps=200, log_every=20, learning_rate=3e-2, ema=0.0)
    losses = [line["generator/loss"] for line in read_metrics(tmp_path) if line["split"] == "train"]
    assert len(losses) == 10 and losses[-1] < 0.5 * losses[0]


def test_accumulation_equals_one_batch(tmp_path: Path) -> None:
    task = replace(TASK, dropout=0.0)
    for accumulate in (1, 4):
        run_toy(tmp_path / str(accumulate), task, steps=6, accumulate=accumulate, ema=0.0)
    whole, parts = weights(tmp_path / "1"), weights(tmp_path / "4")
    torch.testing.assert_close(whole["layers.0.weight"], parts["layers.0.weight"])
    assert (whole["steps_seen"], parts["steps_seen"]) == (6, 24)
    for line, other in zip(read_metrics(tmp_path / "1"), read_metrics(tmp_path / "4"), strict=True):
        for key in line.keys() & {"generator/loss", "generator/error", "generator/gradient_norm"}:
            assert line[key] == pytest.approx(other[key], rel=1e-4), key


def test_phases_are_separate(tmp_path: Path) -> None:
    """Each phase moves its own weights only, by its own rate and clip; others' gradients are not even computed."""
    seen: list[tuple[str, bool, bool]] = []

    class Watched(Toy):
        def loss(self, phase: str, batch: Any, step: int) -> Loss:
            seen.append((phase, self.model.layers[0].weight.requires_grad, self.opponent.weight.requires_grad))
            return super().loss(phase, batch, step)

    class WatchedConfig(ToyConfig):
        def build(self) -> Watched:
            return Watched(self)

    run_toy(tmp_path, WatchedConfig(), steps=2, learning_rate=(1e-2, 1e-9), clip=(1.0, None), floor=1.0, ema=0.0)
    assert seen == [("generator", True, False), ("opponent", False, True)] * 2
    rates = [(line["generator/learning_rate"], line["opponent/learning_rate"]) for line in read_metrics(tmp_path)[:2]]
    assert rates == [(1e-2, 1e-9)] * 2
    with pytest.raises(ValueError, match="2 phases: generator, opponent"):
        run_toy(tmp_path / "b", learning_rate=(1e-2, 1e-3, 1e-4))


def test_a_constant_loss_rests_the_phase(tmp_path: Path) -> None:
    task = replace(TASK, rest_until=4)
    run_toy(tmp_path, task, steps=6, save_every=1, keep=6)
    opponents = [checkpoint.load(tmp_path / f"step-{n:06d}").tensors["phase/opponent/weight"] for n in range(1, 7)]
    assert all(torch.equal(opponents[0], other) for other in opponents[:4])
    assert not torch.equal(opponents[3], opponents[4])
    lines = read_metrics(tmp_path)
    assert "opponent/gradient_norm" not in lines[0] and lines[0]["opponent/resting"] == 1.0
    assert "opponent/gradient_norm" in lines[4]


def test_not_finite_stops_with_the_step_and_the_last_state(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"step 13, phase generator: loss nan.*last good state is .*step-000010"):
        run_toy(tmp_path, replace(TASK, nan_at=13))
    saved = checkpoint.load(tmp_path / "step-000010")
    assert saved.config["step"] == 10 and (tmp_path / "latest").read_text() == "step-000010\n"
    assert json.loads((tmp_path / "run.json").read_text())["sessions"][0]["ended"] == "NotFinite"
    told = json.loads((tmp_path / "not-finite.json").read_text())
    assert told["step"] == 13 and told["phase"] == "generator" and told["not_finite"]["loss"] == "nan"
    assert told["rows"] == [{"rank": 0, "row": row, "recording": "13.wav", "start": row / 4} for row in range(8)]
    with pytest.raises(ValueError, match=r"b/not-finite.json says which recordings.*no state was saved yet"):
        run_toy(tmp_path / "b", replace(TASK, nan_at=2))


def test_a_weight_that_is_not_finite_is_told_with_the_rows_of_its_step(tmp_path: Path) -> None:
    """Of the loss nothing shows: a buffer, as moving averages of a codebook are, and after the step."""

    class Spoilt(Toy):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.model.register_buffer("mean", torch.zeros(2))

        def loss(self, phase: str, batch: Any, step: int) -> Any:
            if step == 4:
                self.model.mean.fill_(torch.inf)
            return super().loss(phase, batch, step)

    class SpoiltConfig(ToyConfig):
        def build(self) -> Spoilt:
            return Spoilt(self)

    with pytest.raises(ValueError, match=r"not finite: step 4: . tensors of the state hold NaN.*not-finite.json says"):
        run_toy(tmp_path, SpoiltConfig())
    told = json.loads((tmp_path / "not-finite.json").read_text())
    assert told["step"] == 4 and told["rows"][3]["recording"] == "4.wav"
    assert "phase/generator/mean" in told["not_finite"]["weights"]


def test_what_was_not_finite_first_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the numbers are looked at now and then: the first phase is spoilt by the second one's step before."""

    class Late(FiniteGuard):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.immediate = False

    class Spoilt(Toy):
        def loss(self, phase: str, batch: Any, step: int) -> Any:
            found = super().loss(phase, batch, step)
            return replace(found, total=found.total * torch.nan) if (phase, step) == ("opponent", 3) else found

    class SpoiltConfig(ToyConfig):
        def build(self) -> Spoilt:
            return Spoilt(self)

    monkeypatch.setattr("solfa.train.phase.FiniteGuard", Late)
    with pytest.raises(ValueError, match="step 3, phase opponent: loss nan"):
        run_toy(tmp_path, SpoiltConfig(), log_every=10, save_every=None)
    assert json.loads((tmp_path / "not-finite.json").read_text())["rows"][0]["recording"] == "3.wav"


def test_rows_that_cannot_be_told_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> None:
        raise ValueError("a.wav: no such file")

    monkeypatch.setattr(Toy, "origins", gone)
    with pytest.raises(ValueError, match=r"step 2, .* cannot be told \(a.wav: no such file\); no state was saved yet"):
        run_toy(tmp_path, replace(TASK, nan_at=2))
    assert not (tmp_path / "not-finite.json").exists()


def test_bfloat16_autocast_trains_float32_weights(tmp_path: Path) -> None:
    run_toy(tmp_path / "bf", steps=3, precision="bfloat16")
    run_toy(tmp_path / "32", steps=3)
    half, single = (checkpoint.load(tmp_path / name / "step-000003").tensors for name in ("bf", "32"))
    name = "phase/generator/layers.0.weight"
    assert half[name].dtype == torch.float32
    assert not torch.equal(half[name], single[name])
    torch.testing.assert_close(half[name], single[name], atol=0.05, rtol=0.1)
    with pytest.raises(ValueError, match="float16 needs cuda"):
        run_toy(tmp_path / "16", steps=3, precision="float16")


def test_folder_of_a_run(tmp_path: Path) -> None:
    result = run_toy(tmp_path, steps=20, evaluate_every=8, keep=2)
    assert (result.reason, result.step) == ("finished", 20)
    assert sorted(p.name for p in tmp_path.glob("step-*")) == ["step-000015", "step-000020"]
    assert sorted(p.name for p in (tmp_path / "eval").iterdir()) == ["step-16", "step-20", "step-8"]
    evaluations = [line for line in read_metrics(tmp_path) if line["split"] == "evaluation"]
    assert [line["step"] for line in evaluations] == [8, 16, 20]
    assert json.loads((tmp_path / "eval/step-20/sample.json").read_text()) == evaluations[-1]["error"]
    record = json.loads((tmp_path / "run.json").read_text())
    session = record["sessions"][0]
    assert record["steps"] == 20 and record["seconds"] > 0 and session["ended"] == "finished"
    assert session["threads"] == torch.get_num_threads() and session["machine"]["torch"] == torch.__version__
    assert json.loads((tmp_path / "config.json").read_text())["task"]["weights"] == [1.0, 0.1]
    assert any((tmp_path / "tensorboard").iterdir())


def test_evaluations_do_not_touch_training(tmp_path: Path) -> None:
    run_toy(tmp_path / "a", evaluate_every=3)
    run_toy(tmp_path / "b", evaluate_every=None)
    assert checkpoint.load(tmp_path / "a/model").weights_hash == checkpoint.load(tmp_path / "b/model").weights_hash


def test_max_minutes_stops_saved_and_resumable(tmp_path: Path) -> None:
    result = run_toy(tmp_path / "a", max_minutes=1e-9, save_every=None)
    assert (result.reason, result.step) == ("time", 1) and (tmp_path / "a/step-000001").is_dir()
    assert (tmp_path / "a/model").is_dir(), "what was reached can be used"
    assert run_toy(tmp_path / "a", resume=True).reason == "finished"
    run_toy(tmp_path / "b")
    assert checkpoint.load(tmp_path / "a/model").weights_hash == checkpoint.load(tmp_path / "b/model").weights_hash


def test_save_minutes(tmp_path: Path) -> None:
    run_toy(tmp_path, steps=3, save_every=None, save_minutes=1e-9, keep=9)
    assert len(list(tmp_path.glob("step-*"))) == 3


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    class Nested(ToyConfig):
        def build(self) -> Any:
            run_toy(tmp_path, resume=True)

    with pytest.raises(ValueError, match="another process is training there"):
        run_toy(tmp_path, Nested())
    run_toy(tmp_path, steps=1)
    with pytest.raises(ValueError, match="holds a run already"):
        run_toy(tmp_path)


def test_a_task_that_cannot_be_built_leaves_no_run(tmp_path: Path) -> None:
    class Broken(ToyConfig):
        def build(self) -> Any:
            raise FileNotFoundError("no such data")

    with pytest.raises(FileNotFoundError):
        run_toy(tmp_path, Broken())
    assert run_toy(tmp_path, steps=1).step == 1


def test_shared_parameters_are_refused(tmp_path: Path) -> None:
    class Shared(Toy):
        def phases(self) -> Any:
            return {"one": self.model, "two": self.model.layers}

    class SharedConfig(ToyConfig):
        def build(self) -> Shared:
            return Shared(self)

    with pytest.raises(ValueError, match="'one' and 'two' share parameters"):
        run_toy(tmp_path, SharedConfig())
    assert run_toy(tmp_path, steps=1).step == 1  # what could not begin has left no run


def test_average_is_applied_and_taken_back_exactly() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout())
    model[2].eval()
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model[0].weight.add_(1.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average.update(100)
    with pytest.raises(RuntimeError, match="evaluation failed"), average.applied() as averaged:
        torch.testing.assert_close(averaged[0].weight, before["0.weight"] - 0.5)
        assert not averaged.training
        averaged[1].running_mean.fill_(9.0)
        raise RuntimeError("evaluation failed")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [True, True, False]


def test_schedule() -> None:
    factors = [learning_rate_factor(step, 110, 10, 0.1) for step in range(110)]
    assert factors[:11] == pytest.approx([i / 10 for i in range(1, 11)] + [1.0])
    assert factors[60] == pytest.approx(0.55) and all(a > b for a, b in pairwise(factors[10:]))
    assert 0.1 < factors[-1] < 0.101
    assert {learning_rate_factor(step, 5, 0, 1.0) for step in range(9)} == {1.0}
    assert learning_rate_factor(4, 5, 5, 0.0) == 1.0, "a run that is all warm-up"


def test_meter_survives_a_save() -> None:
    meter, other = Meter(), Meter()
    values = [{"a": torch.tensor(0.1 * i), "b": 0.3 * i} for i in range(1, 6)]
    for value in values[:3]:
        meter.add(value)
    other.load_state_dict(json.loads(json.dumps(meter.state_dict())))
    for value in [*values[3:], {"c": 1.0}]:
        meter.add(value)
        other.add(value)
    means = meter.take()
    assert means == other.take() and means["c"] == 1.0 and means["b"] == pytest.approx(0.9)
    assert meter.take() == {}


@pytest.mark.parametrize("threads", [1, 3])
def test_prefetch_keeps_order_and_works_ahead_no_further_than_it_says(threads: int) -> None:
    made: list[int] = []

    def make(step: int) -> int:
        time.sleep(0.001 * (step % 3))
        made.append(step)
        return step

    for step, item in enumerate(prefetch(make, 0, 20, threads)):
        time.sleep(0.005)  # so that the threads get as far as they may
        assert item == step and max(made) <= step + threads + 1
    assert sorted(made) == list(range(20))


def test_prefetch_raises_what_a_batch_raises() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise FileNotFoundError("gone.wav")
        return step

    items = prefetch(make, 0, 5, 1)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        next(items)


def test_map_tensors_reaches_everything() -> None:
    batch = {"loss": Loss(torch.ones(2), {"x": torch.ones(1)}), "pair": (torch.ones(1), ["a", torch.ones(1)])}
    doubled = map_tensors(batch, lambda tensor: tensor * 2)
    assert doubled["loss"].total.sum() == 4 and doubled["loss"].logs["x"] == 2
    assert doubled["pair"][0] == 2 and doubled["pair"][1][0] == "a" and doubled["pair"][1][1] == 2


def test_progress_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("solfa.train.progress.time.monotonic", lambda: now)
    with Progress("toy", 0, 93) as progress:
        progress.logged({"generator/loss": 0.5, "generator/error": 2.0})
        for step in (10, 31, 40):
            now = float(step)
            progress.step(step)
    assert capsys.readouterr().err == "toy: step 31/93, loss 0.5000, 1.00 steps/s, 1m02s left\n"


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"accumulate": 0},
        {"save_minutes": 0.0},
        {"learning_rate": 0.0},
        {"clip": (1.0, -1.0)},
        {"ema": 1.0},
        {"betas": (0.9, 1.0)},
        {"floor": 1.5},
        {"warmup": -1},
        {"precision": "int8"},
    ],
)
def test_config_bounds(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainConfig(**change)


def test_the_callers_generators_are_left_alone(tmp_path: Path) -> None:
    """A sweep that draws between its runs does not draw the same each time."""

    def draw() -> tuple[float, float, float]:
        return random.random(), float(numpy.random.random()), float(torch.rand(()))

    drawn = []
    for between in (lambda: None, lambda: run_toy(tmp_path, steps=2)):
        seed_everything(5)
        between()
        drawn.append(draw())
    assert drawn[0] == drawn[1]
