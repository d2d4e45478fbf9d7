"""The multi-period discriminator of HiFi-GAN (arXiv 2010.05646), with DAC's padding as an option."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from solfa.train.discriminators.layers import DiscriminatorOutput, Stack, conv2d


@dataclass(frozen=True)
class PeriodConfig:
    """Multi-period discriminator: one sub-discriminator a period, in samples.

    pad_whole: a length that is a multiple of the period is filled up too, by a whole period: DAC does so, HiFi-GAN does not.
    """

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    widths: tuple[int, ...] = (32, 128, 512, 1024, 1024)  # of the convolutions; the last does not stride
    slope: float = 0.1  # of the leaky ReLUs
    pad_whole: bool = False

    def __post_init__(self) -> None:
        if not self.periods or min(self.periods) < 1:
            raise ValueError(f"periods must be one or more positive numbers of samples, got {self.periods}")


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample: 2-D convolutions over (time / period, period) that stride 3 in time."""

    def __init__(self, period: int, config: PeriodConfig, channels: int) -> None:
        super().__init__()
        self.period = period
        self.pad_whole = config.pad_whole
        widths = (channels, *config.widths)
        strides = [3] * (len(config.widths) - 1) + [1]
        convs: list[nn.Module] = [
            weight_norm(conv2d(before, after, (5, 1), (stride, 1)))
            for (before, after), stride in zip(pairwise(widths), strides, strict=True)
        ]
        self.stack = Stack(convs, config.slope)
        self.post = weight_norm(conv2d(widths[-1], 1, (3, 1)))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """`x` `[B, C, S]`, filled up by reflection to a multiple of the period."""
        missing = -x.shape[-1] % self.period
        if self.pad_whole and not missing:
            missing = self.period
        if missing >= x.shape[-1]:
            raise ValueError(f"period {self.period} needs more than {missing} samples, got {x.shape[-1]}")
        x = F.pad(x, (0, missing), mode="reflect")
        features = self.stack(x.unflatten(-1, (-1, self.period)))  # [B, C, S / period, period]
        return DiscriminatorOutput(self.post(features[-1]), tuple(features))
