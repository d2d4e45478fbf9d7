"""basic-pitch on the recordings that solfa-notes is tested on: the notes that it hears, for `solfa eval`, and how fast both are.

    python bench/transcription.py --basic-pitch bp/bin/python --notes data/notes/basic-pitch -j 2    what it hears, every piece
    python bench/transcription.py --basic-pitch bp/bin/python -j 2                                   times real time, ours and its

How good either is, `solfa eval` says; the card of solfa-notes holds what these print (`make cards`, once its notes are there):

    solfa eval transcription data/notes/test data/notes/basic-pitch/test --ci
    solfa eval transcription data/notes/test --model solfa-notes --against data/notes/basic-pitch/test --ci -j 2

--basic-pitch is the Python of an environment that has it; one without TensorFlow:
    python -m venv bp && bp/bin/pip install --no-deps basic-pitch==0.4.0 && bp/bin/pip install onnxruntime librosa "resampy<0.4.3" \\
        scikit-learn "setuptools<81" pretty_midi mir_eval

Sets are folders in --data that `make notes-data notes-test` makes (or others, as NAME=FOLDER). basic-pitch has its own settings, as they
come. Its notes go to FOLDER/SET, a .jsonl file a piece under the piece's name, with all digits, and velocities as in the MIDI that it
writes; it names no instrument and hears no drums, so they have program 0, which is none of its doing. "x real time": seconds of sound in
one of work, from the file to the notes, once warm; with -j above 1 each process has one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from solfa.cli import report
from solfa.cli.notes_job import Hearing, Recording, Take, heard, recordings
from solfa.data.manifest import NAME
from solfa.progress import Bar
from solfa.score.note import Note
from solfa.score.note_lines import write_note_lines
from solfa.transcription.registry import DEFAULT, list_transcribers

PEER = Path(__file__).with_name("_basic_pitch_rows.py")
SETS = ("test", "valid", "pianos", "recital", "corpus")
TIMED = 8  # pieces of a set


def heard_by_basic_pitch(python: str, pieces: Sequence[Recording], jobs: int) -> tuple[str, list[Take]]:
    """basic-pitch's version, and a take of each piece. Raises ValueError where it fails."""
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


def heard_by_us(pieces: Sequence[Recording], options: argparse.Namespace) -> list[Take]:
    takes = []
    with Bar("transcribe", len(pieces)) as bar:
        for piece, found in heard(Hearing(options.model, options.codec, None, options.device), pieces, options.jobs):
            if isinstance(found, str):
                raise ValueError(f"{piece.audio}: {found}")
            takes.append(found[0])
            bar.advance(1, detail=piece.name)
    return takes


def keep(pieces: Sequence[Recording], takes: Sequence[Take], folder: Path) -> None:
    """The notes as files, whole or not at all, each under its piece's name."""
    for piece, take in zip(pieces, takes, strict=True):
        path = folder / f"{piece.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_note_lines(take.notes, path)


def show(system: str, pieces: Sequence[Recording], takes: Sequence[Take]) -> None:
    sound, work = sum(piece.seconds for piece in pieces), sum(take.seconds or 0.0 for take in takes)
    print(f"  {system:20}{sum(len(take.notes) for take in takes):8} notes{sound / work:10.1f} x real time", flush=True)


def folders(options: argparse.Namespace) -> dict[str, Path]:
    """The sets that are there, by name; says which are not."""
    found = {}
    for text in options.sets:
        name, _, folder = text.partition("=")
        path = Path(folder) if folder else options.data / name
        if any(path.rglob(NAME)):
            found[name] = path
        else:
            report.say(f"left out: {path} is not there, make notes-data notes-test makes it")
    return found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/notes"))
    parser.add_argument("--sets", nargs="+", default=list(SETS), metavar="NAME[=FOLDER]")
    parser.add_argument("--basic-pitch", metavar="PYTHON")
    parser.add_argument(
        "--notes", type=Path, metavar="FOLDER", help="write what basic-pitch hears, and hear nothing ourselves"
    )
    parser.add_argument(
        "--items", type=int, help=f"so many pieces of each set, at equal distances ({TIMED}; with --notes all)"
    )
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--codec", help="a folder, where the model's codec has no name here")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes; 0 is one a core")
    options = parser.parse_args()
    if options.notes and not options.basic_pitch:
        parser.error("--notes: of basic-pitch; --basic-pitch names its Python")
    return options


def main() -> None:
    options = parsed()
    ours = options.notes is None
    if ours and options.model == DEFAULT and DEFAULT not in [entry.name for entry in list_transcribers()]:
        report.say(f"left out: this package comes without the model {DEFAULT} (--model names another)")
        return
    options.jobs = options.jobs or os.cpu_count() or 1
    for name, folder in folders(options).items():
        pieces = recordings(folder, options.items or (TIMED if ours else None))
        print(f"{name}: {len(pieces)} pieces, {sum(piece.seconds for piece in pieces):.0f} s", flush=True)
        if ours:
            show(Path(options.model).name, pieces, heard_by_us(pieces, options))
        if options.basic_pitch:
            version, takes = heard_by_basic_pitch(options.basic_pitch, pieces, options.jobs)
            show(f"basic-pitch {version}", pieces, takes)
            if options.notes:
                keep(pieces, takes, options.notes / name)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"bench/transcription.py: {error}")
