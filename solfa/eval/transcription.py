"""How well notes were transcribed: all measures of two lists of notes, a reference and an estimate.

Note measures are those of mir_eval 0.8.2 (`transcription` and `transcription_velocity`, after MIREX's note tracking), number for
number. Conventions: times are seconds, pitches are MIDI numbers (mir_eval wants Hz, and takes MIDI numbers without a word), and equal
pitches are what its 50 cents leave. Where a side is empty, all rates are 0. Notes of no length, which mir_eval refuses, are left out
and counted, as MT3 and Onsets and Frames leave them out. Lists may be in any order; in another order another one of equally large
matchings may be taken, which can move the overlap and the velocities, never how many match without velocity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from solfa.eval.note_matching import (
    MIREX,
    Bools,
    NoteTable,
    Pairs,
    Rates,
    Tolerances,
    count_near,
    largest_matching,
    near_offsets,
    near_onsets,
    nearer_onsets,
    note_table,
    rates,
)
from solfa.eval.transcription_frames import RATE, FrameMeasures, frame_measures, mt3_frame_rates
from solfa.eval.transcription_programs import ProgramScore, program_scores
from solfa.score.note import Note

Notes = Sequence[Note] | NoteTable
SWEEP = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # seconds: MT3's


@dataclass(frozen=True)
class NoteScore(Rates):
    """`Rates` of notes. overlap: the mean over matched notes of the time that both sound over the time that either does, 0 to 1, higher is
    better (mir_eval's average overlap ratio); 0 where nothing matched. Without offsets it may be below 0, for notes that do not meet."""

    overlap: float


@dataclass(frozen=True)
class NoteMeasures:
    """Measures of notes, whatever their program. Defaults in brackets.

    onset: a note is right whose pitch is that of a reference note and whose onset is near (50 ms). Often called note F1 or onset F1;
        mir_eval's F-measure_no_offset.
    onset_offset: and whose offset is near (within 20 % of the reference note's length, at least 50 ms). mir_eval's F-measure.
    onset_velocity, onset_offset_velocity: of the notes that matched so, those whose velocity is near (0.1), once the straight line that
        fits the matched ones best (least squares) has mapped the estimate's velocities to the reference's, from 0 (its softest note) to
        1 (its loudest). Hawthorne et al. 2018. A constant velocity is mapped to the mean: who hears no dynamics scores more than 0.
    onsets: onsets alone, of whatever pitch. offsets: offsets alone, of whatever pitch and onset. mir_eval's Onset_ and Offset_F-measure.
    left_out: notes of no length in the reference and in the estimate, which count in none of these.
    """

    onset: NoteScore
    onset_offset: NoteScore
    onset_velocity: NoteScore
    onset_offset_velocity: NoteScore
    onsets: Rates
    offsets: Rates
    left_out: tuple[int, int]


@dataclass(frozen=True)
class SweepScore:
    """Onset and offset (`NoteMeasures.onset_offset`) where the tolerance of onsets and the least one of offsets are `tolerance` seconds."""

    tolerance: float
    rates: Rates


@dataclass(frozen=True)
class TranscriptionScores:
    """Every measure of one piece. `notes`, `frames`, `mt3_frames` and `sweep` are of pitched notes, drums left out as in MT3; `programs`
    are of both, at the granularities flat, midi_class and full."""

    notes: NoteMeasures
    frames: FrameMeasures
    mt3_frames: Rates
    programs: tuple[ProgramScore, ...]
    sweep: tuple[SweepScore, ...]


@dataclass(frozen=True)
class Summary:
    """One measure over several pieces. precision, recall, f1: means over the `pieces` in which either side has something to match (a piece
    without drums has no drum score, where MT3 would count a 0); NaN of none. pooled: the rates of all pieces as of one, in which every note
    weighs the same; NaN likewise."""

    measure: str
    precision: float
    recall: float
    f1: float
    pieces: int
    pooled: Rates


@dataclass(frozen=True)
class NoteErrors:
    """`missed`: notes of the reference that were not found; `extra`: notes of the estimate that are not there. Sorted by onset."""

    missed: tuple[Note, ...]
    extra: tuple[Note, ...]


def note_measures(reference: Notes, estimate: Notes, tolerances: Tolerances = MIREX) -> NoteMeasures:
    """mir_eval's note measures. Drums count like any other note of their key: leave them out first where they should not.

    Raises ValueError for millions of notes of one pitch at one moment (see `near_onsets`).
    """
    wanted, found, left_out = _lasting(reference, estimate)
    near = near_onsets(wanted, found, tolerances)
    onset = largest_matching(near)
    both = largest_matching(near_offsets(near, wanted, found, tolerances))
    scores = []
    for matched in (onset, both):
        scores.append(_note_score(matched, wanted, found))
        loud = matched[velocities_near(matched, wanted, found, tolerances.velocity)]
        scores.append(_note_score(loud, wanted, found))
    sizes = len(wanted), len(found)
    alone = [rates(count_near(wanted, found, tolerances, offsets=offsets), *sizes) for offsets in (False, True)]
    return NoteMeasures(scores[0], scores[2], scores[1], scores[3], alone[0], alone[1], left_out)


def tolerance_sweep(
    reference: Notes, estimate: Notes, sweep: Sequence[float] = SWEEP, tolerances: Tolerances = MIREX
) -> tuple[SweepScore, ...]:
    """Onset and offset scores over a range of tolerances (seconds), as MT3 reports them; the rest is as in `tolerances`."""
    wanted, found, _ = _lasting(reference, estimate)
    widest = near_onsets(wanted, found, replace(tolerances, onset=max(sweep, default=0.0)))
    result = []
    for tolerance in sweep:
        here = replace(tolerances, onset=tolerance, offset_floor=tolerance)
        near = near_offsets(nearer_onsets(widest, wanted, found, here), wanted, found, here)
        result.append(SweepScore(tolerance, rates(len(largest_matching(near)), len(wanted), len(found))))
    return tuple(result)


def transcription_scores(
    reference: Notes, estimate: Notes, tolerances: Tolerances = MIREX, *, rate: float = RATE
) -> TranscriptionScores:
    """Every measure; `rate` (frames a second) is that of `frames`."""
    wanted, found = note_table(reference), note_table(estimate)
    pitched = wanted[~wanted.is_drum], found[~found.is_drum]
    return TranscriptionScores(
        note_measures(*pitched, tolerances),
        frame_measures(*pitched, rate),
        mt3_frame_rates(*pitched),
        program_scores(wanted, found, tolerances),
        tolerance_sweep(*pitched, tolerances=tolerances),
    )


def note_errors(reference: Sequence[Note], estimate: Sequence[Note], tolerances: Tolerances = MIREX) -> NoteErrors:
    """The notes that `NoteMeasures.onset` counts as missed and extra, whatever their offset, velocity and program; drums are matched
    with drums only. Notes of no length, which count nowhere, are in neither list."""
    sides = note_table(reference), note_table(estimate)
    kinds = sides[0].pitch + 128 * sides[0].is_drum, sides[1].pitch + 128 * sides[1].is_drum
    lasting = tuple(table.offset > table.onset for table in sides)
    near = near_onsets(*sides, tolerances, kinds)
    pairs = largest_matching(near[lasting[0][near.reference] & lasting[1][near.estimate]])
    lost = []
    for notes, mask, matched in zip((reference, estimate), lasting, (pairs.reference, pairs.estimate), strict=True):
        alone = mask.copy()
        alone[matched] = False
        lost.append(tuple(sorted(notes[place] for place in np.flatnonzero(alone).tolist())))
    return NoteErrors(*lost)


def measures(scores: TranscriptionScores) -> dict[str, Rates]:
    """The rates among the scores, by a name for each."""
    notes = scores.notes
    found: dict[str, Rates] = {
        "onset": notes.onset,
        "onset, offset": notes.onset_offset,
        "onset, velocity": notes.onset_velocity,
        "onset, offset, velocity": notes.onset_offset_velocity,
        "onsets of any pitch": notes.onsets,
        "offsets of any pitch": notes.offsets,
        "frames": scores.frames.pitch,
        "frames, pitch class": scores.frames.chroma,
        "frames, as MT3": scores.mt3_frames,
    }
    for level in scores.programs:
        found[f"onset, program {level.granularity}"] = level.onset
        found[f"onset, offset, program {level.granularity}"] = level.pitched
        found[f"the same and drums, {level.granularity}"] = level.all
    found["drums, onset"] = scores.programs[0].drums
    for step in scores.sweep:
        found[f"onset, offset within {1000 * step.tolerance:g} ms"] = step.rates
    return found


def summarize(pieces: Sequence[TranscriptionScores]) -> tuple[Summary, ...]:
    """Every one of `measures` over pieces that were scored alike; none for no pieces."""
    tables = [measures(scores) for scores in pieces]
    found = []
    for name in tables[0] if tables else ():
        rows = [row for table in tables if (row := table[name]).reference or row.estimate]
        counts = [
            sum(row.matched for row in rows),
            sum(row.reference for row in rows),
            sum(row.estimate for row in rows),
        ]
        pooled = rates(*counts)
        if not rows:
            pooled = replace(pooled, precision=nan, recall=nan, f1=nan)
        precision, recall, f1 = (sum(values) / len(rows) if rows else nan for values in _columns(rows))
        found.append(Summary(name, precision, recall, f1, len(rows), pooled))
    return tuple(found)


def _columns(rows: Sequence[Rates]) -> tuple[list[float], list[float], list[float]]:
    return [row.precision for row in rows], [row.recall for row in rows], [row.f1 for row in rows]


def velocities_near(pairs: Pairs, reference: NoteTable, estimate: NoteTable, tolerance: float) -> Bools:
    """Which pairs agree in velocity, once the estimate's were fitted to the reference's: less than `tolerance` apart, on a scale on
    which the reference's notes, matched or not, go from 0 to 1."""
    if not len(pairs):
        return np.zeros(0, np.bool_)
    lowest, highest = reference.velocity.min(), reference.velocity.max()
    wanted = (reference.velocity[pairs.reference] - lowest) / float(max(1, highest - lowest))
    found = estimate.velocity[pairs.estimate].astype(np.float64)
    slope, constant = np.linalg.lstsq(np.stack([found, np.ones(len(found))], 1), wanted, rcond=None)[0]
    return np.abs(slope * found + constant - wanted) < tolerance


def _lasting(reference: Notes, estimate: Notes) -> tuple[NoteTable, NoteTable, tuple[int, int]]:
    """Both sides without their notes of no length, and how many these were."""
    sides = note_table(reference), note_table(estimate)
    wanted, found = (table[table.offset > table.onset] for table in sides)
    return wanted, found, (len(sides[0]) - len(wanted), len(sides[1]) - len(found))


def _note_score(pairs: Pairs, reference: NoteTable, estimate: NoteTable) -> NoteScore:
    known = rates(len(pairs), len(reference), len(estimate))
    overlap = 0.0
    if len(pairs):
        a, b = reference[pairs.reference], estimate[pairs.estimate]
        shared = np.minimum(a.offset, b.offset) - np.maximum(a.onset, b.onset)
        spanned = np.maximum(a.offset, b.offset) - np.minimum(a.onset, b.onset)
        overlap = float(np.mean(shared / spanned))
    return NoteScore(known.precision, known.recall, known.f1, known.matched, known.reference, known.estimate, overlap)
