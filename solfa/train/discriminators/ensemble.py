"""All discriminators of a training, as one module."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from solfa.train.discriminators.band import BandConfig, BandDiscriminator
from solfa.train.discriminators.layers import DiscriminatorOutput
from solfa.train.discriminators.period import PeriodConfig, PeriodDiscriminator
from solfa.train.discriminators.scale import ScaleConfig, ScaleDiscriminator
from solfa.train.discriminators.wave import WaveConfig, WaveDiscriminator


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Which discriminators judge together, and how their input is prepared. Raises ValueError if there is none.

    The defaults are DAC's. EnCodec's: periods None, bands None, scales ScaleConfig(), remove_dc False, peak None.
    """

    channels: int = 1
    periods: PeriodConfig | None = field(default_factory=PeriodConfig)
    scales: ScaleConfig | None = None
    bands: BandConfig | None = field(default_factory=BandConfig)
    remove_dc: bool = True  # subtract each item's mean
    peak: float | None = 0.8  # scale each item to this peak; None: leave the level alone
    waves: WaveConfig | None = None

    def __post_init__(self) -> None:
        if self.periods is None and self.waves is None and self.scales is None and self.bands is None:
            raise ValueError(
                "periods, waves, scales and bands are all None: a DiscriminatorConfig needs at least one of them"
            )
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1, got {self.channels}")
        if self.peak is not None and self.peak <= 0:
            raise ValueError(f"peak must be positive or None, got {self.peak}")


class Discriminators(nn.Module):
    """All sub-discriminators of a config: periods, waves, STFT scales, then STFT bands, each in its given order."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleList()
        if config.periods is not None:
            self.parts.extend(PeriodDiscriminator(p, config.periods, config.channels) for p in config.periods.periods)
        if config.waves is not None:
            self.parts.extend(WaveDiscriminator(r, config.waves, config.channels) for r in config.waves.rates)
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
