"""Sound as a condition: whatever the user has, as one channel at the rate that is needed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from solfa.audio.io import Audio
from solfa.audio.resample import resample

Sound = Audio | tuple[np.ndarray | Tensor, int]  # or samples [S], [C, S] or [1, C, S] and their rate in Hz


def mono(sound: Sound, sample_rate: int) -> Tensor:
    """Samples [S] at that rate, float32, the mean of the channels. Raises ValueError for no sound, or one that is not finite."""
    samples, rate = (sound.samples, sound.sample_rate) if isinstance(sound, Audio) else sound
    samples = torch.as_tensor(samples)
    if not samples.is_floating_point() or not 1 <= samples.ndim <= 3 or (samples.ndim == 3 and len(samples) != 1):
        raise ValueError(f"a sound of {samples.dtype}, {list(samples.shape)}: one of floats, [S] or [channels, S]")
    samples = samples.detach().float().cpu()
    if not samples.numel() or not bool(samples.isfinite().all()):
        raise ValueError("a sound that is empty, or holds NaN or infinity")
    return resample(samples.reshape(-1, samples.shape[-1]).mean(0), rate, sample_rate)
