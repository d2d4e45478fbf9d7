"""Events of segments, written step by step: whisper's roles (Radford et al., 2022) for a `TokenTranscriber`.

The model is run with its KV cache, `LegalEvents` leaves what may come next, and of that the likeliest is taken, or one is drawn, or a beam
of several is followed. Rows are segments, decoded side by side. A row has a generator of its own, so what it gets does not depend on the
rows beside it (but where two ids are equally likely to seven digits, for sums of floats depend on the shapes that they run in).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from solfa.nn.drawing import draw, keep_top_k, keep_top_p
from solfa.transcription.beam import Beam
from solfa.transcription.heard import Heard
from solfa.transcription.inference import USUAL, DecodingOptions, DecodingResult, Forced, Inference, Task
from solfa.transcription.model import TokenTranscriber

__all__ = ["USUAL", "DecodingOptions", "DecodingResult", "Task", "decode", "seed_of"]


@torch.no_grad()
def decode(
    model: TokenTranscriber,
    heard: Heard,
    tasks: Sequence[Task],
    options: DecodingOptions = USUAL,
    programs: Sequence[int] | None = None,
) -> list[DecodingResult]:
    """Write the events of segments, of which `heard` has a row each.

    programs: which may play, by General MIDI number, 128 for drums; None is all. Raises ValueError for a model that writes no events,
    for another number of tasks than rows, and for a prefix that leaves no room.
    """
    if len(tasks) != len(heard.memory) or not tasks:
        raise ValueError(f"{len(tasks)} tasks for {len(heard.memory)} segments: one each, and at least one")
    if (long := max(len(task.prefix) for task in tasks)) >= options.longest:
        raise ValueError(f"longest is {options.longest}: a prefix of {long} ids leaves no room")
    return (Beam if options.beam > 1 else Rows)(model, heard, tasks, options, programs).run()


def seed_of(seed: int, index: int) -> int:
    """The seed of a recording's segment number `index`, from that of the recording."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] >> 1)


class Rows:
    """One way of writing each segment: the likeliest at each step, or drawn."""

    def __init__(
        self,
        model: TokenTranscriber,
        heard: Heard,
        tasks: Sequence[Task],
        options: DecodingOptions,
        programs: Sequence[int] | None,
    ) -> None:
        self.inference, self.options = Inference(model, heard, tasks, options, programs), options
        self.eos, device = self.inference.vocabulary.eos, model.device
        self.forced = Forced(tasks, device)
        self.live = torch.arange(len(tasks), device=device)  # the tasks whose rows are still written
        self.ids = torch.full((len(tasks), options.longest), self.eos, device=device)
        self.likelihood = torch.zeros(len(tasks), device=device)
        self.draws = [torch.Generator(device).manual_seed(task.seed) for task in tasks] if options.temperature else []

    def run(self) -> list[DecodingResult]:
        """All rows to their ends."""
        place = self.forced.common
        self.ids[:, :place] = self.forced.ids[:, :place]
        self._burn(place)
        logits = self.inference.begin(self.ids[:, :place])
        while True:
            ids = self._choose(logits, place)
            self.ids[self.live, place] = ids
            place += 1
            going = ids != self.eos
            if place == self.options.longest or not going.any():
                return self._results(place)
            if int(going.sum()) * 2 <= len(going):  # half of the rows are done: go on without them
                rows = going.nonzero()[:, 0]
                self._select(rows)
                ids = ids[rows]
            logits = self.inference.step(ids)

    def _burn(self, count: int) -> None:
        """Draws belong to places: what is forced takes its own, so that what follows does not depend on how much was."""
        unused = torch.empty(self.inference.vocabulary.size, device=self.ids.device)
        for generator in self.draws:
            for _ in range(count):
                unused.exponential_(generator=generator)

    def _choose(self, logits: Tensor, place: int) -> Tensor:
        """Each row's id at a place, [R]; what is forced counts for nothing, nor does what follows an end."""
        if self.options.temperature:
            kept = keep_top_p(keep_top_k(logits / self.options.temperature, self.options.top_k), self.options.top_p)
            chosen = draw(kept.softmax(-1), [self.draws[row] for row in self.live.tolist()])
        else:
            chosen = logits.argmax(-1)
        known, ids = self.forced.at(place)
        chosen = torch.where(known, ids, chosen)
        worth = logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0]
        self.likelihood[self.live] += worth.masked_fill(known, 0.0)
        return chosen

    def _select(self, rows: Tensor) -> None:
        self.inference.select(rows)
        self.forced.select(rows)
        self.live = self.live[rows]

    def _results(self, place: int) -> list[DecodingResult]:
        results = []
        for row, likelihood in zip(self.ids[:, :place].tolist(), self.likelihood.tolist(), strict=True):
            ended = self.eos in row
            results.append(DecodingResult(tuple(row[: row.index(self.eos)] if ended else row), likelihood, ended))
        return results
