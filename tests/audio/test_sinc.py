"""The resamplers of torchaudio and julius: the formula's values, exact lengths, the same bits however the sound arrives."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.audio.resample import resample
from solfa.audio.sinc import FILTERS, RESAMPLERS, SincResampler, make_resampler, resample_as

RATES = [8000, 11025, 16000, 22050, 24000, 44100, 48000]
PAIRS = [(44100, 24000), (24000, 44100), (48000, 24000), (16000, 48000), (22050, 16000), (8000, 8001), (11000, 1000)]


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (channels, samples)).astype(np.float32)


def formula(kind: str, signal: np.ndarray, source: int, target: int) -> np.ndarray:
    """y(j) = sum of x(i) h(i / source - j / target), straight from the definition in float64, one output sample at a time."""
    zeros, rolloff = (6, 0.99) if kind == "torchaudio" else (24, 0.945)
    cutoff = min(source, target) * rolloff  # crossings a second
    length = -(-len(signal) * target // source) if kind == "torchaudio" else max(1, len(signal) * target // source)
    reach = math.ceil(zeros * source / cutoff)
    result = np.zeros(length)
    for j in range(length):
        i = np.arange(j * source // target - reach, j * source // target + reach + 2)
        t = np.clip((i / source - j / target) * cutoff, -zeros, zeros)
        weights = np.sinc(t) * np.cos(t * np.pi / zeros / 2) ** 2
        inside = (i >= 0) & (i < len(signal))
        values = signal[np.clip(i, 0, len(signal) - 1)].astype(np.float64)
        if kind == "torchaudio":
            result[j] = np.sum(values * inside * weights) * cutoff / source
        else:
            result[j] = np.sum(values * weights) / np.sum(weights)
    return result


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_values_are_the_formulas(kind: str, source: int, target: int) -> None:
    for samples in (1, 2, 37, 900):
        signal = noise(1, samples, samples)[0]
        ours, exact = resample_as(kind, signal, source, target), formula(kind, signal, source, target)
        assert ours.shape == exact.shape and ours.dtype == np.float32
        # The references' float32 phases, which ours shares, move a filter by up to 6e-8 of a run; tests/reference holds ours to 1e-6.
        run = min(source, target) / math.gcd(source, target)
        assert np.abs(ours - exact).max() < 1e-6 + 2e-7 * run


@settings(max_examples=40)
@given(
    kind=st.sampled_from(list(FILTERS)),
    source=st.sampled_from([*RATES, 44101]),
    target=st.sampled_from(RATES),
    samples=st.integers(1, 9000),
    cuts=st.lists(st.integers(0, 9000), max_size=6),
)
def test_streaming_equals_whole_bit_for_bit_and_the_length_is_exact(
    kind: str, source: int, target: int, samples: int, cuts: list[int]
) -> None:
    signal = noise(2, samples)
    whole = resample_as(kind, signal, source, target)
    stream = make_resampler(kind, source, target, 2)
    pieces = [stream.push(piece) for piece in np.split(signal, sorted(min(cut, samples) for cut in cuts), axis=1)]
    joined = np.concatenate([*pieces, stream.flush()], axis=1)
    exact = samples * target / source
    assert whole.shape[1] == (math.ceil(exact) if kind == "torchaudio" else max(1, math.floor(exact)))
    assert whole.dtype == np.float32 and np.array_equal(whole, joined)


@pytest.mark.parametrize("kind", FILTERS)
def test_a_stream_gives_as_it_takes(kind: str) -> None:
    stream, given_out = SincResampler(kind, 44100, 24000, 1), 0
    for second in range(1, 6):
        given_out += stream.push(noise(1, 44100)).shape[1]
        assert given_out > second * 24000 - 12000
    assert given_out + stream.flush().shape[1] == 5 * 24000


@pytest.mark.parametrize("kind", FILTERS)
def test_threads_do_not_change_a_bit(kind: str) -> None:
    signal, before = torch.from_numpy(noise(1, 50_000)), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(resample_as(kind, signal, 44100, 24000))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.parametrize("kind", FILTERS)
def test_tones_pass_or_do_not(kind: str) -> None:
    def tone(hertz: float, rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * hertz * np.arange(rate // 4) / rate)

    inner = slice(500, -500)
    low = resample_as(kind, tone(440, 48000), 48000, 24000)
    assert np.abs(low - tone(440, 24000))[inner].max() < 5e-3
    assert (
        np.abs(resample_as(kind, tone(16000, 48000), 48000, 24000))[inner].max() < 8e-3
    )  # above the new Nyquist frequency


def test_what_stands_around_the_sound() -> None:
    """julius holds the first and the last sample, so a constant stays what it is; torchaudio has silence there."""
    constant = np.full(500, 0.5, np.float32)
    assert np.abs(resample_as("julius", constant, 44100, 24000) - 0.5).max() < 1e-6
    assert abs(resample_as("torchaudio", constant, 44100, 24000)[0] - 0.5) > 0.1


@pytest.mark.parametrize("kind", RESAMPLERS)
def test_shapes_types_and_channels_are_kept(kind: str) -> None:
    signal = noise(6, 500).reshape(2, 3, 500)
    whole = resample_as(kind, signal, 44100, 24000)
    assert whole.shape == (2, 3, 272 if kind == "julius" else 273)
    assert np.array_equal(whole[1, 2], resample_as(kind, signal[1, 2], 44100, 24000))
    assert torch.equal(resample_as(kind, torch.from_numpy(signal), 44100, 24000), torch.from_numpy(whole))
    double = resample_as(kind, signal.astype(np.float64), 44100, 24000)
    assert double.dtype == np.float64 and np.abs(double - whole).max() < 1e-6
    assert resample_as(kind, signal, 24000, 24000) is signal
    assert np.array_equal(make_resampler(kind, 8000, 8000, 3).push(signal[0]), signal[0])
    if kind in FILTERS:
        assert resample_as(kind, signal[..., :0], 44100, 24000).shape == (2, 3, 0)


def test_soxr_stays_soxr() -> None:
    signal = noise(2, 3000)
    assert np.array_equal(resample_as("soxr", signal, 44100, 24000), resample(signal, 44100, 24000))


def test_what_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="one of soxr, torchaudio, julius"):
        make_resampler("sox", 1, 2, 1)
    with pytest.raises(ValueError, match="one of soxr, torchaudio, julius"):
        resample_as("sox", noise(1, 9), 8000, 16000)
    for kind in FILTERS:
        with pytest.raises(ValueError, match="whole number of Hz"):
            resample_as(kind, noise(1, 9), 0, 8000)
        with pytest.raises(ValueError, match="int16"):
            resample_as(kind, np.zeros(9, np.int16), 8000, 16000)
        with pytest.raises(ValueError, match="not differentiable"):
            resample_as(kind, torch.zeros(9, requires_grad=True), 8000, 16000)
        with pytest.raises(ValueError, match="cannot resample 4000000007"):  # a rate that a stranger's file may claim
            make_resampler(kind, 4_000_000_007, 24_000, 1)
        with pytest.raises(ValueError, match="at least 1"):
            make_resampler(kind, 8000, 16000, 0)
        stream = make_resampler(kind, 8000, 16000, 2)
        with pytest.raises(ValueError, match=r"\[2, n\]"):
            stream.push(noise(1, 9))
        stream.flush()
        with pytest.raises(ValueError, match="after flush"):
            stream.push(noise(2, 9))
