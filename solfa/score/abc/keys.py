"""Keys of ABC: the K: field and the sharps and flats that it means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from solfa.score.sheet.keys import LETTERS, MINOR_MODES, signature, tonic_name
from solfa.score.sheet.notation import Key

ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
_FIFTHS = "FCGDAEB"  # sharps appear in this order, flats in the reverse
# How many fifths below the major key of the same tonic a mode's signature lies.
_MODES = {"": 0, "maj": 0, "ion": 0, "lyd": -1, "mix": 1, "dor": 2, "m": 3, "min": 3, "aeo": 3, "phr": 4, "loc": 5}
_ARGUMENT = r"(?!(?:clef|cl|octave|transpose|middle|stafflines|staffscale|style|score|sound|shift|name|nm|snm|cue)\s*=)"
_TONIC = re.compile(r"([A-G])([#b♯♭]?)(?:\s*" + _ARGUMENT + "([A-Za-z]+))?")
_ALTERED = re.compile(r"(\^\^|\^|=|__|_)([A-Ga-g])\s*")


@dataclass(frozen=True)
class AbcKey:
    """What a K: field says: the alteration of each letter in order C to B, and the key that a sheet can name.

    A sheet knows major and minor only: a mode is named by the key with the same signature whose third is like the mode's (D dorian is A
    minor, G mixolydian C major). Explicit accidentals change the alterations and leave the name; K:none is C.
    """

    alterations: tuple[int, ...]
    tonic: int
    mode: str

    def alteration(self, letter: str) -> int:
        """Semitones that the key adds to a letter C to B."""
        return self.alterations[LETTERS.index(letter)]


def alterations(fifths: int) -> tuple[int, ...]:
    """What so many sharps (flats are negative) do to the letters C to B: -14 to 14, beyond 7 with double accidentals."""
    return tuple((fifths + 6 - _FIFTHS.index(letter)) // 7 for letter in LETTERS)


def plain_key(tonic: int, mode: str) -> AbcKey:
    """A key without explicit accidentals."""
    return AbcKey(alterations(signature(Key(Fraction(0), tonic, mode))), tonic, mode)


def key_field(key: Key) -> str:
    """What stands after K: for a key of a sheet, as in "Bb" or "F#m". Raises ValueError for what is no key."""
    if not 0 <= key.tonic <= 11 or key.mode not in ("major", "minor"):
        raise ValueError(f"key {key.tonic} {key.mode}: legal are tonics 0 to 11 in major or minor")
    letter, alter = tonic_name(key)
    return letter + {-1: "b", 0: "", 1: "#"}[alter] + ("m" if key.mode == "minor" else "")


def parse_key(text: str, before: AbcKey) -> tuple[AbcKey, str]:
    """The key of a K: field, and what of the field is not about the key (the clef). `before` stays where only a clef is given.

    Legal: A to G with # or b and a mode (of which three letters count), HP and Hp, none, nothing; then accidentals such as ^f, which are
    added to the key, or after "exp" stand for it. Raises ValueError for anything else.
    """
    key, rest = _named(text.strip(), before)
    rest = rest.lstrip()
    if rest.startswith("exp"):
        rest = rest[3:].lstrip()
        key = AbcKey((0,) * 7, key.tonic, key.mode)
    altered = list(key.alterations)
    while match := _ALTERED.match(rest):
        altered[LETTERS.index(match.group(2).upper())] = ACCIDENTALS[match.group(1)]
        rest = rest[match.end() :]
    return AbcKey(tuple(altered), key.tonic, key.mode), rest


def _named(text: str, before: AbcKey) -> tuple[AbcKey, str]:
    """The key by name, and the rest of the field."""
    if not text or text.lower().split()[0] == "none":
        return plain_key(0, "major"), text[4:]
    if re.match(r"H[Pp]\b", text):
        return plain_key(2, "major"), text[2:]  # the pipes: F and C sharp, whether printed or not
    if text.split()[0] == "exp" or _ALTERED.match(text.split()[0]):
        return plain_key(0, "major"), text
    if re.match(r"[a-z]+\s*=|(treble|bass|alto|tenor|perc|none)", text):
        return before, text
    match = _TONIC.match(text)
    if match is None:
        raise ValueError(f"key {text[:20]!r}: legal are A to G with # or b and a mode, HP, Hp, none, and accidentals")
    letter, accidental, word = match.groups(default="")
    mode = word.lower() if word.lower() in ("", "m") else word.lower()[:3]
    end = match.end()
    if mode not in _MODES:
        if mode not in ("exp", "tre", "bas", "alt", "ten", "per", "non"):
            raise ValueError(
                f"mode {word[:20]!r}: legal are major, minor, m, mixolydian, dorian, phrygian, lydian, locrian ..."
            )
        mode, end = "", match.start(3)
    place = _FIFTHS.index(letter) - 1 + {"": 0, "#": 7, "♯": 7, "b": -7, "♭": -7}[accidental] - _MODES[mode]
    if not -14 <= place <= 14:
        raise ValueError(f"key {text[:20]!r} has {abs(place)} accidentals: legal are at most 14")
    minor = mode in MINOR_MODES
    tonic = (place * 7 + (9 if minor else 0)) % 12
    return AbcKey(alterations(place), tonic, "minor" if minor else "major"), text[end:]
