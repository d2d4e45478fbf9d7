"""What all ways of decoding share: their options and results, and the model with its filter, run step by step over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from solfa.transcription.event_decoder import EventState
from solfa.transcription.filters import FrameGuide, LegalEvents
from solfa.transcription.grammar import Grammar
from solfa.transcription.heard import Heard
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.segments import Segment

MAX_BEAM = 64


@dataclass(frozen=True)
class DecodingOptions:
    """How events are written.

    beam: how many ways of writing a segment are followed; 1 takes what is best at each step. length_penalty: alpha of Wu et al. (2016),
    arXiv 1609.08144: a way of L ids is worth log p / ((5 + L) / 6) ** alpha; for a beam only. temperature: 0 takes the likeliest id, above
    it one is drawn, from the top_k likeliest (0: all) and the fewest that have probability top_p together (0: all); without a beam only.
    seed: of the draws. guide: where a note begins the onset output must have this probability at least, within `reach` seconds; 0 asks
    nothing of it. longest: ids of a segment, at most. ties: how segments are joined, see `stitch`.
    Raises ValueError for a value that is not legal, and for a beam that draws.
    """

    beam: int = 1
    length_penalty: float = 0.6
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 0.0
    seed: int = 0
    guide: float = 0.0
    reach: float = 0.03
    longest: int = 1024
    ties: Literal["forced", "matched"] = "forced"

    def __post_init__(self) -> None:
        whole = {"beam": (1, MAX_BEAM), "top_k": (0, 1 << 20), "seed": (0, (1 << 63) - 1), "longest": (1, 1 << 16)}
        for name, (least, most) in whole.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} is {value}: it must be a whole number, {least} to {most}")
        for name, top in {"length_penalty": 10, "top_p": 1, "guide": 1, "reach": 1}.items():
            if not 0 <= getattr(self, name) <= top:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 0 and {top}")
        if not (self.temperature == 0 or 0.01 <= self.temperature <= 100):
            raise ValueError(f"temperature is {self.temperature}: it must be 0 (always the likeliest) or 0.01 to 100")
        if self.ties not in ("forced", "matched"):
            raise ValueError(f"ties is {self.ties!r}: it must be forced or matched")
        if self.beam > 1 and self.temperature:
            raise ValueError(
                f"beam is {self.beam} and temperature {self.temperature}: a beam does not draw, leave one out"
            )


USUAL = DecodingOptions()


@dataclass(frozen=True)
class DecodingResult:
    """What was written for a segment."""

    ids: tuple[int, ...]  # what was forced, and what followed it; without the end
    log_likelihood: float  # of what was not forced, the end included, among what was legal
    ended: bool  # False: cut at `longest`


@dataclass(frozen=True)
class Task:
    """One segment to be written: its place in the recording, what its first ids are forced to be, the seed of its draws."""

    segment: Segment
    prefix: tuple[int, ...] = ()
    seed: int = 0


class Inference:
    """The model and the filter over some rows, step by step."""

    def __init__(
        self,
        model: TokenTranscriber,
        heard: Heard,
        tasks: Sequence[Task],
        options: DecodingOptions,
        programs: Sequence[int] | None,
    ) -> None:
        words = model.config.vocabulary
        if words is None:
            raise ValueError(f"{model.config.name} writes no events: it has frame outputs only")
        self.model, self.vocabulary = model, words
        spans = [task.segment.steps(words.steps_per_second) for task in tasks]
        onsets = None
        if options.guide:
            outputs, rate = heard.frames.probabilities(), model.config.frame_rate
            guide = FrameGuide(outputs, rate, options.guide, options.reach, heard.first)
            onsets = guide.onsets([task.segment for task in tasks], words)
        steps = [last - first for first, last in spans]
        self.filter = LegalEvents(Grammar(words, steps, onsets, programs, model.device))
        self.state: EventState = model.start(heard, 1 + options.longest)

    def begin(self, known: Tensor) -> Tensor:
        """Read what all rows begin with, ids [R, n]; gives the logits [R, V] of what follows, all but what is legal gone."""
        for ids in known.T:
            self.filter.advance(ids)
        pad = known.new_full((len(known), 1), self.vocabulary.pad)
        return self._read(torch.cat([pad, known], 1))

    def step(self, ids: Tensor) -> Tensor:
        """Read one more id a row, [R]; gives the same."""
        self.filter.advance(ids)
        return self._read(ids[:, None])

    def select(self, rows: Tensor, memory: bool = True) -> None:
        """Go on with these rows, in this order, perhaps several times. memory: False where what is heard is the same in their places."""
        self.filter.select(rows)
        self.state = self.state.rows(rows, memory)

    def _read(self, ids: Tensor) -> Tensor:
        logits, self.state = self.model.advance(ids, self.state)
        return self.filter.apply(logits[:, -1])


class Forced:
    """The prefixes of rows: how much of them all rows have, and what stands at a place."""

    def __init__(self, tasks: Sequence[Task], device: torch.device) -> None:
        longest = max(len(task.prefix) for task in tasks)
        self.lengths = torch.tensor([len(task.prefix) for task in tasks], device=device)
        rows = [[*task.prefix, *[0] * (longest - len(task.prefix))] for task in tasks]
        self.ids = torch.tensor(rows, dtype=torch.int64, device=device).view(len(tasks), longest)

    @property
    def common(self) -> int:
        """Places that are forced in all rows."""
        return int(self.lengths.min())

    def at(self, place: int) -> tuple[Tensor, Tensor]:
        """Which rows are forced at a place, bool [R], and to what, [R]."""
        if place >= self.ids.shape[1]:
            return torch.zeros_like(self.lengths, dtype=torch.bool), torch.zeros_like(self.lengths)
        return place < self.lengths, self.ids[:, place]

    def select(self, rows: Tensor) -> None:
        self.lengths, self.ids = self.lengths[rows], self.ids[rows]
