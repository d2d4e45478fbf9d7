"""The level that a sound is brought to."""

import math

import numpy as np
import pytest

from solfa.data.effects import set_level


def level_of(samples: np.ndarray) -> float:
    return 10 * math.log10((samples.astype(np.float64) ** 2).mean())


@pytest.mark.parametrize("length", [1, 2, 100, 511, 512, 513, 1024])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_short_sound_has_the_level_that_is_asked_for(length, channels):
    sound = 0.1 * np.random.default_rng(length).standard_normal((channels, length)).astype(np.float32)
    found = set_level(sound, -30.0)
    assert level_of(found[:, : length if length < 512 else length // 512 * 512]) == pytest.approx(-30, abs=0.01)
    assert found.dtype == np.float32 and set_level(np.zeros_like(sound), -30.0).max() == 0


def test_from_a_block_on_the_level_is_that_of_the_whole_blocks_that_sound():
    """As folders were rendered before: their samples stay, bit for bit."""
    sound = 0.1 * np.random.default_rng(0).standard_normal((2, 1300)).astype(np.float32)
    sound[:, 512:] *= 1e-3
    gain = 10 ** (-30 / 20) / math.sqrt((sound[:, :512].astype(np.float64) ** 2).mean((0, 1)))
    assert np.array_equal(set_level(sound, -30.0), sound * np.float32(gain))
    late = np.zeros((1, 600), np.float32)
    late[0, 550] = 0.5  # no whole block sounds: the peak is taken
    assert set_level(late, -30.0).max() == pytest.approx(10 ** (-30 / 20))
