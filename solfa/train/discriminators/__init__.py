"""Discriminators of the neural codecs. All take audio `[B, C, S]` at any rate and see the channels together.

Each sub-discriminator gives a `DiscriminatorOutput`; the loss functions are in `adversarial`.
"""

from solfa.train.discriminators.band import BandConfig, BandDiscriminator
from solfa.train.discriminators.ensemble import DiscriminatorConfig, Discriminators
from solfa.train.discriminators.layers import DiscriminatorOutput
from solfa.train.discriminators.period import PeriodConfig, PeriodDiscriminator
from solfa.train.discriminators.scale import ScaleConfig, ScaleDiscriminator
from solfa.train.discriminators.wave import WaveConfig, WaveDiscriminator, hifigan_waves

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
