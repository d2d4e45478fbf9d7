"""The shipped size as a configuration: small enough to train, and to write in real time, on two cores."""

from __future__ import annotations

from solfa.lm.conditioners.beat import BeatConfig
from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.model import LMConfig
from solfa.lm.patterns import delay
from solfa.nn.transformer import TransformerConfig


def solfa_music(name: str = "solfa-music", crop_frames: int = 250, beat: BeatConfig | None = None) -> LMConfig:
    """11 million weights over four codebooks of `solfa-24khz`, of `crop_frames` at a time; captions are read byte by byte,
    and heard word by word and on the whole.

    beat: for a model that is told where in the beat and the bar each step lies, as the shipped one is in its last stage.
    """
    return LMConfig(
        name,
        codec="solfa-24khz",
        sample_rate=24_000,
        frame_rate=50.0,
        transformer=TransformerConfig(width=256, layers=8, heads=4, positions="rotary"),
        codebooks=4,
        codebook_size=1024,
        pattern=delay(4),
        text=ByteTextConfig(width=192, layers=2, heads=6, hidden=384),
        crop_frames=crop_frames,
        beat=beat,
        summary=True,
    )
