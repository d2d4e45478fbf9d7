"""Integrated loudness, ITU-R BS.1770-4: K-weighting, 400 ms blocks that overlap by three quarters, two gates."""

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch

FLOOR = -70.0  # LUFS: the absolute gate; nothing quieter is measured
BLOCK, STEP = 0.4, 0.1  # seconds
LOWEST_RATE = 8000  # Hz
SURROUND = 1.41
# Weights by channel count, in the order of WAV files. The low-frequency channel of 5.1 is left out.
WEIGHTS = {4: (1, 1, SURROUND, SURROUND), 5: (1, 1, 1, SURROUND, SURROUND), 6: (1, 1, 1, 0, SURROUND, SURROUND)}


def integrated_loudness(samples: np.ndarray | torch.Tensor, sample_rate: int) -> float:
    """Loudness in LUFS of samples [S] or [C, S], computed in float64.

    At least FLOOR = -70 LUFS: silence, and whatever the absolute gate shuts out, is -70. A clip shorter than a block
    of 0.4 s is followed by silence up to 0.4 s. Channels weigh 1, save the surround channels of 4, 5 and 6 (5.1).
    Raises ValueError for no samples, or a rate below 8 kHz, where the K filter has no room; for samples that are not floats (full scale
    is 1), are NaN or infinite, or so large that their power is.
    """
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu()
        samples = (samples.double() if samples.is_floating_point() else samples).numpy()
    signal = np.atleast_2d(samples)
    if signal.ndim != 2 or signal.shape[1] == 0:
        raise ValueError(f"samples of shape {list(np.shape(samples))}: [S] or [C, S], S at least 1")
    if signal.dtype.kind != "f":
        raise ValueError(f"samples of {signal.dtype}: floats, of which 1 is full scale")
    signal = signal.astype(np.float64)
    if not np.isfinite(signal).all():
        raise ValueError("samples are NaN or infinite")
    if sample_rate < LOWEST_RATE:
        raise ValueError(f"sample rate {sample_rate}: at least {LOWEST_RATE} Hz")
    with np.errstate(over="ignore", invalid="ignore"):
        power = _block_power(signal, sample_rate)
    if not np.isfinite(power).all():
        raise ValueError(f"samples up to {np.abs(signal).max():.3g}: their power cannot be counted; full scale is 1")
    return gated_loudness(power)


def gated_loudness(power: np.ndarray) -> float:
    """Loudness in LUFS, at least FLOOR, of the blocks that both gates let through; power: weighted mean square of each, [blocks]."""
    loud = power[_lufs(power) > FLOOR]
    if not len(loud):
        return FLOOR
    gated = loud[_lufs(loud) > _lufs(loud.mean()) - 10]
    return max(FLOOR, float(_lufs(gated.mean())))


def _lufs(power: np.ndarray | np.floating) -> np.ndarray:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-30))


def _block_power(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    # The weighted mean square of each whole block; one block where the clip is shorter.
    channels, length = signal.shape
    weights = WEIGHTS.get(channels, (1,) * channels)
    count = max(1, 1 + math.floor((length / sample_rate - BLOCK) / STEP + 1e-9))
    starts = np.array([int(index * STEP * sample_rate + 1e-6) for index in range(count)])
    stops = np.array([int((index * STEP + BLOCK) * sample_rate + 1e-6) for index in range(count)])
    power = np.zeros(count)
    for channel, weight in zip(signal, weights, strict=True):
        if weight:
            energy = np.concatenate([[0.0], np.cumsum(np.square(k_weight(channel, sample_rate)))])
            power += weight * (energy[np.minimum(stops, length)] - energy[np.minimum(starts, length)])
    return power / (BLOCK * sample_rate)


def k_weight(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """The K-weighted signal [S]: high shelf, then high pass."""
    return convolve(signal, _impulse_response(sample_rate))


def convolve(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The signal [S] behind a filter, as long as it was. By overlapped FFT blocks: no recursion runs in Python."""
    whole = len(signal) + len(response) - 1
    size = 1 << min(max(17, (2 * len(response)).bit_length()), (whole - 1).bit_length())  # a short signal is one block
    step = size - len(response) + 1
    spectrum = np.fft.rfft(response, size)
    result = np.zeros(len(signal) + size)
    for start in range(0, len(signal), step):
        result[start : start + size] += np.fft.irfft(np.fft.rfft(signal[start : start + step], size) * spectrum, size)
    return result[: len(signal)]


def k_filters(sample_rate: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Numerators and denominators (b, a) of the high shelf and the high pass of BS.1770-4 at any rate.

    The standard tabulates them at 48 kHz only. These analogue parameters (De Man, "Evaluation of implementations of the
    EBU R128 loudness measurement", 2014) give that table and follow the bilinear transform elsewhere.
    """
    gain, quality, frequency = 3.999843853973347, 0.7071752369554193, 1681.9744509555319
    k = math.tan(math.pi * frequency / sample_rate)
    high = 10 ** (gain / 20)
    band = high**0.499666774155
    a0 = 1 + k / quality + k * k
    shelf_b = np.array([high + band * k / quality + k * k, 2 * (k * k - high), high - band * k / quality + k * k]) / a0
    shelf_a = np.array([1, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0])
    quality, frequency = 0.5003270373253953, 38.13547087613982
    k = math.tan(math.pi * frequency / sample_rate)
    a0 = 1 + k / quality + k * k
    return (shelf_b, shelf_a), (
        np.array([1.0, -2.0, 1.0]),
        np.array([1, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]),
    )


@lru_cache(maxsize=8)
def _impulse_response(sample_rate: int) -> np.ndarray:
    return impulse_response(k_filters(sample_rate), sample_rate)


def impulse_response(filters: Iterable[tuple[np.ndarray, np.ndarray]], sample_rate: int) -> np.ndarray:
    """0.2 s of what second-order filters (b, a), one after the other, make of an impulse, [S]."""
    # The slowest pole of K-weighting decays by e^-239 a second: after 0.2 s nothing above float64 rounding is left.
    response = np.zeros(int(0.2 * sample_rate))
    response[0] = 1
    for b, a in filters:
        filtered = np.convolve(response, b)[: len(response)]
        before = last = 0.0
        for index, value in enumerate(filtered.tolist()):
            before, last = last, value - a[1] * last - a[2] * before
            response[index] = last
    return response
