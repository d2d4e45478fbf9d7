"""Multi-scale discriminators on the waveform: MelGAN's (arXiv 1910.06711) as HiFi-GAN (2010.05646) and DAC's package have them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from solfa.audio.sinc import FILTERS
from solfa.train.discriminators.layers import DiscriminatorOutput, Stack

DOWNS = ("sinc", "pool")


@dataclass(frozen=True)
class WaveConfig:
    """Multi-scale waveform discriminator: one sub-discriminator a rate, grouped 1-D convolutions of 15, then 41, then 5 samples.

    The defaults are those of the `dac` package, whose recipes leave it out; `hifigan_waves` gives HiFi-GAN's, which HiFi-Codec uses.

    rates: what the sample rate is divided by. down: how, "sinc" (julius' windowed sinc, as DAC) or "pool" (means of 4 samples, halved
        again and again: HiFi-GAN, so rates are powers of 2).
    widths, strides, groups: of the convolutions. spectral: spectral norm at the first rate in the place of weight norm.
    """

    rates: tuple[int, ...] = (1,)
    widths: tuple[int, ...] = (16, 64, 256, 1024, 1024, 1024)
    strides: tuple[int, ...] = (1, 4, 4, 4, 4, 1)
    groups: tuple[int, ...] = (1, 4, 16, 64, 256, 1)
    slope: float = 0.1
    down: str = "sinc"
    spectral: bool = False

    def __post_init__(self) -> None:
        if self.down not in DOWNS:
            raise ValueError(f"down must be one of {', '.join(DOWNS)}, got {self.down!r}")
        if not self.rates or min(self.rates) < 1:
            raise ValueError(f"rates must be one or more whole numbers of at least 1, got {self.rates}")
        if self.down == "pool" and any(rate & (rate - 1) for rate in self.rates):
            raise ValueError(f"rates must be powers of 2 with down 'pool', got {self.rates}")
        if len(self.widths) < 3 or not len(self.widths) == len(self.strides) == len(self.groups):
            raise ValueError(
                f"widths, strides and groups must be of one length, 3 at least: {self.widths}, {self.strides}, {self.groups}"
            )


def hifigan_waves() -> WaveConfig:
    """The multi-scale discriminator of HiFi-GAN."""
    return WaveConfig(
        rates=(1, 2, 4),
        widths=(128, 128, 256, 512, 1024, 1024, 1024),
        strides=(1, 2, 2, 4, 4, 1, 1),
        groups=(1, 4, 16, 16, 16, 16, 1),
        down="pool",
        spectral=True,
    )


class WaveDiscriminator(nn.Module):
    """Looks at the waveform at a fraction of its rate."""

    kernel: Tensor

    def __init__(self, rate: int, config: WaveConfig, channels: int) -> None:
        super().__init__()
        self.rate, self.down = rate, config.down
        with torch.device("cpu"):  # numbers are needed, also where the module is built without memory
            taps, first = FILTERS["julius"].taps(rate, 1)
        self.register_buffer("kernel", torch.from_numpy(taps).float()[:, None], persistent=False)  # [1, 1, taps]
        self.before = -int(first[0])  # samples that the filter reaches back
        norm = spectral_norm if config.spectral and rate == config.rates[0] else weight_norm
        widths = (channels, *config.widths)
        kernels = (15, *(41 for _ in widths[3:]), 5)
        shapes = zip(pairwise(widths), kernels, config.strides, config.groups, strict=True)
        convs: list[nn.Module] = [
            norm(nn.Conv1d(before, after, kernel, stride, kernel // 2, groups=groups))
            for (before, after), kernel, stride, groups in shapes
        ]
        self.stack = Stack(convs, config.slope)
        self.post = norm(nn.Conv1d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """`x` `[B, C, S]`."""
        if x.shape[-1] < self.rate:
            raise ValueError(f"rate {self.rate} needs at least {self.rate} samples, got {x.shape[-1]}")
        features = self.stack(self._pooled(x) if self.down == "pool" else self._filtered(x))
        return DiscriminatorOutput(self.post(features[-1]), tuple(features))

    def _pooled(self, x: Tensor) -> Tensor:
        """S / 2 + 1 samples for each halving; what lies beyond the ends counts as zeros."""
        for _ in range(self.rate.bit_length() - 1):
            x = F.avg_pool1d(x, 4, 2, padding=2)
        return x

    def _filtered(self, x: Tensor) -> Tensor:
        """floor(S / rate) samples; beyond the ends the first and the last sample are held."""
        if self.rate == 1:
            return x
        padded = F.pad(x, (self.before, self.kernel.shape[-1] - self.before), mode="replicate").flatten(0, 1)[:, None]
        slower = F.conv1d(padded, self.kernel.to(x.dtype), stride=self.rate)[:, 0, : x.shape[-1] // self.rate]
        return slower.unflatten(0, x.shape[:2])
