"""Chroma in torch: the energy of the twelve pitch classes, C first, from an STFT or from a constant-Q transform."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.audio.cqt import C1, cqt
from solfa.audio.spectra import stft, stft_magnitude

PITCH_CLASSES = 12


def chroma_filterbank(
    sample_rate: int, n_fft: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """Weights [12, n_fft // 2 + 1] from FFT bins to pitch classes (A = 440 Hz), as librosa.filters.chroma; cached.

    After Ellis (2007), "Chroma feature analysis and synthesis": a Gaussian around each pitch class, columns of unit
    Euclidean norm, and a Gaussian of two octaves around 880 Hz.
    """
    return _filterbank(sample_rate, n_fft, torch.device(device), dtype)


@lru_cache(maxsize=16)
def _filterbank(sample_rate: int, n_fft: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        hertz = torch.arange(1, n_fft, dtype=torch.float64) * sample_rate / n_fft
        pitch = PITCH_CLASSES * torch.log2(hertz / (440 / 16))
        # 0 Hz has no pitch: it is put one and a half octaves below the first bin.
        pitch = torch.cat([pitch[:1] - 1.5 * PITCH_CLASSES, pitch])  # [n_fft]
        width = torch.cat([pitch.diff().clamp(min=1), torch.ones(1, dtype=torch.float64)])
        distance = pitch - torch.arange(PITCH_CLASSES, dtype=torch.float64)[:, None]
        distance = (distance + PITCH_CLASSES / 2).remainder(PITCH_CLASSES) - PITCH_CLASSES / 2
        weights = torch.exp(-0.5 * (2 * distance / width).square())  # [12, n_fft]
        weights = weights / weights.norm(dim=0, keepdim=True)
        weights = weights * torch.exp(-0.5 * ((pitch / PITCH_CLASSES - 5) / 2).square())
        return weights.roll(-3, 0)[:, : n_fft // 2 + 1].to(device, dtype)


def chroma_stft(samples: Tensor, sample_rate: int, n_fft: int = 2048, hop: int = 512) -> Tensor:
    """Chroma [..., 12, 1 + S // hop] of the power spectrum, each frame divided by its maximum (silence stays 0)."""
    power = stft_magnitude(samples, n_fft, hop, pad_mode="constant").square()
    filters = chroma_filterbank(sample_rate, n_fft, device=power.device, dtype=power.dtype)
    return _normalize(filters @ power)


def dominant_pitch_classes(samples: Tensor, sample_rate: int, n_fft: int, hop: int) -> Tensor:
    """The strongest pitch class of each frame of samples [S]: [1 + S // hop] of 0 (C) to 11; silence is C.

    The chroma of MusicGen (Copet et al., 2023): of the power spectrum; a sound shorter than a frame is padded to one.
    """
    short = max(0, n_fft - len(samples))
    samples = F.pad(samples, (short // 2, short - short // 2))
    power = stft(samples, n_fft, hop).abs().square()  # [F, T]
    return (chroma_filterbank(sample_rate, n_fft) @ power).argmax(0)


def chroma_cqt(
    samples: Tensor, sample_rate: int, hop: int = 512, *, octaves: int = 7, bins_per_octave: int = 36, f_min: float = C1
) -> Tensor:
    """Chroma [..., 12, 1 + S // hop] folded from |CQT| over `octaves`, each frame divided by its maximum.

    `f_min` is the frequency of a note of the tempered scale at A = 440 Hz. As librosa.feature.chroma_cqt with tuning 0.
    """
    if bins_per_octave % PITCH_CLASSES:
        raise ValueError(f"bins_per_octave {bins_per_octave}: a multiple of {PITCH_CLASSES}")
    bins = octaves * bins_per_octave
    spectrum = cqt(samples, sample_rate, hop, f_min=f_min, n_bins=bins, bins_per_octave=bins_per_octave).abs()
    merge = bins_per_octave // PITCH_CLASSES
    first = round(12 * math.log2(f_min / 440)) + 69  # MIDI pitch of the lowest bin
    index = torch.arange(bins, device=samples.device)
    # The bins of a pitch class lie around its centre: with three a semitone, one below and one above.
    classes = ((index + merge // 2) // merge + first) % PITCH_CLASSES
    folded = spectrum.new_zeros(*spectrum.shape[:-2], PITCH_CLASSES, spectrum.shape[-1])
    return _normalize(folded.index_add(-2, classes, spectrum))


def _normalize(chroma: Tensor) -> Tensor:
    # Where all is quieter than the smallest normal number, dividing would only blow up rounding.
    peak = chroma.amax(-2, keepdim=True)
    return torch.where(peak > torch.finfo(chroma.dtype).tiny, chroma / peak.clamp(min=1e-45), chroma)
