"""Notes and notations: `Note`, `Score`, MIDI in and out, MusicXML in."""

from solfa.score.note import Note
from solfa.score.score import KeySignature, Metre, Part, Pedal, Score, TempoChange, score_of_notes, transposed

__all__ = [
    "KeySignature",
    "Metre",
    "Note",
    "Part",
    "Pedal",
    "Score",
    "TempoChange",
    "score_of_notes",
    "transposed",
]
