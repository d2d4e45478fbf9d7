"""The codec task: train a VQ-VAE to rebuild sound, with or without discriminators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from solfa.audio.io import Audio, read
from solfa.codecs.quantizers import Quantized
from solfa.codecs.segments import loudness
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.eval.codebooks import CodebookCounts
from solfa.eval.codec import log_mel_distance, si_sdr
from solfa.train.adversarial import KINDS, REDUCTIONS, discriminator_loss, feature_loss, generator_loss
from solfa.train.balancer import Balancer
from solfa.train.codec_data import codec_recordings
from solfa.train.crops import Augmentation, CropReader
from solfa.train.data_identity import DataIdentity, of_files
from solfa.train.discriminators import DiscriminatorConfig, Discriminators
from solfa.train.initial import initial_codec
from solfa.train.reconstruction import SpectralConfig, spectral_losses, waveform_losses
from solfa.train.task import Loss, Origin


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; one at 0 is left out. The quantizer weighs its own commitment; its loss is never balanced."""

    waveform: float = 2.0  # error to signal ratio, in bels
    l1: float = 0.0  # relative L1 of the waveform
    mel: float = 1.0
    stft: float = 0.0
    adversarial: float = 0.0
    feature: float = 0.0
    mae: float = 0.0  # mean absolute error of the waveform
    quantizer: float = 1.0


@dataclass(frozen=True)
class CodecTaskConfig:
    """What the codec is trained on and towards.

    train, valid: folders of sound, tables or manifests; which of their recordings are used, `codec_recordings` says.
    batch: crops a step over all shards. frames: length of a crop.
    spectral: the mel loss, and the resolutions of the STFT loss.
    adversarial_loss: "hinge" or "least_squares"; adversarial_over: whether sub-discriminators are averaged ("mean") or summed ("sum").
    adversarial_from: the step at which the discriminators join. discriminator_warmup: for so many steps from there on they learn alone
        and the codec rests, as it should where it was trained before (`init`) and they were not.
    discriminator_first: in a step the discriminators are updated before the codec, so that it learns from their newest weights (EnCodec
        and DAC); learning rates and clips, one for each phase, are then in that order.
    balance: weigh the terms by their gradients at the output. quantizer_over: the quantizer's loss is a sum over the codebooks that an
        item uses; "mean" divides it by their mean number.
    init: a codec to start from: what `load_codec` takes. Its shape must be that of `codec`; how its quantizer learns may differ.
    """

    codec: VQVAEConfig
    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    batch: int = 16
    frames: int = 100
    seed: int = 0
    weights: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    adversarial_loss: str = "hinge"
    adversarial_from: int = 0
    balance: bool = False
    valid_seconds: float = 10.0  # of each validation recording
    valid_items: int = 16
    half_export: bool = True  # store the exported weights in float16
    init: str | None = None
    spectral: SpectralConfig = field(default_factory=SpectralConfig)
    adversarial_over: str = "mean"
    discriminator_first: bool = False
    discriminator_warmup: int = 0
    quantizer_over: str = "sum"

    def __post_init__(self) -> None:
        for name in ("batch", "frames", "valid_items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        for name in ("adversarial_from", "discriminator_warmup"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must not be negative")
        for name, legal in (
            ("adversarial_loss", KINDS),
            ("adversarial_over", REDUCTIONS),
            ("quantizer_over", REDUCTIONS),
        ):
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be one of {', '.join(legal)}")
        if not self.weights.adversarial and (self.weights.feature or self.discriminator_warmup):
            raise ValueError(
                "weights.feature and discriminator_warmup need weights.adversarial above 0: there are no discriminators without it"
            )
        if self.weights.adversarial and self.discriminator.channels != self.codec.channels:
            raise ValueError(
                f"discriminator.channels is {self.discriminator.channels}: the codec has {self.codec.channels}"
            )
        segment = self.codec.segment
        if segment is not None and self.frames * self.codec.hop > segment.samples:
            raise ValueError(
                f"frames is {self.frames}: a crop must lie within a segment of the codec, {segment.samples} samples"
            )

    def build(self) -> CodecTask:
        return CodecTask(self)


@dataclass(frozen=True)
class CodecBatch:
    """Crops, and how many codebooks each item uses (quantizer dropout is drawn with the batch, so a resume repeats it)."""

    samples: Tensor  # [B, C, S]
    codebooks: Tensor  # [B] int64


class CodecTask:
    """Trains `codec` to rebuild crops; with adversarial weight, discriminators are trained beside it (a second phase)."""

    name = "codec"

    def __init__(self, config: CodecTaskConfig) -> None:
        self.config = config
        self.model = initial_codec(config.init, config.codec) if config.init else VQVAE(config.codec)
        codec = config.codec
        trained, self.held_out = codec_recordings(config.train, config.valid, config.valid_items, codec.channels)
        self.reader = CropReader(trained, codec.sample_rate, codec.channels, config.augmentation)
        self.discriminators = Discriminators(config.discriminator) if config.weights.adversarial else None
        self.balancer = Balancer() if config.balance else None
        self.generator = nn.ModuleDict({"codec": self.model, **({"balancer": self.balancer} if self.balancer else {})})

    def identity(self) -> DataIdentity:
        return of_files(self.reader.paths, self.held_out)

    def phases(self) -> dict[str, nn.Module]:
        if self.discriminators is None:
            return {"generator": self.generator}
        phases: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.discriminators}
        return dict(reversed(phases.items())) if self.config.discriminator_first else phases

    def _rows(self, rank: int, world: int) -> range:
        """The rows of a shard."""
        return range(rank * self.config.batch // world, (rank + 1) * self.config.batch // world)

    def batch(self, step: int, rank: int, world: int) -> CodecBatch:
        c, rows = self.config, self._rows(rank, world)
        samples = self.reader.batch(c.seed, step, rows, c.frames * c.codec.hop)
        return CodecBatch(torch.from_numpy(samples), torch.tensor([self._codebooks(step, row) for row in rows]))

    def origins(self, step: int, rank: int, world: int) -> list[Origin]:
        c = self.config
        return [
            Origin(row, str(path), start)
            for row in self._rows(rank, world)
            for path, start in self.reader.places(c.seed, step, row, c.frames * c.codec.hop)
        ]

    def _codebooks(self, step: int, row: int) -> int:
        """Quantizer dropout: all codebooks, or a legal number of them drawn uniformly."""
        rng = np.random.default_rng([self.config.seed, step, row, 1])
        quantizer = self.model.quantizer
        if quantizer.step == quantizer.codebooks or rng.random() >= quantizer.config.dropout:
            return quantizer.codebooks
        return quantizer.step * int(rng.integers(1, quantizer.codebooks // quantizer.step + 1))

    def loss(self, phase: str, batch: CodecBatch, step: int) -> Loss:
        if self._rests(phase, step):
            return Loss(batch.samples.new_zeros(()))
        return self._discriminator_loss(batch) if phase == "discriminator" else self._generator_loss(batch, step)

    def _rests(self, phase: str, step: int) -> bool:
        """The discriminators before they join, the codec while they catch up with it."""
        joined = step - self.config.adversarial_from
        return joined < 0 if phase == "discriminator" else 0 <= joined < self.config.discriminator_warmup

    def _rebuilt(self, batch: CodecBatch) -> tuple[Tensor, Quantized]:
        """The batch as the codec gives it back; each crop is a segment of its own where the codec brings segments to one level."""
        segment = self.config.codec.segment
        if segment is None or not segment.normalize:
            return self.model(batch.samples, batch.codebooks)
        scales = torch.stack([loudness(crop) for crop in batch.samples])[:, None, None]  # [B, 1, 1]
        estimate, quantized = self.model(batch.samples / scales, batch.codebooks)
        return estimate * scales, quantized

    def _generator_loss(self, batch: CodecBatch, step: int) -> Loss:
        estimate, quantized = self._rebuilt(batch)
        terms = self._terms(estimate, batch.samples, step)
        weights = {name: getattr(self.config.weights, name) for name in terms}
        if self.balancer is not None:
            total = self.balancer(terms, weights, estimate)
        else:
            total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        codebooks = batch.codebooks.float().mean() if self.config.quantizer_over == "mean" else 1.0
        terms["quantizer"] = quantized.loss / codebooks
        total = total + self.config.weights.quantizer * terms["quantizer"]
        logs = terms | {"perplexity": mean_perplexity(quantized.codes, self.model.codebook_size)}
        return Loss(total, {name: value.detach() for name, value in logs.items()})

    def _terms(self, estimate: Tensor, samples: Tensor, step: int) -> dict[str, Tensor]:
        """The weighted terms, without their weights; those of weight 0 are left out."""
        w = self.config.weights
        terms: dict[str, Tensor] = {}
        c = self.config
        waveform, l1 = waveform_losses(estimate, samples)
        spectral = spectral_losses(estimate, samples, c.codec.sample_rate, c.spectral, step, stft=w.stft > 0)
        if self.discriminators is not None and step >= c.adversarial_from:
            fake = self.discriminators(estimate)
            terms["adversarial"] = generator_loss(fake, c.adversarial_loss, c.adversarial_over)
            if w.feature:
                with torch.no_grad():
                    real = self.discriminators(samples)
                terms["feature"] = feature_loss(fake, real, c.adversarial_over)
        terms |= {"waveform": waveform, "l1": l1, "mel": spectral.mel, "stft": spectral.stft}
        terms["mae"] = (estimate - samples).float().abs().mean()
        return {name: term for name, term in terms.items() if getattr(w, name) > 0}

    def _discriminator_loss(self, batch: CodecBatch) -> Loss:
        assert self.discriminators is not None
        # Evaluation mode: the codebooks move in the generator's phase alone.
        self.model.eval()
        with torch.no_grad():
            estimate, _ = self._rebuilt(batch)
        self.model.train()
        real, fake = self.discriminators(batch.samples), self.discriminators(estimate)
        loss = discriminator_loss(real, fake, self.config.adversarial_loss, self.config.adversarial_over)
        return Loss(loss, {"discriminator": loss.detach()})

    def evaluate(self, model: nn.Module, step: int, folder: Path) -> dict[str, float]:
        """SI-SDR, log-mel distance and codebook use on the validation recordings, through the codec's own encode and decode.

        At 1, 2, 4, ... and all codebooks; the sound of the first four recordings goes into the folder.
        """
        assert isinstance(model, VQVAE)
        ladder = sorted({min(model.quantizer.step * 2**i, model.codebooks) for i in range(12)})
        figures: dict[str, list[float]] = {}
        counts = CodebookCounts(model.codebooks, model.codebook_size)
        for index, (path, audio) in enumerate(self._valid()):
            codes = model.encode(audio)
            counts.add(codes.tokens[0].numpy())
            reference = audio.samples[0]
            for k in ladder if model.quantizer.step < model.codebooks else [model.codebooks]:
                estimate = model.decode(codes, k)
                figures.setdefault(f"si_sdr_{k}", []).append(si_sdr(reference, estimate.samples[0]))
                figures.setdefault(f"log_mel_{k}", []).append(
                    log_mel_distance(reference, estimate.samples[0], model.sample_rate)
                )
                if index < 4 and k == model.codebooks:
                    estimate.save(folder / f"{path.stem}.flac")
                    audio.save(folder / f"{path.stem}.original.flac")
        values = {name: float(np.mean(numbers)) for name, numbers in figures.items()}
        report = counts.report()
        return values | {
            "usage": report.usage_total,
            "efficiency": report.efficiency_total,
            "perplexity": float(np.mean(report.perplexity)),
            "least_perplexity": float(np.min(report.perplexity)),
        }

    def _valid(self) -> Iterator[tuple[Path, Audio]]:
        codec = self.config.codec
        for path in self.held_out:
            audio = read(path, duration=self.config.valid_seconds).resample(codec.sample_rate)
            samples = audio.to_mono().samples if codec.channels == 1 else audio.samples
            yield path, Audio(samples.expand(-1, codec.channels, -1), audio.sample_rate)

    def export(self, model: nn.Module, folder: Path) -> None:
        assert isinstance(model, VQVAE)
        dtype = torch.float16 if self.config.half_export else torch.float32
        model.save(folder, metadata={"hours_of_training_sound": round(self.reader.hours, 2)}, dtype=dtype)


def mean_perplexity(codes: Tensor, size: int) -> Tensor:
    """Mean over codebooks of 2 to the entropy of the codes [B, K, T] in a batch: 1 to size."""
    counts = torch.stack([torch.bincount(level.flatten(), minlength=size) for level in codes.transpose(0, 1)]).double()
    share = counts / counts.sum(1, keepdim=True)
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum(1)).mean().float()
