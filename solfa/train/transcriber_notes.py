"""The notes of a recording as a table: what crops and their targets are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solfa.score.note import Note
from solfa.score.pedal import pedal_extended
from solfa.score.score import Score
from solfa.transcription.segments import pedal_spans

ROW = np.dtype(
    [("onset", "f8"), ("offset", "f8"), ("pitch", "i2"), ("velocity", "i2"), ("program", "i2"), ("drum", "?")]
)
UNKNOWN = 80  # the velocity of notes of which none is told
PEDAL = np.dtype([("onset", "f8"), ("offset", "f8"), ("program", "i2")])


@dataclass(frozen=True)
class NoteTable:
    """Notes (dtype ROW) and pedals (dtype PEDAL), sorted by onset. Times are seconds; a velocity of 0 is not known."""

    rows: np.ndarray  # [n]
    pedals: np.ndarray  # [m]

    def crop(self, start: float, end: float) -> NoteTable:
        """What sounds between two times: begins before `end` and has not ended by `start`. Times stay as they are."""
        return NoteTable(*(_between(rows, start, end) for rows in (self.rows, self.pedals)))

    def transposed(self, semitones: int) -> NoteTable:
        """All but the drums moved by so many; what no MIDI number stands for then is left out."""
        rows = self.rows.copy()
        rows["pitch"][~rows["drum"]] += semitones
        return NoteTable(rows[(rows["pitch"] >= 0) & (rows["pitch"] <= 127)], self.pedals)

    def notes(self) -> list[Note]:
        """As `Note` objects, in order; velocities that are not known are 80."""
        return [Note(on, off, pitch, loud or UNKNOWN, *rest) for on, off, pitch, loud, *rest in self.rows.tolist()]


def _between(rows: np.ndarray, start: float, end: float) -> np.ndarray:
    rows = rows[: np.searchsorted(rows["onset"], end)]
    return rows[rows["offset"] > start]


def note_table(score: Score, sustain: bool = True, velocities: bool = True) -> NoteTable:
    """The notes of a score. sustain: as they are heard; held by the pedal, a note ends when that comes up or its key is struck again.
    velocities: whether the score's are known; else they stand as 0."""
    heard = pedal_extended(score) if sustain else score
    notes = [(n.onset, n.offset, n.pitch, n.velocity * velocities, n.program, n.is_drum) for n in heard.notes]
    pedals = [(span.onset, span.offset, span.program) for span in pedal_spans(score)]
    return NoteTable(np.array(notes, ROW), np.array(pedals, PEDAL))
