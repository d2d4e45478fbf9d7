"""What a codec writes for digital silence."""

from __future__ import annotations

import torch
from torch import Tensor

from solfa.codecs.codec import Codec

SECONDS = 4.0  # long enough that a recurrent encoder has come to rest in the midst of it


def codes_of_silence(codec: Codec) -> Tensor:
    """The codes [K, t] of some seconds of it: as it begins, goes on (the middle frame) and ends."""
    return codec.encode(torch.zeros(1, codec.channels, round(SECONDS * codec.sample_rate))).tokens[0].cpu()
