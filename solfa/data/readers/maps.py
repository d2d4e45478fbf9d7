"""MAPS (Emiya et al. 2010): pieces of music (MUS) on nine pianos, seven of them synthesized.

    ENSTDkCl/MUS/MAPS_MUS-chpn_op66_ENSTDkCl.wav
    ENSTDkCl/MUS/MAPS_MUS-chpn_op66_ENSTDkCl.txt    OnsetTime OffsetTime MidiPitch, a title line, seconds
    ENSTDkCl/MUS/MAPS_MUS-chpn_op66_ENSTDkCl.mid

As usual since Sigtia et al. 2016 (their configuration 2), the recorded Disklavier, ENSTDkCl and ENSTDkAm, is the split "test" and the
synthesized pianos are "train". Of these, pieces that are in the test split too, played by another piano, have the split "overlap" (139 are
left to train on); where the folders of the Disklavier are not there, nothing is known to overlap. Single notes and chords (ISOL, RAND,
UCHO) are not read. Notes are those of the text files, which tell no velocities and no pedals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from solfa.data.manifest import Entry
from solfa.data.readers.rows import OVERLAP, Found, attempt, instruments, note_between, seconds, there, words

TEST = ("ENSTDkCl", "ENSTDkAm")
COLUMNS = ("OnsetTime", "OffsetTime", "MidiPitch")
NAME = re.compile(r"MAPS_MUS-(.+)_([A-Za-z0-9]+)")


def is_here(folder: Path) -> bool:
    return next(_sounds(folder), None) is not None


def read(folder: Path) -> Iterator[Found]:
    """A recording for each piece of each piano."""
    paths = sorted(_sounds(folder))
    tested = {_piece(path)[0] for path in paths if _piece(path)[1] in TEST}
    for path in paths:
        yield attempt(_entry, path, tested)


def _sounds(folder: Path) -> Iterator[Path]:
    for pattern in ("MUS/MAPS_MUS-*.wav", "*/MUS/MAPS_MUS-*.wav"):
        yield from folder.glob(pattern)


def _piece(path: Path) -> tuple[str, str]:
    """The names of the piece and of the piano; empty where the file's name is none of MAPS'."""
    match = NAME.fullmatch(path.stem)
    return (match[1], match[2]) if match else ("", "")


def _entry(path: Path, tested: set[str]) -> Entry:
    piece, piano = _piece(path)
    if not piece:
        raise ValueError(f"{path}: its name should be MAPS_MUS-PIECE_PIANO.wav")
    notes = tuple(
        note_between(row, seconds(row, "OnsetTime"), seconds(row, "OffsetTime"), row.whole("MidiPitch", 0, 127))
        for row in words(there(path.with_suffix(".txt")), COLUMNS, titled=True)
    )
    return Entry(
        id=path.stem,
        audio=str(path),
        notes=tuple(sorted(notes)),
        split="test" if piano in TEST else OVERLAP if piece in tested else "train",
        attributes={"title": piece, "piano": piano, "instruments": instruments(notes)},
    )
