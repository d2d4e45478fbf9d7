"""Chroma of a melody: the filters are librosa's, the frames those of transformers' feature extractor."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.audio_utils import chroma_filter_bank
from transformers.models.musicgen_melody.feature_extraction_musicgen_melody import MusicgenMelodyFeatureExtractor

from solfa.audio.chroma import chroma_filterbank
from solfa.audio.io import Audio
from solfa.lm.conditioners.melody import Melody, MelodyConfig, dominant_chroma

RATE = 32_000


class Extractor(MusicgenMelodyFeatureExtractor):
    """Theirs, without torchaudio, which does not load beside this torch: its spectrogram is that of torch, over the window's norm."""

    def __init__(self, config: MelodyConfig) -> None:
        self.n_fft = config.n_fft
        filters = chroma_filter_bank(
            sampling_rate=config.sample_rate, num_frequency_bins=config.n_fft, tuning=0, num_chroma=12
        )
        self.chroma_filters = torch.from_numpy(filters).float()
        self.config = config

    def spectrogram(self, waveform: Tensor) -> Tensor:
        window = torch.hann_window(self.n_fft)
        spectrum = torch.stft(waveform, self.n_fft, self.config.hop, window=window, return_complex=True)
        return (spectrum / window.square().sum().sqrt()).abs().square()


def tune(seconds: float, rate: int = RATE) -> Tensor:
    """A scale, two notes a second, with noise."""
    time = torch.arange(int(seconds * rate)) / rate
    pitch = 261.63 * 2 ** ((time * 2).floor() % 12 / 12)
    return 0.3 * torch.sin(2 * torch.pi * pitch * time) + 0.01 * torch.randn(
        len(time), generator=torch.Generator().manual_seed(0)
    )


def test_filters() -> None:
    ours = chroma_filterbank(RATE, 16_384)
    theirs = librosa.filters.chroma(sr=RATE, n_fft=16_384, tuning=0, n_chroma=12)
    assert np.abs(ours.numpy() - theirs).max() < 1e-6


@pytest.mark.parametrize(("seconds", "noise"), [(0.2, 0.0), (0.5113, 30.0), (1.0, 30.0), (2.0, 30.0), (7.3, 0.0)])
def test_frames_are_those_of_transformers(seconds: float, noise: float) -> None:
    """In noise the edges count too: which samples are taken before the first and after the last."""
    config, samples = MelodyConfig(), tune(seconds)
    samples = samples + noise * torch.randn(len(samples), generator=torch.Generator().manual_seed(1))
    extractor = object.__new__(Extractor)
    Extractor.__init__(extractor, config)
    theirs = extractor._torch_extract_fbank_features(samples[None])[0]
    ours = dominant_chroma(samples, config)
    assert torch.equal(ours, theirs) and len(ours) == 1 + max(len(samples), config.n_fft) // config.hop
    if seconds > 5:
        assert len(set(ours.argmax(1).tolist())) >= 10  # the scale


def test_half_a_minute_is_all() -> None:
    """The frames of a longer sound are those of its first half minute, whatever follows; and that is said."""
    config = MelodyConfig(sample_rate=2000, n_fft=512, hop=128, frames=40)
    assert MelodyConfig().frames == 1 + 30 * RATE // 4096
    samples = tune(6.0, 2000)
    with pytest.warns(RuntimeWarning, match=r"a melody of 6.0 s: the first 2.6 s are heard"):
        long = dominant_chroma(samples, config)
    assert len(long) == 40
    with pytest.warns(RuntimeWarning):
        assert torch.equal(long, dominant_chroma(torch.cat([samples[: config.samples], tune(9.0, 2000)]), config))


def test_what_the_model_hears() -> None:
    torch.manual_seed(0)
    melody = Melody(MelodyConfig(sample_rate=2000, n_fft=512, hop=128, frames=40), 16)
    samples = tune(0.6, 2000)
    expected = dominant_chroma(samples, melody.config)
    features = melody.features(
        [None, (samples, 2000), Audio(samples.expand(1, 2, -1), 2000), (samples.numpy()[None], 2000)]
    )
    assert features.shape == (4, 40, 12) and torch.equal(features.sum(-1), torch.ones(4, 40))
    assert features[0].argmax(-1).eq(0).all()  # the null condition
    for row in features[1:]:  # repeated to fill the frames; channels are averaged
        assert torch.equal(row, expected.repeat(5, 1)[:40])
    assert torch.equal(melody(features)[0, 3], melody.project.weight[:, 0] + melody.project.bias)
    twice = melody.features([(np.repeat(samples.numpy(), 2), 4000)])  # at another rate
    assert (twice[0] == features[1]).float().mean() > 0.9


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        ((torch.zeros(0), 2000), "empty"),
        ((torch.tensor([0.0, float("nan")]), 2000), "NaN"),
        ((torch.zeros(9, dtype=torch.int16), 2000), "torch.int16"),
        ((torch.zeros(2, 1, 9), 2000), r"\[2, 1, 9\]"),
        ((torch.zeros(9), 0), "sample rate 0"),
    ],
)
def test_no_sound(sound: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Melody(MelodyConfig(sample_rate=2000, n_fft=512, hop=128, frames=4), 16).features([sound])


def test_bounds() -> None:
    for field, value in (("n_fft", 0), ("hop", 0), ("frames", 0), ("sample_rate", 1)):
        with pytest.raises(ValueError, match=f"{field} is {value}"):
            MelodyConfig(**{field: value})
