"""Discriminators of the neural codecs: multi-period (HiFi-GAN), multi-scale STFT (EnCodec) and multi-band STFT (DAC).

Geometry after HiFi-GAN (arXiv 2010.05646), EnCodec (2210.13438, section 3.4) and DAC (2306.06546). All take audio
`[B, C, S]` at any rate and see the channels together. Each sub-discriminator gives a `DiscriminatorOutput`; the loss
functions are in `adversarial`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


@dataclass(frozen=True)
class DiscriminatorOutput:
    """What one sub-discriminator says of a batch."""

    logits: Tensor  # [B, 1, ., .], high for real
    features: tuple[Tensor, ...]  # the activations before the logits, [B, width, ., .] each, for feature matching


@dataclass(frozen=True)
class PeriodConfig:
    """Multi-period discriminator: one sub-discriminator a period, in samples."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    widths: tuple[int, ...] = (32, 128, 512, 1024, 1024)  # of the convolutions; the last does not stride
    slope: float = 0.1  # of the leaky ReLUs


@dataclass(frozen=True)
class ScaleConfig:
    """Multi-scale STFT discriminator: one sub-discriminator a window, in samples (multiples of 4); hop window / 4."""

    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    filters: int = 32
    dilations: tuple[int, ...] = (1, 2, 4)  # over time, of the convolutions that halve the frequencies
    slope: float = 0.2


@dataclass(frozen=True)
class BandConfig:
    """Multi-band STFT discriminator: one sub-discriminator a window, in samples (multiples of 4); hop window / 4."""

    windows: tuple[int, ...] = (2048, 1024, 512)
    edges: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of the bands, as a share of the bins
    filters: int = 32
    slope: float = 0.1


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Which discriminators judge together, and how their input is prepared. Raises ValueError if there is none.

    The defaults are DAC's. EnCodec's: periods None, bands None, scales ScaleConfig(), remove_dc False, peak None.
    """

    channels: int = 1
    periods: PeriodConfig | None = PeriodConfig()
    scales: ScaleConfig | None = None
    bands: BandConfig | None = BandConfig()
    remove_dc: bool = True  # subtract each item's mean
    peak: float | None = 0.8  # scale each item to this peak; None: leave the level alone

    def __post_init__(self) -> None:
        if self.periods is None and self.scales is None and self.bands is None:
            raise ValueError("periods, scales and bands are all None: a DiscriminatorConfig needs at least one of them")
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1, got {self.channels}")
        if self.peak is not None and self.peak <= 0:
            raise ValueError(f"peak must be positive or None, got {self.peak}")
        if self.periods is not None and (not self.periods.periods or min(self.periods.periods) < 1):
            raise ValueError(f"periods must be one or more positive numbers of samples, got {self.periods.periods}")
        for config in (self.scales, self.bands):
            if config is not None and (not config.windows or any(w < 8 or w % 4 for w in config.windows)):
                raise ValueError(f"windows must be multiples of 4 of at least 8 samples, got {config.windows}")


class Discriminators(nn.Module):
    """All sub-discriminators of a config: periods first, then STFT scales, then STFT bands, each in its given order."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleList()
        if config.periods is not None:
            self.parts.extend(PeriodDiscriminator(p, config.periods, config.channels) for p in config.periods.periods)
        if config.scales is not None:
            self.parts.extend(ScaleDiscriminator(w, config.scales, config.channels) for w in config.scales.windows)
        if config.bands is not None:
            self.parts.extend(BandDiscriminator(w, config.bands, config.channels) for w in config.bands.windows)

    def prepare(self, x: Tensor) -> Tensor:
        """The audio as the sub-discriminators see it: DC removed and scaled, if the config says so."""
        if self.config.remove_dc:
            x = x - x.mean(dim=-1, keepdim=True)
        if self.config.peak is not None:
            x = self.config.peak * x / (x.abs().amax(dim=(1, 2), keepdim=True) + 1e-9)
        return x

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        """`x` `[B, C, S]`. Raises ValueError for other channels, or where S is shorter than the longest window."""
        if x.dim() != 3 or x.shape[1] != self.config.channels:
            raise ValueError(f"audio must be [B, {self.config.channels}, S], got {list(x.shape)}")
        x = self.prepare(x)
        return [part(x) for part in self.parts]


class _Stack(nn.Module):
    """Convolutions with leaky ReLUs; gives every activation."""

    def __init__(self, convs: list[nn.Module], slope: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.slope = slope

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), self.slope)
            features.append(x)
        return features


def _conv(
    width_in: int,
    width_out: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> nn.Conv2d:
    """A convolution padded so that a stride of 1 keeps the size (odd kernels)."""
    padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    return nn.Conv2d(width_in, width_out, kernel, stride, (padding[0], padding[1]), dilation)


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample: 2-D convolutions over (time / period, period) that stride 3 in time."""

    def __init__(self, period: int, config: PeriodConfig, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = (channels, *config.widths)
        strides = [3] * (len(config.widths) - 1) + [1]
        convs = [
            weight_norm(_conv(before, after, (5, 1), (stride, 1)))
            for (before, after), stride in zip(pairwise(widths), strides, strict=True)
        ]
        self.stack = _Stack(convs, config.slope)
        self.post = weight_norm(_conv(widths[-1], 1, (3, 1)))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """`x` `[B, C, S]`, filled up by reflection to a multiple of the period."""
        missing = -x.shape[-1] % self.period
        if missing >= x.shape[-1]:
            raise ValueError(f"period {self.period} needs more than {missing} samples, got {x.shape[-1]}")
        x = F.pad(x, (0, missing), mode="reflect")
        features = self.stack(x.unflatten(-1, (-1, self.period)))  # [B, C, S / period, period]
        return DiscriminatorOutput(self.post(features[-1]), tuple(features))


def _spectrum(x: Tensor, window: Tensor) -> Tensor:
    """STFT of `[B, C, S]` without padding, hop a quarter window: `[B, 2C, T, F]`, reals then imaginaries.

    In float32 whatever the audio's dtype, for the sake of the quiet bins.
    """
    size = len(window)
    if x.shape[-1] < size:
        raise ValueError(f"window {size} needs at least {size} samples, got {x.shape[-1]}")
    z = torch.stft(x.float().flatten(0, 1), size, size // 4, window=window.float(), center=False, return_complex=True)
    z = z.unflatten(0, x.shape[:2]).transpose(-1, -2)  # [B, C, T, F]
    return torch.cat([z.real, z.imag], dim=1)


class ScaleDiscriminator(nn.Module):
    """Looks at one complex STFT, normalised by the window's energy, not centred (EnCodec)."""

    window: Tensor

    def __init__(self, window: int, config: ScaleConfig, channels: int) -> None:
        super().__init__()
        hann = torch.hann_window(window)
        self.register_buffer("window", hann / hann.square().sum().sqrt(), persistent=False)
        width = config.filters
        convs: list[nn.Module] = [_conv(2 * channels, width, (3, 9))]  # the first without weight norm, as in EnCodec
        convs += [weight_norm(_conv(width, width, (3, 9), (1, 2), (dilation, 1))) for dilation in config.dilations]
        convs.append(weight_norm(_conv(width, width, (3, 3))))
        self.stack = _Stack(convs, config.slope)
        self.post = weight_norm(_conv(width, 1, (3, 3)))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        features = self.stack(_spectrum(x, self.window))
        return DiscriminatorOutput(self.post(features[-1]), tuple(features))


class BandDiscriminator(nn.Module):
    """Looks at one complex STFT with ceil(S / hop) frames, with convolutions of its own for every band (DAC)."""

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
            convs: list[nn.Module] = [weight_norm(_conv(2 * channels, width, (3, 9)))]
            convs += [weight_norm(_conv(width, width, (3, 9), (1, 2))) for _ in range(3)]
            convs.append(weight_norm(_conv(width, width, (3, 3))))
            self.stacks.append(_Stack(convs, config.slope))
        self.post = weight_norm(_conv(width, 1, (3, 3)))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        size = len(self.window)
        hop = size // 4
        edge = (size - hop) // 2
        missing = -x.shape[-1] % hop
        if x.shape[-1] <= edge + missing:
            raise ValueError(f"window {size} needs more than {edge + missing} samples, got {x.shape[-1]}")
        # Frame t is centred on the samples t * hop to (t + 1) * hop - 1: the ends are seen as well, by reflection.
        x = F.pad(x, (edge, edge + missing), mode="reflect")
        z = _spectrum(x, self.window)
        features: list[Tensor] = []
        tops = []
        for (low, high), stack in zip(self.bands, self.stacks, strict=True):
            found = stack(z[..., low:high])
            features += found
            tops.append(found[-1])
        return DiscriminatorOutput(self.post(torch.cat(tops, dim=-1)), tuple(features))
