"""Codes written step by step, for any pattern, and given out frame by frame as they become whole.

What is known beforehand (a prompt) is forced and never overwritten; writing begins at the first step of which something is not known.
Every row has a generator, a prompt and a length of its own: what it gets is what it would get alone. (Sums of floats depend on the
shapes they run in, so two codes that are equally likely to seven digits may change places between batches; nothing else does.)

Music longer than the model was trained on is written in windows, as AudioCraft does it (Copet et al., 2023): the last frames of a window
are the known beginning of the next one, the conditions are read again, and the codes of earlier windows stay as they are.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from solfa.lm.cuda_graph import StaticWriter, static_writer
from solfa.lm.guidance import select, ways_of
from solfa.lm.model import Conditions, LMConfig
from solfa.lm.patterns import NOTHING, make_pattern
from solfa.lm.sampling import USUAL, SamplingOptions, generators, sample

PIECES = 10  # a second, of what is written by a graph
STRIDE = 0.6  # of a window, where none is asked for: 18 of 30 seconds, as MusicGen
Told = (
    Conditions | Callable[[int], Conditions]
)  # the same in all windows, or those of the window that begins at a frame
Progress = Callable[[int, int], None]  # frames that are whole, of how many


class Decoder(Protocol):
    """What can be written with: a TokenLM, or anything that does the same faster."""

    config: LMConfig
    head: Any  # write(hidden [B, D], draw) -> codes [B, K]

    @property
    def device(self) -> torch.device: ...

    def start(self, batch: int, steps: int, conditions: Conditions = ...) -> Any: ...

    def advance(self, columns: Tensor, state: Any) -> tuple[Tensor, Any]: ...


@dataclass(frozen=True)
class Piece:
    """Frames that have become whole: codes [B, K, t], the first of them frame `start`. NOTHING in rows that have ended."""

    start: int
    codes: Tensor


def generate(
    model: Decoder,
    conditions: Told,
    frames: int | Sequence[int],
    *,
    seeds: Sequence[int],
    options: SamplingOptions = USUAL,
    known: Tensor | None = None,
    window: int | None = None,
    stride: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Codes [B, K, T], one row a seed; T the longest of `frames`, NOTHING after the end of shorter rows. See `Writing`."""
    writing = Writing(model, conditions, frames, seeds, options, known, window, stride)
    for piece in writing:
        if progress is not None:
            progress(piece.start + piece.codes.shape[2], writing.total)
    return writing.codes


def window_and_stride(config: LMConfig, window: int | None, stride: int | None) -> tuple[int, int]:
    """Frames of a window, and new ones in each but the first, with their defaults; ValueError where they cannot be."""
    window = config.crop_frames if window is None else window
    if not 1 <= window <= config.crop_frames:
        raise ValueError(f"window is {window} frames: it must lie between 1 and the {config.crop_frames} of training")
    stride = max(1, round(STRIDE * window)) if stride is None else stride
    if not 1 <= stride <= max(1, window - 1):
        raise ValueError(f"stride is {stride} frames: it must lie between 1 and {max(1, window - 1)}, below the window")
    return window, stride


def context_frames(window: int, stride: int, new: int) -> int:
    """How many frames before `new` ones are worth giving: what one window has room for, and at least what each window keeps."""
    return max(window - stride, window - new)


class Writing:
    """One run over a batch: iterate once for its pieces, in order and without gaps; `codes` [B, K, T] fills up meanwhile.

    conditions: of one row a seed (nothing to guide by), of two, [condition, null], or of three, [text and melody, melody, null], each of
    them B rows. None at all (`Conditions()`) for a model that hears nothing. A function gives those of each window.
    frames: of all rows, or of each.
    known: codes [B, K, t] of the first frames, t at most T; NOTHING where a code is to be written.
    window: frames that are written at once, by default and at most those of training. stride: new frames in each window after the
    first, by default 0.6 of it.
    judge_from: `likelihood` [B] becomes the sum of log p of the known codes from this frame on, under the conditions, unguided.

    A pattern in stages (coarse first) must know how long its music is before it writes: each window is written at its whole length, at
    which the model was trained, and cut. Raises ValueError for anything of the wrong shape or out of range.
    """

    def __init__(
        self,
        model: Decoder,
        conditions: Told,
        frames: int | Sequence[int],
        seeds: Sequence[int],
        options: SamplingOptions = USUAL,
        known: Tensor | None = None,
        window: int | None = None,
        stride: int | None = None,
        judge_from: int | None = None,
    ) -> None:
        config, self.batch = model.config, len(seeds)
        each = list(frames) if isinstance(frames, Iterable) else [frames] * self.batch
        whole = all(isinstance(length, numbers.Integral) for length in each)
        if not whole or not each or len(each) != self.batch or min(each) < 1:
            raise ValueError(f"frames is {frames} for {self.batch} seeds: each row needs a seed and at least one frame")
        self.lengths = [int(length) for length in each]
        self.model, self.options, self.total = model, options, max(self.lengths)
        self.window, self.stride = window_and_stride(config, window, stride)
        self.seeds, self.generators = list(seeds), generators(seeds, model.device)
        self._told = conditions
        self._heard = (0, self._rows(0))
        self.judge_from = self.total if judge_from is None else judge_from
        self.likelihood = torch.zeros(self.batch, device=model.device)
        self.codes = torch.full((self.batch, config.codebooks, self.total), NOTHING, device=model.device)
        if known is not None:
            self._force(known)

    def told(self, begin: int) -> tuple[int, Conditions]:
        """In how many ways each row is heard in the window that begins at a frame, and the conditions of those."""
        if callable(self._told) and self._heard[0] != begin:
            self._heard = (begin, self._rows(begin))
        return self._heard[1]

    def _rows(self, begin: int) -> tuple[int, Conditions]:
        conditions = self._told(begin) if callable(self._told) else self._told
        return ways_of(conditions, self.batch, self.options)

    def _force(self, known: Tensor) -> None:
        config = self.model.config
        shape = (self.batch, config.codebooks)
        if not isinstance(known, Tensor):
            raise ValueError(f"known is {type(known).__name__}: a tensor of codes is needed")
        if known.ndim != 3 or known.shape[:2] != shape or known.shape[2] > self.total or known.is_floating_point():
            raise ValueError(
                f"known codes are {known.dtype} {tuple(known.shape)}: integers {shape} by at most {self.total} are needed"
            )
        if known.numel() and not NOTHING <= int(known.min()) <= int(known.max()) < config.codebook_size:
            raise ValueError(f"known codes lie between {known.min()} and {known.max()}: 0 to {config.codebook_size - 1} "
                             f"are legal, and {NOTHING} for what is not known")  # fmt: skip
        self.codes[:, :, : known.shape[2]] = known
        for row, length in zip(self.codes, self.lengths, strict=True):
            row[:, length:] = NOTHING

    def __iter__(self) -> Iterator[Piece]:
        return (piece for piece in self.columns() if piece is not None)

    def columns(self) -> Iterator[Piece | None]:
        """As iterating, but it also stops, with None, after a column that made no frame whole: between two columns others may write."""
        static = self._static()
        if static is not None:
            yield from self._write_static(static)
            return
        begin, done = 0, 0
        while done < self.total:
            yield from self._write(begin, done)
            done = min(begin + self.window, self.total)
            begin += self.stride

    def _static(self) -> StaticWriter | None:
        """The same run with fixed shapes, on a GPU as a graph: of one window, rows of one length, nothing known and nothing judged."""
        one = self.model.config.pattern.causal and self.total <= self.window and min(self.lengths) == self.total
        if not one or self.judge_from < self.total or bool((self.codes != NOTHING).any()):
            return None
        ways, conditions = self.told(0)
        return static_writer(self.model, conditions, self.total, self.seeds, self.options, ways)

    def _write_static(self, static: StaticWriter) -> Iterator[Piece | None]:
        given, size = 0, max(1, round(self.model.config.frame_rate / PIECES))
        for whole in static.written():
            if whole - given >= size or given < whole == self.total:
                self.codes[:, :, given:whole] = static.read(given, whole)
                yield Piece(given, self.codes[:, :, given:whole])
                given = whole
            else:
                yield None

    def _write(self, begin: int, done: int) -> Iterator[Piece | None]:
        """The window that begins at a frame; what lies before frame `done` was given out."""
        rows = [row for row, length in enumerate(self.lengths) if length > done]
        run = _Window(self, rows, begin, done)
        given = done - begin
        for whole in run:
            if whole > given:
                self.codes[rows, :, begin + given : begin + whole] = run.read(given, whole)
                yield Piece(begin + given, self.codes[:, :, begin + given : begin + whole])
                given = whole
            else:
                yield None


class _Window:
    """One window of some rows: iterate for the number of its frames that are whole."""

    def __init__(self, writing: Writing, rows: list[int], begin: int, done: int) -> None:
        self.writing, self.rows, self.begin = writing, rows, begin
        model, special = writing.model, writing.model.config.special
        pattern = model.config.pattern
        ends = [min(writing.window, writing.lengths[row] - begin) for row in rows]
        self.wanted, self.ends = max(ends), torch.tensor(ends, device=model.device)[:, None, None]
        frames = self.wanted if pattern.causal else writing.window
        self.pattern = make_pattern(pattern, frames)
        self.places = self.pattern.places.to(model.device) + 1  # columns
        codes = torch.full((len(rows), pattern.codebooks, frames), NOTHING, device=model.device)
        codes[:, :, : self.wanted] = writing.codes[rows, :, begin : begin + self.wanted]
        judged = torch.zeros_like(codes)
        judged[:, :, max(0, max(writing.judge_from, done) - begin) :] = 1
        self.judged = self.pattern.build(judged * (codes != NOTHING), 0).bool()
        if pattern.causal:
            for row, end in zip(codes, ends, strict=True):
                row[:, end:] = special  # as in a sequence that ends there
        self.sequence = self.pattern.build(codes, special)  # [R, K, 1 + S]: forced, or NOTHING
        self.first = [_first(row) for row in (self.sequence == NOTHING).any(1).cpu()]  # column that each row writes

    def __iter__(self) -> Iterator[int]:
        last = int(self.pattern.complete[self.wanted - 1])  # the column after which all that is wanted is whole
        begin = min(*self.first, _first(self.judged.any(0).any(0)))
        if begin <= last:
            whole = torch.searchsorted(self.pattern.complete, torch.arange(last + 1), right=True).tolist()
            state, hidden = self._start(begin, last)
            for column in range(begin, last + 1):
                state, hidden = self._step(column, last, state, hidden)
                yield min(whole[column], self.wanted)
        yield self.wanted

    def read(self, start: int, stop: int) -> Tensor:
        """Codes [R, K, stop - start] of whole frames; NOTHING after the end of a row."""
        books = torch.arange(len(self.places), device=self.places.device)[:, None]
        codes = self.sequence[:, books, self.places[:, start:stop]]
        return codes.masked_fill(torch.arange(start, stop, device=codes.device) >= self.ends, NOTHING)

    @torch.no_grad()
    def _start(self, begin: int, last: int) -> tuple[Any, Tensor]:
        """All columns before `begin`, at once."""
        writing = self.writing
        ways, conditions = writing.told(self.begin)
        rows = [way * writing.batch + row for way in range(ways) for row in self.rows]
        state = writing.model.start(len(rows), last, select(conditions, rows))
        hidden, state = writing.model.advance(self.sequence[:, :, :begin].repeat(ways, 1, 1), state)
        self.ways = ways
        return state, hidden[:, -1]

    @torch.no_grad()
    def _step(self, column: int, last: int, state: Any, hidden: Tensor) -> tuple[Any, Tensor]:
        """Write one column, and read it unless it is the last."""
        writing, rows = self.writing, len(self.rows)
        forced, judged = self.sequence[:, :, column], self.judged[:, :, column]
        live = [
            writing.generators[row] if column >= first else None
            for row, first in zip(self.rows, self.first, strict=True)
        ]

        def draw(logits: Tensor, k: int | None) -> Tensor:
            known, counted = (forced, judged) if k is None else (forced[:, k], judged[:, k])
            drawn = sample(logits, live, writing.options, self.ways)
            if writing.judge_from < writing.total:
                logp = logits[:rows].float().log_softmax(-1)
                logp = logp.gather(-1, known.clamp(0, logp.shape[-1] - 1)[..., None])[..., 0] * counted
                writing.likelihood[self.rows] += logp if k is not None else logp.sum(-1)
            codes = torch.where(known != NOTHING, known, drawn)
            return codes.repeat(self.ways, *([1] * (codes.ndim - 1)))

        written = writing.model.head.write(hidden, draw)  # [ways * R, K]
        self.sequence[:, :, column] = written[:rows]
        if column == last:
            return state, hidden
        hidden, state = writing.model.advance(written[:, :, None], state)
        return state, hidden[:, -1]


def _first(there: Tensor) -> int:
    """The first place that is True, or the one after the last."""
    return int(there.int().argmax()) if there.any() else len(there)
