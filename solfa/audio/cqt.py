"""The constant-Q transform in torch: log-spaced frequencies, each seen through a window of equally many periods.

Brown and Puckette (1992): windowed complex tones of Q periods, applied in the frequency domain. Filters, lengths and
scaling follow librosa.cqt, but every octave is computed at the full sample rate, where librosa halves the rate octave
by octave.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

C1 = 440 * 2 ** (-45 / 12)  # Hz


def cqt_frequencies(n_bins: int, bins_per_octave: int = 12, f_min: float = C1) -> Tensor:
    """Centre frequencies in Hz [n_bins], float64."""
    return f_min * 2 ** (torch.arange(n_bins, dtype=torch.float64) / bins_per_octave)


def cqt(
    samples: Tensor,
    sample_rate: int,
    hop: int = 512,
    *,
    f_min: float = C1,
    n_bins: int = 84,
    bins_per_octave: int = 12,
) -> Tensor:
    """Complex constant-Q transform [..., n_bins, 1 + S // hop] of samples [..., S]; frames are centred, zeros outside.

    Scaled as librosa's (`scale=True`): by the square root of each filter's length, so that white noise is flat.
    Raises ValueError when the highest filter reaches beyond half the sample rate.
    """
    if hop < 1 or n_bins < 1 or bins_per_octave < 2 or not f_min > 0:
        given = f"hop {hop}, n_bins {n_bins}, bins_per_octave {bins_per_octave}, f_min {f_min}"
        raise ValueError(f"{given}: at least 1, 1, 2 and above 0")
    samples = samples if samples.dtype == torch.float64 else samples.float()
    flat = samples.reshape(-1, samples.shape[-1])
    octaves = []
    for first in range(0, n_bins, bins_per_octave):
        count = min(bins_per_octave, n_bins - first)
        key = (sample_rate, f_min, bins_per_octave, first, count, flat.device, flat.dtype)
        octaves.append(_octave(flat, hop, *_kernels(*key)))
    result = torch.cat(octaves, dim=1)  # [N, n_bins, T]
    return result.reshape(*samples.shape[:-1], *result.shape[-2:])


def _octave(flat: Tensor, hop: int, kernels: Tensor, low: int, n_fft: int) -> Tensor:
    frames = 1 + flat.shape[-1] // hop
    padded = functional.pad(flat, (n_fft // 2, n_fft // 2))
    step = max(1, (1 << 22) // n_fft)  # frames at a time: long windows overlap hundreds of times
    pieces = []
    for begin in range(0, frames, step):
        stop = min(begin + step, frames)
        windows = padded[:, begin * hop : (stop - 1) * hop + n_fft].unfold(-1, n_fft, hop)  # [N, t, n_fft]
        spectrum = torch.fft.rfft(windows)[..., low : low + kernels.shape[-1]]
        pieces.append(kernels @ spectrum.transpose(1, 2))
    return torch.cat(pieces, dim=-1)  # [N, bins, T]


@lru_cache(maxsize=128)
def _kernels(
    sample_rate: int, f_min: float, per_octave: int, first: int, count: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, int, int]:
    # Conjugate spectra [bins, band] of the filters of one octave, the first FFT bin of their band, and the FFT size.
    with torch.inference_mode(False):
        ratio = 2 ** (2 / per_octave)
        quality = (ratio + 1) / (ratio - 1)
        frequencies = f_min * 2 ** ((first + torch.arange(count, dtype=torch.float64)) / per_octave)
        lengths = quality * sample_rate / frequencies
        # The Hann window's main lobe is 1.5 bins of the filter's own length wide on either side.
        if float(frequencies[-1]) * (1 + 0.75 / quality) > sample_rate / 2:
            raise ValueError(f"a bin at {float(frequencies[-1]):.0f} Hz reaches beyond {sample_rate / 2:g} Hz")
        n_fft = 2 ** math.ceil(math.log2(float(lengths.max()) + 1))
        filters = torch.zeros(count, n_fft, dtype=torch.complex128)
        for row, length, frequency in zip(filters, lengths.tolist(), frequencies.tolist(), strict=True):
            begin, stop = math.floor(-length / 2), math.floor(length / 2)
            time = torch.arange(begin, stop, dtype=torch.float64)
            window = torch.hann_window(len(time), dtype=torch.float64)
            tone = torch.polar(window / window.sum(), 2 * math.pi * frequency / sample_rate * time)
            at = (n_fft - len(time)) // 2
            row[at : at + len(time)] = tone * math.sqrt(length)
        # The correlation with a filter is the product with its conjugate spectrum (Parseval): sum_n x[n] conj(g[n]).
        spectra = torch.fft.fft(filters).conj()[:, : n_fft // 2 + 1] / n_fft
        strong = (spectra.abs() > 1e-6 * spectra.abs().max()).any(0).nonzero()
        low, high = int(strong.min()), int(strong.max()) + 1
        kind = torch.complex128 if dtype == torch.float64 else torch.complex64
        return spectra[:, low:high].to(device, kind), low, n_fft
