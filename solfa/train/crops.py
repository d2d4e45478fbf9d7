"""Random crops of recordings, varied as a listener would not mind.

Every crop is a pure function of (seed, step, row), so a resumed run reads what the unbroken one would have read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from solfa.audio.io import info, read
from solfa.audio.loudness import FLOOR, integrated_loudness
from solfa.audio.resample import resample

Samples = NDArray[np.float32]
Place = tuple[Path, float]  # a recording, and where in it, in seconds
TRIES = 8  # for a salient crop, as in audiotools
CACHE_BYTES = 6 << 30


@dataclass(frozen=True)
class Augmentation:
    """How often (0 to 1) and how far crops are varied.

    gain: range in dB, always. mix: a second crop is added, at -12 to 6 dB. speed: played faster or slower by up to 30 %. equalise: a
    random smooth curve over frequency, up to 9 dB either way. lowpass: cut between 2.5 kHz and half the rate. noise: white noise,
    35 to 70 dB below the sound.

    The rest is as DAC prepares its crops, and off where it is None. salient: a crop of at most so many LUFS is drawn anew from the same
    recording, up to eight times in all. phase: range in degrees by which all frequencies are turned alike. loudness: every crop that is
    not silent is brought to so many LUFS, to which the gain adds. Last of all, what is above a peak of 1 is brought down to it.
    """

    gain: tuple[float, float] = (-20.0, 3.0)
    mix: float = 0.2
    speed: float = 0.25
    equalise: float = 0.3
    lowpass: float = 0.1
    noise: float = 0.1
    loudness: float | None = None
    phase: tuple[float, float] | None = None
    salient: float | None = None

    def __post_init__(self) -> None:
        for name in ("mix", "speed", "equalise", "lowpass", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 0 and 1")
        if not self.gain[0] <= self.gain[1]:
            raise ValueError(f"gain is {self.gain}: it must go from low to high, in dB")
        if self.phase is not None and not -360 <= self.phase[0] <= self.phase[1] <= 360:
            raise ValueError(f"phase is {self.phase}: it must go from low to high, in degrees between -360 and 360")
        for name in ("loudness", "salient"):
            value = getattr(self, name)
            if value is not None and not FLOOR <= value <= 0:
                raise ValueError(f"{name} is {value}: it must lie between {FLOOR:g} and 0 LUFS")


PLAIN = Augmentation(gain=(0.0, 0.0), mix=0.0, speed=0.0, equalise=0.0, lowpass=0.0, noise=0.0)  # crops as they are


class CropReader:
    """Reads crops from sound files, longer ones more often; decoded sound stays in memory as 16-bit integers, up to `CACHE_BYTES`."""

    def __init__(self, paths: Sequence[Path], sample_rate: int, channels: int, augmentation: Augmentation) -> None:
        if not paths:
            raise ValueError("no recordings to take crops from")
        self.paths = list(paths)
        self.sample_rate, self.channels, self.augmentation = sample_rate, channels, augmentation
        seconds = np.array([info(path).duration for path in self.paths])
        self._shares = np.cumsum(seconds) / seconds.sum()
        self.hours = float(seconds.sum() / 3600)
        self._cache: OrderedDict[int, NDArray[np.int16]] = OrderedDict()
        self.cached_bytes = 0
        self._lock = threading.Lock()

    def batch(self, seed: int, step: int, rows: range, samples: int) -> Samples:
        """Crops [B, C, S]; row b is the same whatever the other rows are."""
        return np.stack([self.crop(default_rng([seed, step, row]), samples) for row in rows])

    def places(self, seed: int, step: int, row: int, samples: int) -> list[Place]:
        """Where the crop of a row of `batch` was read: one place, or two where another was mixed with it."""
        return [place for _, place in self._heard(default_rng([seed, step, row]), samples)]

    def crop(self, rng: Generator, samples: int) -> Samples:
        """One varied crop [C, S], its peak at most 1."""
        a = self.augmentation
        (x, _), *mixed = self._heard(rng, samples)
        for other, _ in mixed:
            x = x + other * (_level(x) / _level(other) * 10 ** (rng.uniform(-12, 6) / 20))
        x = self._filtered(rng, x)
        if rng.random() < a.noise:
            x = x + rng.standard_normal(x.shape, np.float32) * np.float32(_level(x) * 10 ** (-rng.uniform(35, 70) / 20))
        gain = 10 ** (rng.uniform(*a.gain) / 20)
        if a.phase is not None:
            x = shift_phase(x, rng.uniform(*a.phase))
        if a.loudness is not None and (level := integrated_loudness(x, self.sample_rate)) > FLOOR:
            gain *= 10 ** ((a.loudness - level) / 20)
        peak = np.abs(x).max()
        return (x * min(gain, 1 / max(peak, 1e-9))).astype(np.float32)

    def _heard(self, rng: Generator, samples: int) -> list[tuple[Samples, Place]]:
        """The pieces that a crop is made of: one, or two where it is mixed."""
        first = self._varied(rng, samples)
        return [first, self._varied(rng, samples)] if rng.random() < self.augmentation.mix else [first]

    def _varied(self, rng: Generator, samples: int) -> tuple[Samples, Place]:
        if rng.random() >= self.augmentation.speed:
            return self._read(rng, samples)
        # Resampling between small whole numbers: a pitch and tempo change by the ratio.
        source = int(rng.integers(77, 131))
        x, place = self._read(rng, -(-samples * source // 100) + 1)
        return resample(x, source, 100)[..., :samples], place

    def _read(self, rng: Generator, samples: int) -> tuple[Samples, Place]:
        index = min(int(np.searchsorted(self._shares, rng.random(), side="right")), len(self.paths) - 1)
        whole, cutoff = self._decoded(index), self.augmentation.salient
        for _ in range(TRIES):
            start = int(rng.integers(0, max(1, whole.shape[-1] - samples + 1)))
            piece = whole[:, start : start + samples].astype(np.float32) / 32768
            if cutoff is None or integrated_loudness(piece, self.sample_rate) > cutoff:
                break
        place = self.paths[index], start / self.sample_rate
        return np.pad(piece, ((0, 0), (0, samples - piece.shape[-1]))), place

    def _filtered(self, rng: Generator, x: Samples) -> Samples:
        a = self.augmentation
        equalise, lowpass = rng.random() < a.equalise, rng.random() < a.lowpass
        knots, cut = rng.uniform(-9, 9, 8), rng.uniform(2500, self.sample_rate / 2)
        if not (equalise or lowpass):
            return x
        spectrum = np.fft.rfft(x)
        hertz = np.linspace(0, self.sample_rate / 2, spectrum.shape[-1])
        curve = np.ones_like(hertz)
        if equalise:
            places = np.linspace(0, np.log1p(self.sample_rate / 2 / 200), len(knots))
            curve = 10 ** (np.interp(np.log1p(hertz / 200), places, knots) / 20)
        if lowpass:
            curve = curve / np.sqrt(1 + (hertz / cut) ** 16)
        return np.fft.irfft(spectrum * curve, x.shape[-1]).astype(np.float32)

    def _decoded(self, index: int) -> NDArray[np.int16]:
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index]
        audio = read(self.paths[index])
        audio = audio.resample(self.sample_rate) if audio.sample_rate != self.sample_rate else audio
        x = audio.samples[0].numpy()
        x = x.mean(0, keepdims=True) if self.channels == 1 else np.broadcast_to(x, (self.channels, x.shape[-1]))
        whole = np.round(x.clip(-1, 32767 / 32768) * 32768).astype(np.int16)
        with self._lock:
            if index not in self._cache:  # another thread may have been first
                self._cache[index] = whole
                self.cached_bytes += whole.nbytes
            while self.cached_bytes > CACHE_BYTES and len(self._cache) > 1:
                self.cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return whole


def shift_phase(x: Samples, degrees: float) -> Samples:
    """Sound [C, S] with every frequency turned by the same angle: cos(a) x - sin(a) H(x), H the Hilbert transform.

    audiotools, from which DAC has it, turns the bins of an STFT; here the whole crop is turned at once, mirrored at its end, as a jump
    from the end to the start would ring through all of it. No frequency gets louder or softer, save 0 Hz, which has no phase to turn.
    """
    spectrum = np.fft.rfft(np.concatenate([x, x[..., ::-1]], -1))
    turned = spectrum * np.exp(1j * np.deg2rad(degrees)).astype(np.complex64)
    return np.fft.irfft(turned, 2 * x.shape[-1])[..., : x.shape[-1]].astype(np.float32)


def _level(x: Samples) -> float:
    return float(np.sqrt(np.square(x).mean()) + 1e-5)
