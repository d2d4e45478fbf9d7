"""How near a decoded recording is to the original: pure functions over arrays, each with its unit, range and source.

All take a reference and an estimate of one shape, [S] or [C, S], numpy or torch, and give a float. The field's tables
define "mel" and "STFT distance" in many ways: compare a number only with others of the same function at the same rate.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from solfa.audio.loudness import LOWEST_RATE, integrated_loudness
from solfa.audio.resample import resample
from solfa.audio.spectra import log_mel_spectrogram, reflect_pad, stft_magnitude
from solfa.eval.evaluation import Measure

Samples = np.ndarray | Tensor

LIMIT = 100.0  # dB: si_sdr lies within -100 and 100, so that a mean over clips stays finite
FLOOR = 1e-5  # of magnitudes before their logarithm
BLOCK = 1 << 18  # samples of a channel whose spectra are held at a time
HIGHEST_RATE = 1_000_000  # Hz that are compared
LOG_MEL_RATE = 24000  # Hz at which `log_mel_distance` is reported
DAC_MELS = (5, 10, 20, 40, 80, 160, 320)
DAC_MEL_WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
DAC_STFT_WINDOWS = (2048, 512)

MEASURES = (
    Measure(
        "si_sdr",
        "Scale-invariant signal-to-distortion ratio (Le Roux et al., 2019): 10 log10(|a r|^2 / |e - a r|^2), a = <e, r> / <r, r>. Means "
        "stay; all channels are one vector (torchmetrics: a value a channel); limited to 100 dB either way.",
        "dB",
        -LIMIT,
        LIMIT,
        "higher",
    ),
    Measure(
        "si_snr",
        "Scale-invariant signal-to-noise ratio (Luo and Mesgarani, 2018): si_sdr after the mean was taken off each channel.",
        "dB",
        -LIMIT,
        LIMIT,
        "higher",
    ),
    Measure(
        "log_mel",
        "Mean |log10 mel - log10 mel| of magnitude mel spectrograms at 24 kHz: 80 slaney bands from 0 to 12 kHz, window 1024, hop 256, "
        "floor 1e-5. Not DAC's mel distance; 0.05 is a decibel everywhere.",
        "log10",
        0.0,
        math.inf,
        "lower",
    ),
    Measure(
        "stft",
        "Multi-resolution STFT distance as DAC reports it (audiotools; Kumar et al., 2023): mean |X - Y| + mean |log10 X^2 - log10 Y^2|, "
        "summed over windows of 2048 and 512, hop a quarter, at the clip's rate. That of Yamamoto et al. (2020) is another: it has "
        "spectral convergence and natural logarithms.",
        "",
        0.0,
        math.inf,
        "lower",
    ),
    Measure(
        "dac_mel",
        "Multi-scale mel distance in DAC's definition (Kumar et al., 2023): mean |log10 mel - log10 mel| summed over 5, 10, 20, 40, 80, "
        "160, 320 slaney bands at windows of 32 to 2048 samples, hop a quarter, floor 1e-5, at the clip's rate.",
        "log10",
        0.0,
        math.inf,
        "lower",
    ),
    Measure("l1", "Mean absolute difference of the samples; full scale is 1.", "", 0.0, math.inf, "lower"),
    Measure(
        "loudness",
        "Integrated loudness of the estimate minus that of the reference (ITU-R BS.1770-4, floor -70 LUFS; a clip under 0.4 s is "
        "followed by silence).",
        "LU",
        -math.inf,
        math.inf,
        "zero",
    ),
)


@dataclass(frozen=True)
class CodecScores:
    """What `score` measures of one clip: a field for each of MEASURES, which tells its unit and direction."""

    si_sdr: float
    si_snr: float
    log_mel: float  # always at 24 kHz
    stft: float  # at the clip's rate, like the next
    dac_mel: float
    l1: float
    loudness: float


def check_rate(sample_rate: int) -> None:
    """ValueError for a rate below 8 kHz, whose loudness is not defined, or above 1 MHz. Asked before anything is resampled: a second
    of a file that lies about its rate may be a day of it."""
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise ValueError(f"sample rate {sample_rate}: {LOWEST_RATE} to {HIGHEST_RATE} Hz can be compared")


def score(reference: Samples, estimate: Samples, sample_rate: int) -> CodecScores:
    """All the metrics of this file for one clip; for `log_mel` both are resampled to 24 kHz (soxr HQ). Raises as `check_rate`."""
    check_rate(sample_rate)
    x, y = pair(reference, estimate)
    x_24k, y_24k = (resample(signal, sample_rate, LOG_MEL_RATE) for signal in (x, y))
    return CodecScores(
        si_sdr=si_sdr(x, y),
        si_snr=si_snr(x, y),
        log_mel=log_mel_distance(x_24k, y_24k, LOG_MEL_RATE),
        stft=stft_distance(x, y),
        dac_mel=dac_mel_distance(x, y, sample_rate),
        l1=waveform_l1(x, y),
        loudness=loudness_difference(x, y, sample_rate),
    )


def si_sdr(reference: Samples, estimate: Samples, *, zero_mean: bool = False) -> float:
    """Scale-invariant signal-to-distortion ratio in dB; higher is better, an unrelated signal is far below 0.

    Le Roux et al. (2019), "SDR, half-baked or well done?": 10 log10(|a r|^2 / |e - a r|^2) with a = <e, r> / <r, r>,
    in float64. Channels are taken together as one vector, where torchmetrics and others give a value a channel.
    `zero_mean` first takes the mean off each channel. The result is limited to [-100, 100]: 100 for a multiple of the
    reference, -100 where either is silent (both: 100); others add an epsilon instead. SDR of BSS Eval (mir_eval) is
    another number: it forgives any filter of 512 taps, this only a gain.
    """
    x, y = pair(reference, estimate)
    means = [signal.mean(-1, keepdim=True, dtype=torch.float64) * zero_mean for signal in (x, y)]
    energy = shared = signal = noise = 0.0
    sounds, same = False, True
    for a, b in _blocks(x, y, *means):
        energy, shared = energy + float(a @ a), shared + float(b @ a)
        sounds, same = sounds or bool(b.any()), same and torch.equal(a, b)
    if energy == 0 or not sounds:
        return LIMIT if same else -LIMIT
    for a, b in _blocks(x, y, *means):
        target = shared / energy * a
        signal, noise = signal + float(target @ target), noise + float((b - target) @ (b - target))
    if noise == 0 or signal == 0:
        return LIMIT if noise == 0 else -LIMIT
    return min(LIMIT, max(-LIMIT, 10 * (math.log10(signal) - math.log10(noise))))


def si_snr(reference: Samples, estimate: Samples) -> float:
    """Scale-invariant signal-to-noise ratio in dB (Luo and Mesgarani, 2018): `si_sdr` with the means taken off."""
    return si_sdr(reference, estimate, zero_mean=True)


def waveform_l1(reference: Samples, estimate: Samples) -> float:
    """Mean absolute difference of the samples: 0 is best, 2 the most between samples within [-1, 1]."""
    x, y = pair(reference, estimate)
    return sum(float((a - b).abs().sum()) for a, b in _blocks(x, y)) / x.numel()


def log_mel_distance(
    reference: Samples, estimate: Samples, sample_rate: int, *, n_mels: int = 80, n_fft: int = 1024, hop: int = 256
) -> float:
    """Mean |log10 mel(reference) - log10 mel(estimate)|: 0 is best, 0.05 is a decibel everywhere.

    Magnitude mel spectrograms (power 1, slaney scale and norm, 0 Hz to half the rate, centred frames, reflected ends),
    not below 1e-5. With the defaults at 24 kHz this is solfa's figure for a codec; others of the name take natural
    logarithms, powers or another number of bands.
    """
    x, y = pair(reference, estimate)
    return _log_mel_l1(x, y, sample_rate, n_fft, hop, n_mels)


def dac_mel_distance(reference: Samples, estimate: Samples, sample_rate: int) -> float:
    """The multi-scale mel loss of DAC (Kumar et al., 2023): 0 is best; a sum over seven scales.

    For 5, 10, 20, 40, 80, 160, 320 mels over windows of 32, 64, 128, 256, 512, 1024, 2048 samples (hop a quarter,
    whatever the sample rate): mean |log10 mel - log10 mel| as in `log_mel_distance`, summed.
    """
    x, y = pair(reference, estimate)
    scales = zip(DAC_MELS, DAC_MEL_WINDOWS, strict=True)
    return sum(_log_mel_l1(x, y, sample_rate, window, window // 4, mels) for mels, window in scales)


def stft_distance(reference: Samples, estimate: Samples) -> float:
    """The multi-scale STFT loss of audiotools that DAC reports: 0 is best.

    For windows of 2048 and 512 samples (Hann, hop a quarter): mean |X - Y| + mean |log10 X^2 - log10 Y^2| over the
    magnitudes X and Y, in the logarithm not below 1e-5; summed. The loss of Yamamoto et al. (2020), auraloss's default,
    has spectral convergence in place of the first term and natural logarithms of magnitudes in the second.
    """
    x, y = pair(reference, estimate)
    total = 0.0
    for window in DAC_STFT_WINDOWS:
        total += _frame_mean(x, y, window, window // 4, _linear_and_log)
    return total


def _linear_and_log(x: Tensor, y: Tensor, n_fft: int, hop: int) -> Tensor:
    spectra = [stft_magnitude(signal, n_fft, hop, center=False) for signal in (x, y)]
    logs = [spectrum.clamp(min=FLOOR).log10() * 2 for spectrum in spectra]
    return (spectra[0] - spectra[1]).abs() + (logs[0] - logs[1]).abs()


def loudness_difference(reference: Samples, estimate: Samples, sample_rate: int) -> float:
    """Loudness of the estimate minus that of the reference, in LU (BS.1770-4, floor -70 LUFS); 0 is best."""
    x, y = pair(reference, estimate)
    return integrated_loudness(y, sample_rate) - integrated_loudness(x, sample_rate)


def bitrate(bits: int, samples: int, sample_rate: int) -> float:
    """Bits a second of a clip of `samples` at `sample_rate` that took `bits`."""
    if bits < 0 or samples < 1 or sample_rate < 1:
        raise ValueError(f"{bits} bits for {samples} samples at {sample_rate} Hz: at least 0, 1 and 1")
    return bits * sample_rate / samples


def token_bitrate(frame_rate: float, codebooks: int, codebook_size: int) -> float:
    """Bits a second of `codebooks` codes a frame, each packed into the bits that `codebook_size` values need."""
    if not frame_rate > 0 or codebooks < 1 or codebook_size < 1:
        raise ValueError(f"{codebooks} codebooks of {codebook_size} at {frame_rate} Hz: at least 1, 1 and above 0")
    return frame_rate * codebooks * (codebook_size - 1).bit_length()


def _log_mel_l1(x: Tensor, y: Tensor, sample_rate: int, n_fft: int, hop: int, n_mels: int) -> float:
    def distances(x: Tensor, y: Tensor, n_fft: int, hop: int) -> Tensor:
        settings: dict[str, Any] = {"floor": FLOOR, "center": False}
        first, second = (log_mel_spectrogram(z, sample_rate, n_fft, hop, n_mels, **settings) for z in (x, y))
        return (first - second).abs()

    return _frame_mean(x, y, n_fft, hop, distances)


def _frame_mean(
    x: Tensor, y: Tensor, n_fft: int, hop: int, distances: Callable[[Tensor, Tensor, int, int], Tensor]
) -> float:
    """The mean of `distances` [..., T] over the frames of an STFT that is centred, its ends reflected: block by block, so that no
    spectrogram is held whole. Each is of pieces whose frames are not centred."""
    half = n_fft // 2
    x, y = (reflect_pad(signal, half, half) for signal in (x, y))
    frames, step = 1 + (x.shape[-1] - n_fft) // hop, max(1, BLOCK // hop)
    total, count = 0.0, 0
    for first in range(0, frames, step):
        piece = slice(first * hop, (min(first + step, frames) - 1) * hop + n_fft)
        found = distances(x[..., piece], y[..., piece], n_fft, hop)
        total += float(found.sum(dtype=torch.float64))
        count += found.numel()
    return total / count


def _blocks(x: Tensor, y: Tensor, *means: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both [n] in float64, channel after channel within a block, without their means: long clips are not held again in that type."""
    parts = (signal.split(BLOCK, -1) for signal in (x, y))
    for a, b in zip(*parts, strict=True):
        first, second = means or (0.0, 0.0)
        yield (a.double() - first).flatten(), (b.double() - second).flatten()


def pair(reference: Samples, estimate: Samples) -> tuple[Tensor, Tensor]:
    """Both as CPU tensors of one floating type; ValueError for what cannot be compared sample by sample."""
    x, y = (torch.as_tensor(signal).detach().cpu() for signal in (reference, estimate))
    if x.shape != y.shape or x.ndim not in (1, 2) or x.numel() == 0:
        raise ValueError(f"reference {list(x.shape)} and estimate {list(y.shape)}: one shape, [S] or [C, S], not empty")
    if not (x.is_floating_point() and y.is_floating_point()):
        raise ValueError(f"reference of {x.dtype} and estimate of {y.dtype}: floating point samples")
    if not (x.isfinite().all() and y.isfinite().all()):
        raise ValueError("reference or estimate holds NaN or infinite samples")
    kind = torch.float64 if torch.float64 in (x.dtype, y.dtype) else torch.float32
    return x.to(kind), y.to(kind)
