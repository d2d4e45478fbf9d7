"""What the encoder of a transcriber makes of segments: what events are written from, and frame outputs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from solfa.transcription.frames import FrameOutputs


@dataclass(frozen=True)
class Heard:
    """What the encoder makes of segments. Where `mask` is False there is no sound, and nothing there means anything."""

    memory: Tensor  # [B, T, W]
    mask: Tensor | None  # [B, T] bool; None: all is sound
    frames: FrameOutputs  # logits [B, T, P]
    pitches: Tensor  # [B, C, T, pitches] the map that the frame outputs and the instruments are read from
    hint: Tensor | None = None  # [B, 129] bool
    first: Tensor | None = (
        None  # [B] int64: the frame at which events begin, what is before it is context; None: the very first
    )

    def rows(self, chosen: Tensor) -> Heard:
        """Of rows [n] of the batch, as they are named: they may be left out, and stand twice."""
        mask, hint, first = (None if part is None else part[chosen] for part in (self.mask, self.hint, self.first))
        return Heard(self.memory[chosen], mask, self.frames.map(lambda x: x[chosen]), self.pitches[chosen], hint, first)
