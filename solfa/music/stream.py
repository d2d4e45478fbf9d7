"""Music while it is written: the codes of a run, decoded as they come."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from solfa.audio.io import Audio
from solfa.codecs.stream import DecodeStream
from solfa.lm.generate import Writing
from solfa.lm.patterns import separate


class MusicStream(Iterator[Audio]):
    """Pieces of music, as they are written. samples: how many there will be in all."""

    def __init__(
        self, writing: Writing, far: Tensor, streams: list[DecodeStream], every: int, sample_rate: int, samples: int
    ) -> None:
        self.sample_rate, self.samples, self.channels = sample_rate, samples, sum(stream.channels for stream in streams)
        self._pieces = self._decoded(writing, far, streams, every)

    def __next__(self) -> Audio:
        return next(self._pieces)

    def _decoded(self, writing: Writing, far: Tensor, streams: list[DecodeStream], every: int) -> Iterator[Audio]:
        waiting, given = [far], 0
        for piece in writing:
            waiting.append(piece.codes[:1].cpu())
            last = piece.start + piece.codes.shape[2] == writing.total
            if sum(codes.shape[2] for codes in waiting) < every and not last:
                continue
            codes, waiting = torch.cat(waiting, 2), []
            rows = torch.cat(separate(codes)) if len(streams) == 2 else codes
            parts = [stream.push(row) for stream, row in zip(streams, rows, strict=True)]
            if last:
                parts = [torch.cat([part, stream.finish()], 1) for part, stream in zip(parts, streams, strict=True)]
            sound = torch.cat(parts)[:, : self.samples - given]
            given += sound.shape[1]
            if sound.shape[1]:
                yield Audio(sound[None].contiguous(), self.sample_rate)
