"""MusicGen as configurations of the one language model (Copet et al., 2023, arXiv 2306.05284): 30 s at 50 frames a second of EnCodec."""

from __future__ import annotations

from dataclasses import replace

from solfa.lm.conditioners.melody import MelodyConfig
from solfa.lm.conditioners.text import T5TextConfig
from solfa.lm.model import LMConfig
from solfa.lm.patterns import delay, stereo
from solfa.nn.transformer import TransformerConfig

SIZES = {"small": (1024, 24), "medium": (1536, 48), "large": (2048, 48)}  # width, layers; heads are 64 wide


def musicgen(size: str) -> LMConfig:
    """The model of a size: small (0.42 billion weights, T5 not counted), medium (1.84) or large (3.26)."""
    if size not in SIZES:
        raise ValueError(f"size is {size!r}: it must be one of {', '.join(SIZES)}")
    width, layers = SIZES[size]
    return LMConfig(
        f"musicgen-{size}",
        codec="encodec-32khz",
        sample_rate=32_000,
        frame_rate=50.0,
        transformer=TransformerConfig(width=width, layers=layers, heads=width // 64),
        text=T5TextConfig("t5-base", 768),
    )


def musicgen_melody(size: str = "medium") -> LMConfig:
    """The model that also follows a melody; it, and the text, stand before the first step, and there is no cross-attention."""
    base = musicgen(size)
    name = "musicgen-melody" if size == "medium" else f"musicgen-melody-{size}"
    alone = replace(base.transformer, cross=False)
    return replace(base, name=name, transformer=alone, fusion="prepend", melody=MelodyConfig())


def musicgen_stereo(size: str, melody: bool = False) -> LMConfig:
    """Two channels' codes by turns, each pair at one step."""
    base = musicgen_melody(size) if melody else musicgen(size)
    name = base.name.replace("musicgen-", "musicgen-stereo-")
    return replace(base, name=name, codebooks=8, pattern=stereo(delay(4)), channels=2)


def named(config: LMConfig) -> LMConfig:
    """The released model that this is the configuration of, its name and all; else a name by its size."""
    for size in SIZES:
        presets = [musicgen(size), musicgen_stereo(size)]
        presets += [musicgen_melody(size), musicgen_stereo(size, melody=True)] if size != "small" else []
        for preset in presets:
            if replace(config, name=preset.name) == preset:
                return preset
    kind = "-melody" if config.melody else ""
    return replace(config, name=f"musicgen{kind}-{config.transformer.layers}x{config.transformer.width}")
