"""What the frame outputs of a transcriber are to say of a batch of crops: from tables of notes, without a loop over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from solfa.train.transcriber_notes import NoteTable
from solfa.transcription.frames import DRUMS, Columns


@dataclass(frozen=True)
class FrameTargets:
    """Targets of B crops of T frames and P columns, of which the first Q are pitches.

    The cells in which notes begin are few, so what is asked of these alone stands in lists. Two notes that begin in one cell,
    instruments in unison, are two entries.
    """

    onset: Tensor  # [B, T, P] 1 in the frame nearest to an onset, 0 to 0.5 beside it
    frame: Tensor  # [B, T, Q] 1 where a note sounds
    offset: Tensor  # [B, T, Q] 1 in the first frame in which a note no longer sounds
    cells: Tensor  # [n, 3] int64: row, frame, column nearest to each onset
    velocity: Tensor  # [n] above 0 to 1; 0 where it is not known
    shift: Tensor  # [n] frames from the cell's own time to the onset, -0.5 to 0.5
    program: Tensor  # [n] int64, 128 is a drum


def frame_targets(
    crops: Sequence[tuple[NoteTable, float]], columns: Columns, frames: int, frame_rate: float
) -> FrameTargets:
    """Targets of crops, each a table of what sounds in it and the time (seconds) of its first frame.

    Frame t stands at the time t / frame_rate. An onset belongs to the frame nearest to it; the one on its other side is asked to answer by
    how near it is, 0 to 0.5: an onset midway between two frames would else be half an onset to both. An offset belongs to the nearest
    frame; a note takes up at least one. Drums only begin. Notes beyond the columns are left out.
    """
    notes = _placed(crops, columns, frame_rate)
    batch = len(crops)
    lasting = notes.kept(notes.program != DRUMS)
    begun = notes.kept((notes.first >= 0) & (notes.first < frames))
    return FrameTargets(
        torch.from_numpy(_onsets(notes, (batch, frames, columns.count))),
        torch.from_numpy(_sounding(lasting, (batch, frames, columns.pitched))),
        torch.from_numpy(_offsets(lasting, (batch, frames, columns.pitched))),
        torch.from_numpy(np.stack([begun.row, begun.first, begun.column], 1)),
        torch.from_numpy(begun.velocity.astype(np.float32)),
        torch.from_numpy((begun.place - begun.first).astype(np.float32)),
        torch.from_numpy(begun.program),
    )


@dataclass(frozen=True)
class _Placed:
    """Notes on the grid, a number each. `place` is the onset in frames; a note sounds in the frames first to last - 1."""

    row: np.ndarray
    column: np.ndarray
    place: np.ndarray
    first: np.ndarray
    last: np.ndarray
    velocity: np.ndarray  # above 0 to 1; 0 where it is not known
    program: np.ndarray

    def kept(self, mask: np.ndarray) -> _Placed:
        parts = (self.row, self.column, self.place, self.first, self.last, self.velocity, self.program)
        return _Placed(*(part[mask] for part in parts))


def _placed(crops: Sequence[tuple[NoteTable, float]], columns: Columns, rate: float) -> _Placed:
    rows = np.concatenate([table.rows for table, _ in crops])
    row = np.repeat(np.arange(len(crops)), [len(table.rows) for table, _ in crops])
    start = np.array([time for _, time in crops])[row]
    column = columns.of(rows["pitch"].astype(np.int64), rows["drum"])
    place = (rows["onset"] - start) * rate
    first = _nearest(place)
    last = np.maximum(_nearest((rows["offset"] - start) * rate), first + 1)
    program = np.where(rows["drum"], DRUMS, rows["program"]).astype(np.int64)
    return _Placed(row, column, place, first, last, rows["velocity"] / 127, program).kept(column >= 0)


def _nearest(place: np.ndarray) -> np.ndarray:
    return np.floor(place + 0.5).astype(np.int64)


def _onsets(notes: _Placed, shape: tuple[int, int, int]) -> np.ndarray:
    beside = np.where(notes.place < notes.first, notes.first - 1, notes.first + 1)
    table = np.zeros(shape, np.float32)
    for frame, asked in ((notes.first, np.ones(len(beside))), (beside, 1 - np.abs(notes.place - beside))):
        here = (frame >= 0) & (frame < shape[1])
        np.maximum.at(table, (notes.row[here], frame[here], notes.column[here]), asked[here].astype(np.float32))
    return table


def _offsets(notes: _Placed, shape: tuple[int, int, int]) -> np.ndarray:
    ends = notes.kept((notes.last >= 0) & (notes.last < shape[1]))
    table = np.zeros(shape, np.float32)
    table[ends.row, ends.last, ends.column] = 1.0
    return table


def _sounding(notes: _Placed, shape: tuple[int, int, int]) -> np.ndarray:
    """1 in the frames first to last - 1 of each note, by sums of its edges."""
    batch, frames, columns = shape
    edges = np.zeros((batch, frames + 1, columns), np.int32)
    np.add.at(edges, (notes.row, notes.first.clip(0, frames), notes.column), 1)
    np.add.at(edges, (notes.row, notes.last.clip(0, frames), notes.column), -1)
    return (edges[:, :frames].cumsum(1) > 0).astype(np.float32)
