"""Training goes on from released weights: transformers' folders (here with random weights), files, and solfa's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.utils import parametrize
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

from solfa import checkpoint
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.data.manifest import Entry, write_manifest
from solfa.nn.frames import FrameConfig
from solfa.train import initial
from solfa.train.codec import CodecTask, CodecTaskConfig, LossWeights
from solfa.train.config import TrainConfig
from solfa.train.crops import Augmentation
from solfa.train.discriminators import DiscriminatorConfig, ScaleConfig
from solfa.train.initial import initial_codec
from solfa.train.loop import train

PLAIN = Augmentation((0.0, 0.0), 0, 0, 0, 0, 0)
JUDGES = DiscriminatorConfig(1, None, ScaleConfig((128,), 4, (1,)), None)


def encodec(folder: Path) -> Path:
    config = EncodecConfig(
        sampling_rate=24_000,
        num_filters=4,
        upsampling_ratios=[4, 2],
        hidden_size=8,
        codebook_size=16,
        target_bandwidths=[48.0, 96.0],
    )
    torch.manual_seed(0)
    model = EncodecModel(config)
    for layer in model.quantizer.layers:  # codes that a training would have left
        book = layer.codebook
        book.inited.fill_(1)
        book.embed.normal_()
        book.cluster_size.uniform_(10, 20)
        book.embed_avg.copy_(book.embed * book.cluster_size[:, None])
    model.save_pretrained(folder)
    return folder


def dac(folder: Path) -> Path:
    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=16,
        downsampling_ratios=[2, 4],
        upsampling_ratios=[4, 2],
        n_codebooks=3,
        codebook_size=16,
    )
    torch.manual_seed(0)
    DacModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sounds")
    x = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(folder / "a.wav", x.astype(np.float32), 16_000)
    write_manifest(folder / "manifest.jsonl", [Entry(id="a", audio="a.wav")])
    return str(folder / "manifest.jsonl")


def task_config(manifest: str, init: Path, codec: VQVAEConfig) -> CodecTaskConfig:
    return CodecTaskConfig(
        codec,
        (manifest,),
        (manifest,),
        batch=2,
        frames=64,
        weights=LossWeights(waveform=0.0, mae=1.0, mel=1.0, adversarial=1.0, feature=1.0),
        augmentation=PLAIN,
        discriminator=JUDGES,
        discriminator_first=True,
        discriminator_warmup=2,
        init=str(init),
        valid_items=1,
        valid_seconds=0.1,
        half_export=False,
    )


@pytest.mark.parametrize("released", [encodec, dac])
def test_released_weights_go_on_with_new_discriminators(
    released: Callable[[Path], Path], manifest: str, tmp_path: Path
) -> None:
    found = load_codec(released(tmp_path / "released"))
    assert isinstance(found, VQVAE)
    quantizer = dataclasses.replace(found.config.quantizer, dropout=1.0)
    wanted = dataclasses.replace(found.config, name="mine", chunk=10, quantizer=quantizer)
    task = task_config(manifest, tmp_path / "released", wanted)
    built = CodecTask(task)
    assert built.model.config == wanted and built.model.name == "mine"
    start = {name: tensor.clone() for name, tensor in built.model.state_dict().items()}
    assert start.keys() == found.state_dict().keys()
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in start.items())
    assert any(name.endswith("weight.original0") for name in start), "weight norm is there to be trained"

    ends = {}
    for steps in (2, 4):
        loop = TrainConfig(
            steps=steps, learning_rate=1e-3, ema=0.0, evaluate_every=None, save_every=steps, save_minutes=None
        )
        train(task, loop, tmp_path / str(steps), quiet=True)
        tensors = checkpoint.load(tmp_path / str(steps) / f"step-{steps:06d}").tensors
        ends[steps] = {name.removeprefix("phase/generator/codec."): tensor for name, tensor in tensors.items()}
    assert all(torch.equal(ends[2][name], tensor) for name, tensor in start.items()), "the codec rests at first"
    moved = [name for name, tensor in start.items() if not torch.equal(ends[4][name], tensor)]
    codebooks = [name for name in moved if "codebook" in name]
    assert (
        codebooks
        and any(name.startswith("encoder") for name in moved)
        and any(name.startswith("decoder") for name in moved)
    )
    judges = [name for name in ends[2] if name.startswith("phase/discriminator")]
    assert judges and any(not torch.equal(ends[2][name], ends[4][name]) for name in judges)
    played = load_codec(tmp_path / "4" / "model")
    sound = torch.randn(1, 1, 1234) * 0.1
    assert played.name == "mine" and played.decode(played.encode(sound)).samples.shape == sound.shape


def test_moving_averages_go_on_from_where_they_were(manifest: str, tmp_path: Path) -> None:
    """Not from k-means: counts and sums after a step are 0.99 of the released ones plus 0.01 of the batch's."""
    found = load_codec(encodec(tmp_path / "released"))
    quantizer = dataclasses.replace(found.config.quantizer, dead_code_threshold=0.0)
    task = CodecTask(
        task_config(manifest, tmp_path / "released", dataclasses.replace(found.config, quantizer=quantizer))
    )
    task.model.train()
    name = "quantizer.books.0.layer._codebook"
    before = {key: tensor.clone() for key, tensor in task.model.state_dict().items() if key.startswith(name)}
    assert bool(before[f"{name}.initted"])
    batch = task.batch(0, 0, 1)
    latents = task.model.encoder(batch.samples).transpose(1, 2).reshape(-1, 8)
    codes = torch.cdist(latents, before[f"{name}.embed"][0]).argmin(1)
    task.loss("generator", batch, 2)
    counts = torch.bincount(codes, minlength=16).float()
    after = task.model.state_dict()
    torch.testing.assert_close(
        after[f"{name}.cluster_size"][0], 0.99 * before[f"{name}.cluster_size"][0] + 0.01 * counts
    )
    sums = torch.zeros(16, 8).index_add_(0, codes, latents.detach())
    torch.testing.assert_close(after[f"{name}.embed_avg"][0], 0.99 * before[f"{name}.embed_avg"][0] + 0.01 * sums)


def test_weight_norm_that_was_fused_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_codec(dac(tmp_path / "released"))
    fused = load_codec(tmp_path / "released")
    for part in fused.modules():
        if parametrize.is_parametrized(part):
            parametrize.remove_parametrizations(part, "weight")
    assert fused.state_dict().keys() != whole.state_dict().keys()
    monkeypatch.setattr(initial, "load_codec", lambda name: fused)
    model = initial_codec("anything", whole.config)
    assert model.state_dict().keys() == whole.state_dict().keys()
    sound = torch.randn(1, 1, 640, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(sound)[0], whole.eval()(sound)[0], rtol=0, atol=1e-6)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_another_codec_is_refused_by_its_fields(tmp_path: Path) -> None:
    folder = str(encodec(tmp_path / "released"))
    config = load_codec(folder).config
    assert config.seanet is not None
    other = dataclasses.replace(
        config,
        sample_rate=16_000,
        seanet=dataclasses.replace(config.seanet, n_filters=8),
        quantizer=dataclasses.replace(config.quantizer, codebooks=2),
    )
    with pytest.raises(
        ValueError,
        match=r"it has sample_rate 24000, seanet\.n_filters 4, quantizer\.codebooks \d+; the recipe has sample_rate 16000",
    ):
        initial_codec(folder, other)
    frames = VQVAEConfig(latent_dim=8, frames=FrameConfig())
    with pytest.raises(ValueError, match="frames None"):
        initial_codec(folder, frames)
    with pytest.raises(ValueError, match="no codec named 'nothing'"):
        initial_codec("nothing", config)
    with pytest.raises(ValueError, match="a Linear cannot be trained"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(initial, "load_codec", lambda name: torch.nn.Linear(1, 1))
        initial_codec("mimi", config)
