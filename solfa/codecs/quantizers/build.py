"""A quantizer from its configuration."""

from __future__ import annotations

from collections.abc import Callable

from solfa.codecs.quantizers.base import Quantizer
from solfa.codecs.quantizers.config import QuantizerConfig
from solfa.codecs.quantizers.factorized import FactorizedQuantizer
from solfa.codecs.quantizers.frozen import RandomProjectionLevel, SimVQLevel
from solfa.codecs.quantizers.lattice import FSQQuantizer, LFQQuantizer, ResidualFSQQuantizer
from solfa.codecs.quantizers.level import Level
from solfa.codecs.quantizers.residual import ResidualQuantizer
from solfa.codecs.quantizers.vector import VectorLevel

_WHOLE: dict[str, type[Quantizer]] = {
    "factorized": FactorizedQuantizer,
    "fsq": FSQQuantizer,
    "residual_fsq": ResidualFSQQuantizer,
    "lfq": LFQQuantizer,
}
_LEVELS: dict[str, Callable[[QuantizerConfig, int], Level]] = {
    "rvq": VectorLevel,
    "product": VectorLevel,
    "grouped": VectorLevel,
    "simvq": SimVQLevel,
    "random_projection": RandomProjectionLevel,
}


def build_quantizer(config: QuantizerConfig, input_dim: int) -> Quantizer:
    """The quantizer that config describes, for latents [B, input_dim, T]. Raises ValueError if the two do not fit."""
    if config.kind in _WHOLE:
        return _WHOLE[config.kind](config, input_dim)
    level = _LEVELS[config.kind]
    return ResidualQuantizer(config, input_dim, lambda width: level(config, width))
