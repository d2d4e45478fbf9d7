"""Oscillators, filters and envelopes in numpy: what synthetic sound is made of. Samples are [S] float32."""

from __future__ import annotations

import random

import numpy as np

Samples = np.ndarray


def seconds_of(samples: Samples, rate: int) -> Samples:
    """The time of every sample."""
    return np.arange(len(samples), dtype=np.float32) / np.float32(rate)


def generator(rng: random.Random) -> np.random.Generator:
    """A source of arrays, seeded by the source of parameters."""
    return np.random.default_rng(rng.getrandbits(63))


def phase(frequency: Samples | float, count: int, rate: int, start: float = 0.0) -> tuple[Samples, Samples]:
    """Phase in cycles [0, 1) and step in cycles a sample, for a frequency in Hz that may change at every sample."""
    step = np.broadcast_to(np.asarray(frequency, np.float64) / rate, (count,))
    cycles = np.cumsum(step) - step + start
    return (cycles - np.floor(cycles)).astype(np.float32), step.astype(np.float32)


def sine(frequency: Samples | float, count: int, rate: int, start: float = 0.0) -> Samples:
    return np.sin(np.float32(2 * np.pi) * phase(frequency, count, rate, start)[0])


def saw(frequency: Samples | float, count: int, rate: int, start: float = 0.0) -> Samples:
    """A rising sawtooth whose jump is rounded so that it aliases less (PolyBLEP: Valimaki and Huovilainen 2007)."""
    cycles, step = phase(frequency, count, rate, start)
    return 2 * cycles - 1 - _blep(cycles, step)


def pulse(frequency: Samples | float, count: int, rate: int, width: float = 0.5, start: float = 0.0) -> Samples:
    """A pulse wave, the difference of two sawtooths `width` cycles apart, without its mean."""
    return 0.5 * (saw(frequency, count, rate, start) - saw(frequency, count, rate, start + width))


def _blep(cycles: Samples, step: Samples) -> Samples:
    step = np.maximum(step, 1e-9)
    after, before = cycles / step, (cycles - 1) / step
    out = np.where(cycles < step, 2 * after - after**2 - 1, 0)
    return np.where(cycles > 1 - step, before**2 + 2 * before + 1, out).astype(np.float32)


def noise(source: np.random.Generator, count: int, slope: float = 0.0, rate: int = 24000) -> Samples:
    """Noise of unit RMS whose power falls by `slope` x 3 dB an octave: 0 is white, 1 pink, 2 brown, -1 blue."""
    white = source.standard_normal(count, dtype=np.float32)
    if slope:
        frequencies = np.maximum(np.fft.rfftfreq(count, 1 / rate), 20.0)
        white = np.fft.irfft(np.fft.rfft(white) * (frequencies / 1000.0) ** np.float32(-slope / 2), count).astype(
            np.float32
        )
    return unit(white)


def unit(samples: Samples) -> Samples:
    """Scaled to an RMS of 1; silence stays silence."""
    rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
    return samples / np.float32(rms) if rms > 1e-9 else samples


def band(samples: Samples, rate: int, low: float, high: float, octaves: float = 0.3) -> Samples:
    """What lies between two frequencies, with edges that many octaves wide (zero phase)."""
    frequencies = np.maximum(np.fft.rfftfreq(len(samples), 1 / rate), 1.0)
    up = np.clip(0.5 + np.log2(frequencies / max(low, 1.0)) / octaves, 0, 1)
    down = np.clip(0.5 - np.log2(frequencies / high) / octaves, 0, 1)
    gain = (np.sin(up * np.pi / 2) * np.sin(down * np.pi / 2)).astype(np.float32)
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples)).astype(np.float32)


def lowpass(samples: Samples, rate: int, cutoff: Samples | float, quality: float = 1.0, size: int = 512) -> Samples:
    """A resonant low-pass of four poles whose cutoff (Hz, at every sample) may move; by short-time spectra (Hann squared sums to 1.5)."""
    hop = size // 4
    count = len(samples)
    frames = -(-count // hop) + 3
    padded = np.zeros((frames + 3) * hop, np.float32)
    padded[size - hop : size - hop + count] = samples
    view = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:frames]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    centres = np.clip(np.arange(frames) * hop - size // 2 + hop, 0, count - 1)
    cut = np.broadcast_to(np.asarray(cutoff, np.float32), (count,))[centres]
    ratio = np.fft.rfftfreq(size, 1 / rate).astype(np.float32)[None] / np.maximum(cut, 20.0)[:, None]
    gain = 1 / np.sqrt((1 - ratio**2) ** 2 + (ratio / np.float32(quality)) ** 2)
    gain = np.minimum(gain, quality) / np.sqrt(1 + ratio**4)
    pieces = np.fft.irfft(np.fft.rfft(view * window) * gain, size).astype(np.float32) * (window / np.float32(1.5))
    out = np.zeros((frames + 3, hop), np.float32)
    for k in range(4):
        out[k : k + frames] += pieces[:, k * hop : (k + 1) * hop]
    return out.reshape(-1)[size - hop : size - hop + count]


def decay(count: int, rate: int, seconds: float, attack: float = 0.001) -> Samples:
    """An envelope that rises in `attack` seconds and falls by 60 dB in `seconds`."""
    time = np.arange(count, dtype=np.float32) / rate
    return np.minimum(1.0, time / attack).astype(np.float32) * np.exp(-6.908 / seconds * time)


def gate(count: int, rate: int, attack: float, release: float) -> Samples:
    """An envelope that is 1, with ramps of so many seconds at either end."""
    time = np.arange(count, dtype=np.float32) / rate
    up = np.minimum(1.0, time / max(attack, 1e-4))
    down = np.minimum(1.0, (count / rate - time) / max(release, 1e-4))
    return np.clip(np.minimum(up, down), 0, 1).astype(np.float32)


def place(out: Samples, samples: Samples, start: int) -> None:
    """Adds a sound from a sample on; what goes beyond the end is cut."""
    if 0 <= start < len(out):
        piece = samples[: len(out) - start]
        out[start : start + len(piece)] += piece


def drive(samples: Samples, amount: float) -> Samples:
    """Soft clipping: `amount` 1 is gentle, 10 is harsh. The peak comes out at most 1."""
    return np.tanh(samples * np.float32(amount)) / np.float32(np.tanh(amount))
