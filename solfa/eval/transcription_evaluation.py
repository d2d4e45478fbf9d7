"""Transcriptions of many pieces as one evaluation: what of the scores of a piece its row shows, and the tables over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from solfa.eval.bootstrap import mean_estimate
from solfa.eval.evaluation import Evaluation, Item, Measure
from solfa.eval.note_matching import Rates
from solfa.eval.transcription import NoteErrors, TranscriptionScores, summarize
from solfa.score.families import FAMILIES
from solfa.score.note import Note

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
MEASURES: tuple[Measure, ...] = tuple(
    Measure(name, definition, "", 0, 1, "higher")
    for name, definition in {
        "precision": "Share of the estimate's pitched notes that are right: pitch, and onset within the tolerance (50 ms). mir_eval's "
        "Precision_no_offset, drums left out as in MT3.",
        "recall": "Share of the reference's pitched notes that are found: pitch, and onset within the tolerance. mir_eval's "
        "Recall_no_offset.",
        "onset": "F1 of precision and recall. mir_eval's F-measure_no_offset, often called note F1.",
        "offset": "The same where the offset must be near too: within 20 % of the reference note's length, at least the tolerance. "
        "mir_eval's F-measure.",
        "velocity": "As onset, where the velocity must be near too: within 0.1 of the reference's range, after the line of least squares. "
        "mir_eval's transcription_velocity, without offsets.",
        "offset, velocity": "As offset, where the velocity must be near too. mir_eval's transcription_velocity.",
        "frame": "F1 of the pitches that sound at moments 10 ms apart (--rate). Precision and recall are mir_eval.multipitch's, which has "
        "no F1; MT3's frame F1 is another.",
        "exact": "Share of these moments with no pitch missed and none extra, among them silent ones, until the last note of either side "
        "ends. Of systems trained on MusicNet; neither mir_eval nor MT3 has it.",
        "program": "As onset, where the General MIDI program must be right too. MT3's own scores ask for the offset as well.",
        "family": "As onset, where the family of eight programs must be right too.",
        "drums": "F1 of drum hits, by key and onset. MT3's drum onset F1.",
    }.items()
)


@dataclass(frozen=True)
class ScoredPiece:
    """A piece, its scores, its errors where they are asked for, and the files to look at, by label."""

    name: str
    scores: TranscriptionScores
    errors: NoteErrors | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


def piece_values(scores: TranscriptionScores) -> dict[str, float]:
    """The `MEASURES` of a piece; NaN for those that neither side has anything for, as drums where there are none."""
    notes, full, family = scores.notes, scores.programs[2], scores.programs[1]
    assert (full.granularity, family.granularity) == ("full", "midi_class")

    def known(rates: Rates, value: float) -> float:
        return value if rates.reference or rates.estimate else nan

    return {
        "precision": known(notes.onset, notes.onset.precision),
        "recall": known(notes.onset, notes.onset.recall),
        "onset": known(notes.onset, notes.onset.f1),
        "offset": known(notes.onset, notes.onset_offset.f1),
        "velocity": known(notes.onset, notes.onset_velocity.f1),
        "offset, velocity": known(notes.onset, notes.onset_offset_velocity.f1),
        "frame": known(scores.frames.pitch, scores.frames.pitch.f1),
        "exact": known(scores.frames.pitch, scores.frames.exact[0]),
        "program": known(full.onset, full.onset.f1),
        "family": known(family.onset, family.onset.f1),
        "drums": known(full.drums, full.drums.f1),
    }


def transcription_evaluation(
    pieces: Sequence[ScoredPiece],
    settings: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    failed: Sequence[str] = (),
) -> Evaluation:
    """Pieces as items, with three tables: every measure, as means and pooled, what was found of each instrument family, and frames by how
    many errors they may have; a fourth one of missed and extra notes where the pieces have their errors; and after these `tables`."""
    found: dict[str, Sequence[Mapping[str, Any]]] = {
        "every measure": _every_measure(pieces),
        "families": _families(pieces),
        "frames": _frames(pieces),
    }
    if any(piece.errors is not None for piece in pieces):
        found["errors"] = [row for piece in pieces for row in _errors(piece)]
    items = [Item(piece.name, piece_values(piece.scores), piece.files) for piece in pieces]
    return Evaluation("transcription", settings, MEASURES, items, found | dict(tables or {}), failed)


def mean_rows(pieces: Sequence[TranscriptionScores]) -> list[dict[str, Any]]:
    """Three rows of a table with a column a measure: means over the pieces, and the low and high ends of their 95 % intervals."""
    values = [piece_values(scores) for scores in pieces]
    means = {measure.name: mean_estimate([row[measure.name] for row in values]) for measure in MEASURES}
    ends = {"mean": "value", "low": "low", "high": "high"}
    return [{"": end, **{name: getattr(m, kind) for name, m in means.items()}} for end, kind in ends.items()]


def _every_measure(pieces: Sequence[ScoredPiece]) -> list[dict[str, Any]]:
    return [
        {
            "measure": row.measure, "precision": row.precision, "recall": row.recall, "f1": row.f1, "pieces": row.pieces,
            "pooled": row.pooled.f1, "matched": row.pooled.matched, "reference": row.pooled.reference, "estimate": row.pooled.estimate,
        }
        for row in summarize([piece.scores for piece in pieces])
    ]  # fmt: skip


def _families(pieces: Sequence[ScoredPiece]) -> list[dict[str, Any]]:
    """Of all pieces as of one: of a family's notes the share that was found, and that found with a program of this family."""
    rows = []
    for family in FAMILIES:
        found, named = (
            [count for piece in pieces for count in piece.scores.programs[level].families if count.family == family]
            for level in (0, 1)  # flat, midi_class
        )
        if notes := sum(count.reference for count in found):
            shares = (sum(count.matched for count in counts) / notes for counts in (found, named))
            rows.append(
                {
                    "family": family,
                    "pieces": len(found),
                    "notes": notes,
                    **dict(zip(("found", "named"), shares, strict=True)),
                }
            )
    return rows


def _frames(pieces: Sequence[ScoredPiece]) -> list[dict[str, Any]]:
    """The mean share of frames with at most so many errors, over the pieces that have frames."""
    frames = [piece.scores.frames for piece in pieces if piece.scores.frames.frames]
    return [
        {
            "errors allowed": allowed,
            "pitches": sum(each.exact[allowed] for each in frames) / len(frames),
            "pitch classes": sum(each.exact_class[allowed] for each in frames) / len(frames),
        }
        for allowed in range(len(frames[0].exact) if frames else 0)
    ]


def _errors(piece: ScoredPiece) -> list[dict[str, Any]]:
    """Missed and extra notes as rows, by their onsets."""
    if piece.errors is None:
        return []
    marked = [("missed", note) for note in piece.errors.missed] + [("extra", note) for note in piece.errors.extra]
    return [_error(piece.name, error, note) for error, note in sorted(marked, key=lambda pair: (pair[1], pair[0]))]


def _error(piece: str, error: str, note: Note) -> dict[str, Any]:
    return {
        "piece": piece,
        "error": error,
        "onset": round(note.onset, 3),
        "offset": round(note.offset, 3),
        "pitch": note.pitch,
        "name": "drum" if note.is_drum else f"{NAMES[note.pitch % 12]}{note.pitch // 12 - 1}",
        "velocity": note.velocity,
        "program": note.program,
    }
