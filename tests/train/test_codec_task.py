"""The codec task learns, uses its codebooks, resumes, and its parts do what the configuration says."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa import checkpoint
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.registry import load_codec
from solfa.codecs.segments import SegmentConfig
from solfa.codecs.vqvae import VQVAEConfig
from solfa.data.manifest import Entry, write_manifest
from solfa.nn.frames import FrameConfig
from solfa.nn.seanet import SEANetConfig
from solfa.train.codec import CodecBatch, CodecTask, CodecTaskConfig, LossWeights, mean_perplexity
from solfa.train.codec_data import codec_recordings
from solfa.train.config import TrainConfig
from solfa.train.crops import PLAIN, Augmentation, CropReader
from solfa.train.discriminators import DiscriminatorConfig, PeriodConfig, ScaleConfig
from solfa.train.finite import NotFinite
from solfa.train.loop import train
from solfa.train.reconstruction import spectral_losses, waveform_losses
from solfa.train.task import Loss

RATE = 8_000
QUANTIZER = QuantizerConfig(codebooks=4, codebook_size=32, dropout=0.5, dead_code_threshold=0.5)
FRAMES = VQVAEConfig(
    "tiny", RATE, latent_dim=16, frames=FrameConfig(160, 32, 1, 2, 3, 8), quantizer=QUANTIZER, chunk=50
)
SEANET = VQVAEConfig(
    "tiny",
    RATE,
    latent_dim=16,
    seanet=SEANetConfig(dimension=16, n_filters=4, ratios=(8, 5, 4)),
    quantizer=QUANTIZER,
    chunk=50,
)
SMALL_DISCRIMINATOR = DiscriminatorConfig(
    periods=PeriodConfig((2, 3), (4, 4)), scales=ScaleConfig((256,), 4, (1,)), bands=None
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    time = np.arange(4 * RATE) / RATE
    for i in range(3):
        tones = sum(np.sin(2 * np.pi * f * time) * np.exp(-((time * 3) % 1) * 4) for f in rng.uniform(100, 2000, 3))
        soundfile.write(folder / f"{i}.flac", (0.15 * tones).astype(np.float32), RATE)
    write_manifest(folder / "manifest.jsonl", [Entry(id=str(i), audio=f"{i}.flac") for i in range(3)])
    return str(folder / "manifest.jsonl")


def config(manifest: str, codec: VQVAEConfig = FRAMES, **fields: object) -> CodecTaskConfig:
    return CodecTaskConfig(
        codec, (manifest,), (manifest,), batch=4, frames=20, valid_items=2, valid_seconds=2.0, **fields
    )


@pytest.mark.parametrize(
    ("codec", "share", "used"), [(FRAMES, 0.7, 0.3), (SEANET, 0.92, 0.1)], ids=["frames", "seanet"]
)
def test_it_learns_and_exports_a_codec_that_plays(
    manifest: str, codec: VQVAEConfig, share: float, used: float, tmp_path: Path
) -> None:
    steps = TrainConfig(
        steps=60, learning_rate=3e-3, ema=0.9, log_every=10, evaluate_every=30, save_every=None, save_minutes=None
    )
    train(config(manifest, codec), steps, tmp_path / "run", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    mel = [line["generator/mel"] for line in lines if "generator/mel" in line]
    assert mel[-1] < share * mel[0]  # a SEANet takes longer to find the waveform
    evaluations = [line for line in lines if "si_sdr_4" in line]
    assert len(evaluations) == 2 and evaluations[1]["log_mel_4"] < evaluations[0]["log_mel_4"]
    assert evaluations[1]["usage"] > used
    assert {p.suffix for p in (tmp_path / "run" / "eval" / "step-60").iterdir()} == {".flac"}
    exported = load_codec(tmp_path / "run" / "model")
    sound = torch.randn(1, 1, 1234) * 0.1
    assert exported.decode(exported.encode(sound)).samples.shape == sound.shape


def test_discriminators_join_at_their_step_and_stop_with_the_config(manifest: str, tmp_path: Path) -> None:
    fields = {
        "weights": LossWeights(adversarial=1.0, feature=1.0, stft=1.0, l1=1.0),
        "discriminator": SMALL_DISCRIMINATOR,
        "adversarial_from": 2,
    }
    for balance in (False, True):
        task = CodecTask(config(manifest, balance=balance, **fields))
        batch = task.batch(0, 0, 1)
        assert set(task.phases()) == {"generator", "discriminator"}
        assert not task.loss("discriminator", batch, 1).total.requires_grad
        assert "adversarial" not in task.loss("generator", batch, 1).logs
        generator = task.loss("generator", batch, 2)
        assert {"adversarial", "feature", "stft", "l1"} <= set(generator.logs)
        generator.total.backward()
        assert all(p.grad is not None for p in task.model.encoder.parameters())
        before = {k: v.clone() for k, v in task.model.state_dict().items()}
        task.loss("discriminator", batch, 2).total.backward()
        assert all(p.grad is not None for p in task.discriminators.parameters())
        assert all(torch.equal(v, before[k]) for k, v in task.model.state_dict().items())  # no second step of the EMA
        assert task.model.training
    assert set(CodecTask(config(manifest)).phases()) == {"generator"}


def test_discriminators_may_go_first_and_learn_alone_for_a_while(manifest: str, tmp_path: Path) -> None:
    fields = {
        "weights": LossWeights(adversarial=1.0, feature=1.0),
        "discriminator": SMALL_DISCRIMINATOR,
        "discriminator_first": True,
        "adversarial_from": 1,
        "discriminator_warmup": 2,
    }
    task = CodecTask(config(manifest, **fields))
    assert list(task.phases()) == ["discriminator", "generator"]
    batch = task.batch(0, 0, 1)
    trains = {
        phase: [task.loss(phase, batch, step).total.requires_grad for step in range(5)] for phase in task.phases()
    }
    assert trains == {"discriminator": [False, True, True, True, True], "generator": [True, False, False, True, True]}

    before = load(CodecTask(config(manifest, **fields)), tmp_path / "start")  # the same weights for both runs
    fields |= {"init": str(before), "adversarial_from": 0}
    states = []
    for steps in (2, 3):
        run = tmp_path / str(steps)
        loop = TrainConfig(
            steps=steps, ema=0.0, learning_rate=(1e-3, 2e-3), log_every=1, evaluate_every=None, save_minutes=None
        )
        train(config(manifest, half_export=False, **fields), loop, run, quiet=True)
        states.append(checkpoint.load(run / "model").tensors)
        judges = {
            k: v for k, v in checkpoint.load(run / f"step-{steps:06d}").tensors.items() if k.startswith("phase/disc")
        }
        assert judges
    start = checkpoint.load(before).tensors
    assert all(torch.equal(tensor, start[name]) for name, tensor in states[0].items()), "the codec rests, codebooks too"
    changed = [name for name, tensor in states[1].items() if not torch.equal(tensor, start[name])]
    assert {name.split(".")[0] for name in changed} == {"encoder", "decoder", "quantizer"}


def load(task: CodecTask, folder: Path) -> Path:
    """The task's codec, its codebooks started, as a checkpoint."""
    task.model.train()(task.batch(99, 0, 1).samples)
    task.model.save(folder)
    return folder


def test_losses_come_together_as_configured(manifest: str) -> None:
    fields = {
        "weights": LossWeights(waveform=0, mel=0, adversarial=1.0, feature=1.0),
        "discriminator": SMALL_DISCRIMINATOR,
    }
    torch.manual_seed(0)
    mean = CodecTask(config(manifest, adversarial_loss="least_squares", **fields))
    summed = CodecTask(config(manifest, adversarial_loss="least_squares", adversarial_over="sum", **fields))
    summed.discriminators.load_state_dict(mean.discriminators.state_dict())
    summed.model.load_state_dict(mean.model.state_dict())
    batch = mean.batch(0, 0, 1)
    for task in (mean, summed):
        task.model.eval()  # no k-means, which draws
    a, b = (task.loss("generator", batch, 0).logs for task in (mean, summed))
    assert b["adversarial"].item() == pytest.approx(3 * a["adversarial"].item())  # two periods and a scale
    assert b["feature"].item() > 4 * a["feature"].item()
    a, b = (task.loss("discriminator", batch, 0).logs["discriminator"].item() for task in (mean, summed))
    assert b == pytest.approx(3 * a)


def test_the_waveforms_mean_error_and_the_quantizers_weight(manifest: str) -> None:
    task = CodecTask(
        config(manifest, weights=LossWeights(waveform=0, mel=0, mae=2.0, quantizer=3.0), quantizer_over="mean")
    )
    plain = CodecTask(config(manifest, weights=LossWeights(waveform=0, mel=0, mae=2.0)))
    plain.model.load_state_dict(task.model.state_dict())
    batch = task.batch(0, 0, 1)
    for each in (task, plain):
        each.model.eval()
    assert batch.codebooks.float().mean() < 4, "quantizer dropout counts"
    estimate, _ = task.model(batch.samples, batch.codebooks)
    loss, other = (each.loss("generator", batch, 0) for each in (task, plain))
    assert loss.logs["mae"].item() == pytest.approx((estimate - batch.samples).abs().mean().item())
    assert loss.logs["quantizer"].item() == pytest.approx(
        other.logs["quantizer"].item() / batch.codebooks.float().mean().item()
    )
    assert loss.total.item() == pytest.approx(2 * loss.logs["mae"].item() + 3 * loss.logs["quantizer"].item())
    assert other.total.item() == pytest.approx(2 * loss.logs["mae"].item() + other.logs["quantizer"].item())


def test_a_codec_of_segments_hears_its_crops_at_one_level(manifest: str) -> None:
    """As EnCodec 48 kHz codes its segments: the codes do not depend on the level, which comes back with the sound."""
    shape = dataclasses.replace(SEANET.seanet, causal=False, norm="time_group_norm")
    codec = dataclasses.replace(SEANET, seanet=shape, segment=SegmentConfig(3200, 3200, normalize=True))
    task = CodecTask(config(manifest, codec, weights=LossWeights(waveform=0, mel=0, mae=1.0)))
    batch = task.batch(0, 0, 1)
    task.model.train()(batch.samples)
    task.model.eval()
    softer = dataclasses.replace(batch, samples=batch.samples / 64)
    loud, soft = (task.loss("generator", b, 0).logs for b in (batch, softer))
    assert soft["mae"].item() * 64 == pytest.approx(loud["mae"].item(), rel=1e-4)
    assert soft["perplexity"].item() == pytest.approx(loud["perplexity"].item())
    with pytest.raises(ValueError, match="within a segment"):
        dataclasses.replace(task.config, frames=21)


def test_a_stereo_codec_takes_mono_and_stereo_and_leaves_out_what_is_neither(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, channels in {"mono": 1, "quad": 4, "stereo": 2}.items():
        noise = 0.1 * rng.standard_normal((RATE, channels))
        soundfile.write(tmp_path / f"{name}.wav", noise.astype(np.float32), RATE)
    with pytest.warns(
        UserWarning, match=r"1 recordings are left out, the first: .*quad\.wav: has 4 channels, .* 1 or 2"
    ):
        task = CodecTask(config(str(tmp_path), dataclasses.replace(FRAMES, channels=2), augmentation=PLAIN))
    assert [path.stem for path in task.reader.paths] == [path.stem for path in task.held_out] == ["mono", "stereo"]
    assert task.batch(0, 0, 1).samples.shape == (4, 2, 20 * 160)
    mono = CodecTask(config(str(tmp_path), augmentation=PLAIN))
    assert len(mono.reader.paths) == 3 and mono.batch(0, 0, 1).samples.shape == (4, 1, 20 * 160)
    figures = task.evaluate(task.model.eval(), 0, tmp_path)
    assert all(np.isfinite(value) for value in figures.values())
    assert {soundfile.info(path).channels for path in tmp_path.glob("*.flac")} == {2}


def test_batches_are_pure_and_shards_make_the_batch(manifest: str) -> None:
    task = CodecTask(config(manifest))
    whole, again = task.batch(7, 0, 1), CodecTask(config(manifest)).batch(7, 0, 1)
    assert torch.equal(whole.samples, again.samples) and torch.equal(whole.codebooks, again.codebooks)
    shards = [task.batch(7, rank, 2) for rank in range(2)]
    assert torch.equal(torch.cat([s.samples for s in shards]), whole.samples)
    assert torch.equal(torch.cat([s.codebooks for s in shards]), whole.codebooks)
    assert not torch.equal(task.batch(8, 0, 1).samples, whole.samples)


def test_a_recording_that_makes_the_loss_nan_is_named(manifest: str, tmp_path: Path) -> None:
    """One that never moves, with a loss that takes the logarithm of how much it does."""

    class Fragile(CodecTask):
        def loss(self, phase: str, batch: CodecBatch, step: int) -> Loss:
            found = super().loss(phase, batch, step)
            return Loss(found.total + 0 * batch.samples.std(-1).log().sum(), found.logs)

    class FragileConfig(CodecTaskConfig):
        def build(self) -> CodecTask:
            return Fragile(self)

    bad = tmp_path / "bad.wav"
    soundfile.write(bad, np.full(RATE, 0.5, np.float32), RATE)
    task = FragileConfig(
        FRAMES, (manifest, str(tmp_path)), (manifest,), batch=2, frames=20, augmentation=PLAIN, valid_items=1
    )
    steps = TrainConfig(steps=60, evaluate_every=None, save_every=None, device="cpu")
    with pytest.raises(NotFinite, match=r"loss nan.*run/not-finite\.json says which") as caught:
        train(task, steps, tmp_path / "run", quiet=True)
    told = json.loads((tmp_path / "run" / "not-finite.json").read_text())
    assert told["step"] == caught.value.step > 0 and told["not_finite"]["loss"] == "nan"
    assert [row["row"] for row in told["rows"]] == [0, 1] and str(bad) in [row["recording"] for row in told["rows"]]
    assert all(0 <= row["start"] <= 4 - 20 * 160 / RATE for row in told["rows"])
    before = [origin.recording for step in range(told["step"]) for origin in CodecTask(task).origins(step, 0, 1)]
    assert str(bad) not in before


def test_quantizer_dropout_draws_every_number_of_codebooks(manifest: str) -> None:
    task = CodecTask(config(manifest))
    drawn = torch.cat([task.batch(step, 0, 1).codebooks for step in range(60)])
    assert set(drawn.tolist()) == {1, 2, 3, 4}
    assert 0.5 < (drawn == 4).float().mean() < 0.75  # half keep all, and a quarter of the others draws 4


@pytest.mark.parametrize("name", ["mix", "speed", "equalise", "lowpass", "noise"])
def test_each_augmentation_changes_the_sound_and_keeps_its_length(manifest: str, name: str) -> None:
    off = Augmentation((0.0, 0.0), 0, 0, 0, 0, 0)
    sounds = codec_recordings([manifest], [], 1)[0]
    plain = CropReader(sounds, RATE, 1, off)
    varied = CropReader(sounds, RATE, 1, dataclasses.replace(off, **{name: 1.0}))
    x, y = (reader.crop(np.random.default_rng(3), 3000) for reader in (plain, varied))
    assert x.shape == y.shape == (1, 3000) and x.dtype == y.dtype == np.float32
    assert np.isfinite(y).all() and np.abs(y).max() <= 1 and not np.allclose(x, y, atol=1e-6)


def test_short_recordings_are_filled_with_silence_and_the_cache_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.train.crops.CACHE_BYTES", 4500)
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", np.full(1000, 0.5, np.float32), RATE)
    reader = CropReader([tmp_path / f"{i}.wav" for i in range(4)], RATE, 1, Augmentation((0, 0), 0, 0, 0, 0, 0))
    batch = reader.batch(0, 0, range(20), 1500)
    assert (
        batch.shape == (20, 1, 1500) and (np.abs(batch[..., :1000] - 0.5) < 1e-3).all() and not batch[..., 1000:].any()
    )
    assert reader.cached_bytes <= 4500


def test_losses_by_hand() -> None:
    x = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(0))
    waveform, l1 = waveform_losses(x * 0.9, x)
    assert waveform.item() == pytest.approx(-2, abs=1e-3)  # an error of a tenth: 20 dB, so -2 bels
    assert l1.item() == pytest.approx(0.1, abs=1e-3)
    same = spectral_losses(x, x, RATE)
    assert same.mel.item() == 0 and same.stft.item() < 1e-3
    louder = spectral_losses(x * 10, x, RATE)
    assert louder.mel.item() == pytest.approx(1, abs=1e-3)  # one decade
    silent = torch.zeros(1, 1, 4000, requires_grad=True)
    total = (
        sum(waveform_losses(silent, torch.zeros(1, 1, 4000)))
        + spectral_losses(silent, torch.zeros(1, 1, 4000), RATE).mel
    )
    total.backward()
    assert torch.isfinite(silent.grad).all()


def test_perplexity_of_known_codes() -> None:
    codes = torch.tensor([[[0, 1, 2, 3], [5, 5, 5, 5]]])
    assert mean_perplexity(codes, 8).item() == pytest.approx((4 + 1) / 2)


def test_illegal_configurations_are_named(manifest: str) -> None:
    with pytest.raises(ValueError, match="batch"):
        dataclasses.replace(config(manifest), batch=0)
    with pytest.raises(ValueError, match=r"weights\.feature"):
        config(manifest, weights=LossWeights(feature=1.0))
    with pytest.raises(ValueError, match=r"discriminator\.channels is 2"):
        config(manifest, weights=LossWeights(adversarial=1.0), discriminator=DiscriminatorConfig(channels=2))
    for field, words in {
        "adversarial_loss": "hinge, least_squares",
        "adversarial_over": "mean, sum",
        "quantizer_over": "mean, sum",
    }.items():
        with pytest.raises(ValueError, match=words):
            config(manifest, **{field: "max"})
    with pytest.raises(ValueError, match="discriminator_warmup need"):
        config(manifest, discriminator_warmup=1)
    with pytest.raises(ValueError, match="adversarial_from is -1"):
        config(manifest, adversarial_from=-1)
    with pytest.raises(ValueError, match="mix"):
        Augmentation(mix=2.0)
    with pytest.raises(ValueError, match="no recordings"):
        CropReader([], RATE, 1, Augmentation())
    with pytest.raises(ValueError, match="train is empty"):
        CodecTask(dataclasses.replace(config(manifest), train=()))


def test_a_batch_that_cannot_be_shared_evenly_is_refused_and_leaves_no_run(manifest: str, tmp_path: Path) -> None:
    """The mean of shards of two crops and of one would weigh the one twice."""
    with pytest.raises(ValueError, match=r"batch is 4: it must be a multiple of 3 \(1 processes times accumulate 3\)"):
        train(config(manifest), TrainConfig(steps=2, accumulate=3), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "config.json").exists()


def test_an_exported_codec_can_be_trained_on(manifest: str, tmp_path: Path) -> None:
    """The sums of the EMA codebooks are not stored; they come back, so that the next step moves the codebooks on from where they were."""
    task = CodecTask(config(manifest))
    for step in range(4):
        task.loss("generator", task.batch(step, 0, 1), step)
    task.model.save(tmp_path / "c")
    assert not [name for name in checkpoint.load(tmp_path / "c").tensors if name.endswith("embed_avg")]
    again = CodecTask(config(manifest, init=str(tmp_path / "c")))
    ours, theirs = (t.model.train() and t.model.state_dict() for t in (task, again))
    assert ours.keys() == theirs.keys()
    for model in (task, again):
        model.loss("generator", task.batch(9, 0, 1), 9)
    for name, tensor in task.model.quantizer.state_dict().items():
        assert torch.allclose(tensor.float(), again.model.quantizer.state_dict()[name].float(), atol=2e-3), name


def test_a_run_does_not_go_on_with_other_held_out_recordings(tmp_path: Path) -> None:
    """Every so many-th of a folder is held out: where files were added it is another, and the old one would be trained on."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()

    def add(*names: str) -> None:
        for name in names:
            soundfile.write(sounds / f"{name}.wav", np.random.default_rng(len(name)).normal(0, 0.1, 4000), RATE)

    add("m0", "m1", "m2")
    task = CodecTaskConfig(FRAMES, (str(sounds),), batch=2, frames=5)
    loop = TrainConfig(steps=1, device="cpu", evaluate_every=None)
    train(task, loop, tmp_path / "run", quiet=True)
    add("a0", "a1")
    with pytest.raises(ValueError, match=r"cannot resume with other held-out .*train 2 -> 4; held_out 1 -> 1"):
        train(task, dataclasses.replace(loop, steps=2), tmp_path / "run", quiet=True, resume=True)
    for name in ("a0", "a1"):
        (sounds / f"{name}.wav").unlink()
    assert train(task, dataclasses.replace(loop, steps=2), tmp_path / "run", quiet=True, resume=True).step == 2
