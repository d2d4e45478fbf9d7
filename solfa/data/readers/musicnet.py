"""MusicNet (Thickstun et al. 2017, arXiv 1611.09827; Zenodo 5120004): 330 classical recordings, scores aligned to them.

    musicnet/train_data/2303.wav     musicnet/train_labels/2303.csv     and test_data, test_labels
    musicnet_metadata.csv            id,composer,composition,movement,ensemble,... (beside the folder, or in it)

A label has start_time and end_time in samples at 44.1 kHz, whatever the sound's rate is, instrument (a General MIDI program counted from 1)
and note (a MIDI pitch); what it says of beats is not used. There are no velocities, and onsets are about as good as the alignment: the
authors estimate that 4 % of the labels are wrong. The splits are those of the folders, 320 and 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from solfa.data.manifest import Entry
from solfa.data.readers.rows import Found, Row, attempt, instruments, note_between, table, there
from solfa.score.midi import MAX_SECONDS
from solfa.score.note import Note

RATE = 44_100  # of the labels
COLUMNS = ("start_time", "end_time", "instrument", "note")
METADATA = "musicnet_metadata.csv"
TOLD = ("composer", "composition", "movement", "ensemble")


def is_here(folder: Path) -> bool:
    return any((folder / f"{split}_labels").is_dir() for split in ("train", "test"))


def read(folder: Path) -> Iterator[Found]:
    """A recording for each file of labels. Where the metadata cannot be read, recordings go without."""
    metadata: dict[str, dict[str, Any]] = {}
    path = next((place / METADATA for place in (folder, folder.parent) if (place / METADATA).is_file()), None)
    try:
        for row in table(path, ("id", *TOLD)) if path else ():
            metadata[row["id"]] = {name: row[name] for name in TOLD if row[name]}
    except ValueError as error:
        yield error
    for split in ("train", "test"):
        for labels in sorted((folder / f"{split}_labels").glob("*.csv")):
            yield attempt(_entry, folder / f"{split}_data", labels, split, metadata)


def _entry(sounds: Path, labels: Path, split: str, metadata: Mapping[str, dict[str, Any]]) -> Entry:
    audio = there(sounds / f"{labels.stem}.wav")
    notes = tuple(sorted(_note(row) for row in table(labels, COLUMNS)))
    said = {**metadata.get(labels.stem, {}), "instruments": instruments(notes)}
    return Entry(id=labels.stem, audio=str(audio), notes=notes, split=split, attributes=said)


def _note(row: Row) -> Note:
    last = int(MAX_SECONDS * RATE)
    onset, offset = (row.whole(name, 0, last) / RATE for name in ("start_time", "end_time"))
    return note_between(row, onset, offset, row.whole("note", 0, 127), row.whole("instrument", 1, 128) - 1)
