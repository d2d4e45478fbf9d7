"""Two channels as two recordings of a mono codec: how MusicGen's stereo models hear and play."""

from __future__ import annotations

import torch
from torch import Tensor

from solfa.audio.io import Audio
from solfa.codecs.codec import Codec, Codes


def encode_sides(codec: Codec, audio: Audio, codebooks: int) -> Codes:
    """Codes of two items, left and right, of one recording of one channel (which is both) or two; ValueError for more."""
    if audio.channels > 2:
        raise ValueError(f"{audio.channels} channels: a stereo model hears 1 or 2")
    sides = audio.samples.expand(-1, 2, -1).transpose(0, 1).contiguous()  # [2, 1, S]
    return codec.encode(Audio(sides, audio.sample_rate), codebooks=codebooks)


def join_sides(sound: Tensor) -> Tensor:
    """The sound of all left sides, then of all right ones, [2B, 1, S], as recordings of two channels [B, 2, S]."""
    return torch.cat(sound.chunk(2), 1)
