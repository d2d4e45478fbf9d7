"""The symbols of a line of ABC music."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from solfa.score.abc.decorations import Signs
from solfa.score.abc.error import AbcError
from solfa.score.abc.source import Line

MAX_LENGTH = Fraction(4096)  # unit lengths that one note may have
_LENGTH = r"\d*(?:/+\d*)?"
_NOTE = re.compile(r"(\^\^|\^|=|__|_)?([A-Ga-g])([,']*)(" + _LENGTH + ")")
# The first that matches counts. Groups are named after what they find.
_SYMBOLS = "|".join(
    (
        r"(?P<field>\[[A-Za-z]:[^\]]*\])",
        r"(?P<bar>:+\|+\]?:*|::+|\.?\|+\]?:*|\[\|+\]?:*)\s*(?P<numbers>(?:(?<=[|:\]])|\[)\d[\d,-]*)?",
        r"(?P<ending>\[\d[\d,-]*)",
        r"(?P<note>(?:\^\^|\^|=|__|_)?[A-Ga-g][,']*" + _LENGTH + ")",
        r"(?P<rest>[zx]" + _LENGTH + ")",
        r"(?P<bars_rest>[ZX]\d*)",
        r"(?P<tuplet>\(\d+(?::\d*)?(?::\d*)?)",
        r"(?P<overlay>\(&|&\)|&)",
        r"(?P<tie>\.?-)",
        r"(?P<slur>\.?[()])",
        r"(?P<broken>>+|<+)",
        r"(?P<chord_end>\]" + _LENGTH + ")",
        r"(?P<chord>\[)",
        r"(?P<grace>\{[^}]*\})",
        r'(?P<text>"[^"]*")',
        r"(?P<decoration>DECORATION)",
        r"(?P<blank>[\s`\\$*;?@]+|!|y" + _LENGTH + "|[.~H-Wh-w])",
    )
)
_WRONG = {
    "#": "accidentals stand before the note, as in ^F and _B, not after it",
    "^": "an accidental without a note after it: accidentals stand before the note, as in ^F",
    "_": "an accidental without a note after it: accidentals stand before the note, as in _B",
    "=": "an accidental without a note after it: accidentals stand before the note, as in =F",
    "{": "grace notes without a closing }",
    '"': 'a text without a closing "',
    "+": "'+': chords are written [CEG] and decorations !trill!",
    ":": "a single ':': legal are |: :| and ::",
    ",": "an octave mark without a note before it",
    "'": "an octave mark without a note before it",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One symbol: what it is, its text, and where. `numbers` are the endings that a bar line opens."""

    kind: str
    text: str
    line: int
    column: int
    numbers: str = ""

    def error(self, reason: str) -> AbcError:
        """What is wrong, and that it is wrong here."""
        return AbcError(self.line, self.column, reason)


@lru_cache
def _pattern(signs: Signs) -> re.Pattern[str]:
    """What finds a symbol. A ! that stands alone, or always where it ends lines, is a blank."""
    forms = [r"![^!\s|]*!"] * (not signs.breaks) + [r"\+[^+\s|]*\+"] * signs.plus
    return re.compile(_SYMBOLS.replace("DECORATION", "|".join(forms)))


def tokens(line: Line, signs: Callable[[], Signs] = Signs) -> Iterator[Token]:
    """The symbols of a line of music but for blanks and what says nothing about notes; `signs` are asked for at each, since a field in
    the line may change them. Raises AbcError at what is no symbol."""
    place = 0
    while place < len(line.text):
        match = _pattern(signs()).match(line.text, place)
        if match is None or match.lastgroup is None:
            raise AbcError(line.number, line.column + place, _wrong(line.text, place))
        kind = "bar" if match["bar"] is not None else match.lastgroup
        if kind not in ("blank", "text", "slur", "grace"):
            numbers = match["numbers"] or (match["ending"] or "")
            yield Token(kind, match[kind], line.number, line.column + place, numbers.lstrip("["))
        place = match.end()


def _wrong(text: str, place: int) -> str:
    character = text[place]
    if re.match(r"[\^_=]+\d*/", text[place : place + 12]):
        return "microtones are not supported: legal are ^^ ^ = _ __"
    if character.isdigit() or character == "/":
        return "a length without a note before it"
    return _WRONG.get(character, f"{character!r} is no symbol of ABC music")


def note_parts(text: str) -> tuple[str, str, int, str]:
    """(accidental mark, letter C to B, octave with 4 from middle C, length) of a note's text."""
    match = _NOTE.match(text)
    assert match is not None
    mark, letter, octaves, length = match.groups()
    octave = (5 if letter.islower() else 4) + octaves.count("'") - octaves.count(",")
    return mark or "", letter.upper(), octave, length


def length_of(text: str, token: Token) -> Fraction:
    """A length in unit lengths: nothing is 1, 3/2, /4, / is 1/2, // is 1/4. Raises AbcError for 0 and for what is too long or fine."""
    length, wrong = _length(text)
    if wrong:
        raise token.error(wrong)
    return length


@lru_cache(maxsize=1024)
def _length(text: str) -> tuple[Fraction, str]:
    """A length, and what is wrong with it if anything is."""
    over, slashes, under = re.match(r"(\d*)(/*)(\d*)\Z", text).groups()  # type: ignore[union-attr]
    if max(len(over), len(under)) > 6 or len(slashes) > 10:
        return Fraction(1), f"length {text[:20]!r}: legal are numbers of at most six digits"
    bottom = int(under) if under else 2 ** len(slashes)
    if bottom == 0 or (over and int(over) == 0):
        return Fraction(1), f"length {text!r}: a length is more than 0"
    length = Fraction(int(over or 1), bottom)
    if length > MAX_LENGTH:
        return length, f"length {text!r}: legal are at most {MAX_LENGTH} unit lengths"
    return length, ""


def is_double(text: str) -> bool:
    """Whether a bar line is a double bar, which ends an ending and which a repeat may go back to. [|] is one that is not printed."""
    bar = text.strip(":")
    return bar != "[|]" and ("||" in bar or bar.startswith("[") or bar.endswith("]"))


def ending_numbers(token: Token) -> tuple[int, ...]:
    """The passes of "1", "1,3" or "1-3"."""
    passes: list[int] = []
    for part in token.numbers.strip(",-").split(","):
        low, _, high = part.partition("-")
        if not re.match(r"\d{1,2}\Z", low) or not re.match(r"(\d{1,2})?\Z", high):
            raise AbcError(
                token.line, token.column, f"ending {token.numbers[:20]!r}: legal are 1, 1,3 and 1-3 up to 99"
            )
        passes += range(int(low), int(high or low) + 1)
    if not passes or min(passes) < 1:
        raise AbcError(token.line, token.column, f"ending {token.numbers[:20]!r}: legal are 1, 1,3 and 1-3 up to 99")
    return tuple(passes)
