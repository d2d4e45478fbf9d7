"""What decoding may choose from: whisper's logit filters (Radford et al., 2022), here the grammar of events and what the frames heard."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.transcription.frames import FrameOutputs
from solfa.transcription.grammar import PLACES, Grammar
from solfa.transcription.segments import Segment
from solfa.transcription.vocabulary import Vocabulary

HALF = 0.501  # steps often lie midway between frames, and sums of floats on either side of that


class LegalEvents:
    """Minus infinity for all ids but those that may come next. It follows what was chosen: `advance` after every choice."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar

    def apply(self, logits: Tensor) -> Tensor:
        """Logits [R, V] as float32, with those of illegal ids gone; at least one stays in each row."""
        return logits.float().masked_fill(~self.grammar.legal(), -math.inf)

    def advance(self, ids: Tensor) -> None:
        """Each row's next id, [R]."""
        self.grammar.advance(ids)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows, in this order, perhaps several times."""
        self.grammar.select(rows)


class FrameGuide:
    """Where notes may begin, by the frame outputs: where a pitch's onset output (or a drum's) is at least `least`, within `reach` seconds.

    outputs: probabilities [B, T, P] of segments, which begin at their frames `first` [B]; None is the very first. What has no column is not
    ruled out, nor are pedals, which no frame output hears.
    """

    def __init__(
        self,
        outputs: FrameOutputs,
        frame_rate: float,
        least: float,
        reach: float = 0.03,
        first: Tensor | None = None,
    ) -> None:
        frames = max(1, math.ceil(reach * frame_rate))
        near = F.max_pool1d(outputs.onset.transpose(1, 2), 2 * frames + 1, 1, frames)  # [B, P, T]
        self.near, self.columns, self.frame_rate = (near >= least).transpose(1, 2), outputs.columns, frame_rate
        self.first = [0] * len(near) if first is None else first.tolist()

    def onsets(self, segments: Sequence[Segment], vocabulary: Vocabulary) -> Tensor:
        """The table for `Grammar` of these segments, a row each: [B, steps of the longest, PLACES + 128] bool."""
        rate = vocabulary.steps_per_second
        spans = [segment.steps(rate) for segment in segments]
        steps = torch.arange(max(1, *(last - first for first, last in spans)))
        pitched = [self._table(np.arange(128), drum) for drum in (False, True)]
        said = [vocabulary.has("pedal"), *([True] * 128), *([vocabulary.has("drum")] * 128)]
        rows = []
        for near, begin, (first, _), segment in zip(self.near, self.first, spans, segments, strict=True):
            places = begin + ((first + steps) / rate - segment.start) * self.frame_rate  # in frames of what was heard
            here = near[(places + HALF).floor().long().clamp(0, len(near) - 1).to(near.device)]  # [S, P]
            known = F.pad(here, (0, 1), value=True)  # the last column: of what has none
            rows.append(torch.cat([here.new_ones(len(here), 1), *(known[:, table] for table in pitched)], 1))
        onsets = torch.stack(rows) & torch.tensor(said, device=self.near.device)
        assert onsets.shape[2] == PLACES + 128
        return onsets

    def _table(self, keys: np.ndarray, drum: bool) -> Tensor:
        """The column of each key, the one behind the last where it has none."""
        columns = self.columns.of(keys, np.full(len(keys), drum))
        return torch.from_numpy(np.where(columns < 0, self.columns.count, columns)).to(self.near.device)
