"""The multi-scale STFT discriminator of EnCodec (arXiv 2210.13438, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from solfa.train.discriminators.layers import DiscriminatorOutput, Stack, conv2d, spectrum


def check_windows(windows: tuple[int, ...]) -> None:
    """Raises ValueError unless an STFT with a hop of a quarter window can be made of each."""
    if not windows or any(window < 8 or window % 4 for window in windows):
        raise ValueError(f"windows must be multiples of 4 of at least 8 samples, got {windows}")


@dataclass(frozen=True)
class ScaleConfig:
    """Multi-scale STFT discriminator: one sub-discriminator a window, in samples (multiples of 4); hop window / 4.

    The `encodec` package has the windows (1024, 2048, 512) and slope 0.2; AudioCraft trains with 5 windows and slope 0.3.
    """

    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    filters: int = 32
    dilations: tuple[int, ...] = (1, 2, 4)  # over time, of the convolutions that halve the frequencies
    slope: float = 0.2

    def __post_init__(self) -> None:
        check_windows(self.windows)


class ScaleDiscriminator(nn.Module):
    """Looks at one complex STFT, normalised by the window's energy, not centred."""

    window: Tensor

    def __init__(self, window: int, config: ScaleConfig, channels: int) -> None:
        super().__init__()
        hann = torch.hann_window(window)
        self.register_buffer("window", hann / hann.square().sum().sqrt(), persistent=False)
        width = config.filters
        convs: list[nn.Module] = [conv2d(2 * channels, width, (3, 9))]  # the first without weight norm, as in EnCodec
        convs += [weight_norm(conv2d(width, width, (3, 9), (1, 2), (dilation, 1))) for dilation in config.dilations]
        convs.append(weight_norm(conv2d(width, width, (3, 3))))
        self.stack = Stack(convs, config.slope)
        self.post = weight_norm(conv2d(width, 1, (3, 3)))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """`x` `[B, C, S]`, at least one window long."""
        features = self.stack(spectrum(x, self.window))
        return DiscriminatorOutput(self.post(features[-1]), tuple(features))
