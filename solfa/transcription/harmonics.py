"""A spectrum by pitch laid out as the map of pitches: each pitch sees its own fundamental, its harmonics and its octave below.

The layout of harmonics beside one another is Bittner et al.'s (2017, "Deep salience"), as in basic-pitch (2022, arXiv 2203.09893); here on
three windows at once, and only as what is added to the map before its layers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOWS = 3
PER_SEMITONE = 3
LOWEST = 21  # the pitch of the second band
HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 7, 8)
MIDDLE = 0.4  # of levels, which lie between 0 and 1


class Harmonics(nn.Module):
    """Levels [B, D, T] of `audio.bands` to a map [B, C, T, P] of the pitches lowest to highest."""

    places: Tensor

    def __init__(self, width: int, channels: int, lowest: int, highest: int) -> None:
        super().__init__()
        count = width // WINDOWS
        middle = PER_SEMITONE * (torch.arange(lowest, highest + 1, device="cpu") - LOWEST) + 1  # the band of each pitch
        steps = torch.tensor([round(12 * PER_SEMITONE * math.log2(h)) for h in HARMONICS], device="cpu")
        around = torch.arange(-(PER_SEMITONE // 2), PER_SEMITONE // 2 + 1, device="cpu")
        places = middle + (steps[:, None] + around)[:, :, None]  # [H, 3, P]
        places = torch.where((places >= 0) & (places < count), places, count)  # the last: nothing is there
        self.register_buffer("places", places.flatten(), persistent=False)
        self.inward = nn.Conv1d(WINDOWS * len(HARMONICS) * PER_SEMITONE, channels, 1)

    def forward(self, source: Tensor) -> Tensor:
        batch, _, frames = source.shape
        kind = torch.get_autocast_dtype(source.device.type) if torch.is_autocast_enabled(source.device.type) else None
        levels = source.to(kind or self.inward.weight.dtype).unflatten(1, (WINDOWS, -1)) - MIDDLE
        levels = F.pad(levels, (0, 0, 0, 1))  # [B, W, bands + 1, T]
        seen = levels.index_select(2, self.places).view(batch, self.inward.in_channels, -1)  # [B, W * H * 3, P * T]
        return self.inward(seen).unflatten(2, (-1, frames)).transpose(2, 3)
