"""URMP (Li et al. 2018): 44 pieces of chamber music, each part recorded by itself.

    Dataset/01_Jupiter_vn_vc/AuMix_01_Jupiter_vn_vc.wav
    Dataset/01_Jupiter_vn_vc/Notes_1_vn_01_Jupiter.txt     onset in seconds, frequency in Hz, duration in seconds; no title line
    Dataset/01_Jupiter_vn_vc/AuSep_1_vn_01_Jupiter.wav     and F0s_..., Sco_....mid, Vid_....mp4, which are not read

A frequency counts as the nearest pitch of A = 440 Hz. There are no velocities. URMP has no splits of its own: as in MT3, nine pieces (HELD)
are held out, here as "test", and the others are "train".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from solfa.data.manifest import Entry
from solfa.data.readers.rows import Found, Row, attempt, instruments, note_between, seconds, words
from solfa.score.note import Note

PROGRAMS = {  # General MIDI, from 0; the saxophone counts as an alto
    "vn": 40,
    "va": 41,
    "vc": 42,
    "db": 43,
    "tpt": 56,
    "tbn": 57,
    "tba": 58,
    "hn": 60,
    "sax": 65,
    "ob": 68,
    "bn": 70,
    "cl": 71,
    "fl": 73,
}
HELD = ("01", "02", "12", "13", "24", "25", "31", "38", "39")
COLUMNS = ("onset", "frequency", "duration")
PIECE = re.compile(r"(\d\d)_([^_]+)((?:_[a-z]+)+)")
PART = re.compile(r"Notes_\d+_([a-z]+)_")
SOUNDS = "[0-9][0-9]_*/AuMix_*.wav"


def is_here(folder: Path) -> bool:
    return next(folder.glob(SOUNDS), None) is not None


def read(folder: Path) -> Iterator[Found]:
    """A recording for each piece, all parts together."""
    for path in sorted(folder.glob(SOUNDS)):
        yield attempt(_entry, path)


def _entry(audio: Path) -> Entry:
    piece = audio.parent
    match = PIECE.fullmatch(piece.name)
    if match is None:
        raise ValueError(f"{piece}: its name should be NN_Title_instrument_instrument")
    number, title, players = match[1], match[2], match[3][1:].split("_")
    notes: list[Note] = []
    for player, path in _parts(piece, players):
        notes += (_note(row, PROGRAMS[player]) for row in words(path, COLUMNS, titled=False))
    return Entry(
        id=piece.name,
        audio=str(audio),
        notes=tuple(sorted(notes)),
        split="test" if number in HELD else "train",
        attributes={"title": title, "instruments": instruments(notes)},
    )


def _parts(piece: Path, players: list[str]) -> list[tuple[str, Path]]:
    """The instrument and the notes of each part. Raises ValueError unless they are those of the folder's name."""
    if strangers := [player for player in players if player not in PROGRAMS]:
        raise ValueError(f"{piece}: instrument {strangers[0]!r}: legal are {', '.join(PROGRAMS)}")
    parts = [(match[1], path) for path in piece.glob("Notes_*.txt") if (match := PART.match(path.name))]
    if sorted(player for player, _ in parts) != sorted(players):
        there = " ".join(sorted(path.name for _, path in parts))
        raise ValueError(f"{piece}: parts for {' '.join(players)} are needed, there are {there or 'none'}")
    return sorted(parts, key=lambda part: part[1].name)


def _note(row: Row, program: int) -> Note:
    onset, length = seconds(row, "onset"), seconds(row, "duration")
    pitch = round(69 + 12 * math.log2(row.number("frequency", 8.0, 13_000.0) / 440))
    return note_between(row, onset, onset + length, pitch, program)
