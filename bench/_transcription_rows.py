"""What bench/transcription.py adds to `solfa eval transcription`: what basic-pitch hears, and mir_eval's numbers of the same notes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from solfa.cli.notes_job import Recording, Take
from solfa.eval.transcription import transcription_scores
from solfa.eval.transcription_evaluation import piece_values
from solfa.score.note import Note

PEER = Path(__file__).with_name("_basic_pitch_rows.py")
MIR_EVAL = ("precision", "recall", "onset", "offset", "velocity", "offset, velocity")
INSTRUMENTS = ("program", "family", "drums")
SHOWN = (*MIR_EVAL, *INSTRUMENTS)


def heard_by_basic_pitch(python: str, pieces: Sequence[Recording], jobs: int) -> tuple[str, list[Take]]:
    """basic-pitch's version, and a take of each piece, with its own settings as they come. Raises ValueError where it fails."""
    jobs = max(1, min(jobs, len(pieces)))
    environment = dict(os.environ) | ({"OMP_NUM_THREADS": "1"} if jobs > 1 else {})
    parts = [pieces[job::jobs] for job in range(jobs)]

    def hear(part: Sequence[Recording]) -> tuple[str, list[Take]]:
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


def scored(truth: Sequence[Note], notes: Sequence[Note], instruments: bool) -> dict[str, float]:
    """The measures of a piece that are shown. instruments: whether who heard it says them; else these are NaN."""
    values = piece_values(transcription_scores(truth, notes))
    return {name: values[name] if instruments or name not in INSTRUMENTS else nan for name in SHOWN}


def as_mir_eval_has_it(truth: Sequence[Note], notes: Sequence[Note], values: dict[str, float]) -> bool:
    """Whether mir_eval gives the same numbers to the last bit. Raises ImportError where it is not there."""
    from mir_eval import transcription, transcription_velocity, util

    sides = [[note for note in side if note.offset > note.onset and not note.is_drum] for side in (truth, notes)]
    if not all(sides):
        return all(not values[name] > 0 for name in MIR_EVAL)
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
    return theirs == [values[name] for name in MIR_EVAL]
