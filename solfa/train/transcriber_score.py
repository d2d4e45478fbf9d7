"""How well a transcriber does on held-out recordings while it learns: the notes of its frame outputs against the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from solfa.eval.note_matching import match_notes, note_table
from solfa.eval.transcription import note_measures
from solfa.score.note import Note
from solfa.train.transcriber_data import Take
from solfa.transcription.frames import Columns, FrameOptions
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.stitch import FrameStitcher, Hearing, Source

BATCH = 16  # segments at once


def score_takes(
    model: TokenTranscriber,
    takes: Sequence[Take],
    codebooks: int,
    source: Source | None = None,
    options: FrameOptions = FrameOptions(),  # noqa: B008  (frozen)
) -> dict[str, float]:
    """Means over the recordings, by name; of a recording without pitched notes only `drum_f1` counts, and that of those with drums.

    onset_f1, onset_precision, onset_recall: notes whose pitch is right and whose onset is within 50 ms, as mir_eval has them.
    onset_offset_f1, onset_velocity_f1: whose offset, whose velocity is near, too. program_accuracy: of the notes that were found,
    the share with the right instrument. drum_f1: hits. They are read as `solfa transcribe` reads them, told nothing of what plays.
    """
    fewer = codebooks if source is None and codebooks < model.config.codebooks else None
    hearing = Hearing(source, codebooks=fewer, batch=BATCH)
    rows = []
    for take in takes:
        stitcher = FrameStitcher(model, options, hearing)
        notes = stitcher.push(torch.from_numpy(take.codes[:codebooks].astype(np.int64)))
        rows.append(scores(take.notes.notes(), [*notes, *stitcher.finish()], model.config.columns))
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
