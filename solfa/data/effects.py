"""What a room and a recording do to dry sound: reverb, equalisation, noise and level, drawn from a seed."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass

import numpy as np

Samples = np.ndarray
Range = tuple[float, float]
BANDS = (125.0, 500.0, 2000.0, 6000.0)  # Hz: where the equaliser's gains and the reverb's times are given
CEILING = 0.98  # largest sample


@dataclass(frozen=True)
class RenderOptions:
    """What is drawn for a rendering: each range is (low, high), and low = high fixes it.

    detune: of the whole piece, in cents (-99 to 99). level: RMS in dB full scale while something sounds. dry: how often (0 to 1)
    there is no reverb. reverb: its time to -60 dB, in seconds (0.05 to 10), drawn evenly in its logarithm. wet: its level in dB under
    the dry sound. equalise: gains in dB at 125, 500, 2000 and 6000 Hz. noisy: how often (0 to 1) there is a noise floor.
    noise: its level in dB full scale. spread: how far parts are panned, 0 to 1. balance: gain of each part in dB.
    """

    detune: Range = (-12.0, 12.0)
    level: Range = (-30.0, -14.0)
    dry: float = 0.2
    reverb: Range = (0.2, 3.0)
    wet: Range = (-24.0, -3.0)
    equalise: Range = (-4.0, 4.0)
    noisy: float = 0.3
    noise: Range = (-90.0, -60.0)
    spread: float = 0.7
    balance: Range = (-5.0, 2.0)

    def __post_init__(self) -> None:
        legal = {
            "detune": (-99, 99), "level": (-60, 0), "reverb": (0.05, 10), "wet": (-60, 12), "equalise": (-24, 24),
            "noise": (-140, -20), "balance": (-24, 6),
        }  # fmt: skip
        for name, (low, high) in legal.items():
            value = getattr(self, name)
            if not low <= value[0] <= value[1] <= high:
                raise ValueError(f"{name} {value}: a range (low, high) within {low} to {high}")
        for name in ("dry", "noisy", "spread"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)}: 0 to 1")


PLAIN = RenderOptions(
    detune=(0, 0), level=(-20, -20), dry=1.0, equalise=(0, 0), noisy=0.0, spread=0.0, balance=(0, 0)
)  # the notes and nothing else


@dataclass(frozen=True)
class Effects:
    """What was drawn. `reverb` 0 is no reverb and `noise` None no noise; `equalise` holds a gain in dB a band."""

    detune: float
    level: float
    reverb: float
    wet: float
    equalise: tuple[float, ...]
    noise: float | None
    seed: int  # of the reverb's and the noise's samples

    def to_dict(self) -> dict[str, object]:
        return asdict(self) | {"equalise": list(self.equalise)}


def draw_effects(rng: random.Random, options: RenderOptions) -> Effects:
    """Effects from the ranges. The number of draws is always the same, so options do not shift one another."""
    dry, noisy = rng.random() < options.dry, rng.random() < options.noisy
    reverb = math.exp(rng.uniform(*(math.log(edge) for edge in options.reverb)))
    noise = round(rng.uniform(*options.noise), 2)
    return Effects(
        detune=round(rng.uniform(*options.detune), 2),
        level=round(rng.uniform(*options.level), 2),
        wet=round(rng.uniform(*options.wet), 2),
        equalise=tuple(round(rng.uniform(*options.equalise), 2) for _ in BANDS),
        noise=noise if noisy else None,
        reverb=0.0 if dry else round(reverb, 3),
        seed=rng.getrandbits(32),
    )


def apply_effects(samples: Samples, sample_rate: int, effects: Effects) -> Samples:
    """[C, S] float32 with equaliser, reverb, level and noise; as long as it came. Silence stays silence."""
    generator = np.random.default_rng(effects.seed)
    channels, length = samples.shape
    if effects.reverb or any(effects.equalise):
        response = room(effects, channels, sample_rate, generator)  # [C, n]
        samples = convolve(samples, response)[:, :length]
    samples = set_level(samples, effects.level)
    if effects.noise is not None:
        floor = 10 ** (effects.noise / 20)
        samples = samples + floor * generator.standard_normal(samples.shape, dtype=np.float32)
    return np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False)


def room(effects: Effects, channels: int, sample_rate: int, generator: np.random.Generator) -> Samples:
    """Impulse responses [C, n]: the direct sound, then noise that decays exponentially, bass longer than treble.

    A late reverberant field is Gaussian noise under an exponential envelope (Moorer 1979, About this reverberation business).
    Each band of the noise has its own time; early echoes stand before it, and the equaliser colours all.
    """
    tail = int(min(effects.reverb, 6.0) * sample_rate)
    length = max(tail, sample_rate // 20) + sample_rate // 20
    size = 1 << (2 * length - 1).bit_length()
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    spectrum = np.ones((channels, len(frequencies)), np.complex64)
    if effects.reverb:
        late = np.zeros((channels, size), np.float32)
        late[:, :length] = _decay(effects.reverb, channels, length, sample_rate, generator)
        late /= np.sqrt((late**2).sum() / channels)
        spectrum += np.float32(10 ** (effects.wet / 20)) * np.fft.rfft(late)
    gains = np.interp(np.log(np.maximum(frequencies, 1.0)), np.log(BANDS), effects.equalise)
    spectrum *= minimum_phase(gains, size)
    return np.fft.irfft(spectrum, size)[:, :length].astype(np.float32)


def minimum_phase(gains: Samples, size: int) -> Samples:
    """The spectrum of the causal filter with these gains (dB, at the bins of a real FFT of `size`) that delays least.

    Its logarithm is the spectrum of the gains' cepstrum folded onto positive times (Oppenheim and Schafer, chapter on the
    complex cepstrum).
    """
    cepstrum = np.fft.irfft(gains * (np.log(10) / 20), size)
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    return np.exp(np.fft.rfft(cepstrum)).astype(np.complex64)


def _decay(seconds: float, channels: int, length: int, rate: int, generator: np.random.Generator) -> Samples:
    noise = generator.standard_normal((channels, length), dtype=np.float32)
    spectrum = np.fft.rfft(noise)
    frequencies = np.fft.rfftfreq(length, 1 / rate)
    time = np.arange(length, dtype=np.float32) / rate
    out = np.zeros((channels, length), np.float32)
    edges = [0.0, 250.0, 1000.0, 4000.0, rate]
    for low, high, factor in zip(edges, edges[1:], (1.15, 1.0, 0.8, 0.45), strict=False):
        band = spectrum * ((frequencies >= low) & (frequencies < high)).astype(np.float32)
        # 60 dB of amplitude are a factor of 1000: exp(-6.908).
        out += np.fft.irfft(band, length).astype(np.float32) * np.exp(-6.908 / (seconds * factor) * time)
    early = int(generator.uniform(0.004, 0.04) * rate)
    out[:, :early] = 0.0
    for _ in range(5):
        place = int(generator.uniform(0.3, 1.0) * early)
        out[:, place] += generator.uniform(-1.0, 1.0, channels).astype(np.float32) * 8.0
    return out


def convolve(samples: Samples, response: Samples) -> Samples:
    """[C, S] with [C, n]: [C, S + n - 1] by overlap-add of FFT blocks."""
    channels, length = samples.shape
    taps = response.shape[1]
    size = 1 << (4 * taps - 1).bit_length()
    hop = size - taps + 1
    spectrum = np.fft.rfft(response, size).astype(np.complex64)
    out = np.zeros((channels, length + taps - 1 + size), np.float32)
    for start in range(0, length, hop):
        block = samples[:, start : start + hop]
        out[:, start : start + size] += np.fft.irfft(np.fft.rfft(block, size) * spectrum, size)
    return out[:, : length + taps - 1]


def set_level(samples: Samples, level: float) -> Samples:
    """Scaled so that the RMS of what sounds (above -50 dB of the peak) is `level` dB full scale; the peak stays under 0.98.

    What sounds is told by blocks of 512 samples; fewer samples are one block.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        return samples
    block = min(512, samples.shape[1])
    usable = samples.shape[1] // block * block
    power = (samples[:, :usable].astype(np.float64) ** 2).reshape(samples.shape[0], -1, block).mean((0, 2))
    loud = power[power > peak**2 * 1e-5]
    rms = math.sqrt(loud.mean()) if len(loud) else peak
    gain = min(10 ** (level / 20) / rms, CEILING / peak)
    return samples * np.float32(gain)
