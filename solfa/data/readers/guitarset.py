"""GuitarSet (Xi et al. 2018; Zenodo 3371780): 360 excerpts on an acoustic guitar with steel strings, half a minute each.

    audio_mono-mic/00_BN1-129-Eb_comp_mic.wav     player, style and progression, tempo, key, comp or solo
    annotation/00_BN1-129-Eb_comp.jams            note_midi: one annotation a string; its pitches are not whole numbers

Pitches are rounded; there are no velocities. GuitarSet has no splits of its own: as in MT3, the third progression of each style is held
out, here as "test", and the first two are "train". The sound of the pickups is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from solfa.data.manifest import Entry
from solfa.data.readers.rows import Found, attempt, in_range, instruments, read_json, there
from solfa.score.midi import MAX_SECONDS
from solfa.score.note import Note

PROGRAM = 25  # acoustic guitar (steel)
HELD = "3"  # progression
STYLES = {"BN": "bossa nova", "Funk": "funk", "Jazz": "jazz", "Rock": "rock", "SS": "singer-songwriter"}
NAME = re.compile(r"(\d\d)_(BN|Funk|Jazz|Rock|SS)(\d)-(\d+)-([A-G][b#]?)_(comp|solo)")


def is_here(folder: Path) -> bool:
    return next((folder / "annotation").glob("*.jams"), None) is not None


def read(folder: Path) -> Iterator[Found]:
    """A recording for each annotation, as the microphone heard it."""
    for path in sorted((folder / "annotation").glob("*.jams")):
        yield attempt(_entry, folder / "audio_mono-mic", path)


def _entry(sounds: Path, path: Path) -> Entry:
    match = NAME.fullmatch(path.stem)
    if match is None:
        raise ValueError(f"{path}: its name should be PLAYER_STYLE-TEMPO-KEY_comp.jams or _solo.jams")
    audio = there(sounds / f"{path.stem}_mic.wav")
    notes = tuple(sorted(_notes(path)))
    player, style, progression, bpm, key, mode = match.groups()
    said = {"genre": STYLES[style], "bpm": int(bpm), "key": key, "player": player, "part": mode}
    return Entry(
        id=path.stem,
        audio=str(audio),
        notes=notes,
        split="test" if progression == HELD else "train",
        attributes=said | {"instruments": instruments(notes)},
    )


def _notes(path: Path) -> Iterator[Note]:
    data = read_json(path)
    annotations = data.get("annotations") if isinstance(data, dict) else None
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise ValueError(f"{path}: no list of annotations")
    strings = [each for each in annotations if each.get("namespace") == "note_midi"]
    if not strings:
        raise ValueError(f"{path}: no annotation of the namespace note_midi")
    for number, string in enumerate(strings):
        rows = string.get("data")
        if not isinstance(rows, list):
            raise ValueError(f"{path}, note_midi {number}: no list of notes")
        for place, row in enumerate(rows):
            yield _note(f"{path}, note_midi {number}, note {place}", row)


def _note(where: str, row: Any) -> Note:
    values: list[Any] = [row.get(name) for name in ("time", "duration", "value")] if isinstance(row, dict) else [None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise ValueError(f"{where}: time, duration and value are needed, as numbers")
    try:
        onset, length = (in_range(value, 0.0, MAX_SECONDS) for value in values[:2])
        pitch = round(in_range(values[2], 0, 127))
        return Note(onset, in_range(onset + length, 0.0, MAX_SECONDS), pitch, program=PROGRAM)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
