"""The fields of ABC that say how music is to be read: metre, unit length, tempo, voices, and the %%MIDI directives of abc2midi."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from solfa.score.abc.text import unescaped
from solfa.score.sheet.notation import Clef

MAX_TEMPO, MIN_TEMPO = 60_000_000, 3.5  # quarter notes a minute that a score can hold
_SIGNED = re.compile(r"[+-]?\d{1,3}\Z")
_FRACTION = re.compile(r"(\d{1,6})\s*/\s*(\d{1,6})\Z")
_SUM = re.compile(r"\(?\d{1,3}/\d{1,2}(\+\d{1,3}/\d{1,2}){1,15}\)?\Z")
_DENOMINATORS = (1, 2, 4, 8, 16, 32, 64)
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,20})?\Z")
_OLD_BEAT = re.compile(r"C(\d{0,3})(?:/(\d{1,3}))?\Z")
_ARGUMENT = re.compile(r'([A-Za-z_-]+)\s*=\s*("[^"]*"|\S+)|(\S+)')
_CLEF = re.compile(r"(treble|bass|alto|tenor|mezzo|soprano|baritone|perc|none|G|C|F|P)[1-5]?([+^_-]8)?(?=\s|\Z|,)")
_CLEFS: dict[str, Clef] = {"bass": "bass", "baritone": "bass", "F": "bass", "perc": "percussion", "P": "percussion"}
# Quarter notes a minute where a tempo is only a word; the table of abc2midi.
_WORDS = {
    "larghissimo": 40, "adagissimo": 44, "lentissimo": 48, "largo": 56, "adagio": 59, "lento": 62, "larghetto": 66, "adagietto": 76,
    "andante": 88, "andantino": 96, "moderato": 104, "allegretto": 112, "allegro": 120, "vivace": 168, "vivo": 180, "presto": 192,
    "allegrissimo": 208, "vivacissimo": 220, "prestissimo": 240,
}  # fmt: skip


@dataclass(frozen=True)
class AbcMetre:
    """Bars of numerator / denominator; None for the free metre (M:none)."""

    numerator: int
    denominator: int

    @property
    def quarters(self) -> Fraction:
        """Length of a bar in quarter notes."""
        return Fraction(4 * self.numerator, self.denominator)

    @property
    def compound(self) -> bool:
        """Whether the beat has three parts, which p of a tuplet depends on."""
        return self.numerator % 3 == 0 and self.numerator > 3


@dataclass(frozen=True)
class VoiceSettings:
    """What V:, K: and %%MIDI say of a voice. `shift` is semitones from the written to the sounding pitch."""

    name: str = ""
    clef: Clef = "treble"
    program: int = 0
    is_drum: bool = False
    clef_shift: int = 0
    octave: int = 0
    transpose: int = 0

    @property
    def shift(self) -> int:
        """Semitones that the clef, octave= and transpose= add; a drum's key is not moved."""
        return 0 if self.is_drum else self.clef_shift + 12 * self.octave + self.transpose


def parse_metre(text: str) -> AbcMetre | None:
    """The metre of an M: field: 6/8, C, C|, (2+3)/8, 2/4+3/8, or none. Raises ValueError."""
    plain = text.replace(" ", "")
    if plain in ("none", ""):
        return None
    if plain in ("C", "c"):
        return AbcMetre(4, 4)
    if plain in ("C|", "c|"):
        return AbcMetre(2, 2)
    if _SUM.match(plain):
        terms = [tuple(map(int, term.split("/"))) for term in plain.strip("()").split("+")]
        finest = max(below for _, below in terms)
        if all(below in _DENOMINATORS for _, below in terms):
            plain = f"{sum(above * finest // below for above, below in terms)}/{finest}"
    match = re.match(r"\(?(\d{1,3}(?:\+\d{1,3}){0,31})\)?/(\d{1,2})\Z", plain)
    if match is not None:
        metre = AbcMetre(sum(map(int, match.group(1).split("+"))), int(match.group(2)))
        if 1 <= metre.numerator <= 255 and metre.denominator in _DENOMINATORS:
            return metre
    raise ValueError(
        f"metre {text[:20]!r}: legal are 1 to 255 over 1, 2, 4, ... 64, sums such as (2+3)/8 and 2/4+3/8, C, C| and none"
    )


def parse_unit(text: str) -> Fraction:
    """The unit length of an L: field in quarter notes. Raises ValueError."""
    match = _FRACTION.match(text.strip())
    if match is None and text.strip() != "1":
        raise ValueError(f"unit length {text[:20]!r}: legal are 1/1, 1/2, 1/4, ... 1/512")
    top, bottom = (1, 1) if match is None else (int(match.group(1)), int(match.group(2)))
    if not 1 <= top <= 64 or not 1 <= bottom <= 512:
        raise ValueError(f"unit length {text[:20]!r}: legal are 1/1, 1/2, 1/4, ... 1/512")
    return Fraction(4 * top, bottom)


def default_unit(metre: AbcMetre | None) -> Fraction:
    """The unit length in quarter notes where there is no L: field: a 16th in metres below 3/4, else an eighth."""
    return Fraction(1, 4) if metre is not None and metre.quarters < 3 else Fraction(1, 2)


def parse_tempo(text: str, unit: Fraction, before: float) -> float | None:
    """Quarter notes a minute of a Q: field; None for one that says no number. `before` stays where it is only a word that means no tempo.

    Legal: 1/4=120, several beats as in 1/4 3/8=40, with a text in quotes before or after; the text alone; and the old forms 120 (so many
    unit lengths a minute), C=120 and C3=40 (of so many unit lengths). Raises ValueError for a tempo that no score can hold.
    """
    plain = re.sub(r'"[^"]*"', " ", text).strip()
    if not plain:
        word = re.search(r'"([^"]*)"', text)
        return float(_WORDS.get(word.group(1).strip().lower(), before)) if word else before
    beat, equals, number = plain.rpartition("=")
    length = _beat(beat.strip(), unit) if equals else unit
    if length is None or not re.match(r"\d[\d.]*\Z", number.strip()):
        return None
    if not _NUMBER.match(number.strip()):
        raise ValueError(f"tempo {text[:30]!r}: legal are numbers of at most nine digits before their point")
    bpm = Fraction(number.strip()) * length
    if not MIN_TEMPO <= bpm <= MAX_TEMPO:
        raise ValueError(
            f"tempo {text[:30]!r} is {float(bpm):g} quarter notes a minute: legal are {MIN_TEMPO} to {MAX_TEMPO}"
        )
    return float(bpm)


def _beat(text: str, unit: Fraction) -> Fraction | None:
    """The length of the beat of a tempo in quarter notes; None for what is not one to four lengths such as 1/4 or 3/8."""
    old = _OLD_BEAT.match(text)
    if old is not None and old.group(2) != "0":
        return unit * Fraction(int(old.group(1) or 1), int(old.group(2) or 1))
    total = Fraction(0)
    words = re.sub(r"\s*/\s*", "/", text).split()
    for word in words[:5]:
        match = _FRACTION.match(word)
        if match is None or int(match.group(2)) == 0:
            return None
        total += Fraction(4 * int(match.group(1)), int(match.group(2)))
    return total if 1 <= len(words) <= 4 and total else None


def parse_voice(settings: VoiceSettings, text: str) -> VoiceSettings:
    """The settings of a voice, changed by what stands after the name of a V: field or the key of a K: field. Raises ValueError."""
    for match in _ARGUMENT.finditer(text):
        name, value, word = match.groups()
        value = value.strip('"') if value else ""
        if word is not None or name in ("clef", "cl"):
            settings = _with_clef(settings, word if word is not None else value, strict=word is None)
        elif name in ("name", "nm"):
            settings = replace(settings, name=unescaped(value))
        elif name in ("octave", "transpose"):
            if not _SIGNED.match(value):
                raise ValueError(f"{name}={value[:20]}: legal are whole numbers")
            settings = (
                replace(settings, octave=int(value)) if name == "octave" else replace(settings, transpose=int(value))
            )
    return settings


def _with_clef(settings: VoiceSettings, text: str, strict: bool) -> VoiceSettings:
    match = _CLEF.match(text)
    if match is None:
        if strict:
            raise ValueError(
                f"clef {text[:20]!r}: legal are treble, alto, tenor, bass, perc and none, with a line and +8 or -8"
            )
        return settings
    shift = {None: 0, "+": 12, "-": -12}.get(match.group(2) and match.group(2)[0], 0)  # ^8 and _8 are print only
    return replace(settings, clef=_CLEFS.get(match.group(1), "treble"), clef_shift=shift)


def parse_midi(settings: VoiceSettings, words: list[str]) -> VoiceSettings | None:
    """The settings of a voice after %%MIDI program or channel; None for a directive that would change pitches and is not followed.

    Others (how to accent, to play chord symbols, ...) change nothing here. Raises ValueError for numbers outside what MIDI knows.
    """
    command, numbers = words[0].lower() if words else "", words[1:]
    if command == "program":
        return replace(settings, program=_whole(numbers[-1:], "program", 0, 127))
    if command == "channel":
        return replace(settings, is_drum=_whole(numbers[:1], "channel", 1, 16) == 10)
    if command in ("transpose", "rtranspose", "c", "drummap"):
        return None
    return settings


def _whole(words: list[str], what: str, low: int, high: int) -> int:
    if not words or not re.match(r"\d{1,3}\Z", words[0]) or not low <= int(words[0]) <= high:
        raise ValueError(f"%%MIDI {what} {' '.join(words)[:20]!r}: legal are {low} to {high}")
    return int(words[0])
