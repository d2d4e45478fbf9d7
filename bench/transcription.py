"""solfa-notes beside basic-pitch on the same files, and mir_eval's numbers of both: what of its card needs a peer.

    make notes-data notes-test && python bench/transcription.py [--basic-pitch PYTHON] [-j 2] [--items N] [--json]

Its own rows, and what fewer codebooks cost, are those of `solfa eval transcription data/notes/test --model solfa-notes --ci`; here they
are made in the same way, and compared with mir_eval to the last bit. PYTHON is that of an environment with basic-pitch; one without
TensorFlow:
    python -m venv bp && bp/bin/pip install --no-deps basic-pitch==0.4.0 && bp/bin/pip install onnxruntime librosa "resampy<0.4.3" \\
        scikit-learn "setuptools<81" pretty_midi mir_eval

Sets, folders in --data that `solfa synth` made (or others, as NAME=FOLDER): test, composed pieces by a soundfont that training never
hears; valid, other composed pieces by the soundfonts of training; pianos, composed pieces for piano alone by that of test; corpus, real
pieces of music21's corpus, with other instruments, by the soundfont of test. Measures are means over pieces, below them their 95 %
bootstrap intervals; docs/transcription-measures.md defines them. True notes last as long as the pedal holds them. basic-pitch names no
program, has no drums, and has its own settings as they come. "x real time": seconds of sound in one of work, from the file to the notes,
once warm; with -j above 1 each process has one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _transcription_rows import SHOWN, as_mir_eval_has_it, heard_by_basic_pitch, scored

from solfa.cli import report
from solfa.cli.notes_job import Hearing, Recording, Take, heard, recordings
from solfa.data.manifest import NAME
from solfa.eval.bootstrap import Estimate, mean_estimate, paired_difference
from solfa.score.note import Note
from solfa.transcription.registry import DEFAULT, list_transcribers

SETS = ("test", "valid", "pianos", "corpus")
WIDTH = 13
HEADS = {"offset, velocity": "off + vel"}


@dataclass(frozen=True)
class Row:
    """What one system heard in a set. values: of each piece; speed: times real time; same: as mir_eval has it; None: it is not there."""

    system: str
    values: list[dict[str, float]]
    speed: float | None
    same: bool | None

    def column(self, measure: str) -> list[float]:
        return [values[measure] for values in self.values]

    @property
    def means(self) -> dict[str, Estimate]:
        """Of the measures that any piece has."""
        found = {measure: mean_estimate(self.column(measure)) for measure in SHOWN}
        return {measure: mean for measure, mean in found.items() if mean.n}


Truth = list[tuple[Note, ...]]


def row(system: str, pieces: list[Recording], truth: Truth, takes: list[Take], instruments: bool) -> Row:
    pairs = list(zip(truth, takes, strict=True))
    values = [scored(notes, take.notes, instruments) for notes, take in pairs]
    seconds = [take.seconds for take in takes if take.seconds is not None]
    speed = sum(piece.seconds for piece in pieces) / sum(seconds) if seconds else None
    try:
        checks = [as_mir_eval_has_it(n, take.notes, v) for (n, take), v in zip(pairs, values, strict=True)]
    except ImportError:
        return Row(system, values, speed, None)
    return Row(system, values, speed, all(checks))


def rows(pieces: list[Recording], truth: Truth, options: argparse.Namespace) -> list[Row]:
    """solfa's, and basic-pitch's where there is one."""
    takes = []
    with report.progress("transcribe", len(pieces)) as bar:
        work = Hearing(options.model, options.codec, None, options.device)
        for piece, found in heard(work, pieces, options.jobs):
            if isinstance(found, str):
                raise ValueError(f"{piece.audio}: {found}")
            takes.append(found[0])
            bar.advance(1, detail=piece.name)
    ours = row(Path(options.model).name, pieces, truth, takes, True)
    if not options.basic_pitch:
        return [ours]
    version, theirs = heard_by_basic_pitch(options.basic_pitch, pieces, options.jobs)
    return [ours, row(f"basic-pitch {version}", pieces, truth, theirs, False)]


def pitched(truth: Truth) -> int:
    return sum(not note.is_drum for notes in truth for note in notes)


def show(name: str, truth: Truth, found: list[Row]) -> None:
    print(f"\n{name}: {len(truth)} pieces, {pitched(truth)} notes with a pitch")
    heads = "".join(f"{HEADS.get(measure, measure):>{WIDTH}}" for measure in SHOWN)
    print(f"{'':20}{heads}{'x real time':>{WIDTH}}")
    for each in found:
        known = each.means
        cells = "".join(f"{known[m].value:{WIDTH}.3f}" if m in known else f"{'-':>{WIDTH}}" for m in SHOWN)
        print(f"{each.system:20}{cells}{'-' if each.speed is None else f'{each.speed:.1f}':>{WIDTH}}")
        bounds = [f"{known[m].low:.3f}-{known[m].high:.3f}" if m in known else "" for m in SHOWN]
        print(f"{'':20}" + "".join(f"{bound:>{WIDTH}}" for bound in bounds), flush=True)
    if len(found) > 1:
        gap = paired_difference(found[0].column("onset"), found[1].column("onset"))
        print(
            f"onset F1 over basic-pitch's, piece by piece: {gap.value:+.3f}, {gap.low:+.3f} to {gap.high:+.3f}, p {gap.p:.2g}"
        )
    drums = found[0].means.get("drums")
    if drums is not None and drums.n < len(truth):
        print(f"drums: {drums.n} pieces have some, or were heard to")


def document(pieces: list[Recording], truth: Truth, found: list[Row]) -> dict[str, Any]:
    return {
        "pieces": [
            {"name": piece.name, "source": piece.source, "notes": pitched([notes])}
            for piece, notes in zip(pieces, truth, strict=True)
        ],
        "rows": [
            {
                "system": each.system,
                "means": {name: asdict(value) for name, value in each.means.items()},
                "pieces": each.values,
                "times_real_time": each.speed,
                "equal_to_mir_eval": each.same,
            }
            for each in found
        ],
    }


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
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--codec", help="a folder, where the model's codec has no name here")
    parser.add_argument("--basic-pitch", metavar="PYTHON")
    parser.add_argument("--items", type=int, help="so many pieces of each set, at equal distances")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes; 0 is one a core")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.model == DEFAULT and DEFAULT not in [entry.name for entry in list_transcribers()]:
        report.say(f"left out: this package comes without the model {DEFAULT} (--model names another)")
        return
    options.jobs = options.jobs or os.cpu_count() or 1
    documents, same = {}, []
    for name, folder in folders(options).items():
        pieces = recordings(folder, options.items)
        truth = [piece.truth() for piece in pieces]
        found = rows(pieces, truth, options)
        same += [each.same for each in found]
        documents[name] = document(pieces, truth, found)
        if not options.json:
            show(name, truth, found)
    if options.json:
        report.print_json(documents)
    elif same:
        told = (
            "not compared with mir_eval, which is not there"
            if None in same
            else "the same as mir_eval's, to the last bit"
        )
        print(f"\nprecision to offset and velocity: {told if False not in same else 'NOT those of mir_eval'}")
    if False in same:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"bench/transcription.py: {error}")
