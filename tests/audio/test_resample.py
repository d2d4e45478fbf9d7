"""Resampling: exact lengths, the same values whole and streaming, soxr's own values, and the laws of resampling."""

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.audio import resample as module
from solfa.audio.resample import Resampler, resample, resampled_length
from solfa.audio.sinc import RESAMPLERS, make_resampler, resample_as

RATES = [8000, 11025, 16000, 22050, 24000, 44100, 44101, 48000]


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, samples)).astype(np.float32)


@settings(max_examples=60)
@given(
    source=st.sampled_from(RATES),
    target=st.sampled_from(RATES),
    samples=st.integers(1, 9000),
    cuts=st.lists(st.integers(0, 9000), max_size=6),
)
def test_streaming_equals_whole_bit_for_bit_and_the_length_is_exact(source, target, samples, cuts):
    signal = noise(2, samples)
    whole = resample(signal, source, target)
    stream = Resampler(source, target, 2)
    pieces = [stream.push(piece) for piece in np.split(signal, sorted(min(cut, samples) for cut in cuts), axis=1)]
    joined = np.concatenate([*pieces, stream.flush()], axis=1)
    assert whole.shape == (2, -(-samples * target // source)) == (2, resampled_length(samples, source, target))
    assert whole.dtype == np.float32 and np.array_equal(whole, joined)


@pytest.mark.parametrize("source, target", [(44100, 24000), (24000, 44100), (192000, 8000), (8000, 48000)])
def test_values_are_those_of_soxr_high_quality(source, target):
    signal = noise(2, 10000)
    ours, theirs = resample(signal, source, target), soxr.resample(signal.T, source, target, "HQ").T
    shared = min(ours.shape[1], theirs.shape[1])
    assert ours.shape[1] - theirs.shape[1] in (0, 1)
    assert np.array_equal(ours[:, :shared], theirs[:, :shared])


@pytest.mark.parametrize("target", [16000, 44100, 48000])
def test_a_tone_stays_the_same_tone_to_its_last_sample(target):
    def tone(rate: int, samples: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(samples) / rate)

    result = resample(tone(24000, 24000), 24000, target)
    inner = slice(target // 50, -target // 50)
    assert np.abs(result - tone(target, target))[inner].max() < 1e-5
    assert np.abs(result[-3:]).max() > 0.01  # not padded with zeros


def test_channels_do_not_know_each_other_and_shapes_are_kept():
    signal = noise(6, 500).reshape(2, 3, 500)
    whole = resample(signal, 44100, 24000)
    assert whole.shape == (2, 3, 273)
    assert np.array_equal(whole[1, 2], resample(signal[1, 2], 44100, 24000))
    assert torch.equal(resample(torch.from_numpy(signal), 44100, 24000), torch.from_numpy(whole))
    assert resample(signal.astype(np.float64), 44100, 24000).dtype == np.float64
    assert resample(signal, 24000, 24000) is signal


@pytest.mark.parametrize("shape", [(0,), (2, 0), (1, 3, 0), (0, 7)])
def test_no_samples_become_none(shape):
    for source, target in [(48000, 24000), (8000, 44100), (8000, 8000)]:
        empty = np.zeros(shape, np.float32)
        found = resample(empty, source, target)
        assert found.shape == (*shape[:-1], resampled_length(shape[-1], source, target)) and found.dtype == np.float32
        assert resample(torch.from_numpy(empty), source, target).shape == found.shape


def test_what_cannot_be_resampled():
    for source, target in [(0, 8000), (8000, -1), (8000.5, 8000), (True, 8000)]:
        with pytest.raises(ValueError, match="whole number of Hz"):
            resample(noise(1, 9), source, target)
    with pytest.raises(ValueError, match="int16"):
        resample(np.zeros(9, np.int16), 8000, 16000)
    with pytest.raises(ValueError, match="not differentiable"):
        resample(torch.zeros(9, requires_grad=True), 8000, 16000)
    stream = Resampler(8000, 16000, 2)
    with pytest.raises(ValueError, match=r"\[2, n\]"):
        stream.push(noise(1, 9))
    stream.flush()
    with pytest.raises(ValueError, match="after flush"):
        stream.push(noise(2, 9))


def test_no_bit_depends_on_where_a_block_is_cut(monkeypatch):
    signal = noise(2, 9000)
    for source, target in [(44100, 24000), (8000, 48000), (192000, 8000), (3, 8000)]:
        short = signal[:, :100] if source == 3 else signal
        whole = {kind: resample_as(kind, short, source, target) for kind in RESAMPLERS}
        with monkeypatch.context() as patched:
            patched.setattr(module, "AT_ONCE", 1500)
            for kind, expected in whole.items():
                assert np.array_equal(resample_as(kind, short, source, target), expected)


@pytest.mark.parametrize("kind", RESAMPLERS)
def test_the_parts_of_a_block_are_bounded_whatever_its_rate(kind):
    samples = 2000 if kind == "soxr" else 300  # soxr waits for some 900
    stream = make_resampler(kind, 1, 8000, 1)
    parts = [part.shape[1] for part in stream.parts(noise(1, samples))]
    assert 0 < max(parts) <= 1.1 * module.AT_ONCE and sum(parts) + stream.flush().shape[1] == samples * 8000


def test_a_rate_too_far_below_the_target_is_refused_for_soxr_does_not_come_back():
    with pytest.raises(ValueError, match="1 to 1000000 Hz: at most 65536 times"):
        resample(noise(1, 9), 1, 1_000_000)
    assert resample(noise(1, 2), 1, 48_000).shape == (1, 96_000)
