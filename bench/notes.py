"""Scoring transcriptions: how long it takes, beside mir_eval on the same notes.

    python bench/notes.py [--sizes 1000 5000 20000] [--runs 5] [--peer-most 5000]

So many notes, ten a second on sixty pitches, and an estimate with their onsets 20 ms and their lengths 15 % off, a tenth of them missing
and as many made up. Times are CPU seconds: the least of several runs of ours, one of mir_eval's. Ours begin with `Note` objects,
mir_eval's with arrays. mir_eval compares all pairs, and 20,000 notes take it about 12 GB: --peer-most 20000 measures
them too, where there is room. "equal" says whether all numbers are the same to the last bit.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import mir_eval
import numpy as np

from solfa.eval.note_matching import Tolerances, match_notes, note_table, rates
from solfa.eval.transcription import NoteMeasures, note_measures, transcription_scores, velocities_near
from solfa.score.note import Note

MOST_FOR_ALL = 5000  # notes: six measures of more take mir_eval many minutes
PEER = ("Precision", "Recall", "F-measure")


@dataclass(frozen=True)
class Row:
    notes: int
    measure: str
    ours: float  # seconds
    peer: float | None = None
    equal: bool | None = None


def pieces(count: int) -> tuple[list[Note], list[Note]]:
    rng = np.random.default_rng(count)
    reference = [
        Note(onset, onset + length, pitch, velocity)
        for onset, length, pitch, velocity in zip(
            np.sort(rng.uniform(0, count / 10, count)).tolist(),
            (0.05 + rng.exponential(0.3, count)).tolist(),
            rng.integers(36, 96, count).tolist(),
            rng.integers(20, 120, count).tolist(),
            strict=True,
        )
    ]
    estimate = []
    late, longer, louder = rng.normal(0, 0.02, count), rng.normal(1, 0.15, count), rng.integers(-15, 8, count)
    for i, note in enumerate(reference):
        onset = max(0.0, note.onset + float(late[i]))
        if i % 10:
            offset = onset + note.duration * max(0.1, float(longer[i]))
            estimate.append(replace(note, onset=onset, offset=offset, velocity=note.velocity + int(louder[i])))
        else:
            estimate.append(Note(onset, onset + 0.2, 36 + 7 * note.pitch % 60))
    return reference, estimate


def timed(work: Callable[[], Any], runs: int) -> tuple[float, Any]:
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def one_measure(
    reference: list[Note], estimate: list[Note], offsets: bool, velocity: bool
) -> tuple[float, float, float]:
    wanted, found = note_table(reference), note_table(estimate)
    pairs = match_notes(wanted, found, offsets=offsets)
    if velocity:
        pairs = pairs[velocities_near(pairs, wanted, found, Tolerances().velocity)]
    known = rates(len(pairs), len(wanted), len(found))
    return known.precision, known.recall, known.f1


def columns(notes: list[Note]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    intervals = np.array([(note.onset, note.offset) for note in notes])
    hertz = mir_eval.util.midi_to_hz(np.array([note.pitch for note in notes], np.float64))
    return intervals, hertz, np.array([note.velocity for note in notes])


def all_numbers(found: NoteMeasures) -> list[float]:
    timed_and_loud = (
        found.onset_offset,
        found.onset,
        found.onsets,
        found.offsets,
        found.onset_offset_velocity,
        found.onset_velocity,
    )
    rows = [(row.precision, row.recall, row.f1, getattr(row, "overlap", None)) for row in timed_and_loud]
    return [value for row in rows for value in row if value is not None]


def measure(count: int, runs: int, peer_most: int) -> list[Row]:
    reference, estimate = pieces(count)
    (a, f, v), (b, g, w) = columns(reference), columns(estimate)
    rows = []
    for name, offsets, velocity in (
        ("onset", False, False), ("onset, offset", True, False), ("onset, offset, velocity", True, True),
    ):  # fmt: skip
        ours, numbers = timed(lambda o=offsets, v=velocity: one_measure(reference, estimate, o, v), runs)
        ratio = {"offset_ratio": 0.2 if offsets else None}
        if count > peer_most:
            rows.append(Row(count, name, ours))
            continue
        if velocity:
            peer, theirs = timed(
                lambda: mir_eval.transcription_velocity.precision_recall_f1_overlap(a, f, v, b, g, w), 1
            )
        else:
            peer, theirs = timed(lambda r=ratio: mir_eval.transcription.precision_recall_f1_overlap(a, f, b, g, **r), 1)
        rows.append(Row(count, name, ours, peer, numbers == tuple(theirs[:3])))
    ours, found = timed(lambda: note_measures(reference, estimate), runs)
    if count > min(MOST_FOR_ALL, peer_most):
        rows.append(Row(count, "all six note measures", ours))
    else:
        plain, first = timed(lambda: mir_eval.transcription.evaluate(a, f, b, g), 1)
        loud, second = timed(lambda: mir_eval.transcription_velocity.evaluate(a, f, v, b, g, w), 1)
        equal = all_numbers(found) == [*first.values(), *second.values()]
        rows.append(Row(count, "all six note measures", ours, plain + loud, equal))
    ours, _ = timed(lambda: transcription_scores(reference, estimate), runs)
    rows.append(Row(count, "with frames, programs, sweep", ours))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="How long scoring takes.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 20000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer-most", type=int, default=5000)
    arguments = parser.parse_args()
    print(f"{'notes':>6}  {'measure':28} {'ours s':>8} {'mir_eval s':>11} {'ratio':>7}  equal")
    for count in arguments.sizes:
        for row in measure(count, arguments.runs, arguments.peer_most):
            peer, ratio = (f"{row.peer:.3f}", f"{row.peer / row.ours:.0f}") if row.peer else ("-", "-")
            equal = "-" if row.equal is None else "yes" if row.equal else "NO"
            print(f"{row.notes:6}  {row.measure:28} {row.ours:8.4f} {peer:>11} {ratio:>7}  {equal}", flush=True)


if __name__ == "__main__":
    main()
