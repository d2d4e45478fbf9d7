"""The codec metrics: examples computed by hand, the formulas written out again in numpy, and what must not change them."""

import math
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solfa.audio.spectra import mel_filterbank
from solfa.eval import codec
from solfa.eval.codec import (
    MEASURES,
    bitrate,
    dac_mel_distance,
    log_mel_distance,
    loudness_difference,
    score,
    si_sdr,
    si_snr,
    stft_distance,
    token_bitrate,
    waveform_l1,
)

RATE = 24000
DISTANCES = {
    "log_mel": lambda x, y: log_mel_distance(x, y, RATE),
    "dac_mel": lambda x, y: dac_mel_distance(x, y, RATE),
    "stft": stft_distance,
    "l1": waveform_l1,
}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def test_si_sdr_by_hand():
    # e = r + n with n orthogonal to r: 10 log10(|r|^2 / |n|^2).
    reference, estimate = np.array([1.0, 1, 0, 0]), np.array([1.0, 1, 0.2, 0])
    assert si_sdr(reference, estimate) == pytest.approx(10 * math.log10(2 / 0.04))
    # r = [2, 0], e = [1, 1]: a = 1/2, target [1, 0], noise [0, 1].
    assert si_sdr(np.array([2.0, 0]), np.array([1.0, 1])) == pytest.approx(0)
    # Channels are one vector: the ratio of summed energies, not a mean of decibels.
    pair = np.array([[1.0, 1, 0, 0], [3.0, 3, 0, 0]]), np.array([[1.0, 1, 0.2, 0], [3.0, 3, 0.2, 0]])
    assert si_sdr(*pair) == pytest.approx(10 * math.log10(20 / 0.08))


@given(gain=st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3), level=st.floats(1e-3, 10), offset=st.floats(-1, 1))
def test_si_sdr_ignores_gain_and_si_snr_also_offsets(gain, level, offset):
    reference = noise(2000).astype(np.float64)
    estimate = reference + level * noise(2000, seed=1)
    assert si_sdr(reference, gain * estimate) == pytest.approx(si_sdr(reference, estimate), abs=1e-6)
    assert si_snr(reference, gain * estimate + offset) == pytest.approx(si_snr(reference, estimate), abs=1e-6)


def test_si_sdr_at_its_ends():
    reference, silence = noise(500), np.zeros(500, np.float32)
    assert si_sdr(reference, reference) == si_sdr(reference, -2 * reference) == 100
    assert si_sdr(reference, silence) == si_sdr(silence, reference) == -100
    assert si_sdr(silence, silence) == 100
    assert si_sdr(np.array([1.0, 0]), np.array([0.0, 1])) == -100
    assert si_sdr(reference, reference + 1) < 0 < 90 < si_snr(reference.astype(np.float64), reference.astype(float) + 1)


def test_waveform_l1_and_bitrates_by_hand():
    assert waveform_l1(np.array([0.0, 1, 2]), np.array([0.5, 1, 0])) == pytest.approx(2.5 / 3)
    assert bitrate(8000, 24000, 24000) == 8000 and bitrate(8000, 12000, 24000) == 16000
    assert token_bitrate(50, 8, 1024) == 4000 and token_bitrate(75, 2, 1000) == 1500 and token_bitrate(50, 1, 1) == 0
    for call in (lambda: bitrate(1, 0, 8000), lambda: bitrate(-1, 9, 8000), lambda: token_bitrate(50, 0, 1024)):
        with pytest.raises(ValueError, match="at least"):
            call()


def magnitude(signal: np.ndarray, window: int) -> np.ndarray:
    """|STFT| with a hop of a quarter, frame by frame in numpy."""
    padded = np.pad(signal.astype(np.float64), ((0, 0), (window // 2, window // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=-1)[:, :: window // 4]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.abs(np.fft.rfft(frames * hann)).swapaxes(1, 2)


def log_mel(signal: np.ndarray, window: int, n_mels: int) -> np.ndarray:
    filters = mel_filterbank(RATE, window, n_mels).double().numpy()  # tested against librosa in tests/audio
    return np.log10(np.maximum(filters @ magnitude(signal, window), 1e-5))


def test_spectral_distances_are_their_formulas():
    x, y = noise(2, 6000), noise(2, 6000, seed=1) * 0.5
    expected = np.abs(log_mel(x, 1024, 80) - log_mel(y, 1024, 80)).mean()
    assert log_mel_distance(x, y, RATE) == pytest.approx(expected, rel=1e-4)
    scales = [(5, 32), (10, 64), (20, 128), (40, 256), (80, 512), (160, 1024), (320, 2048)]
    expected = sum(np.abs(log_mel(x, w, m) - log_mel(y, w, m)).mean() for m, w in scales)
    assert dac_mel_distance(x, y, RATE) == pytest.approx(expected, rel=1e-4)
    expected = 0
    for window in (2048, 512):
        a, b = magnitude(x, window), magnitude(y, window)
        logs = [np.log10(np.maximum(spectrum, 1e-5) ** 2) for spectrum in (a, b)]
        expected += np.abs(a - b).mean() + np.abs(logs[0] - logs[1]).mean()
    assert stft_distance(x, y) == pytest.approx(expected, rel=1e-4)


def test_half_the_level_is_log10_of_2_in_every_mel_bin():
    x = noise(8000)
    assert log_mel_distance(x, x / 2, RATE) == pytest.approx(math.log10(2), abs=1e-4)
    # Some of the narrowest filters of 320 are empty at 24 kHz: those bins are silent in both.
    assert 6 * math.log10(2) < dac_mel_distance(x, x / 2, RATE) < 7 * math.log10(2)
    assert loudness_difference(x, x / 2, RATE) == pytest.approx(20 * math.log10(0.5), abs=1e-4)


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("length", [1, 2, 100, 5000])
def test_distances_are_zero_for_the_same_and_symmetric_and_grow(name, length):
    distance = DISTANCES[name]
    x, n = noise(length), noise(length, seed=1)
    assert distance(x, x) == 0
    assert distance(x, x + 0.5 * n) == pytest.approx(distance(x + 0.5 * n, x))
    assert 0 < distance(x, x + 0.02 * n) < distance(x, x + 0.5 * n)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_with_silence(name):
    silence = np.zeros(3000, np.float32)
    assert DISTANCES[name](silence, silence) == 0
    assert DISTANCES[name](silence, noise(3000)) > (0.05 if name == "l1" else 1)


def test_a_shift_is_grave_for_the_waveform_and_small_for_the_spectrum():
    x = noise(RATE)
    assert si_sdr(x[:-5], x[5:]) < -20
    assert log_mel_distance(x[:-5], x[5:], RATE) < 0.03 < log_mel_distance(x, noise(RATE, seed=1), RATE)


def test_numpy_and_torch_and_one_channel_and_none_agree():
    x, y = noise(4000), noise(4000, seed=1)
    scores = score(x, y, 16000)
    assert scores == score(torch.from_numpy(x)[None], y[None], 16000)
    assert scores.si_sdr == si_sdr(x, y) and scores.stft == stft_distance(x, y)
    assert scores.dac_mel == dac_mel_distance(x, y, 16000) and scores.l1 == waveform_l1(x, y)
    assert scores.log_mel != log_mel_distance(x, y, 16000)  # at 24 kHz


def test_every_measure_has_its_definition_and_keeps_to_its_range():
    names = [measure.name for measure in MEASURES]
    x = noise(4000)
    best = {"si_sdr": 100, "si_snr": 100, "log_mel": 0, "stft": 0, "dac_mel": 0, "l1": 0, "loudness": 0}
    assert asdict(score(x, x, 24000)) == best and list(best) == names
    for y in (noise(4000, seed=1), np.zeros(4000, np.float32), 100 * x, -x):
        for measure in MEASURES:
            assert measure.low <= asdict(score(x, y, 24000))[measure.name] <= measure.high


def test_more_noise_is_worse_in_every_measure():
    x, n = noise(RATE), noise(RATE, seed=1)
    scores = [asdict(score(x, x + level * n, RATE)) for level in (0, 0.001, 0.03, 1, 30)]
    for measure in MEASURES:
        values = [abs(row[measure.name]) if measure.better == "zero" else row[measure.name] for row in scores]
        for before, after in pairwise(values):
            assert before > after if measure.better == "higher" else before < after, (measure.name, values)


def test_one_sample_and_silence_have_every_value():
    for length in (1, 3000):
        silence, x = np.zeros(length, np.float32), np.full(length, 0.5, np.float32)
        for pair in ((silence, silence), (silence, x), (x, silence), (x, x)):
            assert all(math.isfinite(value) for value in asdict(score(*pair, RATE)).values())


def test_si_sdr_and_si_snr_are_those_of_torchmetrics():
    audio = pytest.importorskip("torchmetrics.functional.audio", reason="torchmetrics is not installed")
    x, y = (torch.from_numpy(noise(1, 5000, seed=seed)).double() + 0.05 for seed in (0, 1))
    y = 0.3 * x + 0.2 * y
    theirs = audio.scale_invariant_signal_distortion_ratio(y, x)
    assert si_sdr(x, y) == pytest.approx(float(theirs), abs=1e-6)
    assert si_snr(x, y) == pytest.approx(float(audio.scale_invariant_signal_noise_ratio(y, x)), abs=1e-6)
    assert abs(si_sdr(x, y) - si_snr(x, y)) > 0.1
    # Two channels: theirs are a value each, ours one vector.
    assert len(audio.scale_invariant_signal_distortion_ratio(y.repeat(2, 1), x.repeat(2, 1))) == 2


@pytest.mark.parametrize("rate, length", [(24000, 6000), (44100, 5001)])
def test_mel_distances_are_those_of_librosa(rate, length):
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    x, y = noise(length), noise(length, seed=1) * 0.5

    def distance(window: int, hop: int, mels: int) -> float:
        shape = {"n_fft": window, "hop_length": hop, "n_mels": mels, "power": 1.0, "pad_mode": "reflect"}
        logs = [
            np.log10(np.maximum(librosa.feature.melspectrogram(y=z, sr=rate, **shape), 1e-5))
            for z in (x.astype(np.float64), y.astype(np.float64))
        ]
        return np.abs(logs[0] - logs[1]).mean()

    assert log_mel_distance(x, y, rate) == pytest.approx(distance(1024, 256, 80), rel=1e-4)
    scales = [(32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320)]
    expected = sum(distance(window, window // 4, mels) for window, mels in scales)
    assert dac_mel_distance(x, y, rate) == pytest.approx(expected, rel=1e-4)


def test_stft_distance_is_the_sum_of_what_auraloss_calls_linear_and_twice_its_log10_magnitude():
    # Its own default, spectral convergence and natural logarithms, is another number.
    freq = pytest.importorskip("auraloss.freq", reason="auraloss is not installed")
    x, y = noise(8000) * 10, noise(8000, seed=1) * 3  # loud: in no bin does either's floor matter

    def theirs(window: int, **weights: float) -> float:
        loss = freq.STFTLoss(window, window // 4, window, w_sc=0.0, w_phs=0.0, eps=1e-10, **weights)
        return float(loss(*(torch.from_numpy(z)[None, None] for z in (y, x))))

    expected = sum(
        theirs(w, w_log_mag=0.0, w_lin_mag=1.0) + 2 / math.log(10) * theirs(w, w_log_mag=1.0, w_lin_mag=0.0)
        for w in (2048, 512)
    )
    assert stft_distance(x, y) == pytest.approx(expected, rel=1e-4)
    both = freq.MultiResolutionSTFTLoss([2048, 512], [512, 128], [2048, 512])
    assert abs(float(both(*(torch.from_numpy(z)[None, None] for z in (y, x)))) - expected) > 1


@pytest.mark.parametrize("rate", [24000, 44100, 48000])
def test_loudness_difference_is_that_of_pyloudnorm(rate):
    pyloudnorm = pytest.importorskip("pyloudnorm", reason="pyloudnorm is not installed")
    x = noise(2, rate)
    y = 0.4 * x + 0.1 * noise(2, rate, seed=1)
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    expected = meter.integrated_loudness(y.T.astype(np.float64)) - meter.integrated_loudness(x.T.astype(np.float64))
    assert loudness_difference(x, y, rate) == pytest.approx(expected, abs=1e-3)


def test_what_cannot_be_compared():
    for x, y, pattern in [
        (noise(9), noise(8), "one shape"),
        (noise(1, 1, 9), noise(1, 1, 9), "one shape"),
        (noise(0), noise(0), "not empty"),
        (np.zeros(9, np.int16), noise(9), "int16"),
        (np.full(9, np.nan), noise(9), "NaN"),
    ]:
        for metric in (si_sdr, waveform_l1, stft_distance):
            with pytest.raises(ValueError, match=pattern):
                metric(x, y)


@pytest.mark.parametrize("samples", [1, 700, 5000, 20_011])
def test_clips_are_compared_block_by_block(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many frames are held at a time; long clips would take gigabytes at once."""
    x, y = torch.randn(2, 2, samples, generator=torch.Generator().manual_seed(samples))
    distances = (
        lambda: log_mel_distance(x, y, 24000),
        lambda: stft_distance(x, y),
        lambda: dac_mel_distance(x, y, 24000),
    )
    measures = *distances, lambda: si_sdr(x, y), lambda: si_snr(x, y + 1), lambda: waveform_l1(x, y)
    whole = [measure() for measure in measures]
    held = []
    magnitude = codec.stft_magnitude
    monkeypatch.setattr(
        codec, "stft_magnitude", lambda z, *a, **k: (held.append(z.shape[-1]), magnitude(z, *a, **k))[1]
    )
    monkeypatch.setattr(codec, "BLOCK", 1000)
    assert [measure() for measure in measures] == pytest.approx(whole, rel=1e-6)
    assert max(held) <= 1000 + 2048
