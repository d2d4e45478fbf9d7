"""What bench/transcription.py scores: the sets, what each system hears in them, and the measures of a piece."""

from __future__ import annotations

import json
import os
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from solfa.cli.jobs import run_jobs
from solfa.data.manifest import NAME, read_manifest
from solfa.eval.note_matching import Rates
from solfa.eval.transcription import note_measures
from solfa.eval.transcription_programs import program_scores
from solfa.score.midi import read_midi
from solfa.score.note import Note
from solfa.score.pedal import pedal_extended

PEER = Path(__file__).with_name("_basic_pitch_rows.py")
UNPITCHED = frozenset(
    {112, 113, *range(115, 128)}
)  # programs that are noises: tinkle bell, agogo, woodblock to gunshot
DRAWS = 1000  # of the bootstrap
MEASURES = (
    "precision", "recall", "onset", "offset", "velocity", "offset, velocity", "program", "family", "drums",
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A recording and its true notes. name: of the piece, unique in its set."""

    name: str
    audio: str
    notes: tuple[Note, ...]
    source: str


@dataclass(frozen=True)
class Take:
    """What a system heard in a piece, and how long it took; None where that was not measured."""

    notes: tuple[Note, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Mean:
    """A mean over `n` pieces with its 95 % bootstrap interval; all NaN for none."""

    mean: float
    low: float
    high: float
    n: int


def read_set(folder: Path, most: int | None) -> list[Piece]:
    """The pieces of all manifests in a folder and below, in order; of more than `most`, so many at equal distances. ValueError for none."""
    rows = [(path.parent, entry) for path in sorted(folder.rglob(NAME)) for entry in read_manifest(path)]
    if not rows:
        raise ValueError(f"{folder}: holds no {NAME}")
    if most is not None and most < len(rows):
        rows = [rows[i * len(rows) // most] for i in range(most)]
    pieces = []
    for place, entry in rows:
        if entry.notes is None:
            raise ValueError(f"{place / NAME}: {entry.id} has no notes")
        # Notes as they sound: held by the pedal, they last until it comes up. Transcribers are trained and scored on these.
        notes = pedal_extended(read_midi(place / entry.notes)).notes if isinstance(entry.notes, str) else entry.notes
        name = (place.relative_to(folder) / entry.id).as_posix()
        pieces.append(Piece(name, str(place / entry.audio), tuple(notes), entry.attributes.get("source", "")))
    return pieces


@dataclass(frozen=True)
class Solfa:
    """Hears a piece with a transcriber: first the file, which is timed, then its codes through each of so many codebooks."""

    model: str
    codec: str | None
    device: str
    codebooks: tuple[int, ...]

    def __call__(self, piece: Piece) -> list[Take]:
        """The take of the file, and one for each of `codebooks`."""
        transcriber, new = _loaded(self.model, self.codec, self.device)
        with warnings.catch_warnings(action="ignore"):
            if new:
                transcriber(piece.audio)
                new.clear()
            started = time.perf_counter()
            found = transcriber(piece.audio)
            takes = [Take(found.notes, time.perf_counter() - started)]
            codes = transcriber.codec.encode_file(piece.audio) if self.codebooks else None
            return [*takes, *(Take(transcriber(codes, codebooks=books).notes) for books in self.codebooks)]


@lru_cache(maxsize=1)
def _loaded(model: str, codec: str | None, device: str) -> tuple[Any, list[bool]]:
    """The transcriber, once a process, and a list that is empty once it has heard something."""
    from solfa.transcriber import Transcriber

    return Transcriber.load(model, device, codec), [True]


def heard_by_solfa(work: Solfa, pieces: Sequence[Piece], jobs: int, tell: Callable[[str], None]) -> list[list[Take]]:
    """Takes by piece, in order. Raises ValueError where a piece failed."""
    takes = []
    for outcome in run_jobs(work, pieces, jobs=jobs):
        if outcome.error is not None:
            raise ValueError(f"{outcome.item.audio}: {outcome.error}")
        takes.append(outcome.result)
        tell(outcome.item.name)
    return takes


def heard_by_basic_pitch(python: str, pieces: Sequence[Piece], jobs: int) -> tuple[str, list[Take]]:
    """basic-pitch's version, and a take of each piece, with its own settings as they come. Raises ValueError where it fails."""
    jobs = max(1, min(jobs, len(pieces)))
    environment = dict(os.environ) | ({"OMP_NUM_THREADS": "1"} if jobs > 1 else {})
    parts = [pieces[job::jobs] for job in range(jobs)]

    def hear(part: Sequence[Piece]) -> tuple[str, list[Take]]:
        command = [python, str(PEER), "1" if jobs > 1 else "0"]
        paths = json.dumps([os.path.abspath(piece.audio) for piece in part])
        result = subprocess.run(command, input=paths, capture_output=True, text=True, env=environment)
        if result.returncode:
            raise ValueError(f"basic-pitch: {(result.stderr.strip().splitlines() or ['it died'])[-1]}")
        version, *rows = map(json.loads, result.stdout.splitlines())
        return version, [Take(tuple(map(_note, notes)), seconds) for notes, seconds in rows]

    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(hear, parts))
    return found[0][0], [found[i % jobs][1][i // jobs] for i in range(len(pieces))]


def _note(row: list[Any]) -> Note:
    onset, offset, pitch, velocity = row
    return Note(max(0.0, onset), max(0.0, onset, offset), pitch, min(127, max(1, velocity)))


def scored(piece: Piece, notes: Sequence[Note], instruments: bool) -> dict[str, float]:
    """The measures of a piece that it has something for, by name. instruments: whether who heard it says them.

    precision, recall, onset (F1): of notes with a pitch, by pitch and onset within 50 ms. offset: F1 where the offset is near too,
    velocity: where the velocity is; mir_eval's. program, family: F1 by onset where the program, or its family of eight, is right. drums:
    F1 of hits.
    """
    wanted, found = pitched(piece.notes), pitched(notes)
    values: dict[str, float] = {}
    if wanted or found:
        each = note_measures(wanted, found)
        values |= {"precision": each.onset.precision, "recall": each.onset.recall, "onset": each.onset.f1}
        values |= {"offset": each.onset_offset.f1, "velocity": each.onset_velocity.f1}
        values["offset, velocity"] = each.onset_offset_velocity.f1
    if instruments:
        levels = program_scores([*wanted, *_drums(piece.notes)], [*found, *_drums(notes)])
        rows: dict[str, Rates] = {level.granularity: level.onset for level in levels}
        named = {"program": rows["full"], "family": rows["midi_class"], "drums": levels[0].drums}
        values |= {name: row.f1 for name, row in named.items() if row.reference or row.estimate}
    return values


def pitched(notes: Sequence[Note]) -> list[Note]:
    """The notes that have a pitch: no drums, no noises."""
    return [note for note in notes if not note.is_drum and note.program not in UNPITCHED]


def _drums(notes: Sequence[Note]) -> list[Note]:
    return [note for note in notes if note.is_drum]


def as_mir_eval_has_it(piece: Piece, notes: Sequence[Note], values: dict[str, float]) -> bool:
    """Whether mir_eval gives the same numbers to the last bit. Raises ImportError where it is not there."""
    from mir_eval import transcription, transcription_velocity, util

    sides = [[note for note in side if note.offset > note.onset] for side in (pitched(piece.notes), pitched(notes))]
    if not all(sides):
        return all(values.get(name, 0.0) == 0 for name in ("precision", "recall", "onset", "offset", "velocity"))
    (a, f, v), (b, g, w) = (
        (
            np.array([(note.onset, note.offset) for note in side]),
            util.midi_to_hz(np.array([note.pitch for note in side], np.float64)),
            np.array([note.velocity for note in side]),
        )
        for side in sides
    )
    onset = transcription.precision_recall_f1_overlap(a, f, b, g, offset_ratio=None)[:3]
    loud = [
        transcription_velocity.precision_recall_f1_overlap(a, f, v, b, g, w, offset_ratio=ratio)[2]
        for ratio in (None, 0.2)
    ]
    theirs = [*onset, transcription.precision_recall_f1_overlap(a, f, b, g)[2], *loud]
    return theirs == [values[name] for name in MEASURES[:6]]


def mean(values: Sequence[float]) -> Mean:
    """The mean of pieces' values, with an interval of percentiles of 1,000 bootstrap draws; the same for the same values."""
    if not values:
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    data = np.array(values)
    draws = data[np.random.default_rng(0).integers(len(data), size=(DRAWS, len(data)))].mean(1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Mean(float(data.mean()), float(low), float(high), len(data))


def means(rows: Sequence[dict[str, float]]) -> dict[str, Mean]:
    """Of every measure that any piece has, over the pieces that have it."""
    return {
        name: mean([row[name] for row in rows if name in row]) for name in MEASURES if any(name in row for row in rows)
    }
