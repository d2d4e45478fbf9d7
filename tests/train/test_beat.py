"""Beats in training: what data say of them, what crops are told, how a model begins with one, and that it learns to keep it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import TokenHeader, TokenWriter
from solfa.lm.conditioners.beat import BeatConfig
from solfa.lm.conditioners.grid import Grid
from solfa.lm.lora import LoRAConfig
from solfa.lm.model import LMConfig, TokenLM, load_lm
from solfa.lm.patterns import delay
from solfa.nn.transformer import TransformerConfig
from solfa.train.captions import CaptionConfig, said_of
from solfa.train.code_nats import batch_of, code_nats
from solfa.train.config import TrainConfig
from solfa.train.lm import LMTask, LMTaskConfig
from solfa.train.loop import train
from solfa.train.metrics import read_metrics
from solfa.train.override import override

RATE = 50.0
Music = tuple[Path, Path, Path]  # folders of a codec and of a model without a beat, a manifest


@pytest.mark.parametrize(
    ("fields", "grid", "steady"),
    [
        ({"attributes": {"tempo": 96, "metre": [6, 8], "steady": True}}, Grid(96, 2, 3), True),
        ({"attributes": {"tempo": 96, "metre": [3, 4]}}, Grid(96, 3), False),
        ({"bpm": "120", "time_signature": "4/4", "steady": True, "downbeat": 0.25}, Grid(120, 4, 2, 0.25), True),
        ({"bpm": 120, "steady": True}, None, False),
        ({"metre": "3/4", "steady": True}, None, False),
        ({"tempo": "Allegro", "metre": "3/4", "steady": True}, None, False),
        ({"tempo": 5000, "metre": "3/4", "steady": True}, None, False),
        ({"tempo": 90, "metre": "3/4", "downbeat": "soon"}, None, False),
        ({"tempo": 90, "metre": "3/4", "downbeat": 10**400}, None, False),
        ({"tempo": 90, "metre": "3/4", "steady": "yes"}, Grid(90, 3), False),
    ],
)
def test_what_data_say_of_a_beat(fields: dict[str, Any], grid: Grid | None, steady: bool) -> None:
    said = said_of(fields)
    assert (said.grid, said.steady) == (grid, steady)


@pytest.fixture(scope="module")
def music(tiny_music: Callable[..., tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> Music:
    """Recordings whose first codebook changes with every beat, to the next code of sixteen; half of them say that they are steady."""
    codec_folder, lm = tiny_music()
    header = TokenHeader("tiny", load_codec(codec_folder).weights_hash, 8000, 1, 160, 3, 16, coding="packed")
    place = tmp_path_factory.mktemp("codes")
    (place / "codes").mkdir()
    lines = []
    for i in range(12):
        tempo = 170 + 20 * i
        codes = np.floor((np.arange(60) / RATE) * tempo / 60 + 1e-9).astype(np.int64) % 16
        with TokenWriter(place / "codes" / f"{i}.solfa", header) as writer:
            writer.write(np.stack([codes, np.zeros(60, np.int64), np.full(60, 7)]))
        facts = {"tempo": tempo, "metre": [3, 4]} | ({"steady": True} if i % 2 else {})
        lines.append({"id": str(i), "audio": f"{i}.wav", "text": "a piece", "attributes": facts})
    (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return codec_folder, lm, place / "manifest.jsonl"


def configured(music: Music, **more: Any) -> LMTaskConfig:
    codec, lm, manifest = music
    fields: dict[str, Any] = {"init": str(lm), "train": (str(manifest),), "codec": str(codec), "batch": 6, "frames": 25}
    return LMTaskConfig(**(fields | {"captions": CaptionConfig(merge=0.0), "hold_out": 6, "beat": BeatConfig()} | more))


def crops_of(task: LMTask, count: int = 200) -> list[Any]:
    return [task._crop(np.random.default_rng([0, i])) for i in range(count)]


def test_a_crop_is_told_where_its_beats_lie(music: Music) -> None:
    """Where the first codebook changes there is a beat, wherever the crop begins."""
    task = LMTask(configured(music, steady=True, condition_dropout=0.0, beat_dropout=0.0))
    for crop in crops_of(task, 40):
        assert crop.grid is not None and crop.grid.beats == 3
        beats = np.floor((np.arange(25) / RATE - crop.grid.first) * crop.grid.tempo / 60 + 1e-6).astype(int) % 16
        assert (crop.codes[0] == beats).all()


def test_who_is_told_a_beat(music: Music) -> None:
    task = LMTask(configured(music, condition_dropout=0.3, beat_dropout=0.4))
    crops = crops_of(task, 400)
    steady = [crop for crop in crops if crop.said.steady]
    assert all(crop.grid is None for crop in crops if crop.text is None or not crop.said.steady)
    told = [crop for crop in steady if crop.text is not None]
    assert 0.5 < sum(crop.grid is not None for crop in told) / len(told) < 0.7 and len(steady) > 100
    every = crops_of(LMTask(configured(music, condition_dropout=0.3, beat_dropout=0.4, steady=True)), 400)
    assert any(crop.grid is not None and not crop.said.steady for crop in every)
    plain = crops_of(LMTask(configured(music, condition_dropout=0.3, beat=None)), 400)
    assert all(crop.grid is None for crop in plain)
    assert [crop.text for crop in plain] == [crop.text for crop in crops], (
        "what is drawn beside the beat stays as it was"
    )
    batch = task.batch(0, 0, 1)
    assert batch.beats is not None and batch.beats.shape == (6, 27, 19)
    parts = [task.batch(0, rank, 2).beats for rank in range(2)]
    assert torch.equal(torch.cat([part for part in parts if part is not None]), batch.beats)
    assert LMTask(configured(music, beat=None)).batch(0, 0, 1).beats is None


def test_a_model_begins_as_it_was(music: Music, tmp_path: Path) -> None:
    old, task = load_lm(music[1]), LMTask(configured(music))
    assert task.model.config == replace(old.config, beat=BeatConfig())
    batch = task.batch(0, 0, 1)
    assert batch.beats is not None and batch.beats.any()
    nats, _ = code_nats(old, replace(batch, beats=None))
    assert torch.equal(code_nats(task.model.eval(), batch)[0], nats)
    loss = task.loss("lm", batch, 0)
    loss.total.backward()
    assert task.model.beat is not None and task.model.beat.project.weight.grad is not None
    assert task.model.beat.project.weight.grad.any(), "the layer learns, though it begins at zero"
    task.model.save(tmp_path / "m")
    again = LMTask(configured(music, init=str(tmp_path / "m"), beat=None))
    assert again.model.config == task.model.config, "a model that has a beat keeps it"
    assert LMTask(configured(music, init=str(tmp_path / "m"))).model.config == task.model.config
    with pytest.raises(ValueError, match=r"tiny-lm has BeatConfig.* already; leave it out"):
        LMTask(configured(music, init=str(tmp_path / "m"), beat=BeatConfig(2)))
    with pytest.raises(ValueError, match="beat with adapters"):
        LMTask(configured(music, lora=LoRAConfig(rank=2)))
    with pytest.raises(ValueError, match="beat_dropout is 2"):
        configured(music, beat_dropout=2)


def test_a_summary_begins_at_nothing_and_is_learned(music: Music, tmp_path: Path) -> None:
    old, task = load_lm(music[1]), LMTask(configured(music, beat=None, summary=True))
    assert task.model.config == replace(old.config, summary=True)
    batch = task.batch(0, 0, 1)
    assert torch.equal(code_nats(task.model.eval(), batch)[0], code_nats(old, batch)[0])
    task.loss("lm", batch, 0).total.backward()
    assert task.model.summary is not None and task.model.summary.project.weight.grad is not None
    assert task.model.summary.project.weight.grad.any()
    task.model.save(tmp_path / "m")
    for more in ({}, {"summary": True}, {"summary": False}):  # what has one keeps it
        again = LMTask(configured(music, init=str(tmp_path / "m"), beat=None, **more))
        assert again.model.config == task.model.config
    with pytest.raises(ValueError, match="summary with adapters"):
        LMTask(configured(music, beat=None, summary=True, lora=LoRAConfig(rank=2)))
    assert override(configured(music), ["--summary", "true"]).summary


def test_data_without_a_beat_are_refused(music: Music, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in music[2].read_text().splitlines()]
    for line in lines:
        line["attributes"].pop("steady", None)
        line["audio"] = str(music[2].parent / line["audio"])
    (tmp_path / "codes").symlink_to(music[2].parent / "codes")
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    train_on = (str(tmp_path / "manifest.jsonl"),)
    with pytest.raises(ValueError, match="beat: no recording tells tempo and metre and is steady; set steady"):
        LMTask(configured(music, train=train_on))
    assert LMTask(configured(music, train=train_on, steady=True)).batch(0, 0, 1).beats is not None
    LMTask(configured(music)).model.save(tmp_path / "m")  # who fine-tunes a model that has a beat need not have one
    with pytest.warns(UserWarning, match="the model is told no beat: no recording tells tempo"):
        task = LMTask(configured(music, init=str(tmp_path / "m"), train=train_on, beat=None))
    beats = task.batch(0, 0, 1).beats
    assert task.model.beat is not None and beats is not None and not beats.any()


def test_the_command_line_gives_a_beat(music: Music) -> None:
    config = override(configured(music, beat=None), ["--beat", "{}", "--steady"])
    assert config.beat == BeatConfig() and config.steady
    assert override(configured(music, beat=None), ["--beat", '{"bar": 2}']).beat == BeatConfig(bar=2)


def test_a_run_says_what_the_beat_is_worth(music: Music, tmp_path: Path) -> None:
    loop = TrainConfig(
        steps=60, learning_rate=2e-2, warmup=5, ema=0.9, evaluate_every=None, save_every=None, log_every=10, device="cpu"
    )  # fmt: skip
    config = configured(music, steady=True, prompts=("a piece, 300 bpm, 3/4", "a piece"), prompt_seconds=0.7, batch=8)
    train(config, loop, tmp_path / "run", quiet=True)
    evaluation = read_metrics(tmp_path / "run")[-1]
    assert evaluation["ce"] < 0.97 * evaluation["ce_no_beat"]
    assert (tmp_path / "run" / "eval" / "step-60" / "sample-1.wav").is_file()
    assert load_lm(tmp_path / "run" / "model").config.beat == BeatConfig()


def pieces(rng: np.random.Generator, count: int, frames: int = 60) -> tuple[list[np.ndarray], list[Grid]]:
    """Codes of one codebook of eight that change at random on each beat, of tempi and phases at random."""
    codes, grids = [], []
    for _ in range(count):
        grid = Grid(float(rng.uniform(150, 400)), 4, 2, float(rng.uniform(-1, 1)))
        beats = np.floor((np.arange(frames) / RATE - grid.first) * grid.tempo / 60).astype(int)
        steps = np.diff(beats, prepend=beats[0]) > 0
        values = np.cumsum(np.where(steps, rng.integers(1, 8, frames), 0)) + rng.integers(8)
        codes.append((values % 8)[None])
        grids.append(grid)
    return codes, grids


def nats_of_changes(model: TokenLM, codes: list[np.ndarray], grids: list[Grid] | None) -> float:
    """How surprising (nats) it is, where a code changes, that it does; whichever it changes to."""
    batch = batch_of(model, codes, [None] * len(codes), grids)
    with torch.no_grad():
        _, hidden = code_nats(model, batch)
        logp = model.head(hidden, batch.codes)[:, 0].log_softmax(-1)  # [B, S, N]
    now, before = batch.codes[:, 0, 1:], batch.codes[:, 0, :-1]
    stays = logp[:, 1:].gather(-1, before[..., None])[..., 0].exp()
    return float(-torch.log1p(-stays.clamp(max=1 - 1e-6))[now != before].mean())


def test_a_tiny_model_keeps_a_beat_that_it_is_told() -> None:
    """Codes change on the beats of any tempo, from any phase. Told the beat a model knows when; without it, it can only guess."""
    torch.manual_seed(0)
    shape = LMConfig("t", "c", 8000, RATE, TransformerConfig(32, 2, 2, cross=False), 1, 8, delay(1), beat=BeatConfig())
    model, rng = TokenLM(shape), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for step in range(100):
        codes, grids = pieces(rng, 8)
        loss = code_nats(model, batch_of(model, codes, [None] * 8, grids if step % 2 else None))[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes, grids = pieces(np.random.default_rng(1), 64)
    told, untold = nats_of_changes(model.eval(), codes, grids), nats_of_changes(model, codes, None)
    wrong = nats_of_changes(model, codes, [grid.after(30 / grid.tempo) for grid in grids])  # half a beat off
    assert told < 0.4 * untold and wrong > 1.2 * untold, (told, untold, wrong)
