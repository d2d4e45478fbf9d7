"""Spectra by pitch: a tone is where it belongs and as loud as it is; time, gain and silence behave."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.audio.bands import FLOOR, LOWEST, PER_SEMITONE, WINDOWS, band_count, bands

RATE, HOP = 24_000, 480


def tone(pitch: float, seconds: float = 1.0, level: float = 0.5, rate: int = RATE) -> Tensor:
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (level * torch.sin(2 * math.pi * 440 * 2 ** ((pitch - 69) / 12) * time)).float()


@settings(max_examples=40, deadline=None)
@given(pitch=st.floats(40, 115), rate=st.sampled_from([16_000, 24_000, 44_100]))
def test_a_tone_is_in_its_band_at_its_level(pitch: float, rate: int) -> None:
    levels = bands(tone(pitch, rate=rate), rate, rate // 50)[:, :, 25]
    at = 1 + PER_SEMITONE * (pitch - LOWEST)
    loudest = levels[-1].argmax()
    assert abs(float(loudest) - at) <= 1
    below = float(1 - levels[-1, loudest]) * -FLOOR  # dB under full scale
    assert 3.5 < below < 7.6  # 6; bands of several bins take up more of the window's lobe than its middle, others less
    far = torch.cat([levels[-1, : max(0, int(at) - 24)], levels[-1, int(at) + 24 :]])
    assert far.max() < levels[-1].max() - 35 / -FLOOR


def test_the_short_window_knows_when() -> None:
    samples = torch.cat([torch.zeros(RATE // 2), tone(69, 0.5)])
    levels = bands(samples, RATE, HOP)[:, 1 + PER_SEMITONE * (69 - LOWEST)]
    heard = [int((row > 0.5).nonzero()[0]) for row in levels]  # the first frame within 45 dB of full scale
    assert heard[0] in (24, 25) and heard[0] > heard[1] > heard[2]


def test_gain_is_added_and_silence_is_the_floor() -> None:
    assert not bands(torch.zeros(2, RATE), RATE, HOP).any()
    loud, soft = (bands(tone(60, level=level), RATE, HOP) for level in (0.8, 0.08))
    strong = soft > 0.5
    torch.testing.assert_close(
        loud[strong] - soft[strong], torch.full_like(loud[strong], 20 / -FLOOR), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("samples", [1, 479, 480, 481, 5000])
def test_shapes(samples: int) -> None:
    levels = bands(torch.randn(2, 3, samples), RATE, HOP)
    assert levels.shape == (2, 3, len(WINDOWS), band_count(RATE), -(-samples // HOP))
    assert levels.isfinite().all() and levels.min() >= 0


def test_rows_are_alone() -> None:
    both = torch.randn(2, 4000)
    torch.testing.assert_close(bands(both, RATE, HOP)[1], bands(both[1], RATE, HOP))


def test_a_rate_without_a_semitone_is_refused() -> None:
    assert band_count(8000) % PER_SEMITONE == 0
    with pytest.raises(ValueError, match="sample_rate is 50"):
        band_count(50)
