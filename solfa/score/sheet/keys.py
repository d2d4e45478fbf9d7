"""Keys: found from the notes, and how pitches are spelled in them.

Names live on the line of fifths (... Bb F C G D A E B F# ..., C is 0): seven steps along it sharpen a letter, and a key's signature is
the place of its major tonic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from solfa.score.note import Note
from solfa.score.sheet.notation import Key

LETTERS = "CDEFGAB"
MINOR_MODES = ("m", "min", "aeo", "dor", "phr", "loc")  # modes with a minor third, by their first three letters
_FIFTHS = "FCGDAEB"  # letters in the order of the line of fifths; sharps are added in this order, flats from its end
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Spelled:
    """A pitch by name: letter "A" to "G", alteration in semitones (-2 to 2), octave (middle C begins octave 4)."""

    letter: str
    alter: int
    octave: int

    @property
    def pitch(self) -> int:
        """The MIDI number."""
        return 12 * (self.octave + 1) + _SEMITONES[self.letter] + self.alter


def signature(key: Key) -> int:
    """Sharps of a key (flats are negative), -6 to 6 for every key: of two names that sound the same the simpler one (Db major, not C#
    major); where both have six, F# major and Eb minor."""
    major = (key.tonic + (3 if key.mode == "minor" else 0)) % 12
    sharps = (major * 7) % 12
    return sharps if sharps < 6 + (key.mode == "major") else sharps - 12


def tonic_name(key: Key) -> tuple[str, int]:
    """(letter, alteration) of the tonic: ("E", -1) for E flat."""
    return _name(signature(key) + (3 if key.mode == "minor" else 0))


def signature_alter(letter: str, sharps: int) -> int:
    """What the key signature of so many sharps (flats are negative) does to a letter: -1, 0 or 1."""
    if letter not in LETTERS:
        raise ValueError(f"letter {letter!r}: legal are {', '.join(LETTERS)}")
    place = _FIFTHS.index(letter)
    return 1 if place < sharps else -1 if place >= 7 + sharps else 0


def spell(pitch: int, key: Key) -> Spelled:
    """The name of a MIDI pitch in a key.

    Twelve places on the line of fifths around the key's scale: in major the lowered third, sixth and seventh and the raised fourth and
    first; in minor the raised third, sixth, seventh (leading note) and fourth and the lowered second.
    """
    sharps = signature(key)
    lowest = sharps - (2 if key.mode == "minor" else 4)
    place = (pitch * 7) % 12
    letter, alter = _name(place + 12 * (-((place - lowest) // 12)))
    octave = (pitch - alter) // 12 - 1
    return Spelled(letter, alter, octave)


def _name(place: int) -> tuple[str, int]:
    """(letter, alteration) of a place on the line of fifths."""
    return _FIFTHS[(place + 1) % 7], (place + 1) // 7


# How well each degree above the tonic fits a key: D. Temperley's profiles from the Kostka-Payne corpus (Music and Probability, 2007).
_PROFILES = {
    "major": (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400),
    "minor": (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330),
}
_BASS, _CLOSE = 0.5, 0.2  # how much the lowest notes and the last chord count beside the correlation


def find_key(notes: Iterable[Note]) -> Key:
    """The key of a piece, from its pitch classes by length, its lowest notes and how it ends; drums do not count. C major without notes."""
    tonal = sorted(note for note in notes if not note.is_drum)
    if not tonal:
        return Key(Fraction(0), 0, "major")
    scores = key_scores(tonal)
    return max((Key(Fraction(0), tonic, mode) for tonic, mode in scores), key=lambda key: scores[key.tonic, key.mode])


def key_scores(notes: Sequence[Note]) -> dict[tuple[int, str], float]:
    """How well each of the 24 keys fits notes (at least one, sorted, no drums): higher is better.

    The correlation of the pitch classes with the key's profile (C. Krumhansl's method), and what lies on the tonic: the lowest notes of
    the piece, its last chord, and the lowest of that.
    """
    pitch = np.array([note.pitch for note in notes])
    length = np.sqrt(0.05 + np.minimum([note.duration for note in notes], 2.0))
    classes = np.bincount(pitch % 12, length, 12)
    low = pitch <= np.quantile(pitch, 0.3)
    bass = np.bincount(pitch[low] % 12, length[low], 12) / length[low].sum()
    end = max(note.onset for note in notes)
    last = [note.pitch for note in notes if note.onset > end - 0.08]
    result = {}
    for mode, profile in _PROFILES.items():
        for tonic in range(12):
            fit = float(np.corrcoef(np.roll(profile, tonic), classes)[0, 1]) if np.ptp(classes) > 0 else 0.0
            third = (tonic + (4 if mode == "major" else 3)) % 12
            ends = {tonic: 1.0, third: 0.4, (tonic + 7) % 12: 0.4}
            close = sum(ends.get(p % 12, 0.0) for p in last) / len(last) + (min(last) % 12 == tonic)
            result[tonic, mode] = fit + _BASS * float(bass[tonic]) + _CLOSE * close
    return result
