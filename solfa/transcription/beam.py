"""Beam search: several ways of writing each segment, side by side, and the best of those that end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from solfa.transcription.heard import Heard
from solfa.transcription.inference import DecodingOptions, DecodingResult, Forced, Inference, Task
from solfa.transcription.model import TokenTranscriber


class Beam:
    """Rows of the model are `beam` ways of each task. A task is done when `beam` ways have ended, as in whisper."""

    def __init__(
        self,
        model: TokenTranscriber,
        heard: Heard,
        tasks: Sequence[Task],
        options: DecodingOptions,
        programs: Sequence[int] | None,
    ) -> None:
        self.size, self.options, device = options.beam, options, model.device
        rows = torch.arange(len(tasks), device=device).repeat_interleave(self.size)
        repeated = [task for task in tasks for _ in range(self.size)]
        self.inference = Inference(model, heard.rows(rows), repeated, options, programs)
        self.forced, self.eos = Forced(repeated, device), self.inference.vocabulary.eos
        self.ids = torch.full((len(rows), options.longest), self.eos, device=device)
        self.scores = torch.full((len(tasks), self.size), -math.inf, device=device)
        self.scores[:, 0] = 0.0  # the ways are one as long as nothing was chosen
        self.ended: list[list[tuple[float, DecodingResult]]] = [[] for _ in tasks]

    def run(self) -> list[DecodingResult]:
        """All tasks to their ends."""
        place = self.forced.common
        self.ids[:, :place] = self.forced.ids[:, :place]
        logits = self.inference.begin(self.ids[:, :place])
        while True:
            rows, ids = self._choose(logits, place)
            self.ids = self.ids[rows]
            self.ids[:, place] = ids
            place += 1
            if place == self.options.longest or all(len(some) >= self.size for some in self.ended):
                return [self._best(task, place) for task in range(len(self.ended))]
            if rows.tolist() != list(range(len(rows))):
                self.inference.select(rows, memory=False)  # the ways of a task hear the same
            logits = self.inference.step(ids)

    def _choose(self, logits: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """The ways to go on with: from which row each comes, and its id. Those that end here are put aside."""
        worth_ = logits.log_softmax(-1)  # [tasks * beam, V]
        known, ids = self.forced.at(place)
        only = torch.full_like(worth_, -math.inf).scatter(1, ids[:, None], 0.0)
        worth_ = torch.where(known[:, None], only, worth_)
        total = self.scores[..., None] + worth_.view(len(self.ended), self.size, -1)  # [tasks, beam, V]
        size = total.shape[2]
        best = total.flatten(1).topk(2 * self.size)  # of these at most half end
        rows, chosen, scores = [], [], []
        for task, (values, places) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            kept = 0
            for value, index in zip(values, places, strict=True):
                row, id = task * self.size + index // size, index % size
                if id == self.eos and math.isfinite(value):
                    self._end(task, row, value, place)
                elif kept < self.size:
                    kept += 1
                    rows.append(row)
                    chosen.append(id)
                    scores.append(value if id != self.eos else -math.inf)
            while kept < self.size:  # fewer legal ids than ways
                kept += 1
                rows.append(task * self.size)
                chosen.append(self.eos)
                scores.append(-math.inf)
        device = self.scores.device
        self.scores = torch.tensor(scores, device=device).view_as(self.scores)
        return torch.tensor(rows, device=device), torch.tensor(chosen, device=device)

    def _end(self, task: int, row: int, likelihood: float, place: int) -> None:
        if len(self.ended[task]) < self.size:
            ids = tuple(self.ids[row, :place].tolist())
            value = worth(likelihood, place + 1, self.options.length_penalty)
            self.ended[task].append((value, DecodingResult(ids, likelihood, True)))

    def _best(self, task: int, place: int) -> DecodingResult:
        """The best way that ended; where none did, the likeliest of those that were cut."""
        if self.ended[task]:
            return max(self.ended[task], key=lambda each: each[0])[1]
        score, way = self.scores[task].max(0)
        return DecodingResult(tuple(self.ids[task * self.size + int(way), :place].tolist()), float(score), False)


def worth(likelihood: float, length: int, penalty: float) -> float:
    """What a way of that many ids is worth beside others; see `DecodingOptions`."""
    return likelihood / math.pow((5 + length) / 6, penalty)
