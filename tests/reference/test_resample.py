"""Resampling: ours within 1e-6 of torchaudio's (behind EnCodec) and julius' (behind DAC and AudioCraft)."""

import julius
import numpy as np
import pytest
import torch
import torchaudio
from audiotools import AudioSignal
from encodec.utils import convert_audio

from solfa.audio.sinc import resample_as

PAIRS = [(44100, 24000), (48000, 24000), (16000, 24000), (24000, 44100), (48000, 44100), (8000, 48000), (22050, 16000)]
LENGTHS = [1, 2, 3, 100, 4409, 44100]


def theirs(kind: str, signal: torch.Tensor, source: int, target: int) -> torch.Tensor:
    if kind == "torchaudio":
        return torchaudio.transforms.Resample(source, target)(signal)
    return julius.resample_frac(signal, source, target)


@pytest.mark.parametrize("kind", ["torchaudio", "julius"])
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_values_and_lengths_are_the_references(kind: str, source: int, target: int) -> None:
    for samples in LENGTHS:
        generator = torch.Generator().manual_seed(samples)
        signal = torch.rand(2, samples, generator=generator) * 2 - 1
        ours, expected = resample_as(kind, signal, source, target), theirs(kind, signal, source, target)
        if not expected.numel():  # julius leaves nothing of a very short sound; ours keeps one sample
            assert ours.shape == (2, 1)
            continue
        assert ours.shape == expected.shape
        assert (ours - expected).abs().max() < 1e-6


def test_encodec_and_dac_bring_sound_to_their_rates_so() -> None:
    signal = torch.rand(1, 30_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (resample_as("torchaudio", signal, 44100, 24000) - convert_audio(signal, 44100, 24000, 1)).abs().max() < 1e-6
    resampled = AudioSignal(signal.clone()[None], 48000).resample(44100).audio_data[0]
    assert (resample_as("julius", signal, 48000, 44100) - resampled).abs().max() < 1e-6


def test_lengths_of_long_sounds_are_exact() -> None:
    """The references take the length in float32: of some minutes it may be one sample off. Ours is exact."""
    samples = 24_000_001  # 3 * samples / 4 is a quarter above a whole number that float32 cannot tell from it
    exact = -(-samples * 3 // 4)
    signal = np.zeros((1, samples), np.float32)
    assert resample_as("torchaudio", signal, 64000, 48000).shape[1] == exact
    assert theirs("torchaudio", torch.from_numpy(signal), 64000, 48000).shape[1] == exact - 1
