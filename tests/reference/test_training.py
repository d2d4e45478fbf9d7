"""Discriminators, losses and crops of codec training against `dac`, `encodec`, audiotools and torchaudio: same weights, same numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torchaudio
from audiotools import AudioSignal
from dac.model.discriminator import MPD, MRD, MSD
from dac.model.discriminator import Discriminator as DacDiscriminator
from dac.nn.loss import GANLoss, MelSpectrogramLoss, MultiScaleSTFTLoss
from encodec.msstftd import MultiScaleSTFTDiscriminator
from torch import Tensor, nn

from solfa.audio.loudness import integrated_loudness
from solfa.train.adversarial import discriminator_loss, feature_loss, generator_loss
from solfa.train.crops import shift_phase
from solfa.train.discriminators import (
    BandConfig,
    BandDiscriminator,
    DiscriminatorConfig,
    DiscriminatorOutput,
    Discriminators,
    PeriodConfig,
    PeriodDiscriminator,
    ScaleConfig,
    WaveConfig,
    WaveDiscriminator,
)
from solfa.train.reconstruction import SpectralConfig, dac_spectral, encodec_spectral, spectral_losses

RATE = 44_100
DAC = DiscriminatorConfig(periods=PeriodConfig((2, 5), pad_whole=True), bands=BandConfig((512, 256)))


def weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Bias, length and direction of every convolution in order, whichever way its weight norm is written."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d):
            found = dict(part.named_parameters())
            yield "bias", found["bias"]
            for names in (
                ("parametrizations.weight.original0", "weight_g"),
                ("parametrizations.weight.original1", "weight_v"),
            ):
                yield from ((names[1], found[name]) for name in names if name in found)
            if "weight" in found:
                yield "weight", found["weight"]


@torch.no_grad()
def copied(theirs: nn.Module, ours: nn.Module) -> None:
    """Their weights into ours; both must have the same ones in the same order."""
    pairs = list(zip(weights(theirs), weights(ours), strict=True))
    for (name, source), (same, target) in pairs:
        assert name == same and source.shape == target.shape
        target.copy_(torch.randn_like(source) * 0.1 + source)
        source.copy_(target)
    assert sum(t.numel() for _, t in weights(ours)) == sum(p.numel() for p in ours.parameters())


def same(ours: DiscriminatorOutput, theirs: list[Tensor]) -> None:
    assert len(ours.features) == len(theirs) - 1
    for a, b in zip((*ours.features, ours.logits), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * b.abs().max().item())


def sound(samples: int, channels: int = 1) -> Tensor:
    return torch.randn(2, channels, samples, generator=torch.Generator().manual_seed(samples)) * 0.3


@pytest.mark.parametrize("samples", [1000, 1001, 1007])
@pytest.mark.parametrize("period", [2, 5, 11])
def test_period_discriminator_is_dacs(period: int, samples: int) -> None:
    theirs, ours = MPD(period), PeriodDiscriminator(period, PeriodConfig(pad_whole=True), 1)
    copied(theirs, ours)
    same(ours(sound(samples)), theirs(sound(samples)))


def test_without_pad_whole_only_multiples_of_the_period_differ() -> None:
    """HiFi-GAN, whose discriminator it is, leaves a length alone that fits already; DAC adds a whole period."""
    theirs, ours = MPD(5), PeriodDiscriminator(5, PeriodConfig(), 1)
    copied(theirs, ours)
    same(ours(sound(1001)), theirs(sound(1001)))
    assert ours(sound(1350)).features[0].shape[2] == 90 and theirs(sound(1350))[0].shape[2] == 91


@pytest.mark.parametrize("rate", [1, 2, 4])
def test_wave_discriminator_is_dacs(rate: int) -> None:
    theirs, ours = MSD(rate, RATE), WaveDiscriminator(rate, WaveConfig(), 1)
    copied(theirs, ours)
    same(ours(sound(4001)), theirs(sound(4001)))


@pytest.mark.parametrize("window", [512, 2048])
@pytest.mark.parametrize("samples", [4096, 4100])
def test_band_discriminator_is_dacs(window: int, samples: int) -> None:
    theirs, ours = MRD(window, sample_rate=RATE), BandDiscriminator(window, BandConfig(), 1)
    copied(theirs, ours)
    same(ours(sound(samples)), theirs(sound(samples)))


def dac_pair() -> tuple[DacDiscriminator, Discriminators]:
    theirs = DacDiscriminator(periods=[2, 5], fft_sizes=[512, 256], sample_rate=RATE)
    ours = Discriminators(DAC)
    copied(theirs, ours)
    return theirs, ours


def test_all_of_dac_together_with_their_preparation() -> None:
    theirs, ours = dac_pair()
    x = sound(2048) + 0.2
    for a, b in zip(ours(x), theirs(x), strict=True):
        same(a, b)


def test_adversarial_and_feature_losses_are_dacs() -> None:
    theirs, ours = dac_pair()
    gan = GANLoss(theirs)
    fake, real = sound(2048), sound(2050)[..., :2048]
    signals = AudioSignal(fake.clone(), RATE), AudioSignal(real.clone(), RATE)
    judged, genuine = ours(fake), ours(real)
    wanted, features = gan.generator_loss(*signals)
    torch.testing.assert_close(generator_loss(judged, "least_squares", "sum"), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(feature_loss(judged, genuine, "sum"), features, rtol=1e-5, atol=1e-5)
    told = discriminator_loss(genuine, judged, "least_squares", "sum")
    torch.testing.assert_close(told, gan.discriminator_loss(*signals), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_scale_discriminator_is_encodecs(channels: int) -> None:
    theirs = MultiScaleSTFTDiscriminator(filters=32, in_channels=channels)
    config = ScaleConfig(windows=(1024, 2048, 512))
    ours = Discriminators(DiscriminatorConfig(channels, None, config, None, remove_dc=False, peak=None))
    copied(theirs, ours)
    x = sound(6000, channels)
    logits, features = theirs(x)
    for output, judged, seen in zip(ours(x), logits, features, strict=True):
        same(output, [*seen, judged])


def test_gradients_to_the_sound_are_encodecs() -> None:
    theirs = MultiScaleSTFTDiscriminator(filters=4)
    ours = Discriminators(
        DiscriminatorConfig(1, None, ScaleConfig((1024, 2048, 512), filters=4), None, remove_dc=False, peak=None)
    )
    copied(theirs, ours)
    grads = []
    for judge in (lambda x: [o.logits for o in ours(x)], lambda x: theirs(x)[0]):
        x = sound(3000).requires_grad_()
        torch.stack([logits.square().mean() for logits in judge(x)]).sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-5 * grads[1].abs().max().item())


def test_mel_loss_is_dacs() -> None:
    config = dac_spectral()
    theirs = MelSpectrogramLoss(
        n_mels=list(config.bands),
        window_lengths=list(config.windows),
        mel_fmin=[0.0] * 7,
        mel_fmax=[None] * 7,
        pow=1.0,
        mag_weight=0.0,
    )
    x, y = sound(16_896), sound(16_000)
    y = torch.cat([y, torch.zeros(2, 1, 896)], dim=-1)  # silence: where the floor counts
    wanted = theirs(AudioSignal(x.clone(), RATE), AudioSignal(y.clone(), RATE))
    torch.testing.assert_close(spectral_losses(x, y, RATE, config, stft=False).mel, wanted, rtol=1e-5, atol=1e-5)


def test_mel_loss_with_its_magnitudes_is_dacs() -> None:
    theirs = MelSpectrogramLoss(n_mels=[150, 80], window_lengths=[2048, 512])
    config = SpectralConfig((2048, 512), (150, 80), turns=1, log=2.0, linear=1.0, over="sum")
    x, y = sound(5000), sound(5001)[..., :5000]
    wanted = theirs(AudioSignal(x.clone(), RATE), AudioSignal(y.clone(), RATE))
    torch.testing.assert_close(spectral_losses(x, y, RATE, config, stft=False).mel, wanted, rtol=1e-5, atol=1e-5)


def test_stft_loss_is_dacs() -> None:
    config = SpectralConfig(
        (2048, 512), (), turns=1, log=2.0, linear=1.0, over="sum"
    )  # the log of squares is twice the log
    x, y = sound(5000), sound(5001)[..., :5000]
    wanted = MultiScaleSTFTLoss()(AudioSignal(x.clone(), RATE), AudioSignal(y.clone(), RATE))
    torch.testing.assert_close(spectral_losses(x, y, RATE, config, stft=False).mel, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("samples", [24_000, 5_000])
@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_mel_loss_is_encodecs(samples: int) -> None:
    """No package has AudioCraft's loss: here it is built from its description on torchaudio's mel spectrogram."""
    x, y = sound(samples), sound(samples + 1)[..., :samples]
    total = torch.zeros(())
    for window in (64, 128, 256, 512, 1024):
        hop = window // 4
        mel = torchaudio.transforms.MelSpectrogram(
            24_000, window, window, hop, f_min=64, n_mels=64, center=False, normalized=True
        )
        edge = (window - hop) // 2
        fill = -(-samples // hop) * hop - samples
        a, b = (mel(nn.functional.pad(nn.functional.pad(s, (edge, edge), "reflect"), (0, fill))) for s in (x, y))
        assert a.shape[-1] == -(-samples // hop)
        total = total + (a - b).abs().mean() + ((1e-5 + a).log10() - (1e-5 + b).log10()).square().mean()
    ours = spectral_losses(x, y, 24_000, encodec_spectral(), stft=False).mel
    torch.testing.assert_close(ours, total / 10, rtol=1e-5, atol=1e-5)


def test_what_is_compared_can_differ() -> None:
    """A changed weight or a missing sample shows: the comparisons above are not between constants."""
    theirs, ours = MRD(512, sample_rate=RATE), BandDiscriminator(512, BandConfig(), 1)
    copied(theirs, ours)
    changed = copy.deepcopy(ours)
    with torch.no_grad():
        changed.post.bias += 1e-3
    with pytest.raises(AssertionError):
        same(changed(sound(2048)), theirs(sound(2048)))


def sounding(seconds: float) -> Tensor:
    """Tones from 150 Hz up and noise, [1, 1, S]."""
    rng, time = np.random.default_rng(0), np.arange(int(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * time + hertz) for hertz in (151.0, 440.0, 3000.0))
    return torch.from_numpy(0.1 * tones + 0.02 * rng.standard_normal(len(time))).float()[None, None]


@pytest.mark.parametrize("degrees", [-90.0, 45.0, 170.0])
def test_phases_turn_as_in_audiotools(degrees: float) -> None:
    x = sounding(0.38)
    signal = AudioSignal(x.clone(), RATE)
    signal.stft()
    theirs = signal.shift_phase(float(np.deg2rad(degrees))).istft().audio_data[0, 0]
    ours = shift_phase(x[0].numpy(), degrees)[0]
    middle = slice(3000, -3000)  # the ends of a crop are mirrored in both, and each sees another length of that
    assert (
        float(np.abs(ours - theirs.numpy())[middle].max())
        < 0.02
        < 0.2
        < float(np.abs(ours - x[0, 0].numpy())[middle].max())
    )


def test_crops_of_dac_are_a_little_louder() -> None:
    """audiotools fills 0.38 s up to 0.5 s with silence, which counts, and makes up for it."""
    x = sounding(0.38)
    theirs = AudioSignal(x.clone(), RATE).normalize(-16).audio_data[0].numpy()
    assert integrated_loudness(theirs, RATE) == pytest.approx(-16 + 0.6, abs=0.15)
