"""Opus as a yardstick must lie sample on sample with the original, and its bits must be counted without the container."""

import numpy as np
import pytest
import torch

from solfa.audio.io import Audio
from solfa.audio.resample import resample
from solfa.eval.codec import si_sdr
from solfa.tokenize_audio import opus
from solfa.tokenize_audio.opus import opus_available, opus_round_trip, packet_bytes

needs_opus = pytest.mark.skipif(not opus_available(), reason="opusenc and opusdec are not on the PATH")


def speech_like(rate: int, seconds: float, channels: int = 1) -> Audio:
    noise = np.random.default_rng(0).standard_normal((channels, int(seconds * 8000))).astype(np.float32)
    return Audio(torch.from_numpy(0.1 * resample(noise, 8000, rate)[None]), rate)  # nothing above 4 kHz


@needs_opus
@pytest.mark.parametrize("rate", [24000, 44100, 48000, 16000])
def test_the_decoded_sound_is_aligned_to_a_fraction_of_a_sample(rate):
    audio = speech_like(rate, 2)
    result = opus_round_trip(audio, 64)
    assert result.audio.sample_rate == rate and result.audio.samples.shape == audio.samples.shape
    x, y = audio.samples[0, 0].double(), result.audio.samples[0, 0].double()
    spectrum = torch.fft.rfft(x).conj() * torch.fft.rfft(y)
    fine = torch.fft.irfft(spectrum, 16 * len(x))  # the correlation at sixteenths of a sample
    lag = int(fine.argmax())
    lag = lag - len(fine) if lag > len(fine) // 2 else lag
    assert abs(lag) <= 4  # a quarter of a sample
    assert si_sdr(x, y) > 8


@needs_opus
def test_bits_are_those_of_the_asked_rate_and_of_the_packets_alone():
    audio = speech_like(24000, 4)
    rates = [opus_round_trip(audio, kbps).bits / 4000 for kbps in (8, 16, 32)]
    assert rates == sorted(rates) and all(
        0.6 < got / asked < 1.4 for got, asked in zip(rates, (8, 16, 32), strict=True)
    )


def test_packets_are_counted_without_headers():
    def page(granule: int, sizes: list[int]) -> bytes:
        head = b"OggS\0\0" + granule.to_bytes(8, "little") + bytes(12)
        return head + bytes([len(sizes)]) + bytes(sizes) + bytes(sum(sizes))

    assert packet_bytes(page(0, [19]) + page(0, [255, 40]) + page(960, [50, 60]) + page(1920, [7])) == 117


@needs_opus
def test_short_and_stereo_clips_and_illegal_bitrates():
    for samples in (1, 100, 5000):
        audio = Audio(0.1 * torch.ones(1, 2, samples), 24000)
        assert opus_round_trip(audio, 24).audio.samples.shape == (1, 2, samples)
    for kbps in (3, 600):
        with pytest.raises(ValueError, match="6 to 256"):
            opus_round_trip(Audio(torch.zeros(1, 1, 99), 24000), kbps)


def test_missing_tools_are_named(monkeypatch):
    monkeypatch.setattr(opus.shutil, "which", lambda tool: None)
    with pytest.raises(ValueError, match="opus-tools"):
        opus_round_trip(Audio(torch.zeros(1, 1, 99), 24000), 16)
