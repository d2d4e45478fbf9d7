"""Crops of recordings with their targets: what a step of a transcriber's training computes on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from solfa.train.transcriber_data import Take
from solfa.train.transcriber_notes import NoteTable
from solfa.train.transcriber_sound import SoundChange
from solfa.train.transcriber_targets import FrameTargets, frame_targets
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.events import encode_segment
from solfa.transcription.frames import DRUMS, INSTRUMENTS
from solfa.transcription.segments import PedalSpan, Segment

NEAR = 0.05  # seconds around a crop: what is so near to it may be in it by rounding


@dataclass(frozen=True)
class Crop:
    """The frames of a recording from `start` on, as many as a segment has, or as there are. told: the model is told what plays.

    change: of its sound; the notes are transposed with it. before, after: frames at either end that are context for its events.
    """

    take: Take
    start: int
    told: bool = False
    change: SoundChange | None = None
    before: int = 0
    after: int = 0

    def notes(self, start: float, end: float) -> NoteTable:
        """What sounds between two times of the recording, in seconds."""
        table = self.take.notes.crop(start, end)
        return table if self.change is None else table.transposed(self.change.transpose)


@dataclass(frozen=True)
class TranscriberBatch:
    """Crops and what is to be said of them."""

    codes: Tensor  # [B, K, T] int64, zeros behind the end of a recording
    lengths: Tensor  # [B] int64: frames that are there
    targets: FrameTargets
    ids: Tensor | None = None  # [B, L] event tokens, padding behind them
    asked: Tensor | None = None  # [B, L] the same, padding where a token is not asked for
    first: Tensor | None = None  # [B] int64 the frame at which the events begin
    hint: Tensor | None = None  # [B, 129] bool: the instruments that play; a row of none is told nothing
    changes: tuple[SoundChange, ...] = ()  # one a row, of models that hear sound
    source: Tensor | None = None  # [B, D, T] what is heard of the codes, where it was made ahead of time

    @property
    def real(self) -> Tensor:
        """[B, T] 1 where there is sound."""
        places = torch.arange(self.codes.shape[2], device=self.codes.device)
        return (places < self.lengths[:, None]).float()


def make_batch(crops: Sequence[Crop], config: TranscriberConfig, codebooks: int, longest: int) -> TranscriberBatch:
    """The batch of some crops, with the first `codebooks` of their codes.

    longest: event tokens of a crop at most; sequences are cut there, and that is said.
    """
    frames, rate = config.segment_frames, config.frame_rate
    codes = np.zeros((len(crops), codebooks, frames), np.int64)
    lengths = np.zeros(len(crops), np.int64)
    tables = []
    for row, crop in enumerate(crops):
        piece = crop.take.codes[:codebooks, crop.start : crop.start + frames]
        lengths[row] = piece.shape[1]
        codes[row, :, : lengths[row]] = piece
        start = crop.start / rate
        tables.append((crop.notes(start - NEAR, start + frames / rate + NEAR), start))
    ids = _event_ids(crops, tables, config, longest) if config.decoder_layers else None
    return TranscriberBatch(
        torch.from_numpy(codes),
        torch.from_numpy(lengths),
        frame_targets(tables, config.columns, frames, rate),
        ids,
        None if ids is None else _asked(ids, tables, config),
        None if ids is None else torch.tensor([crop.before for crop in crops]),
        _hints(crops, tables, frames / rate) if config.hints else None,
        tuple(crop.change for crop in crops if crop.change is not None),
    )


def counted(batch: TranscriberBatch, config: TranscriberConfig) -> dict[str, int]:
    """What the losses of a batch (see `LossWeights`) are means over: notes or tokens by the loss's name, of all others "frames"."""
    targets = batch.targets
    counts = {
        "frames": int(batch.lengths.sum()),
        "velocity": int((targets.velocity > 0).sum()),
        "shift": len(targets.cells),
        "program": int((targets.cells[:, 2] < config.columns.pitched).sum()),
    }
    if batch.asked is not None and config.vocabulary is not None:
        counts["events"] = int((batch.asked != config.vocabulary.pad).sum())
    return counts


def _event_ids(
    crops: Sequence[Crop], tables: Sequence[tuple[NoteTable, float]], config: TranscriberConfig, longest: int
) -> Tensor:
    vocabulary, rate = config.vocabulary, config.frame_rate
    assert vocabulary is not None  # where there is a decoder there is one
    rows = []
    for crop, (table, start) in zip(crops, tables, strict=True):
        pedals = [PedalSpan(*row) for row in table.pedals.tolist()]
        segment = Segment(start + crop.before / rate, (config.segment_frames - crop.before - crop.after) / rate)
        rows.append(encode_segment(table.notes(), pedals, segment, vocabulary))
    most = max(map(len, rows))
    if most > longest:
        # One text for all crops, so it is said once.
        warnings.warn(f"crops with more events are cut at {longest} tokens (longest_events)", stacklevel=2)
    ids = torch.full((len(rows), min(most, longest)), vocabulary.pad)
    for row, found in zip(ids, rows, strict=True):
        row[: len(found)] = torch.tensor(found[:longest])
    return ids


def _asked(ids: Tensor, tables: Sequence[tuple[NoteTable, float]], config: TranscriberConfig) -> Tensor:
    """Without the velocities of crops in which some are not known; ends of notes (velocity 0) are."""
    vocabulary = config.vocabulary
    assert vocabulary is not None
    silent = torch.tensor([bool((table.rows["velocity"] == 0).any()) for table, _ in tables])
    loud = torch.isin(ids, torch.tensor([vocabulary.id("velocity", n + 1) for n in range(vocabulary.velocity_bins)]))
    return ids.masked_fill(loud & silent[:, None], vocabulary.pad)


def _hints(crops: Sequence[Crop], tables: Sequence[tuple[NoteTable, float]], seconds: float) -> Tensor:
    """The instruments that sound in each crop that is told of them."""
    hint = torch.zeros(len(crops), INSTRUMENTS, dtype=torch.bool)
    for row, crop, (table, start) in zip(hint, crops, tables, strict=True):
        if crop.told:
            rows = table.crop(start, start + seconds).rows
            row[torch.from_numpy(np.where(rows["drum"], DRUMS, rows["program"]).astype(np.int64))] = True
    return hint
