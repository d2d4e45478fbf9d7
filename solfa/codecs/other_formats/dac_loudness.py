"""Loudness as descript-audio-codec measures it (by audiotools), to which `.dac` files bring a sound and back.

It is BS.1770-4 but for three things, which `audio.loudness` has as the standard does: the filters are an approximation of the standard's
(pyloudnorm's first ones) with coefficients in float32, a last block that is not whole counts, filled up with silence, and what is shorter
than 0.5 s is filled up to that.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from solfa.audio.loudness import convolve, gated_loudness, impulse_response

BLOCK, OVERLAP, LEAST = 0.4, 0.75, 0.5  # seconds, share, seconds
WEIGHTS = (1.0, 1.0, 1.0, 1.41, 1.41)  # by channel


def dac_loudness(samples: np.ndarray, sample_rate: int) -> float:
    """Loudness in LUFS, at least -70, of samples [C, S] (in float64). Raises ValueError for more than 5 channels."""
    channels, length = samples.shape
    if channels > len(WEIGHTS):
        raise ValueError(f"{channels} channels: the loudness of a .dac file is defined for 1 to {len(WEIGHTS)}")
    whole = length
    if length / sample_rate < LEAST:
        whole += int((LEAST - length / sample_rate) * sample_rate)
    size, step = int(BLOCK * sample_rate), int(BLOCK * sample_rate * (1 - OVERLAP))
    count = math.ceil((max(whole, size) - size) / step) + 1
    starts = np.arange(count) * step
    power = np.zeros(count)  # of each block, all channels together
    for channel, weight in zip(samples, WEIGHTS, strict=False):
        filtered = np.zeros(whole)
        filtered[:length] = channel
        filtered = convolve(filtered, _response(sample_rate))
        energy = np.concatenate([[0.0], np.cumsum(np.square(filtered))])
        power += weight * (energy[np.minimum(starts + size, whole)] - energy[np.minimum(starts, whole)])
    return gated_loudness(power / (BLOCK * sample_rate))


@lru_cache(maxsize=8)
def _response(sample_rate: int) -> np.ndarray:
    shelf, high = _shelf(4.0, 1 / math.sqrt(2), 1500.0, sample_rate), _high_pass(0.5, 38.0, sample_rate)
    return impulse_response([shelf, high], sample_rate)


def _shelf(gain: float, quality: float, frequency: float, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """High shelf of R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter coefficients"; gain in dB."""
    amplitude, angle = 10 ** (gain / 40), 2 * math.pi * frequency / rate
    cosine, slope = math.cos(angle), math.sqrt(amplitude) * math.sin(angle) / quality
    more, less = amplitude + 1, amplitude - 1
    b = [more + less * cosine + slope, -2 * (less + more * cosine), more + less * cosine - slope]
    a = [more - less * cosine + slope, 2 * (less - more * cosine), more - less * cosine - slope]
    return _rounded([amplitude * value for value in b], a)


def _high_pass(quality: float, frequency: float, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """High pass of the same."""
    angle = 2 * math.pi * frequency / rate
    cosine, width = math.cos(angle), math.sin(angle) / (2 * quality)
    return _rounded([(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2], [1 + width, -2 * cosine, 1 - width])


def _rounded(b: list[float], a: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return tuple((np.array(side) / a[0]).astype(np.float32).astype(np.float64) for side in (b, a))  # type: ignore[return-value]
