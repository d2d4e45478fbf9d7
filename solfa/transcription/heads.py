"""What is heard, pitch by pitch: the frame outputs, and the instrument of a note.

A linear layer lays the encoder's vectors out as a map of pitches, [B, C, T, P]; the layers on it are the same for all pitches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.transcription.config import TranscriberConfig
from solfa.transcription.frames import INSTRUMENTS, TENSORS, FrameOutputs
from solfa.transcription.harmonics import Harmonics
from solfa.transcription.pitch_layer import PitchLayer

OF_DRUMS = ("onset", "velocity", "shift")  # they do not last
NEVER = -20.0  # the logit of what drums do not do
RARE = {"onset": -4.0, "frame": -3.0, "offset": -4.0}  # logits to begin with: notes are rare


class FrameHead(nn.Module):
    """The encoder's vectors [B, T, W] to a map of pitches, and to frame outputs: of pitches from the map, of drums from the vectors."""

    def __init__(self, config: TranscriberConfig) -> None:
        super().__init__()
        self.columns, self.channels, self.sound = config.columns, config.channels, config.source == "sound"
        pitched, drums = self.columns.pitched, self.columns.count - self.columns.pitched
        self.inward = nn.Linear(config.width, pitched * config.channels)
        if config.source == "sound":
            self.harmonics = Harmonics(config.source_width, config.channels, config.lowest, config.highest)
        self.layers = nn.ModuleList(PitchLayer(config.channels, pitched) for _ in range(config.pitch_layers))
        self.outward = nn.Conv2d(config.channels, len(TENSORS), 1, bias=False)
        self.bias = nn.Parameter(torch.tensor([[RARE.get(name, 0.0)] * pitched for name in TENSORS]))
        self.drums = nn.Linear(config.width, len(OF_DRUMS) * drums) if drums else None
        if self.drums is not None:
            with torch.no_grad():
                self.drums.bias.copy_(torch.tensor([RARE.get(name, 0.0) for name in OF_DRUMS]).repeat_interleave(drums))

    def forward(self, memory: Tensor, mask: Tensor | None, source: Tensor) -> tuple[Tensor, FrameOutputs]:
        """The map [B, C, T, pitches] and the outputs; mask as of `Encoder.forward`. source: sound is laid on the map as it is, too."""
        x = self.inward(memory).unflatten(-1, (self.channels, -1)).transpose(1, 2).contiguous()
        if self.sound:
            x = x + self.harmonics(source)
        for layer in self.layers:
            x = layer(x, mask)
        # A convolution of one place as a product: faster on a CPU, its gradients too.
        outputs = (self.outward.weight.flatten(1) @ x.flatten(2)).unflatten(2, x.shape[2:]) + self.bias[:, None]
        found = dict(zip(TENSORS, outputs.unbind(1), strict=True))  # [B, T, pitches] each
        if self.drums is not None:
            hits = self.drums(memory).unflatten(-1, (len(OF_DRUMS), -1))  # [B, T, 3, drums]
            for name, pitches in found.items():
                if name in OF_DRUMS:
                    found[name] = torch.cat([pitches, hits[:, :, OF_DRUMS.index(name)]], -1)
                else:
                    found[name] = F.pad(pitches, (0, hits.shape[-1]), value=NEVER)
        return x, FrameOutputs(**found, columns=self.columns)


class ProgramHead(nn.Module):
    """The instrument of notes: from the vector of the frame where one begins, read as its pitch asks, and from its place on the map."""

    def __init__(self, config: TranscriberConfig) -> None:
        super().__init__()
        width = config.width
        self.pitched = config.columns.pitched
        self.norm = nn.LayerNorm(config.channels)
        self.frame = nn.Linear(width, width)
        self.place = nn.Linear(config.channels, width, bias=False)
        self.gain = nn.Embedding(config.columns.count, width)
        self.bias = nn.Embedding(config.columns.count, width)
        self.outward = nn.Linear(width, INSTRUMENTS)
        nn.init.normal_(self.gain.weight, 1.0, 0.3)
        nn.init.normal_(self.bias.weight, 0.0, 0.3)

    def forward(self, memory: Tensor, pitches: Tensor, rows: Tensor, frames: Tensor, columns: Tensor) -> Tensor:
        """[n, 129] logits of notes in these rows of the batch, frames and columns; memory [B, T, W], pitches [B, C, T, P]."""
        place = pitches[rows, :, frames, columns.clamp(max=self.pitched - 1)]  # [n, C]
        place = self.norm(place) * (columns < self.pitched)[:, None]  # drums have no place on the map
        heard = self.frame(memory[rows, frames]) * self.gain(columns)
        return self.outward(F.gelu(heard + self.place(place) + self.bias(columns)))
