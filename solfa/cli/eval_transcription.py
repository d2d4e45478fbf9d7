"""`solfa eval transcription`: how well notes were transcribed, as MIDI files or files of notes, or by a model that hears recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from solfa.cli import report
from solfa.cli.eval_report import Html, show
from solfa.cli.notes_job import Hearing, Recording, Take, heard, recordings
from solfa.cli.pairs import Pairs, files_by_name, pair_files, shared
from solfa.progress import Bar

if TYPE_CHECKING:
    from solfa.eval.evaluation import Evaluation
    from solfa.eval.transcription_evaluation import ScoredPiece
    from solfa.score.note import Note

SUFFIXES = (".mid", ".midi", ".json", ".jsonl")  # of the files of folders, in which a score may stand beside its notes
Pedal = Literal["off", "reference", "both"]


def transcription(
    reference: Path,
    estimate: Path | None = None,
    *,
    model: str | None = None,
    against: Path | None = None,
    tolerance: float = 0.05,
    rate: float = 100.0,
    pedal: Pedal | None = None,
    codebooks: str | None = None,
    items: int | None = None,
    codec: str | None = None,
    trunk: str | None = None,
    out: report.OutPath = None,
    device: report.Device = "auto",
    jobs: report.Jobs = 1,
    list_errors: report.Flag = False,
    ci: report.Flag = False,
    json: report.Flag = False,
    html: Html = None,
) -> int:
    """How well notes were transcribed: a file against its reference, a folder against a folder, or a model on recordings

    Files are MIDI, notes (.json, .jsonl, one object a note), ABC or MusicXML; in folders MIDI and notes. There, files belong together
    that have the same name and place, whatever their suffix. A file without a partner is named and not scored, and the command then
    ends with 1. The reference may be a folder with manifest.jsonl, as `solfa synth` writes: then the estimate is a folder of what
    a system heard in its recordings, under their names; or with --model there is none, and the model hears them.

    Scores go from 0 to 1, higher is better, drums are apart: precision, recall and onset, their F1 (pitch, and onset within 50 ms); F1 of
    offset (that, and the offset within 20 % of the length, at least 50 ms), velocity (as onset, and velocity within 0.1 after a
    straight-line fit), frame (pitches sounding each 10 ms), program and family (as onset, and the instrument), drums; exact is the share
    of frames without any error. Of a piece with nothing on either side there is no score; of one side empty it is 0. Then come a table of
    every measure, as means over the pieces and, in the column pooled, as of one long piece, one of what was found of each instrument
    family, and one of frames. Numbers and conventions are those of mir_eval and MT3; docs/transcription-measures.md defines them.

    Example:
        solfa eval transcription truth.mid take.mid
        solfa eval transcription truth/ found/ --pedal reference --against other/ --json
        solfa eval transcription data/notes/test --model solfa-notes --codebooks 1,2,4,8 --items 16 --ci -j 2
        solfa eval transcription data/notes/test data/notes/basic-pitch/test --ci

    Parameters
    ----------
    reference
        The true notes: a file or a folder, which with --model has a manifest.jsonl.
    estimate
        The transcribed notes: a file or a folder.
    model
        A name that `solfa models` lists, or a checkpoint folder: what transcribes the recordings.
    against
        Another system's notes of the same references, to be compared: a file or a folder.
    tolerance
        How far onsets may be apart, in seconds, and offsets at least.
    rate
        Frames a second, for the frame measures (MT3's own stays at 62.5).
    pedal
        Whose notes last as long as the sustain pedal holds them: nobody's (off, the default for files), the reference's (the default for
        recordings, where they sound so), or both. Only MIDI files have pedals.
    codebooks
        With --model: how many of the codec's codebooks it hears, as in 8 or 1,2,4,8. Of several the highest is evaluated, and a table
        shows what the others cost. As many as it reads by default.
    items
        So many of the recordings of a manifest.jsonl, at equal distances; all by default.
    codec
        With --model: its codec, where it is not one that `solfa models` lists.
    trunk
        With --model: the language model whose hidden states it hears, where it is not one that `solfa models` lists.
    out
        With --model: a new folder for the notes it heard (.jsonl), to be looked at on the page, or compared with later.
    device
        Where the model runs; auto takes CUDA if it is there.
    jobs
        Recordings that are heard at a time, each in a process of its own with one thread; 0 is one a core.
    list_errors
        List every missed and every extra note (by onset and pitch) with its time.
    ci
        Means with 95 % bootstrap intervals over the pieces.
    json
        One JSON document on stdout.
    """
    _check(tolerance, rate, items, out)
    pieces = _pieces(reference, items, model)
    scoring = _Scoring(tolerance, rate, pedal or ("off" if pieces is None else "reference"), list_errors)
    if model is None:
        given = {"codebooks": codebooks, "codec": codec, "trunk": trunk, "out": out}
        if estimate is None or any(value is not None for value in given.values()):
            told = next((f"--{name} {value}" for name, value in given.items() if value is not None), str(reference))
            raise report.UsageError(f"{told}: name the ESTIMATE, or with --model what transcribes recordings")
        first, complete = _found(scoring, reference, pieces, estimate)
    else:
        assert pieces is not None
        if estimate is not None:
            raise report.UsageError(f"{estimate}: with --model there is no estimate")
        if scoring.pedal == "both":
            raise report.UsageError("--pedal both: what --model hears has no pedals; reference or off")
        work = _hearing(model, codec, trunk, report.device(device), codebooks)
        first, complete = _model(scoring, work, pieces, jobs, out, {"reference": str(reference), "items": items})
    compared = None
    if against is not None:
        compared, also = _found(scoring, reference, pieces, against)
        complete = complete and also
    if first.items or json:
        show(first, against=compared, ci=ci, json=json, html=html)
    return report.DONE if complete else report.FAILED


def _check(tolerance: float, rate: float, items: int | None, out: Path | None) -> None:
    """Raises UsageError for options that cannot be."""
    from solfa.eval.transcription_frames import MAX_RATE

    if not 0 <= tolerance <= 10:
        raise report.UsageError(f"--tolerance {tolerance:g}: 0 to 10 seconds")
    if not 0 < rate <= MAX_RATE:
        raise report.UsageError(f"--rate {rate:g}: above 0, up to {MAX_RATE:g} frames a second")
    if items is not None and items < 1:
        raise report.UsageError(f"--items {items}: at least 1")
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise report.UsageError(f"-o {out}: it is there; name a new folder")


@dataclass(frozen=True)
class _Scoring:
    """How notes are compared."""

    tolerance: float
    rate: float
    pedal: Pedal
    list_errors: bool

    @property
    def settings(self) -> dict[str, Any]:
        return {"tolerance": self.tolerance, "rate": self.rate, "pedal": self.pedal}

    def truth(self, reference: Path | Recording) -> Sequence[Note]:
        """The notes of a reference."""
        extended = self.pedal != "off"
        return reference.truth(extended) if isinstance(reference, Recording) else _notes(reference, extended)

    def scored(
        self, name: str, wanted: Sequence[Note], found: Sequence[Note], files: dict[str, Path], quiet: bool = False
    ) -> ScoredPiece:
        """The scores of a piece. Unless `quiet`, says what they do not tell."""
        from solfa.eval.note_matching import Tolerances
        from solfa.eval.transcription import note_errors, transcription_scores
        from solfa.eval.transcription_evaluation import ScoredPiece

        tolerances = Tolerances(self.tolerance, offset_floor=self.tolerance)
        scores = transcription_scores(wanted, found, tolerances, rate=self.rate)
        sides = zip(("reference", "estimate"), (wanted, found), scores.notes.left_out, strict=True)
        for side, notes, count in sides if not quiet else ():
            place = files.get(side, f"{name}, {side}")
            if not notes:
                report.say(f"{place}: no notes")
            if count:
                report.say(f"{place}: {count} note{'s' * (count != 1)} of no length left out")
        errors = note_errors(wanted, found, tolerances) if self.list_errors else None
        return ScoredPiece(name, scores, errors, files)


def _notes(path: Path, pedal: bool) -> Sequence[Note]:
    from solfa.score.pedal import pedal_extended
    from solfa.score.write import read_notes

    score = read_notes(path)
    return (pedal_extended(score) if pedal else score).notes


def _compared(
    scoring: _Scoring, pairs: Pairs[Path] | Pairs[Recording], settings: dict[str, Any]
) -> tuple[Evaluation, bool]:
    """Files of notes beside their references, and whether all were scored."""
    from solfa.eval.transcription_evaluation import transcription_evaluation

    pairs.tell()
    pieces, failed = [], []
    with Bar("score", len(pairs.both)) as bar:
        for name, wanted, found in pairs.both:
            try:
                files = {**_reference_files(wanted), "estimate": found}
                notes = _notes(found, scoring.pedal == "both")
                pieces.append(scoring.scored(name, scoring.truth(wanted), notes, files))
            except (ValueError, OSError) as error:
                failed.append(name)
                report.fail(name, error)
            bar.advance(1, detail=name)
    evaluation = transcription_evaluation(pieces, settings | scoring.settings, failed=failed)
    return evaluation, not failed and not pairs.alone


def _reference_files(reference: Path | Recording) -> dict[str, Path]:
    if isinstance(reference, Path):
        return {"reference": reference}
    notes = {"reference": reference.notes} if isinstance(reference.notes, Path) else {}
    return {"sound": reference.audio, **notes}


def _pieces(reference: Path, items: int | None, model: str | None) -> list[Recording] | None:
    """The recordings of the reference, where it is a folder of some."""
    from solfa.data.manifest import NAME

    if model is not None or (reference.is_dir() and any(reference.rglob(NAME))):
        return recordings(reference, items)
    if items is not None:
        raise report.UsageError(f"--items {items}: of recordings, which a folder with {NAME} has")
    return None


def _found(
    scoring: _Scoring, reference: Path, pieces: Sequence[Recording] | None, estimate: Path
) -> tuple[Evaluation, bool]:
    """A system's files of notes beside the reference's files, or its recordings, and whether all were scored."""
    settings: dict[str, Any] = {"reference": str(reference), "estimate": str(estimate)}
    if pieces is None:
        return _compared(scoring, pair_files(reference, estimate, SUFFIXES), settings)
    return _compared(scoring, _taken(pieces, estimate), settings)


def _taken(pieces: Sequence[Recording], folder: Path) -> Pairs[Recording]:
    """A system's files of recordings, by name; what it has of others does not matter."""
    if not folder.is_dir():
        raise report.UsageError(f"{folder}: a folder with notes of the recordings, under their names")
    both = shared({piece.name: piece for piece in pieces}, files_by_name(folder, SUFFIXES))
    there = {name for name, *_ in both}
    return Pairs(both, [piece.audio for piece in pieces if piece.name not in there])


def _hearing(model: str, codec: str | None, trunk: str | None, device: str, codebooks: str | None) -> Hearing:
    """The work that is asked for, the highest number of codebooks first. Raises UsageError in the words of the options."""
    counts: tuple[int | None, ...] = (None,)
    if codebooks is not None:
        parts = codebooks.split(",")
        if not all(part.isascii() and part.isdecimal() for part in parts):
            raise report.UsageError(f"--codebooks {codebooks}: whole numbers with commas between them, as in 1,2,4")
        counts = tuple(sorted({int(part) for part in parts}, reverse=True))
    work = Hearing(model, codec, trunk, device, counts)
    try:
        most = work.transcriber.model.config.codebooks
    except ValueError as error:
        raise report.UsageError(f"--model {model}: {error}") from error
    return replace(work, codebooks=tuple(count or most for count in counts))


def _model(
    scoring: _Scoring,
    work: Hearing,
    pieces: Sequence[Recording],
    jobs: int,
    out: Path | None,
    settings: dict[str, Any],
) -> tuple[Evaluation, bool]:
    """What a model hears in recordings, and whether it heard all."""
    from solfa.eval.transcription_evaluation import transcription_evaluation

    failed: list[str] = []
    scored: list[list[ScoredPiece]] = [[] for _ in work.codebooks]
    clock: list[tuple[float, float]] = []  # seconds of sound and of work
    with Bar("transcribe", len(pieces)) as bar:
        for piece, takes in heard(work, pieces, jobs):
            bar.advance(1, detail=piece.name)
            try:
                if isinstance(takes, str):
                    raise ValueError(takes)
                truth = scoring.truth(piece)
                files = _reference_files(piece) | _kept(piece, takes[0], out)
            except (ValueError, OSError) as error:
                failed.append(piece.name)
                report.fail(str(piece.audio), error)
                continue
            for number, take in enumerate(takes):
                scored[number].append(scoring.scored(piece.name, truth, take.notes, files, quiet=number > 0))
            clock.append((piece.seconds, takes[0].seconds or 0.0))
    config = work.transcriber.model.config
    settings |= {"model": work.model, "codec": config.codec, "device": work.device, "jobs": jobs}
    tables = {"codebooks": _codebook_rows(work, scored), "speed": _speed(clock)}
    settings |= {"codebooks": work.codebooks[0]} | scoring.settings
    return transcription_evaluation(scored[0], settings, tables, failed), not failed


def _kept(piece: Recording, take: Take, out: Path | None) -> dict[str, Path]:
    """Writes what was heard, where it is to be kept."""
    from solfa.score.note_lines import write_note_lines

    if out is None:
        return {}
    path = out / f"{piece.name}.jsonl"
    if not path.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"the id {piece.name!r} leads out of {out}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_note_lines(take.notes, path, array=False)
    return {"estimate": path}


def _codebook_rows(work: Hearing, scored: Sequence[Sequence[ScoredPiece]]) -> list[dict[str, Any]]:
    """Means of each number of codebooks, and their 95 % intervals, in rows of their own."""
    from solfa.eval.transcription_evaluation import mean_rows

    codec = work.transcriber.codec
    kbps = (codec.codebook_size - 1).bit_length() * codec.frame_rate / 1000  # of one codebook
    return [
        {"codebooks": count, "kbps": (count or 0) * kbps, **row}
        for count, pieces in zip(work.codebooks, scored, strict=True)
        for row in mean_rows([piece.scores for piece in pieces])
    ]


def _speed(clock: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """How fast the recordings were heard, from the file to the notes, once warm."""
    sound, spent = (sum(column) for column in zip(*clock, strict=True)) if clock else (0.0, 0.0)
    return [{"sound, s": sound, "work, s": spent, "times real time": sound / spent if spent else None}]
