"""Spectra by pitch: how loud each third of a semitone is, through a short, a middle and a long window.

A constant-Q transform has one window a frequency: the low notes, which need long ones, lose their onsets. Here each band is seen through
all three, and whoever reads them takes the onset from the short one and the pitch from the long one. Levels are in decibels.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from solfa.audio.spectra import hann_window, reflect_pad

WINDOWS = (0.04267, 0.128, 0.34133)  # seconds: 1024, 3072 and 8192 samples at 24 kHz, of which a transform is fast
PER_SEMITONE = 3
LOWEST = 21  # the MIDI pitch of the middle of the first three bands
HIGHEST = 12_000.0  # Hz
FLOOR = (
    -90.0
)  # dB; a sine of full scale comes to 0, give or take: -1.2 to +1.7 in its loudest band, by where it lies in it


def band_count(sample_rate: int) -> int:
    """Bands a window: those of whole semitones from `LOWEST` up to 12 kHz or half the sample rate.

    Raises ValueError where there is not one semitone.
    """
    base = 440 * 2 ** ((LOWEST - 69) / 12)
    semitones = math.floor(12 * math.log2(min(HIGHEST, sample_rate / 2) / base) - 0.5)
    if semitones < 1:
        raise ValueError(f"sample_rate is {sample_rate}: no band lies below half of it")
    return PER_SEMITONE * semitones


def bands(samples: Tensor, sample_rate: int, hop: int) -> Tensor:
    """Levels [..., 3, band_count, T] of samples [..., S], T = ceil(S / hop): 0 is -90 dB or less, 1 is 0 dB, near which a sine of full
    scale lies in its loudest band (between -1.2 and +1.7 dB, by its pitch).

    Frame t is centred at sample t * hop, the recording mirrored at its ends. Band b has the pitch LOWEST + (b - 1) / 3, and takes up the
    power of the bins near to it, triangularly weighted over a third of a semitone or one bin of the window, whichever is wider.
    """
    flat = samples.reshape(-1, samples.shape[-1]).float()
    frames = -(-flat.shape[1] // hop)
    rows = flat.split(1) if flat.device.type == "cpu" else (flat,)  # one by one they stay in the cache
    levels = [torch.stack([_levels(row, sample_rate, hop, frames, each) for each in WINDOWS], 1) for row in rows]
    return torch.cat(levels).reshape(*samples.shape[:-1], len(WINDOWS), -1, frames)


def _levels(flat: Tensor, sample_rate: int, hop: int, frames: int, seconds: float) -> Tensor:
    size = 2 * round(seconds * sample_rate / 2)
    window = hann_window(size, flat.device, flat.dtype)
    groups = _weights(sample_rate, size, flat.device)
    with torch.autocast(flat.device.type, enabled=False):
        padded = reflect_pad(flat, size // 2, size // 2 + hop)
        spectrum = torch.stft(padded, size, hop, window=window, center=False, return_complex=True)
        spectrum = spectrum[:, :, :frames]
        power = spectrum.real.square() + spectrum.imag.square()
        power = torch.cat([weights @ power[:, low : low + weights.shape[1]] for weights, low in groups], 1)
        level = torch.log10(power * (2 / float(window.sum())) ** 2 + 10 ** (FLOOR / 10))
    return level * (10 / -FLOOR) + 1  # [N, bands, T]


@lru_cache(maxsize=16)
def _weights(sample_rate: int, size: int, device: torch.device) -> tuple[tuple[Tensor, int], ...]:
    """The share of the bins in each band, some bands at a time: [bands, bins] and the first of these bins."""
    with torch.inference_mode(False):
        number = torch.arange(band_count(sample_rate), dtype=torch.float64) - 1
        middle = 440 * 2 ** ((LOWEST + number / PER_SEMITONE - 69) / 12)
        width = torch.clamp(middle * (2 ** (1 / (12 * PER_SEMITONE)) - 1), min=sample_rate / size)
        bins = torch.arange(size // 2 + 1, dtype=torch.float64) * sample_rate / size
        weights = (1 - (bins - middle[:, None]).abs() / width[:, None]).clamp(min=0)
        groups = []
        for some in weights.split(12 * PER_SEMITONE):  # an octave's bands see few of the bins
            used = some.any(0).nonzero()
            low, high = int(used.min()), int(used.max()) + 1
            groups.append((some[:, low:high].float().to(device), low))
        return tuple(groups)
