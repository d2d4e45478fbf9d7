"""`solfa eval transcription`: how well notes were transcribed, as MIDI files or files of notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from solfa.cli import report
from solfa.cli.inputs import expand

if TYPE_CHECKING:
    from solfa.eval.note_matching import Tolerances
    from solfa.eval.transcription import NoteErrors, TranscriptionScores
    from solfa.score.note import Note

SUFFIXES = (".mid", ".midi", ".json", ".jsonl")  # of the files of folders, in which a score may stand beside its notes
Pedal = Literal["off", "reference", "both"]
NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")


@dataclass(frozen=True)
class _Piece:
    """Two files that belong together, and what came out; `errors` where they were asked for."""

    name: str
    reference: Path
    estimate: Path
    scores: TranscriptionScores
    errors: NoteErrors | None


def transcription(
    reference: Path,
    estimate: Path,
    *,
    tolerance: float = 0.05,
    rate: float = 100.0,
    pedal: Pedal = "off",
    list_errors: report.Flag = False,
    json: report.Flag = False,
) -> int:
    """How well notes were transcribed: a file against its reference, or a folder against a folder

    Files are MIDI, notes (.json, .jsonl, one object a note), ABC or MusicXML; in folders MIDI and notes. There, files belong together
    that have the same name and place, whatever their suffix. A file without a partner is named and not scored, and the command then
    ends with 1.

    Scores go from 0 to 1, higher is better. First table, F1 a piece: onset (pitch, and onset within 50 ms), offset (and offset within
    20 % of the length, at least 50 ms), velocity (and velocity within 0.1 after a straight-line fit), frame (pitches sounding each 10
    ms), exact (share of these frames without any error), program (as offset, and the right program; drums by onset). Only program
    counts drums. Second table: every measure, as means over the pieces and, in the column pooled, as of one long piece. Numbers and
    conventions are those of mir_eval and MT3; docs/transcription-measures.md defines them. What is empty scores 0.

    Example:
        solfa eval transcription truth.mid take.mid
        solfa eval transcription truth/ found/ --pedal reference --json

    Parameters
    ----------
    reference
        The true notes: a file or a folder.
    estimate
        The transcribed notes: a file or a folder.
    tolerance
        How far onsets may be apart, in seconds, and offsets at least.
    rate
        Frames a second, for the frame measures (MT3's own stays at 62.5).
    pedal
        Whose notes last as long as the sustain pedal holds them: nobody's, the reference's, or both. Only MIDI files have pedals.
    list_errors
        List every missed and every extra note (by onset and pitch) with its time.
    json
        One JSON object on stdout: settings, every score of every piece, the summary, unpaired files and failures.
    """
    from solfa.eval.note_matching import Tolerances
    from solfa.eval.transcription_frames import MAX_RATE

    if not 0 <= tolerance <= 10:
        raise report.UsageError(f"--tolerance {tolerance:g}: 0 to 10 seconds")
    if not 0 < rate <= MAX_RATE:
        raise report.UsageError(f"--rate {rate:g}: above 0, up to {MAX_RATE:g} frames a second")
    pairs, unpaired = _pairs(reference, estimate)
    for path in unpaired:
        report.fail(str(path), "no file of this name on the other side")
    pieces, failed = [], []
    with report.progress("score", len(pairs)) as bar:
        for name, wanted, found in pairs:
            try:
                pieces.append(
                    _scored(
                        name, wanted, found, Tolerances(tolerance, offset_floor=tolerance), rate, pedal, list_errors
                    )
                )
            except (ValueError, OSError) as error:
                failed.append(name)
                report.fail(name, error)
            bar.advance(1, detail=name)
    settings = {
        "reference": str(reference),
        "estimate": str(estimate),
        "tolerance": tolerance,
        "rate": rate,
        "pedal": pedal,
    }
    if json:
        report.print_json(_document(settings, pieces, unpaired, failed))
    elif pieces:
        _show(pieces)
    return report.FAILED if failed or unpaired else report.DONE


def _pairs(reference: Path, estimate: Path) -> tuple[list[tuple[str, Path, Path]], list[Path]]:
    """Name, reference and estimate of each piece, and the files that have no partner."""
    for path in (reference, estimate):
        if not path.exists():
            raise report.UsageError(f"{path}: no such file or folder")
    if reference.is_dir() != estimate.is_dir():
        raise report.UsageError(f"{reference}, {estimate}: two files or two folders are compared, not one of each")
    if not reference.is_dir():
        return [(reference.stem, reference, estimate)], []
    wanted, found = _by_name(reference), _by_name(estimate)
    pairs = [(name, path, found[name]) for name, path in wanted.items() if name in found]
    alone = [
        path for own, other in ((wanted, found), (found, wanted)) for name, path in own.items() if name not in other
    ]
    return pairs, alone


def _by_name(folder: Path) -> dict[str, Path]:
    """The files of a folder by their place in it, without suffix. Raises ValueError where there is none, or two of one name."""
    found: dict[str, Path] = {}
    for item in expand([str(folder)], SUFFIXES):
        if item.problem:
            raise ValueError(f"{item.path}: {item.problem}")
        name = item.relative.with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{item.path} and {found[name]} have the same name: which is meant?")
        found[name] = item.path
    return found


def _scored(
    name: str, reference: Path, estimate: Path, tolerances: Tolerances, rate: float, pedal: Pedal, list_errors: bool
) -> _Piece:
    from solfa.eval.transcription import note_errors, transcription_scores

    wanted = _notes(reference, pedal != "off")
    found = _notes(estimate, pedal == "both")
    scores = transcription_scores(wanted, found, tolerances, rate=rate)
    for path, notes in ((reference, wanted), (estimate, found)):
        if not notes:
            report.say(f"{path}: no notes, so that every score is 0")
    for path, count in zip((reference, estimate), scores.notes.left_out, strict=True):
        if count:
            report.say(f"{path}: {count} note{'s' * (count != 1)} of no length left out")
    return _Piece(name, reference, estimate, scores, note_errors(wanted, found, tolerances) if list_errors else None)


def _notes(path: Path, pedal: bool) -> Sequence[Note]:
    from solfa.score.pedal import pedal_extended
    from solfa.score.write import read_notes

    score = read_notes(path)
    return (pedal_extended(score) if pedal else score).notes


def _document(
    settings: Mapping[str, Any], pieces: Sequence[_Piece], unpaired: Sequence[Path], failed: Sequence[str]
) -> dict[str, Any]:
    from solfa.eval.transcription import summarize

    rows = []
    for piece in pieces:
        row = {"piece": piece.name, "reference": piece.reference, "estimate": piece.estimate, "scores": piece.scores}
        rows.append(row | ({} if piece.errors is None else {"errors": piece.errors}))
    summary = {row.measure: row for row in summarize([piece.scores for piece in pieces])}
    return {"settings": settings, "pieces": rows, "summary": summary, "unpaired": unpaired, "failed": failed}


def _show(pieces: Sequence[_Piece]) -> None:
    from solfa.eval.transcription import summarize

    rows = [_row(piece) for piece in pieces]
    if len(rows) > 1:
        numbers = [name for name in rows[0] if name not in ("piece", "notes", "found")]
        total = {"notes": sum(row["notes"] for row in rows), "found": sum(row["found"] for row in rows)}
        means = {name: sum(row[name] for row in rows) / len(rows) for name in numbers}
        rows.append({"piece": f"mean of {len(rows)}", **total, **means})
    _table(rows)
    report.out("")
    _table(
        [
            {
                "measure": row.measure, "precision": row.precision, "recall": row.recall, "f1": row.f1,
                "pooled": row.pooled.f1, "pieces": row.pieces,
            }
            for row in summarize([piece.scores for piece in pieces])
        ]
    )  # fmt: skip
    report.out("")
    _table([_exact(pieces, allowed) for allowed in range(len(pieces[0].scores.frames.exact))])
    errors = [row for piece in pieces for row in _errors(piece)]
    if any(piece.errors is not None for piece in pieces):
        report.out("")
        report.print_table(errors) if errors else report.out("no missed and no extra notes")


def _row(piece: _Piece) -> dict[str, Any]:
    scores = piece.scores
    full = scores.programs[-1]
    return {
        "piece": piece.name,
        "notes": full.all.reference,
        "found": full.all.estimate,
        "onset": scores.notes.onset.f1,
        "offset": scores.notes.onset_offset.f1,
        "velocity": scores.notes.onset_offset_velocity.f1,
        "frame": scores.frames.pitch.f1,
        "exact": scores.frames.exact[0],
        "program": full.all.f1,
    }


def _exact(pieces: Sequence[_Piece], allowed: int) -> dict[str, Any]:
    """The mean share of frames with at most so many errors."""
    frames = [piece.scores.frames for piece in pieces]
    return {
        "errors allowed in a frame": allowed,
        "pitches": sum(f.exact[allowed] for f in frames) / len(frames),
        "pitch classes": sum(f.exact_class[allowed] for f in frames) / len(frames),
    }


def _errors(piece: _Piece) -> list[dict[str, Any]]:
    """Missed and extra notes as rows, by their onsets."""
    if piece.errors is None:
        return []
    marked = [("missed", note) for note in piece.errors.missed] + [("extra", note) for note in piece.errors.extra]
    return [
        {
            "piece": piece.name,
            "error": error,
            "onset": f"{note.onset:.3f}",
            "offset": f"{note.offset:.3f}",
            "pitch": note.pitch,
            "name": "drum" if note.is_drum else f"{NAMES[note.pitch % 12]}{note.pitch // 12 - 1}",
            "velocity": note.velocity,
            "program": note.program,
        }
        for error, note in sorted(marked, key=lambda pair: (pair[1], pair[0]))
    ]


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    report.print_table([{n: round(v, 4) if isinstance(v, float) else v for n, v in row.items()} for row in rows])
