"""One voice of ABC: its symbols become measures of sounds, in the order in which they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from solfa.score.abc.fields import AbcMetre, VoiceSettings
from solfa.score.abc.keys import ACCIDENTALS, AbcKey
from solfa.score.abc.lexer import Token, ending_numbers, is_double, length_of, note_parts
from solfa.score.abc.limits import MAX_QUARTERS, Budget
from solfa.score.sheet.keys import Spelled

MAX_CHORD = 128
MAX_DENOMINATOR = 1 << 40  # sums of fractions with ever new denominators would grow without end
# The velocity of an accented note under each mark, as abc2midi plays it; 80 is the velocity of a symbol that nothing is said of.
DYNAMICS = {"ppp": 30, "pp": 45, "p": 60, "mp": 75, "mf": 90, "f": 105, "ff": 120, "fff": 127}
_TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # of the others, 3 in compound metres, else 2


@dataclass(frozen=True)
class Context:
    """What is in force where a sound stands. tempo: quarter notes a minute."""

    key: AbcKey
    metre: AbcMetre | None
    tempo: float


@dataclass(slots=True)
class Sound:
    """A note, chord or rest as written. Durations are quarter notes; each note is [pitch, duration, whether it is tied on]."""

    duration: Fraction
    notes: list[tuple[int, Fraction, bool]]
    velocity: int
    context: Context
    settings: VoiceSettings
    line: int

    def stretch(self, factor: Fraction) -> None:
        """Make all durations longer by a factor."""
        self.duration *= factor
        self.notes = [(pitch, duration * factor, tied) for pitch, duration, tied in self.notes]


@dataclass(slots=True)
class Measure:
    """What stands between two bar lines. More than one layer where voices are overlaid with &."""

    layers: list[list[Sound]] = field(default_factory=lambda: [[]])
    opens: bool = False  # begins with |:
    closes: int = 0  # ends with :|, to be played so many times more
    double: bool = False  # ends with a double bar: || |] [|
    ending: tuple[int, ...] = ()  # the passes that an ending beginning here is for

    @property
    def empty(self) -> bool:
        """Whether no sound and no rest stands in it."""
        return not any(self.layers)

    @property
    def length(self) -> Fraction:
        """Quarter notes until the longest layer has ended."""
        return max(sum((sound.duration for sound in layer), Fraction(0)) for layer in self.layers)


class VoiceReader:
    """Reads the tokens of one voice. What was read is in `measures` after `finish`."""

    def __init__(self, settings: VoiceSettings, context: Context, unit: Fraction, budget: Budget) -> None:
        self._budget = budget
        self.settings, self.context, self.unit = settings, context, unit  # the unit length in quarter notes
        self.measures: list[Measure] = []
        self._measure = Measure()
        self.propagate = (
            "pitch"  # accidentals hold for all octaves of their letter; "octave": their own; "not": their note
        )
        self._velocity = 80
        self._altered: dict[tuple[str, int], int] = {}  # accidentals of this bar by letter and octave (0 for all)
        self._carried: dict[tuple[str, int], int] = {}  # alterations of notes that are tied on
        self._tied_within: dict[tuple[str, int], int] = {}  # those of the chord that is being read
        self._spelled: dict[tuple[str, int], int] = {}  # the notes of the last sound
        self._last: Sound | None = None  # the sound that a tie or > belongs to
        self._open: tuple[Token, list[tuple[int, Fraction, bool]], list[Fraction]] | None = None  # a chord, until its ]
        self._factor, self._left = Fraction(1), 0  # of a tuplet, and for how many sounds yet
        self._owed: tuple[Token, Fraction] | None = None  # what > leaves for the next sound
        self._quarters = Fraction(0)
        self._readers: dict[str, Callable[[Token], None]] = {
            "note": self._note,
            "rest": self._rest,
            "bars_rest": self._bars_rest,
            "chord": self._chord,
            "chord_end": self._chord_end,
            "tie": self._tie,
            "tuplet": self._tuplet,
            "broken": self._broken,
            "overlay": self._overlay,
            "decoration": self._decoration,
            "bar": self._bar,
            "ending": self._ending,
        }

    def push(self, token: Token) -> None:
        """Read one token. Raises AbcError for what is wrong where it stands."""
        if self._open is not None and token.kind not in ("note", "rest", "tie", "chord_end", "decoration"):
            raise token.error(f"{token.text[:10]!r} in a chord: legal are notes, ties and the closing ]")
        self._readers[token.kind](token)

    def finish(self) -> None:
        """The voice has ended. Raises AbcError for what was begun and not ended."""
        if self._open is not None:
            raise self._open[0].error("a chord without its closing ]")
        if self._owed is not None:
            raise self._owed[0].error("broken rhythm without a note after it")
        self._close(0)

    def end_line(self) -> None:
        """A line has ended: no chord goes over."""
        if self._open is not None:
            raise self._open[0].error("a chord without its closing ]")

    def _note(self, token: Token) -> None:
        mark, letter, octave, length = note_parts(token.text)
        name = (letter, octave)
        held = (letter, octave if self.propagate == "octave" else 0)
        if mark:
            alteration = ACCIDENTALS[mark]
            if self.propagate != "not":
                self._altered[held] = alteration
        elif name in self._carried:
            alteration = self._carried[name]
        else:
            alteration = self._altered.get(held, self.context.key.alteration(letter))
        pitch = Spelled(letter, alteration, octave).pitch + self.settings.shift
        if not 0 <= pitch <= 127:
            raise token.error(f"note {token.text[:20]!r} is MIDI pitch {pitch}: legal are 0 to 127")
        duration = length_of(length, token) * self.unit
        if self._open is not None:
            if len(self._open[2]) == MAX_CHORD:
                raise token.error(f"a chord of more than {MAX_CHORD} notes")
            self._open[1].append((pitch, duration, False))
            self._open[2].append(duration)
            self._spelled.pop(name, None)  # so that it is the last again
            self._spelled[name] = alteration
            return
        self._spelled = {name: alteration}
        self._add(token, duration, [(pitch, duration, False)])

    def _rest(self, token: Token) -> None:
        duration = length_of(token.text[1:], token) * self.unit
        if self._open is not None:
            self._open[2].append(duration)
            return
        self._spelled = {}
        self._add(token, duration, [])

    def _bars_rest(self, token: Token) -> None:
        if self.context.metre is None:
            raise token.error("Z rests for whole bars, but there is no metre (M:) that says how long a bar is")
        if len(token.text) > 5 or token.text[1:] == "0":
            raise token.error(f"{token.text[:20]!r}: legal are rests of 1 to 9999 bars")
        for index in range(int(token.text[1:] or 1)):
            if index:
                self._close(0)
            self._spelled = {}
            self._add(token, self.context.metre.quarters, [])

    def _chord_end(self, token: Token) -> None:
        if self._open is None:
            raise token.error("']' without a chord")
        _, notes, durations = self._open
        self._open = None
        if not durations:
            raise token.error("a chord without notes")
        length = length_of(token.text[1:], token)
        self._add(token, durations[0] * length, [(pitch, duration * length, tied) for pitch, duration, tied in notes])

    def _add(self, token: Token, duration: Fraction, notes: list[tuple[int, Fraction, bool]]) -> None:
        """One sound more, after what tuplets and > have to say of it."""
        sound = Sound(duration, notes, self._velocity, self.context, self.settings, token.line)
        if self._left:
            sound.stretch(self._factor)
            self._left -= 1
        if self._owed is not None:
            sound.stretch(self._owed[1])
            self._owed = None
        self._budget.spend(len(notes), token.line)
        self._quarters += sound.duration
        if self._quarters > MAX_QUARTERS:
            raise token.error(f"a voice of more than {MAX_QUARTERS} quarter notes")
        if self._quarters.denominator > MAX_DENOMINATOR:
            raise token.error("lengths with no common measure: positions in the bar cannot be counted")
        self._carried, self._tied_within = self._tied_within, {}
        self._last = sound
        self._measure.layers[-1].append(sound)

    def _chord(self, token: Token) -> None:
        self._open = (token, [], [])
        self._spelled = {}

    def _tie(self, token: Token) -> None:
        if self._open is not None:
            notes = self._open[1]
            if not notes:
                raise token.error("a tie without a note before it")
            notes[-1] = (*notes[-1][:2], True)
            self._tied_within.update([list(self._spelled.items())[-1]])
            return
        if self._last is None:
            raise token.error("a tie without a note before it")
        self._last.notes = [(pitch, duration, True) for pitch, duration, _ in self._last.notes]
        self._carried = dict(self._spelled)

    def _tuplet(self, token: Token) -> None:
        parts = [int(part) if part else 0 for part in token.text[1:].split(":")] if len(token.text) <= 12 else [0]
        number, normal, count = (*parts, 0, 0)[:3]
        compound = self.context.metre is not None and self.context.metre.compound
        normal = normal or _TUPLETS.get(number, 3 if compound else 2)
        if not 2 <= number <= 999 or not 1 <= normal <= 999 or count > 999:
            raise token.error(f"tuplet {token.text[:20]!r}: legal are (p, (p:q and (p:q:r with numbers up to 999")
        self._factor, self._left = Fraction(normal, number), count or number

    def _broken(self, token: Token) -> None:
        if self._last is None or not self._measure.layers[-1]:
            raise token.error("broken rhythm without a note before it in the bar")
        if len(token.text) > 6 or self._owed is not None:
            raise token.error(f"broken rhythm {token.text[:20]!r}: legal are one to six signs between two notes")
        short = Fraction(1, 2 ** len(token.text))
        first, second = (2 - short, short) if token.text[0] == ">" else (short, 2 - short)
        self._quarters += self._last.duration * (first - 1)
        self._last.stretch(first)
        self._owed = (token, second)

    def _overlay(self, token: Token) -> None:
        if token.text == "&":
            # Each & goes back by one bar line: where nothing stands before it in the bar, to bars that were read.
            if not self._measure.layers[-1]:
                raise token.error(
                    "'&' before any note of the bar or of its layer: overlays of several bars are not supported: write & in each bar"
                )
            self._measure.layers.append([])
        elif token.text == "(&":
            raise token.error("'(&': overlays of several bars are not supported: write & in each bar")
        self._last = None

    def _decoration(self, token: Token) -> None:
        self._velocity = DYNAMICS.get(token.text[1:-1], self._velocity)

    def _ending(self, token: Token) -> None:
        if not self._measure.empty:
            self._close(0)
        self._measure.ending = ending_numbers(token)

    def _bar(self, token: Token) -> None:
        left, right = re.match(r":*", token.text).end(), len(token.text) - len(token.text.rstrip(":"))  # type: ignore[union-attr]
        if not token.text.strip(":"):  # "::" is ":|:", and ":::" plays both once more
            left = right = len(token.text) // 2
        self._close(left)
        if self.measures and is_double(token.text):
            self.measures[-1].double = True
        self._measure.opens = self._measure.opens or right > 0
        if token.numbers:
            self._measure.ending = ending_numbers(token)

    def _close(self, repeats: int) -> None:
        """End the measure, if there is anything in it."""
        if not self._measure.empty:
            self.measures.append(self._measure)
            self._measure = Measure()
        if repeats and self.measures:
            self.measures[-1].closes = max(self.measures[-1].closes, repeats)
        self._altered = {}

    def change(self, context: Context) -> None:
        """From here on another key, metre or tempo. A new key ends what accidentals of the bar said."""
        if context.key != self.context.key:
            self._altered = {}
        self.context = context
