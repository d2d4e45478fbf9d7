"""Quantizers: latents to integer codes and back, in all kinds of the field, by configuration."""

from .base import Quantized, Quantizer
from .build import build_quantizer
from .config import KIND_FIELDS, QuantizerConfig

__all__ = ["KIND_FIELDS", "Quantized", "Quantizer", "QuantizerConfig", "build_quantizer"]
