"""The recipes of EnCodec, DAC, HiFi-Codec and SoundStream: the published numbers, and a tiny variant of each that learns."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.codecs.encodec import soundstream
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE
from solfa.codecs.weights.released import find
from solfa.data.manifest import Entry, write_manifest
from solfa.train.balancer import DECAY
from solfa.train.codec import CodecTask, CodecTaskConfig
from solfa.train.discriminators import Discriminators, PeriodConfig, hifigan_waves
from solfa.train.loop import train
from solfa.train.recipe import Recipe, load_recipe

NAMES = ("encodec_24khz", "dac_44khz", "hificodec", "soundstream")
RATE = 8_000


def parts(name: str, overrides: tuple[str, ...] = ()) -> tuple[Recipe, CodecTaskConfig]:
    recipe = load_recipe(name, overrides)
    assert isinstance(recipe.task, CodecTaskConfig)
    return recipe, recipe.task


def terms(task: CodecTaskConfig) -> dict[str, float]:
    return {name: weight for name, weight in dataclasses.asdict(task.weights).items() if weight}


def test_encodec_is_trained_as_published() -> None:
    recipe, task = parts("encodec_24khz")
    assert terms(task) == {"adversarial": 4, "feature": 4, "mae": 0.1, "mel": 2, "quantizer": 1}
    assert (task.adversarial_loss, task.adversarial_over, task.quantizer_over) == ("hinge", "mean", "mean")
    assert task.balance and task.discriminator_first and not task.adversarial_from
    assert task.batch == 64 and task.frames * task.codec.hop == 24_000
    judges = task.discriminator
    assert judges.periods is judges.bands is judges.waves is judges.peak is None and not judges.remove_dc
    assert (
        judges.scales is not None
        and sorted(judges.scales.windows) == [128, 256, 512, 1024, 2048]
        and judges.scales.slope == 0.3
    )
    assert (task.spectral.windows, set(task.spectral.bands), task.spectral.f_min) == (
        (64, 128, 256, 512, 1024),
        {64},
        64,
    )
    train_config, quantizer = recipe.train, task.codec.quantizer
    assert (train_config.learning_rate, train_config.betas, train_config.weight_decay) == (3e-4, (0.5, 0.9), 0)
    assert (train_config.floor, train_config.warmup, train_config.clip, train_config.ema) == (1.0, 0, None, 0.99)
    assert train_config.steps == 200 * 2000 and train_config.precision == "float32"
    assert (quantizer.decay, quantizer.kmeans_iters, quantizer.dead_code_threshold, quantizer.commitment) == (
        0.99,
        50,
        2,
        1,
    )
    assert DECAY == 0.999


def test_dac_is_trained_as_published() -> None:
    recipe, task = parts("dac_44khz")
    assert terms(task) == {"adversarial": 1, "feature": 2, "mel": 15, "quantizer": 1}
    assert (task.adversarial_loss, task.adversarial_over, task.quantizer_over) == ("least_squares", "sum", "sum")
    assert not task.balance and task.discriminator_first and task.batch == 72
    assert task.frames * task.codec.hop / 44_100 == pytest.approx(0.38, abs=0.006)
    judges = task.discriminator
    assert judges.periods == PeriodConfig((2, 3, 5, 7, 11), pad_whole=True) and judges.waves is judges.scales is None
    assert judges.bands is not None and judges.bands.windows == (2048, 1024, 512)
    assert judges.remove_dc and judges.peak == 0.8
    assert dict(zip(task.spectral.windows, task.spectral.bands, strict=True)) == {
        32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320
    }  # fmt: skip
    assert (task.spectral.over, task.spectral.turns, task.spectral.power, task.spectral.linear) == ("sum", 1, 1, 0)
    quantizer, config = task.codec.quantizer, recipe.train
    assert (quantizer.kind, quantizer.commitment, quantizer.dropout) == ("factorized", 0.25, 0.5)
    assert (config.learning_rate, config.betas, config.gamma) == (1e-4, (0.8, 0.99), 0.999996)
    assert config.clip == (10, 1000) and config.clips(["discriminator", "generator"]) == {
        "discriminator": 10,
        "generator": 1000,
    }
    assert (config.ema, config.steps, config.precision) == (0, 400_000, "float32")
    assert config.weight_decay == torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).defaults["weight_decay"]
    assert config.decay_all


def test_hificodec_is_trained_as_published() -> None:
    recipe, task = parts("hificodec")
    assert terms(task) == {"adversarial": 1, "feature": 2, "mel": 1, "quantizer": 10}
    assert (task.adversarial_loss, task.adversarial_over, task.quantizer_over) == ("least_squares", "sum", "mean")
    assert not task.balance and task.discriminator_first
    assert (task.spectral.weights, task.spectral.windows, task.spectral.hops) == (
        (45, 1, 1),
        (1024, 512, 256),
        (240, 120, 60),
    )
    assert task.spectral.log == math.log(10) and set(task.spectral.bands) == {80}
    judges = task.discriminator
    assert judges.periods == PeriodConfig() and judges.waves == hifigan_waves() and judges.bands is None
    assert judges.scales is not None and len(judges.scales.windows) == 5 and judges.scales.slope == 0.2
    quantizer = task.codec.quantizer
    assert (quantizer.kind, quantizer.groups, quantizer.codebooks, quantizer.codebook_size) == ("grouped", 2, 4, 1024)
    assert (quantizer.update, quantizer.commitment) == ("gradient", 0.25)
    assert (recipe.train.learning_rate, recipe.train.betas, recipe.train.weight_decay) == (2e-4, (0.5, 0.9), 0)
    assert recipe.train.gamma is not None and recipe.train.gamma**8_000 == pytest.approx(0.98)


def test_soundstream_is_its_preset_with_the_discriminators_of_its_paper() -> None:
    recipe, task = parts("soundstream")
    theirs, encodec_task = parts("encodec_24khz")
    assert task.codec == soundstream() and recipe.train == theirs.train
    assert terms(task) == {name: weight for name, weight in terms(encodec_task).items() if name != "mae"}
    assert task.adversarial_loss == "hinge" and task.balance and task.discriminator_first
    judges = task.discriminator
    assert judges.periods is judges.bands is None and judges.scales is not None and judges.scales.windows == (1024,)
    waves = judges.waves
    assert waves is not None and (waves.rates, waves.widths[-1], waves.strides) == ((1, 2, 4), 1024, (1, 4, 4, 4, 4, 1))
    assert task.spectral.windows == tuple(2**n for n in range(6, 12)) and set(task.spectral.bands) == {64}
    assert task.codec.quantizer.dropout == 1.0
    words = ("--task.codec.quantizer.codebooks=16", "--task.codec.quantizer.codebook_size=32")
    assert parts("soundstream", words)[1].codec == soundstream(16, 32)


@pytest.mark.parametrize("name", NAMES)
def test_crops_are_long_enough_for_every_discriminator(name: str) -> None:
    _, task = parts(name)
    with torch.device("meta"):
        judges = Discriminators(task.discriminator)
        outputs = judges(torch.zeros(1, task.codec.channels, task.frames * task.codec.hop))
        codec = VQVAE(task.codec)
    assert len(outputs) == len(judges.parts) and codec.hop == task.codec.hop


@pytest.mark.parametrize(("name", "released"), [("encodec_24khz", "encodec-24khz"), ("dac_44khz", "dac-44khz")])
def test_fine_tuning_starts_from_the_released_weights(name: str, released: str) -> None:
    recipe, task = parts(f"{name}:finetune")
    scratch, _ = parts(name)
    entry = find(released)
    assert entry is not None and task.init == released and task.discriminator_warmup > 0
    preset = entry.config()
    assert dataclasses.replace(task.codec, quantizer=preset.quantizer) == preset
    assert task.weights == scratch.task.weights and task.discriminator == scratch.task.discriminator  # type: ignore[attr-defined]
    assert recipe.train.learning_rate < scratch.train.learning_rate  # type: ignore[operator]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    for i in range(3):
        tones = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(100, 1000, 3))
        sound = 0.2 * tones + 0.01 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{i}.flac", sound.astype(np.float32), RATE)
    write_manifest(folder / "manifest.jsonl", [Entry(id=str(i), audio=f"{i}.flac") for i in range(3)])
    return str(folder / "manifest.jsonl")


@torch.no_grad()
def held_mel(task: CodecTaskConfig, model: VQVAE) -> float:
    """The recipe's own mel loss on a batch that no step saw, with all codebooks."""
    built = CodecTask(task)
    samples = built.batch(10**6, 0, 1).samples
    estimate, _ = model.eval()(samples)
    return built._terms(estimate, samples, 0)["mel"].item()


@pytest.mark.parametrize(
    ("name", "steps"), [("encodec_24khz", 36), ("dac_44khz", 20), ("hificodec", 15), ("soundstream", 30)]
)
def test_the_tiny_variant_halves_its_mel_loss(name: str, steps: int, manifest: str, tmp_path: Path) -> None:
    """With the published losses, discriminators and order of updates."""
    words = [
        f"--train.steps={steps}",
        f"--task.train={manifest}",
        f"--task.valid={manifest}",
        "--valid_seconds=0.2",
        "--valid_items=1",
    ]
    words += ["--evaluate_every=none", "--save_every=none", "--save_minutes=none"]
    recipe, task = parts(f"{name}:tiny", tuple(words))
    torch.manual_seed(0)
    start = held_mel(task, VQVAE(task.codec))
    train(recipe.task, recipe.train, tmp_path / "run", quiet=True)
    trained = load_codec(tmp_path / "run" / "model")
    assert isinstance(trained, VQVAE)
    assert held_mel(task, trained) < 0.5 * start
    codes = trained.encode(torch.sin(torch.arange(4000) / 3)[None, None])
    assert trained.decode(codes).samples.shape == (1, 1, 4000) and len(codes.tokens.unique()) > 4
