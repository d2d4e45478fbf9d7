"""How well a transcriber does on held-out recordings while it learns: the notes of its frame outputs against the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from solfa.eval.note_matching import match_notes, note_table
from solfa.eval.transcription import note_measures
from solfa.score.note import Note
from solfa.train.transcriber_data import Take
from solfa.transcription.config import READ
from solfa.transcription.frames import Columns, FrameOptions
from solfa.transcription.heard import Heard
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.stitch import FrameStitcher, Hearing, Source, Stitcher, Window

BATCH = 16  # segments at once
MEASURED = {"onset": "onset_f1", "drum": "drum_f1", "frame": "onset_offset_f1"}  # what each threshold is chosen by
Tried = dict[tuple[str, float], dict[str, float]]  # by threshold and its value, the usual one first


def score_takes(
    model: TokenTranscriber,
    takes: Sequence[Take],
    codebooks: int,
    source: Source | None = None,
    options: Sequence[FrameOptions] = (READ,),
    silence: Tensor | None = None,
) -> list[dict[str, float]]:
    """For each of `options` means over the recordings, by name; they are heard once.

    Of a recording without pitched notes only `drum_f1` counts, and that of those with drums.
    onset_f1, onset_precision, onset_recall: notes whose pitch is right and whose onset is within 50 ms, as mir_eval has them.
    onset_offset_f1, onset_velocity_f1: whose offset, whose velocity is near, too. program_accuracy: of the notes that were found,
    the share with the right instrument. drum_f1: hits. They are read as `solfa transcribe` reads them, told nothing of what plays;
    silence: see `Hearing`.
    """
    fewer = codebooks if source is None and codebooks < model.config.codebooks else None
    hearing = Hearing(source, silence=silence, codebooks=fewer, batch=BATCH)
    rows: list[list[dict[str, float]]] = [[] for _ in options]
    for take in takes:
        readers = _Readers(model, options, hearing)
        readers.push(torch.from_numpy(take.codes[:codebooks].astype(np.int64)))
        readers.finish()
        truth = take.notes.notes()
        for found, notes in zip(rows, readers.notes, strict=True):
            found.append(scores(truth, notes, model.config.columns))
    return [_means(found) for found in rows]


def try_peaks(
    model: TokenTranscriber,
    takes: Sequence[Take],
    source: Source | None,
    thresholds: Sequence[float],
    silence: Tensor | None = None,
) -> Tried:
    """What `score_takes` gives with each of these thresholds of onsets, of drums and of what sounds on, the others as in `READ`."""
    cells = [(field, value) for field in MEASURED for value in dict.fromkeys((getattr(READ, field), *thresholds))]
    options = [replace(READ, **{field: value}) for field, value in cells]  # type: ignore[arg-type]
    apart = list(dict.fromkeys(options))
    found = dict(zip(apart, score_takes(model, takes, model.config.codebooks, source, apart, silence), strict=True))
    return {cell: found[each] for cell, each in zip(cells, options, strict=True)}


def best_peaks(tried: Tried) -> FrameOptions:
    """`READ` with the best of the thresholds that were tried, each by itself; where some are as good, the first of them."""
    best = READ
    for field, measure in MEASURED.items():
        given = {
            value: row[measure]
            for (name, value), row in tried.items()
            if name == field and measure in row  # there may be no drums, say
        }
        if given:
            best = replace(best, **{field: max(given, key=lambda value: given[value])})  # type: ignore[arg-type]
    return best


class _Readers(Stitcher):
    """Notes of the frame outputs, read in many ways."""

    def __init__(self, model: TokenTranscriber, options: Sequence[FrameOptions], hearing: Hearing) -> None:
        self._parts = [FrameStitcher(model, each, hearing) for each in options]
        super().__init__(model, hearing)
        self.notes: list[list[Note]] = [[] for _ in options]

    def _read(self, windows: list[Window], heard: Heard | None) -> list[Note]:
        for part, notes in zip(self._parts, self.notes, strict=True):
            notes += part._read(windows, heard)
        return []

    def _end(self, seconds: float) -> list[Note]:
        for part, notes in zip(self._parts, self.notes, strict=True):
            notes += part._end(seconds)
        return []


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def scores(reference: Sequence[Note], estimate: Sequence[Note], columns: Columns) -> dict[str, float]:
    """Those of one recording. Reference notes that a model with these columns cannot say are not asked of it."""
    known = [note for note in reference if columns.of(np.array(note.pitch), np.array(note.is_drum)) >= 0]
    pitched, found = ([note for note in side if not note.is_drum] for side in (known, estimate))
    hits, hit = ([note for note in side if note.is_drum] for side in (known, estimate))
    values: dict[str, float] = {}
    if pitched:
        measures = note_measures(pitched, found)
        values |= {"onset_f1": measures.onset.f1, "onset_precision": measures.onset.precision}
        values |= {"onset_recall": measures.onset.recall, "onset_offset_f1": measures.onset_offset.f1}
        values["onset_velocity_f1"] = measures.onset_velocity.f1
        wanted, ours = note_table(pitched), note_table(found)
        pairs = match_notes(wanted, ours, offsets=False)
        right = wanted.program[pairs.reference] == ours.program[pairs.estimate]
        values["program_accuracy"] = float(right.mean()) if len(pairs) else 0.0
    if hits:
        values["drum_f1"] = note_measures(hits, hit).onset.f1
    return values
