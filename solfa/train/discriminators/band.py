"""The multi-band STFT discriminator of DAC (arXiv 2306.06546, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from solfa.train.discriminators.layers import DiscriminatorOutput, Stack, conv2d, spectrum
from solfa.train.discriminators.scale import check_windows


@dataclass(frozen=True)
class BandConfig:
    """Multi-band STFT discriminator: one sub-discriminator a window, in samples (multiples of 4); hop window / 4."""

    windows: tuple[int, ...] = (2048, 1024, 512)
    edges: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of the bands, as a share of the bins
    filters: int = 32
    slope: float = 0.1

    def __post_init__(self) -> None:
        check_windows(self.windows)


class BandDiscriminator(nn.Module):
    """Looks at one complex STFT with ceil(S / hop) frames, with convolutions of its own for every band."""

    window: Tensor

    def __init__(self, window: int, config: BandConfig, channels: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        bins = window // 2 + 1
        self.bands = [(int(low * bins), int(high * bins)) for low, high in pairwise(config.edges)]
        if not self.bands or config.edges[0] < 0 or config.edges[-1] > 1 or any(a >= b for a, b in self.bands):
            raise ValueError(f"edges must rise within [0, 1], bins of window {window} apart, got {config.edges}")
        width = config.filters
        self.stacks = nn.ModuleList()
        for _ in self.bands:
            convs: list[nn.Module] = [weight_norm(conv2d(2 * channels, width, (3, 9)))]
            convs += [weight_norm(conv2d(width, width, (3, 9), (1, 2))) for _ in range(3)]
            convs.append(weight_norm(conv2d(width, width, (3, 3))))
            self.stacks.append(Stack(convs, config.slope))
        self.post = weight_norm(conv2d(width, 1, (3, 3)))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """`x` `[B, C, S]`."""
        size = len(self.window)
        hop = size // 4
        edge = (size - hop) // 2
        missing = -x.shape[-1] % hop
        if x.shape[-1] <= edge + missing:
            raise ValueError(f"window {size} needs more than {edge + missing} samples, got {x.shape[-1]}")
        # Frame t is centred on the samples t * hop to (t + 1) * hop - 1: the ends are seen as well, by reflection.
        x = F.pad(x, (edge, edge + missing), mode="reflect")
        z = spectrum(x, self.window)
        features: list[Tensor] = []
        tops = []
        for (low, high), stack in zip(self.bands, self.stacks, strict=True):
            found = stack(z[..., low:high])
            features += found
            tops.append(found[-1])
        return DiscriminatorOutput(self.post(torch.cat(tops, dim=-1)), tuple(features))
