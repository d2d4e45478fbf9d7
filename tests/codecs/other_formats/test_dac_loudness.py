"""Loudness as `.dac` files have it."""

import numpy as np
import pytest

from solfa.audio.loudness import integrated_loudness
from solfa.codecs.other_formats.dac_loudness import dac_loudness


def sound(rate: int, samples: int, channels: int) -> np.ndarray:
    """Swelling tones over a small offset, [C, S]."""
    t = np.arange(samples) / rate
    rows = [0.3 / (c + 1) * np.sin(2 * np.pi * 110 * (c + 1) * t) * (3 * t % 1) ** 2 + 0.01 for c in range(channels)]
    return np.stack(rows).astype(np.float32)


# What audiotools 0.7.2 gives, in float32: long, of two channels, shorter than a block, of five channels.
@pytest.mark.parametrize(
    ("rate", "samples", "channels", "expected"),
    [
        (44_100, 60_000, 1, -22.20912742614746),
        (24_000, 50_000, 2, -21.031700134277344),
        (16_000, 3_000, 1, -35.59843063354492),
        (48_000, 30_001, 5, -20.64776611328125),
    ],
)
def test_the_loudness_of_audiotools(rate: int, samples: int, channels: int, expected: float) -> None:
    assert dac_loudness(sound(rate, samples, channels), rate) == pytest.approx(expected, abs=5e-5)


def test_it_is_near_the_standard_and_not_it() -> None:
    found, standard = (
        dac_loudness(sound(48_000, 96_000, 2), 48_000),
        integrated_loudness(sound(48_000, 96_000, 2), 48_000),
    )
    assert found == pytest.approx(standard, abs=0.2) and abs(found - standard) > 1e-3


def test_silence_and_many_channels() -> None:
    assert dac_loudness(np.zeros((1, 1)), 44_100) == dac_loudness(np.zeros((2, 99_999)), 44_100) == -70
    with pytest.raises(ValueError, match="6 channels"):
        dac_loudness(np.zeros((6, 100)), 44_100)
