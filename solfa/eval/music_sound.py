"""What all the analysers of music begin with: one channel at one rate."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solfa.audio.resample import resample

RATE = 24000  # Hz that everything is analysed at
SILENT = 1e-5  # a peak below this (-100 dB of full scale) is silence

Floats = NDArray[np.float64]


def prepared(samples: NDArray[np.float32], sample_rate: int) -> Tensor:
    """Samples [S] or [C, S] as one channel [S'] at `RATE`, with a peak of 1; zeros for silence. Raises ValueError as `one_channel`."""
    sound = one_channel(samples, sample_rate, RATE)
    peak = float(sound.abs().max()) if len(sound) else 0.0
    return sound / peak if peak > SILENT else torch.zeros(max(1, len(sound)))


def one_channel(samples: NDArray[np.float32], sample_rate: int, rate: int) -> Tensor:
    """Samples [S] or [C, S] as one channel [S'] at `rate`: the mean of the channels, at their own level.

    Raises ValueError for other shapes, for no samples and for values that are not finite.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise ValueError(f"samples of shape {samples.shape}: [S] or [C, S], at least one sample")
    if not np.isfinite(samples).all():
        raise ValueError("samples that are not finite")
    mono = samples if samples.ndim == 1 else samples.mean(0)
    return torch.from_numpy(np.ascontiguousarray(resample(mono[None], sample_rate, rate), np.float32))[0]
