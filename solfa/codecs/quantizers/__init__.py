"""Quantizers: latents to integer codes and back, in all kinds of the field, by configuration."""

from solfa.codecs.quantizers.base import Quantized, Quantizer
from solfa.codecs.quantizers.build import build_quantizer
from solfa.codecs.quantizers.config import KIND_FIELDS, QuantizerConfig

__all__ = ["KIND_FIELDS", "Quantized", "Quantizer", "QuantizerConfig", "build_quantizer"]
