"""A quantizer from its configuration."""

from __future__ import annotations

from collections.abc import Callable

from solfa.codecs.quantizers.base import Quantizer
from solfa.codecs.quantizers.config import QuantizerConfig
from solfa.codecs.quantizers.factorized import FactorizedQuantizer
from solfa.codecs.quantizers.level import Level
from solfa.codecs.quantizers.residual import ResidualQuantizer
from solfa.codecs.quantizers.vector import VectorLevel


def build_quantizer(config: QuantizerConfig, input_dim: int) -> Quantizer:
    """The quantizer that config describes, for latents [B, input_dim, T]. Raises ValueError if the two do not fit."""
    if config.kind == "factorized":
        return FactorizedQuantizer(config, input_dim)
    if config.kind in ("fsq", "residual_fsq", "lfq"):
        return _lattice(config, input_dim)
    level = _level(config.kind)
    return ResidualQuantizer(config, input_dim, lambda width: level(config, width))


# What vector-quantize-pytorch has a part in is imported where it is asked for: the library takes longer to import than a codec to load.
def _lattice(config: QuantizerConfig, input_dim: int) -> Quantizer:
    from solfa.codecs.quantizers.lattice import FSQQuantizer, LFQQuantizer, ResidualFSQQuantizer

    kinds: dict[str, type[Quantizer]] = {"fsq": FSQQuantizer, "residual_fsq": ResidualFSQQuantizer, "lfq": LFQQuantizer}
    return kinds[config.kind](config, input_dim)


def _level(kind: str) -> Callable[[QuantizerConfig, int], Level]:
    if kind not in ("simvq", "random_projection"):
        return VectorLevel
    from solfa.codecs.quantizers.frozen import RandomProjectionLevel, SimVQLevel

    return SimVQLevel if kind == "simvq" else RandomProjectionLevel
