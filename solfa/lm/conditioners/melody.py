"""Melody as MusicGen hears it (Copet et al., 2023, arXiv 2306.05284): which pitch class is strongest, a frame at a time.

The narrowness is the point: of a sound only its tune is left, not its timbre. MusicGen separated voices and other melodic stems first
(Demucs); whoever has stems passes them, a whole mix works too.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.audio.chroma import PITCH_CLASSES, dominant_pitch_classes
from solfa.lm.conditioners.sound import Sound, mono


@dataclass(frozen=True)
class MelodyConfig:
    """How chroma is taken: sample_rate in Hz, n_fft and hop in samples; frames: how many stand before the first step."""

    sample_rate: int = 32_000
    n_fft: int = 16_384
    hop: int = 4_096
    frames: int = 235

    def __post_init__(self) -> None:
        for name, least, most in (
            ("sample_rate", 1000, 768_000),
            ("n_fft", 16, 1 << 20),
            ("hop", 1, 1 << 20),
            ("frames", 1, 1 << 16),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between {least} and {most}")

    @property
    def samples(self) -> int:
        """The samples that bear on the frames; later ones are not heard."""
        return (self.frames - 1) * self.hop + self.n_fft // 2


class Melody(nn.Module):
    """Sounds to vectors [B, frames, D] that stand before the first step."""

    def __init__(self, config: MelodyConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Linear(PITCH_CLASSES, width)

    def features(self, sounds: Sequence[Sound | None]) -> Tensor:
        """One-hot pitch classes [B, frames, 12], C first, on the CPU. A shorter sound is repeated, a longer one cut, and said.

        None is the null condition, C throughout, as the released models were trained.
        """
        rows = []
        for sound in sounds:
            row = (
                dominant_chroma(mono(sound, self.config.sample_rate), self.config)
                if sound is not None
                else null_chroma()
            )
            rows.append(row.repeat(-(-self.config.frames // len(row)), 1)[: self.config.frames])
        return torch.stack(rows)

    def forward(self, features: Tensor) -> Tensor:
        """What `features` gave, projected: [B, frames, D]."""
        return self.project(features.to(self.project.weight))


def null_chroma() -> Tensor:
    """One frame [1, 12] of the null condition."""
    return F.one_hot(torch.zeros(1, dtype=torch.int64), PITCH_CLASSES).float()


def dominant_chroma(samples: Tensor, config: MelodyConfig) -> Tensor:
    """The strongest pitch class of each frame of samples [S], one-hot: [T, 12], T = 1 + S // hop, at most `frames`; silence is C."""
    if len(samples) > config.frames * config.hop:
        seconds = len(samples) / config.sample_rate
        heard = config.frames * config.hop / config.sample_rate
        warnings.warn(f"a melody of {seconds:.1f} s: the first {heard:.1f} s are heard", RuntimeWarning, stacklevel=2)
    samples = samples[: config.samples + config.n_fft]
    strongest = dominant_pitch_classes(samples, config.sample_rate, config.n_fft, config.hop)
    return F.one_hot(strongest, PITCH_CLASSES).float()[: config.frames]
