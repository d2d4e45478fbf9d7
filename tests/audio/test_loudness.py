"""Integrated loudness against pyloudnorm, the table of BS.1770-4 and the laws of loudness."""

import numpy as np
import pyloudnorm
import pytest
import torch

from solfa.audio.loudness import FLOOR, integrated_loudness, k_filters


def programme(channels: int, rate: int, seconds: int = 4, seed: int = 0) -> np.ndarray:
    """Noise whose level changes every 0.1 s, from silence to loud: both gates have work."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.choice([0, 1e-4, 0.01, 0.1, 0.4], 10 * seconds), rate // 10)
    return rng.standard_normal((channels, len(levels))) * levels


@pytest.mark.parametrize("rate", [8000, 24000, 44100, 48000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_loudness_is_pyloudnorms(rate, channels):
    signal = programme(channels, rate)
    exact = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(signal.T)
    assert integrated_loudness(signal, rate) == pytest.approx(exact, abs=1e-6)
    # Its default filters only approximate the standard's: 0.05 LU at 44.1 kHz and above, 0.3 LU at 8 kHz.
    default = pyloudnorm.Meter(rate).integrated_loudness(signal.T)
    assert integrated_loudness(signal, rate) == pytest.approx(default, abs=0.3 if rate < 24000 else 0.1)


def test_the_absolute_gate_comes_before_the_relative_one():
    # One second loud, two at -16 dB, nine silent: the silence must not drag the relative gate below the quiet seconds.
    levels = np.repeat([0.3, 0.3 * 10**-0.8, 0.3 * 10**-0.8, *[0] * 9], 24000)
    signal = np.random.default_rng(0).standard_normal(len(levels)) * levels
    exact = pyloudnorm.Meter(24000, filter_class="DeMan").integrated_loudness(signal[:, None])
    assert integrated_loudness(signal, 24000) == pytest.approx(exact, abs=1e-6)


def test_filters_at_48_khz_are_the_table_of_the_standard():
    (shelf_b, shelf_a), (pass_b, pass_a) = k_filters(48000)
    assert np.allclose(shelf_b, [1.53512485958697, -2.69169618940638, 1.19839281085285], rtol=0, atol=1e-12)
    assert np.allclose(shelf_a, [1, -1.69065929318241, 0.73248077421585], rtol=0, atol=1e-12)
    assert np.allclose(pass_b, [1, -2, 1]) and np.allclose(
        pass_a, [1, -1.99004745483398, 0.99007225036621], rtol=0, atol=1e-12
    )


def test_a_full_scale_tone_at_997_hz_measures_minus_3_lufs():
    # BS.1770-4: 0 dB FS, 997 Hz in one front channel is -3.01 LKFS.
    tone = np.sin(2 * np.pi * 997 * np.arange(48000 * 2) / 48000)
    assert integrated_loudness(tone, 48000) == pytest.approx(-3.01, abs=0.01)
    assert integrated_loudness(np.stack([tone, tone]), 48000) == pytest.approx(0.0, abs=0.01)


def test_gain_in_decibels_is_gain_in_loudness():
    signal = programme(2, 24000)
    assert integrated_loudness(signal * 0.5, 24000) - integrated_loudness(signal, 24000) == pytest.approx(
        -6.0206, abs=1e-3
    )


def test_silence_around_does_not_change_what_is_measured():
    # The gates drop the silent blocks; only the few that hold an edge of the tone weigh in.
    tone = 0.1 * np.sin(2 * np.pi * 997 * np.arange(10 * 24000) / 24000)
    surrounded = np.pad(tone, 20 * 24000)
    assert integrated_loudness(surrounded, 24000) == pytest.approx(integrated_loudness(tone, 24000), abs=0.15)


def test_floor_for_silence_and_short_clips():
    assert FLOOR == -70
    assert integrated_loudness(np.zeros((2, 48000)), 48000) == -70
    assert integrated_loudness(np.zeros(1), 48000) == -70
    assert integrated_loudness(1e-6 * programme(1, 24000), 24000) == -70
    # Half a block of sound is a block with half the power: 3 dB less.
    tone = np.sin(2 * np.pi * 997 * np.arange(19200) / 48000)
    assert integrated_loudness(tone[:9600], 48000) == pytest.approx(integrated_loudness(tone, 48000) - 3.01, abs=0.05)


def test_tensors_channel_counts_and_illegal_input():
    signal = programme(6, 24000)
    assert integrated_loudness(torch.from_numpy(signal[0]), 24000) == integrated_loudness(signal[:1], 24000)
    without_low = signal.copy()
    without_low[3] = 0
    assert integrated_loudness(signal, 24000) == integrated_loudness(without_low, 24000)  # 5.1: the LFE does not count
    assert integrated_loudness(programme(8, 24000), 24000) > -70
    for samples, rate in [(np.zeros(0), 24000), (np.zeros((1, 2, 3)), 24000), (np.zeros(99), 4000)]:
        with pytest.raises(ValueError, match=r"S at least 1|at least 8000"):
            integrated_loudness(samples, rate)


def test_what_has_no_loudness_is_refused_and_not_called_silent():
    loud = programme(1, 24000)
    for samples, said in [
        (np.where(np.arange(loud.size) == 9, np.nan, loud), "NaN or infinite"),
        (np.full(24000, np.inf), "NaN or infinite"),
        (torch.full((2, 24000), float("nan")), "NaN or infinite"),
        (loud * 1e200, "their power"),
        ((loud * 8000).astype(np.int16), "int16: floats, of which 1 is full scale"),
        (torch.ones(2, 24000, dtype=torch.int16), "int16: floats"),
        (np.ones(24000, bool), "bool: floats"),
    ]:
        with pytest.raises(ValueError, match=said):
            integrated_loudness(samples, 24000)
    exact = integrated_loudness(loud.astype(np.float32), 24000)
    assert integrated_loudness(torch.from_numpy(loud.astype(np.float32)), 24000) == exact
    assert integrated_loudness(torch.from_numpy(loud).bfloat16(), 24000) == pytest.approx(exact, abs=0.1)
