"""Many prompts written at once: each joins when it comes and leaves when it ends, or earlier, at any step (continuous batching).

    batch = Batch(fast_lm(model, "int8"))
    first = batch.join(conditions_for(model, ["a waltz"]), frames=500, seeds=[1])
    while len(batch):
        for ticket, piece in batch.step():
            ...                                # others may join here

Reading the model's weights is what a step costs, so a step of several prompts costs little more than that of one. Each prompt is a
`Writing` of its own (generate.py), with its own length, seeds, known codes, options and windows; what they ask the model for is asked
together. The sums of a row do not depend on the rows beside it where the compiled kernels run, so there a prompt's codes are exactly
those that it gets alone; in torch they are but for codes that are equally likely to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from solfa.lm.fast import FastHead, FastLM, FastState, join
from solfa.lm.generate import Piece, Told, Writing
from solfa.lm.model import Conditions, Draw, LMConfig
from solfa.lm.sampling import USUAL, SamplingOptions


class Batch:
    """The prompts that are being written.

    most: rows of the model that may be taken at once (a guided prompt takes two for each seed); `join` raises ValueError beyond.
    """

    def __init__(self, lm: FastLM, most: int = 64) -> None:
        if most < 1:
            raise ValueError(f"most is {most}: it must be at least 1")
        self._lm, self._most, self._next = lm, most, 0
        self._seats: dict[int, _Seat] = {}

    def __len__(self) -> int:
        """Prompts that have not ended."""
        return len(self._seats)

    def __contains__(self, ticket: int) -> bool:
        """Whether that prompt is still being written."""
        return ticket in self._seats

    @property
    def rows(self) -> int:
        """Rows of the model that are taken."""
        return sum(seat.rows for seat in self._seats.values())

    def join(
        self,
        conditions: Told,
        frames: int | Sequence[int],
        *,
        seeds: Sequence[int],
        options: SamplingOptions = USUAL,
        known: Tensor | None = None,
        window: int | None = None,
        stride: int | None = None,
    ) -> int:
        """A prompt from the next step on, its arguments as `Writing`'s; gives its ticket. Raises ValueError as `Writing` does."""
        seat = _Seat(self._lm)
        seat.writing = Writing(seat, conditions, frames, seeds, options, known, window, stride)
        ways, _ = seat.writing.told(0)
        seat.rows = ways * len(seeds)
        if self.rows + seat.rows > self._most:
            raise ValueError(f"{self.rows} of {self._most} rows are taken: {seat.rows} more do not fit")
        seat.columns = seat.writing.columns()
        self._next += 1
        self._seats[self._next] = seat
        return self._next

    def leave(self, ticket: int) -> Tensor:
        """End a prompt before its end: its codes [B, K, T] as far as they are whole, NOTHING beyond. ValueError for no such prompt."""
        if ticket not in self._seats:
            raise ValueError(f"ticket {ticket}: no such prompt is being written")
        return self._seats.pop(ticket).writing.codes

    def step(self) -> list[tuple[int, Piece]]:
        """One column of every prompt: the tickets and pieces of those that have new whole frames. Who has ended has left after it."""
        _run([seat.asked for seat in self._seats.values() if seat.asked is not None and not seat.asked.done], self._lm)
        pieces = []
        for ticket, seat in list(self._seats.items()):
            piece = next(seat.columns, _END)
            if isinstance(piece, Piece):
                pieces.append((ticket, piece))
            if piece is _END or (isinstance(piece, Piece) and _last(piece, seat.writing)):
                del self._seats[ticket]
        return pieces


_END = object()


def _last(piece: Piece, writing: Writing) -> bool:
    return piece.start + piece.codes.shape[2] >= writing.total


@dataclass(eq=False)
class _Asked:
    """A column that the model was asked to read, and, when it has been, what it made of it. Stands for both hidden vectors and state."""

    columns: Tensor  # [B, K, 1]
    state: FastState
    hidden: Tensor = field(default_factory=lambda: torch.empty(0))  # [B, D]
    logits: Tensor | None = None  # [B, K, N], of a model with one head matrix
    done: bool = False

    def __getitem__(self, index: object) -> _Asked:
        return self  # hidden[:, -1]: there is one step


def _run(asked: Sequence[_Asked], lm: FastLM) -> None:
    """Read all these columns at once."""
    if not asked:
        return
    hidden, state = lm.advance(torch.cat([each.columns for each in asked]), join([each.state for each in asked]))
    logits = lm.head.logits(hidden[:, 0]) if isinstance(lm.head, FastHead) else None
    row, groups = 0, iter(state.groups)
    for each in asked:
        rows = slice(row, row + len(each.columns))
        each.hidden, each.logits = hidden[rows, 0], None if logits is None else logits[rows]
        each.state, each.done = FastState(tuple(next(groups) for _ in each.state.groups)), True
        row = rows.stop


class _Seat:
    """What a `Writing` takes for its model: it only notes what is to be read, until all have asked."""

    writing: Writing
    columns: Iterator[Piece | None]
    rows = 0

    def __init__(self, lm: FastLM) -> None:
        self._lm, self.head = lm, self
        self.config: LMConfig = lm.config
        self.asked: _Asked | None = None

    @property
    def device(self) -> torch.device:
        return self._lm.device

    def start(self, batch: int, steps: int, conditions: Conditions = Conditions()) -> FastState:  # noqa: B008  (frozen)
        return self._lm.start(batch, steps, conditions)

    def advance(self, columns: Tensor, state: FastState | _Asked) -> tuple[Any, Any]:
        if isinstance(state, _Asked):
            assert state.done
            state = state.state
        if columns.shape[2] != 1:
            return self._lm.advance(columns, state)  # a known beginning
        self.asked = _Asked(columns, state)
        return self.asked, self.asked

    def write(self, hidden: Tensor | _Asked, draw: Draw) -> Tensor:
        if isinstance(hidden, Tensor):
            return self._lm.head.write(hidden, draw)
        if not hidden.done:
            _run([hidden], self._lm)  # the first column, which is written from in the same step
        return self._lm.head.write(hidden.hidden, draw) if hidden.logits is None else draw(hidden.logits, None)
