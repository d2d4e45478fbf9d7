"""The numbers of solfa-notes' card: note F1 on held-out sets, through each number of codebooks, beside basic-pitch on the same files.

    make notes-data notes-test && python bench/transcription.py [--basic-pitch PYTHON] [-j 2] [--items N] [--json]

PYTHON is that of an environment with basic-pitch; one without TensorFlow:
    python -m venv bp && bp/bin/pip install --no-deps basic-pitch==0.4.0 && bp/bin/pip install onnxruntime librosa "resampy<0.4.3" \\
        scikit-learn "setuptools<81" pretty_midi mir_eval

Sets, folders in --data that `solfa synth` made (or others, as NAME=FOLDER): test, composed pieces by a soundfont that training never
hears; valid, other composed pieces by the soundfonts of training; pianos, composed pieces for piano alone by that of test; corpus, real
pieces of music21's corpus, with other instruments, by the soundfont of test. Measures are means over pieces, below them their 95 %
bootstrap intervals. They are mir_eval's, and compared with it to the last bit: precision, recall and onset (F1) of pitch and onset within
50 ms; offset: F1 where the offset is within 20 % of the length or 50 ms, too; velocity: where the velocity is near (0.1 after a
straight-line fit). True notes last as long as the pedal holds them. program: F1 by onset where the General MIDI program is right; family:
where its family of eight is; basic-pitch names none. Drums are scored apart, by onset and key, and they and noises (programs 112, 113,
115 to 127) are left out of the rest, for both; both hear them, though. basic-pitch has its own settings as they come.

The first row is of all codebooks, those of fewer follow. "x real time": seconds of sound in one of work, from the file to the notes, once
warm; with -j above 1 each process has one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _transcription_rows import (
    MEASURES,
    Mean,
    Piece,
    Solfa,
    Take,
    as_mir_eval_has_it,
    heard_by_basic_pitch,
    heard_by_solfa,
    mean,
    means,
    pitched,
    read_set,
    scored,
)

from solfa.audio.io import info
from solfa.cli import report
from solfa.data.manifest import NAME
from solfa.transcription.registry import DEFAULT, find_transcriber, list_transcribers

SETS = ("test", "valid", "pianos", "corpus")
WIDTH = 13
HEADS = {"offset, velocity": "off + vel"}


@dataclass(frozen=True)
class Row:
    """What one system heard in a set. values: of each piece; speed: times real time, where it was measured; same: as mir_eval has it."""

    system: str
    values: list[dict[str, float]]
    speed: float | None
    same: bool | None

    @property
    def means(self) -> dict[str, Mean]:
        return means(self.values)


def row(system: str, pieces: list[Piece], takes: list[Take], instruments: bool) -> Row:
    values = [scored(piece, take.notes, instruments) for piece, take in zip(pieces, takes, strict=True)]
    seconds = [take.seconds for take in takes if take.seconds is not None]
    speed = sum(info(piece.audio).duration for piece in pieces) / sum(seconds) if seconds else None
    try:
        checks = [as_mir_eval_has_it(p, t.notes, v) for p, t, v in zip(pieces, takes, values, strict=True)]
    except ImportError:
        return Row(system, values, speed, None)
    return Row(system, values, speed, all(checks))


def rows(pieces: list[Piece], options: argparse.Namespace) -> list[Row]:
    """solfa's, basic-pitch's where there is one, and solfa's through so many codebooks."""
    work = Solfa(options.model, options.codec, options.device, tuple(options.codebooks))
    with report.progress("transcribe", len(pieces)) as bar:
        takes = heard_by_solfa(work, pieces, options.jobs, lambda name: bar.advance(1, detail=name))
    name = Path(options.model).name
    found = [row(name, pieces, [each[0] for each in takes], True)]
    if options.basic_pitch:
        version, theirs = heard_by_basic_pitch(options.basic_pitch, pieces, options.jobs)
        found.append(row(f"basic-pitch {version}", pieces, theirs, False))
    for place, books in enumerate(options.codebooks, 1):
        found.append(row(f"{books} codebook{'s' * (books > 1)}", pieces, [each[place] for each in takes], True))
    return found


def show(name: str, pieces: list[Piece], found: list[Row]) -> None:
    count = sum(len(pitched(piece.notes)) for piece in pieces)
    print(f"\n{name}: {len(pieces)} pieces, {count} notes with a pitch")
    heads = "".join(f"{HEADS.get(measure, measure):>{WIDTH}}" for measure in MEASURES)
    print(f"{'':20}{heads}{'x real time':>{WIDTH}}")
    for each in found:
        known = each.means
        cells = "".join(f"{known[m].mean:{WIDTH}.3f}" if m in known else f"{'-':>{WIDTH}}" for m in MEASURES)
        print(f"{each.system:20}{cells}{'-' if each.speed is None else f'{each.speed:.1f}':>{WIDTH}}")
        bounds = [f"{known[m].low:.3f}-{known[m].high:.3f}" if m in known else "" for m in MEASURES]
        print(f"{'':20}" + "".join(f"{bound:>{WIDTH}}" for bound in bounds), flush=True)
    if len(found) > 1 and found[1].system.startswith("basic-pitch"):
        gap = lead(found[0], found[1])
        print(f"onset F1 over basic-pitch's, piece by piece: {gap.mean:+.3f}, {gap.low:+.3f} to {gap.high:+.3f}")
    drums = found[0].means.get("drums")
    if drums is not None and drums.n < len(pieces):
        print(f"drums: {drums.n} pieces have some, or were heard to")


def lead(ours: Row, theirs: Row) -> Mean:
    """How much higher our onset F1 is, over the pieces."""
    pairs = zip(ours.values, theirs.values, strict=True)
    return mean([a.get("onset", 0.0) - b.get("onset", 0.0) for a, b in pairs])


def document(pieces: list[Piece], found: list[Row]) -> dict[str, Any]:
    def plain(value: Mean) -> dict[str, Any]:
        return {name: None if isinstance(x, float) and math.isnan(x) else x for name, x in asdict(value).items()}

    return {
        "pieces": [
            {"name": piece.name, "source": piece.source, "notes": len(pitched(piece.notes))} for piece in pieces
        ],
        "rows": [
            {
                "system": each.system,
                "means": {name: plain(value) for name, value in each.means.items()},
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
    parser.add_argument(
        "--codebooks", type=int, nargs="*", help="every number that is less than all by default; no number: only all"
    )
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
    config = json.loads((find_transcriber(options.model) / "config.json").read_text(encoding="utf-8"))["config"]
    options.jobs = options.jobs or os.cpu_count() or 1
    if options.codebooks is None:
        options.codebooks = list(range(1, config["codebooks"]))
    documents, same = {}, []
    for name, folder in folders(options).items():
        pieces = read_set(folder, options.items)
        found = rows(pieces, options)
        same += [each.same for each in found]
        documents[name] = document(pieces, found)
        if not options.json:
            show(name, pieces, found)
    if options.json:
        print(json.dumps(documents))
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
