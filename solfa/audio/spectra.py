"""Short-time spectra in torch: STFT and mel spectrograms, differentiable, with cached windows and filters.

All take samples [..., S] on any device. float64 is computed in float64, all else in float32, also under autocast:
half precision would lose the quiet bands that the losses and metrics look at.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

SCALES = ("slaney", "htk")
NORMS = ("slaney", None)
PAD_MODES = ("reflect", "constant")


def hann_window(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The periodic Hann window [length], cached."""
    return _window(length, device, dtype)


@lru_cache(maxsize=64)
def _window(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    # A tensor made in inference mode could never be used in training again, and the cache would keep it.
    with torch.inference_mode(False):
        return torch.hann_window(length, dtype=torch.float64).to(device, dtype)


def reflect_pad(samples: Tensor, left: int, right: int) -> Tensor:
    """Pads [..., S] by its mirror image, as numpy does: also further than S, and one sample by itself."""
    length = samples.shape[-1]
    if length == 0:
        raise ValueError("no samples to pad")
    if max(left, right) < length:
        flat = functional.pad(samples.reshape(-1, length), (left, right), mode="reflect")
        return flat.reshape(*samples.shape[:-1], length + left + right)
    period = max(1, 2 * (length - 1))
    index = torch.arange(-left, length + right, device=samples.device).remainder(period)
    return samples[..., torch.minimum(index, period - index) if length > 1 else torch.zeros_like(index)]


def stft(samples: Tensor, n_fft: int, hop: int, *, center: bool = True, pad_mode: str = "reflect") -> Tensor:
    """Complex STFT [..., n_fft // 2 + 1, T] with a periodic Hann window and no scaling.

    With `center`, n_fft // 2 samples are padded on either side (`pad_mode` "reflect", as torch and audiotools do, or
    "constant": zeros, as librosa does) and T = 1 + S // hop for even n_fft; without it T = 1 + (S - n_fft) // hop.
    """
    if n_fft < 1 or hop < 1:
        raise ValueError(f"n_fft {n_fft} and hop {hop}: samples, at least 1")
    if pad_mode not in PAD_MODES:
        raise ValueError(f"pad_mode {pad_mode!r}: one of {PAD_MODES}")
    with torch.autocast(samples.device.type, enabled=False):
        samples = samples if samples.dtype == torch.float64 else samples.float()
        half = n_fft // 2
        if center:
            reflect = pad_mode == "reflect"
            samples = reflect_pad(samples, half, half) if reflect else functional.pad(samples, (half, half))
        if samples.shape[-1] < n_fft:
            raise ValueError(f"{samples.shape[-1]} samples are less than one window of {n_fft}; center=True pads them")
        window = hann_window(n_fft, samples.device, samples.dtype)
        flat = samples.reshape(-1, samples.shape[-1])
        spectrum = torch.stft(flat, n_fft, hop, window=window, center=False, return_complex=True)
    return spectrum.reshape(*samples.shape[:-1], *spectrum.shape[-2:])  # [..., F, T]


def stft_magnitude(samples: Tensor, n_fft: int, hop: int, *, center: bool = True, pad_mode: str = "reflect") -> Tensor:
    """|STFT| [..., n_fft // 2 + 1, T]; see `stft`."""
    return stft(samples, n_fft, hop, center=center, pad_mode=pad_mode).abs()


def multi_resolution_stft(samples: Tensor, windows: Sequence[int]) -> list[Tensor]:
    """|STFT| at each window length with a hop of a quarter of it: a list of [..., F_w, T_w]."""
    return [stft_magnitude(samples, window, max(1, window // 4)) for window in windows]


def hz_to_mel(hz: Tensor, scale: str = "slaney") -> Tensor:
    """Mel of Hz: "slaney" is linear below 1 kHz and logarithmic above it, "htk" is 2595 log10(1 + f / 700)."""
    if scale == "htk":
        return 2595 * torch.log10(1 + hz / 700)
    return torch.where(hz < 1000, hz * 3 / 200, 15 + 27 * torch.log(hz.clamp(min=1) / 1000) / math.log(6.4))


def mel_to_hz(mel: Tensor, scale: str = "slaney") -> Tensor:
    """The inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def mel_filterbank(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    f_min: float = 0.0,
    f_max: float | None = None,
    norm: str | None = "slaney",
    scale: str = "slaney",
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Triangular mel filters [n_mels, n_fft // 2 + 1], the same as librosa's; cached, so never change them in place.

    `f_max` defaults to half the rate. `norm` "slaney" gives each triangle an area of 1 in Hz, None a peak of 1. With
    many mels and a short window the lowest triangles can fall between two bins and be all zero, as in librosa and
    audiotools.
    """
    f_max = sample_rate / 2 if f_max is None else float(f_max)
    if scale not in SCALES or norm not in NORMS:
        raise ValueError(f"scale {scale!r} and norm {norm!r}: scale one of {SCALES}, norm one of {NORMS}")
    if n_mels < 1 or not 0 <= f_min < f_max <= sample_rate / 2:
        raise ValueError(f"{n_mels} mels from {f_min} to {f_max} Hz: at least 1, within 0 to {sample_rate / 2:g} Hz")
    return _filterbank(sample_rate, n_fft, n_mels, float(f_min), f_max, norm, scale, torch.device(device), dtype)


@lru_cache(maxsize=64)
def _filterbank(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    f_min: float,
    f_max: float,
    norm: str | None,
    scale: str,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    with torch.inference_mode(False):
        bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft  # [F] Hz
        low, high = hz_to_mel(torch.tensor([f_min, f_max], dtype=torch.float64), scale).tolist()
        edges = mel_to_hz(torch.linspace(low, high, n_mels + 2, dtype=torch.float64), scale)  # [M + 2] Hz
        widths = edges.diff()
        rising = (bins - edges[:-2, None]) / widths[:-1, None]
        falling = (edges[2:, None] - bins) / widths[1:, None]
        filters = torch.minimum(rising, falling).clamp(min=0)  # [M, F]
        if norm == "slaney":
            filters = filters * (2 / (edges[2:] - edges[:-2]))[:, None]
        return filters.to(device, dtype)


def mel_spectrogram(
    samples: Tensor,
    sample_rate: int,
    n_fft: int,
    hop: int,
    n_mels: int,
    *,
    f_min: float = 0.0,
    f_max: float | None = None,
    power: float = 1.0,
    scale: str = "slaney",
    norm: str | None = "slaney",
    center: bool = True,
    pad_mode: str = "reflect",
) -> Tensor:
    """Mel spectrogram [..., M, T] of samples [..., S]: mel filters over |STFT| (power 1) or |STFT|^2 (power 2)."""
    if power not in (1.0, 2.0):
        raise ValueError(f"power {power}: 1 (magnitude) or 2 (power)")
    magnitude = stft_magnitude(samples, n_fft, hop, center=center, pad_mode=pad_mode)
    with torch.autocast(samples.device.type, enabled=False):
        filters = mel_filterbank(
            sample_rate, n_fft, n_mels, f_min, f_max, norm, scale, device=magnitude.device, dtype=magnitude.dtype
        )
        return filters @ (magnitude if power == 1.0 else magnitude.square())


def log_mel_spectrogram(
    samples: Tensor,
    sample_rate: int,
    n_fft: int,
    hop: int,
    n_mels: int,
    *,
    floor: float = 1e-5,
    power: float = 1.0,
    center: bool = True,
) -> Tensor:
    """log10 of the mel spectrogram, not below log10(floor): [..., M, T]. Slaney scale and norm."""
    if not floor > 0:
        raise ValueError(f"floor {floor}: above 0")
    return mel_spectrogram(samples, sample_rate, n_fft, hop, n_mels, power=power, center=center).clamp(min=floor).log10()
