"""Discriminators of the neural codecs. All take audio `[B, C, S]` at any rate and see the channels together.

Each sub-discriminator gives a `DiscriminatorOutput`; the loss functions are in `adversarial`.
"""

from .band import BandConfig, BandDiscriminator
from .ensemble import DiscriminatorConfig, Discriminators
from .layers import DiscriminatorOutput
from .period import PeriodConfig, PeriodDiscriminator
from .scale import ScaleConfig, ScaleDiscriminator
from .wave import WaveConfig, WaveDiscriminator, hifigan_waves

__all__ = [
    "BandConfig",
    "BandDiscriminator",
    "DiscriminatorConfig",
    "DiscriminatorOutput",
    "Discriminators",
    "PeriodConfig",
    "PeriodDiscriminator",
    "ScaleConfig",
    "ScaleDiscriminator",
    "WaveConfig",
    "WaveDiscriminator",
    "hifigan_waves",
]
