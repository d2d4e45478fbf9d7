"""From which heights on the frame outputs of a transcriber are notes: tried on recordings whose notes are known.

    python bench/peaks.py runs/notes/model --data data/notes/valid data/notes/pianos --items 32 [--write]

MODEL is a name or a folder; each set counts alike. Of --thresholds the best ones of onsets, of drums and of what sounds on are found as
training finds them (`solfa.train.transcriber_score.try_peaks`), each by itself; --write puts them into MODEL's config.json, and leaves
its weights as they are, to the byte.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch

from solfa import checkpoint
from solfa.cli.notes_job import Recording, recordings
from solfa.codecs.codec import Codec
from solfa.codecs.token_file import TokenFile
from solfa.score.midi import read_midi
from solfa.score.score import score_of_notes
from solfa.train.transcriber_data import Take
from solfa.train.transcriber_notes import note_table
from solfa.train.transcriber_score import MEASURED, best_peaks, try_peaks
from solfa.train.transcriber_start import start_transcriber
from solfa.transcription.model import KIND
from solfa.transcription.registry import find_transcriber


def take(recording: Recording, codec: Codec, books: int) -> Take:
    """A recording as a transcriber hears it; its codes, where `solfa encode` put them beside it, are taken as they are."""
    ready = recording.audio.parent.parent / "codes" / f"{recording.audio.stem}.solfa"
    if ready.exists():
        with TokenFile(ready) as file:
            codes = np.concatenate([*file.chunks(1 << 12, books)], 1)
    else:
        codes = codec.encode_file(recording.audio).tokens[0, :books].numpy()
    notes = recording.notes
    return Take(codes, note_table(read_midi(notes) if isinstance(notes, Path) else score_of_notes(notes), True, True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--items", type=int, help="recordings of each set, at equal distances")
    parser.add_argument(
        "--thresholds", nargs="+", type=float, default=[0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6]
    )
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    start = start_transcriber(None, options.model, None, False)
    start.model.eval()
    books, source = start.model.config.codebooks, None if start.model.config.source == "codes" else start.source
    tried = []
    for folder in options.data:
        takes = [take(each, start.codec, books) for each in recordings(folder, options.items)]
        tried.append(try_peaks(start.model, takes, source, options.thresholds))
        print(f"{folder}: {len(takes)} recordings, best each by itself: {best_peaks(tried[-1:])}")
    for field, measure in MEASURED.items():
        print(f"\n{measure:16s}" + "".join(f"{each!s:>24.23s}" for each in options.data))
        for value in sorted({value for name, value in tried[0] if name == field}):
            cells = [f"{rows[field, value].get(measure, float('nan')):24.4f}" for rows in tried]
            print(f"{field:7s} {value:8g}" + "".join(cells))
    best = best_peaks(tried)
    print("\n" + " ".join(f"{each.name}={getattr(best, each.name)}" for each in fields(best)))
    if options.write:
        folder = find_transcriber(options.model)
        old = checkpoint.load(folder, KIND)
        checkpoint.save(folder, KIND, old.config | {"peaks": asdict(best)}, old.tensors, metadata=old.metadata)
        print(f"written: {folder}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
