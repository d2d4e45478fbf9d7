"""ABC out: a sheet as ABC 2.1 that people can read and abc2midi plays."""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

from solfa.score.abc.fields import MAX_TEMPO, MIN_TEMPO
from solfa.score.abc.keys import ACCIDENTALS, key_field
from solfa.score.abc.limits import bars_within, check_sheet, checked_text
from solfa.score.abc.music import DYNAMICS
from solfa.score.abc.text import escaped
from solfa.score.sheet.bars import Bar, Piece, Tuplet, bars
from solfa.score.sheet.keys import Spelled, signature, signature_alter, spell
from solfa.score.sheet.notation import BarLength, Key, Sheet, Tempo, Voice, beats_of, has_dotted_beat

_MARKS = {alteration: mark for mark, alteration in ACCIDENTALS.items()}
_CLEFS = {"treble": "treble", "bass": "bass", "percussion": "perc"}
_UNITS = (Fraction(1, 2), Fraction(1), Fraction(1, 4))  # quarter notes: L:1/8, 1/4, 1/16, the first of equals
_SHORT_TUPLETS = {(2, 3), (3, 2), (4, 3), (6, 2), (8, 3)}  # what (p alone means in every metre
_MELODIC = [channel for channel in range(1, 17) if channel != 10]
_FINEST = 32  # parts of a quarter note at most, between which a tempo may stand
STEP = 15  # velocities between one dynamic mark and the next
_NEAR = 10  # a mark for the reader holds while the mean velocity of bars stays within this of it, as in MusicXML


def write_abc(sheet: Sheet, number: int = 1, bars_per_line: int = 4, exact: bool = True) -> str:
    """A sheet as a tune of ABC 2.1, numbered X:`number`. `read_abc` reads the same notes, metres, keys, tempi and upbeat from it.

    Voices stand below one another, `bars_per_line` bars (1 or more) a line, notes of a beat beamed, lengths in units (L:) of an eighth,
    a quarter or a sixteenth, whichever takes the fewest characters. Instruments are %%MIDI program, drums %%MIDI channel 10. Where more
    than 15 voices are no drums, those of one program are told one channel, as MIDI has 16; of more than 15 programs some share one, which
    is warned of, and abc2midi plays them on one instrument. Changes of key and tempo may stand anywhere; a note that one falls on is tied
    over it. A tempo between all 32nds, thirds, fifths ... of a quarter note, as of a performance, moves to the nearest place where a note
    of the first voice begins or ends, or eighth of a quarter if that is nearer. Dotted pairs are written out, not as broken rhythm.

    What ABC cannot say: velocities become dynamic marks, one wherever a velocity is 15 or more from the last mark (80 before the first),
    so that they are read back to within 15, those below 16 as !ppp!. Without `exact` the page is for a reader, as of a performance: a mark
    stands where the mean of a bar leaves the last one, and tempi have two decimals. A tempo counts dotted quarters where these are the
    beats, but for an exact one that would need more decimals. White space in the title and in names becomes single blanks. Keys
    and tempi from the end of the last bar on are left out, with a warning. abc2midi cuts a tempo to a whole number.

    Raises ValueError for voices that no bars can be made of (see `bars`), for tempi outside 3.5 to 60,000,000, pitches outside 0 to 127,
    and for more than `read_abc` takes: 256 voices, 200,000 notes and rests, 2 ** 20 quarter notes (see `limits`).
    """
    if number < 0 or bars_per_line < 1:
        raise ValueError(f"number {number} and bars_per_line {bars_per_line}: legal are 0 or more, and 1 or more")
    check_sheet(len(sheet.voices), number)
    sheet = replace(sheet, tempi=_writable(sheet))
    tempi, keys = tuple(tempo.onset for tempo in sheet.tempi[1:]), tuple(key.onset for key in sheet.keys[1:])
    # abc2midi takes tempi from the first voice only, keys from each voice for itself.
    voices = bars_within(
        bars(sheet, voice, (*keys, *tempi) if index == 0 else keys) for index, voice in enumerate(sheet.voices)
    )
    unit = _unit([piece for voice in voices for bar in voice for piece in bar.pieces])
    rows = [list(_VoiceWriter(sheet, unit, index == 0, exact).bars(voices[index])) for index in range(len(voices))]
    _say_what_is_left_out(sheet, voices)
    return checked_text("\n".join([*_header(sheet, number, unit, exact), *_body(sheet, rows, bars_per_line)]) + "\n")


def _writable(sheet: Sheet) -> tuple[Tempo, ...]:
    """The tempi where notes can be cut for them, without the tuplets that a place between all notes would make; of one place the last."""
    edges = {Fraction(0)}
    for symbol in sheet.voices[0].symbols if sheet.voices else ():
        edges |= {symbol.onset, symbol.onset + symbol.duration}
    places = sorted(edges)
    found: dict[Fraction, Tempo] = {}
    for tempo in sheet.tempi:
        onset = tempo.onset
        if onset.denominator > _FINEST and onset not in edges:
            index = bisect_left(places, onset)
            near = [*places[max(0, index - 1) : index + 1], Fraction(round(onset * 8), 8)]
            onset = min(near, key=lambda place: (abs(place - tempo.onset), place))
        found[onset] = replace(tempo, onset=onset)
    return tuple(found[onset] for onset in sorted(found))


def _header(sheet: Sheet, number: int, unit: Fraction, exact: bool) -> Iterator[str]:
    metre = sheet.metres[0]
    yield "%abc-2.1"
    yield f"X:{number}"
    yield f"T:{escaped(sheet.title)}"
    yield f"M:{metre.numerator}/{metre.denominator}"
    yield f"L:{unit / 4}"
    yield f"Q:{_tempo(sheet.tempi[0], metre, exact)}"
    if len(sheet.voices) > 1:
        yield f"%%score {_staves(sheet.voices)}"
    if not _is_plain(sheet):
        for index, voice in enumerate(sheet.voices, start=1):
            name = escaped(voice.name)
            yield f"V:{index}" + (f' name="{name}"' if name else "") + f" clef={_CLEFS[voice.clef]}"
    yield f"K:{key_field(sheet.keys[0])}"
    if not _is_plain(sheet):
        channels = _channels(sheet.voices)
        for index, voice in enumerate(sheet.voices, start=1):
            yield f"V:{index}"
            if voice.is_drum:
                yield "%%MIDI channel 10"
            elif channels:
                yield f"%%MIDI channel {channels[voice.program]}"
            yield f"%%MIDI program {_checked_program(voice)}"


def _is_plain(sheet: Sheet) -> bool:
    """Whether there is one voice of which nothing need be said."""
    return (
        all((v.name, v.program, v.is_drum, v.clef) == ("", 0, False, "treble") for v in sheet.voices[:1])
        and len(sheet.voices) < 2
    )


def _channels(voices: Sequence[Voice]) -> dict[int, int]:
    """The channel of each program. Empty where every voice can have its own, which programs give it: unisons then do not cut each other."""
    melodic = [voice.program for voice in voices if not voice.is_drum]
    if len(melodic) <= len(_MELODIC):
        return {}
    programs = list(dict.fromkeys(melodic))
    if len(programs) > len(_MELODIC):
        warnings.warn(
            f"{len(programs)} programs on the {len(_MELODIC)} channels that MIDI has for them: "
            f"{len(programs) - len(_MELODIC)} share one with another, and are played on its instrument",
            stacklevel=4,
        )
    return {program: _MELODIC[index % len(_MELODIC)] for index, program in enumerate(programs)}


def _checked_program(voice: Voice) -> int:
    if not 0 <= voice.program <= 127:
        raise ValueError(f"voice {voice.name!r} has program {voice.program}: legal are 0 to 127")
    return voice.program


def _staves(voices: Sequence[Voice]) -> str:
    """Voices of one part and clef share a staff, (1 2); staves of one part share a brace, {1 2}."""
    parts = []
    numbered = enumerate(voices, start=1)
    for _, part in groupby(numbered, key=lambda pair: (pair[1].name, pair[1].program, pair[1].is_drum)):
        staves = []
        for _, staff in groupby(part, key=lambda pair: pair[1].clef):
            numbers = " ".join(str(index) for index, _ in staff)
            staves.append(f"({numbers})" if " " in numbers else numbers)
        parts.append("{" + " ".join(staves) + "}" if len(staves) > 1 else staves[0])
    return " ".join(parts)


def _body(sheet: Sheet, rows: list[list[str]], bars_per_line: int) -> Iterator[str]:
    """Systems of some bars, in each a line for every voice."""
    count = len(rows[0]) if rows else 0
    for start in range(0, count, bars_per_line):
        for index, row in enumerate(rows, start=1):
            end = " |]" if start + bars_per_line >= count else " |"
            voice = "" if _is_plain(sheet) else f"[V:{index}] "
            yield voice + " | ".join(row[start : start + bars_per_line]) + end


def _tempo(tempo: Tempo, metre: BarLength, exact: bool) -> str:
    """A tempo in the beats of the metre."""
    if not MIN_TEMPO <= tempo.bpm <= MAX_TEMPO:
        raise ValueError(f"tempo of {tempo.bpm} quarter notes a minute: legal are {MIN_TEMPO} to {MAX_TEMPO}")
    dotted = round(tempo.bpm / 1.5, 2)
    said = float(Fraction(_decimal(dotted)) * Fraction(3, 2))
    if has_dotted_beat(metre) and (said == tempo.bpm if exact else said >= MIN_TEMPO):
        return f"3/8={_decimal(dotted)}"
    return f"1/4={_decimal(tempo.bpm if exact else round(tempo.bpm, 2))}"


def _decimal(number: float) -> str:
    """The shortest decimal that reads as the same float, without an exponent."""
    return format(Decimal(repr(float(number))), "f").removesuffix(".0")


def _unit(pieces: Sequence[Piece]) -> Fraction:
    """The unit length in quarter notes with which the lengths take the fewest characters."""
    counts: dict[Fraction, int] = {}
    for piece in pieces:
        if not piece.whole_bar:
            shown = _shown(piece)
            counts[shown] = counts.get(shown, 0) + 1
    return min(_UNITS, key=lambda unit: sum(count * len(_length(shown / unit)) for shown, count in counts.items()))


def _shown(piece: Piece) -> Fraction:
    """The written length: what the piece would last without its tuplet."""
    return piece.duration * Fraction(piece.tuplet.actual, piece.tuplet.normal) if piece.tuplet else piece.duration


def _length(units: Fraction) -> str:
    top = "" if units.numerator == 1 else str(units.numerator)
    return top if units.denominator == 1 else f"{top}/{units.denominator}"


def _say_what_is_left_out(sheet: Sheet, voices: list[list[Bar]]) -> None:
    end = voices[0][-1].line.end if voices else Fraction(0)
    onsets = [key.onset for key in sheet.keys[1:]] + [tempo.onset for tempo in sheet.tempi[1:]]
    lost = [onset for onset in onsets if onset >= end]
    if lost:
        warnings.warn(
            f"{len(lost)} changes of key or tempo after the last bar ({end} quarter notes) are left out", stacklevel=3
        )


class _VoiceWriter:
    """Writes the bars of one voice, one after the other."""

    def __init__(self, sheet: Sheet, unit: Fraction, first: bool, exact: bool) -> None:
        self._unit, self._exact = unit, exact
        self._due = ""  # a dynamic mark that the first note of the bar is to have
        self._key = sheet.keys[0]
        self._keys = {key.onset: key for key in sheet.keys[1:]}
        self._tempi = {tempo.onset: tempo for tempo in sheet.tempi[1:]} if first else {}
        self._velocity = 80
        self._marks = _Marks(self._key)
        self._tied: dict[int, Spelled] = {}  # how pitches that are tied on were spelled

    def bars(self, bars: Sequence[Bar]) -> Iterator[str]:
        """The text of each bar, without bar lines."""
        for bar in bars:
            self._marks = _Marks(self._key)
            metre = bar.line.metre
            text = f"[M:{metre.numerator}/{metre.denominator}]" if bar.line.new_metre and bar is not bars[0] else ""
            origin = bar.line.end - metre.quarters  # of an upbeat, where its bar would begin if it were full
            beats = [origin + beat for beat in beats_of(metre)]
            if not self._exact:
                self._due = self._mean_mark(bar)
            before: Piece | None = None
            for index, piece in enumerate(bar.pieces):
                fields = self._changes(piece, metre)
                if before is not None and (fields or not _beamed(beats, before, piece)):
                    text += " "
                text += fields + _bracket(bar.pieces, index) + self._piece(piece)
                before = piece
            yield text

    def _changes(self, piece: Piece, metre: BarLength) -> str:
        """Inline fields for the key and tempo that begin with a piece."""
        text = ""
        key, tempo = self._keys.get(piece.onset), self._tempi.get(piece.onset)
        if key is not None:
            text += f"[K:{key_field(key)}]"
            self._key = key
            self._marks.change(key)
        return text if tempo is None else f"{text}[Q:{_tempo(tempo, metre, self._exact)}]"

    def _piece(self, piece: Piece) -> str:
        """A note, chord or rest with its length."""
        if piece.whole_bar:
            self._tied = {}
            return "Z"
        length = _length(_shown(piece) / self._unit)
        if piece.is_rest:
            self._tied = {}
            return "z" + length
        names = [self._spelled(pitch, piece.tie_in) for pitch in piece.pitches]
        self._tied = dict(zip(piece.pitches, names, strict=True)) if piece.tie_out else {}
        places = [(name.letter, name.octave) for name in names]
        notes = [self._note(name, places.count((name.letter, name.octave)) > 1) for name in names]
        text = notes[0] if len(notes) == 1 else "[" + "".join(notes) + "]"
        return self._dynamic(piece) + text + length + ("-" if piece.tie_out else "")

    def _spelled(self, pitch: int, tied: bool) -> Spelled:
        if not 0 <= pitch <= 127:
            raise ValueError(f"pitch {pitch}: legal are 0 to 127")
        return self._tied[pitch] if tied and pitch in self._tied else spell(pitch, self._key)

    def _note(self, name: Spelled, twice: bool) -> str:
        """A note without its length. `twice`: its chord has another on the same line, such as F and F sharp."""
        mark = _MARKS[name.alter] if self._marks.needed(name) or twice else ""
        if name.octave >= 5:
            return mark + name.letter.lower() + "'" * (name.octave - 5)
        return mark + name.letter + "," * (4 - name.octave)

    def _dynamic(self, piece: Piece) -> str:
        """The dynamic mark before a note: where its velocity is far from the last, or the one that is due in its bar."""
        if piece.tie_in:
            return ""
        if self._exact:
            return self._mark(piece.velocity, STEP)
        mark, self._due = self._due, ""
        return mark

    def _mean_mark(self, bar: Bar) -> str:
        """The dynamic mark of a bar, where the mean of what begins in it is far from the last."""
        loud = [piece.velocity for piece in bar.pieces if not piece.is_rest and not piece.tie_in]
        return self._mark(sum(loud) / len(loud), _NEAR + 1e-9) if loud else ""

    def _mark(self, velocity: float, step: float) -> str:
        if abs(velocity - self._velocity) < step:
            return ""
        mark = min(DYNAMICS, key=lambda mark: abs(DYNAMICS[mark] - velocity))
        if DYNAMICS[mark] == self._velocity:
            return ""
        self._velocity = DYNAMICS[mark]
        return f"!{mark}!"


class _Marks:
    """The accidentals of a bar so far. Programs differ in what one holds for: the standard's default is all octaves of its letter, older
    ones have its own octave only, and a new key within the bar may end it. A mark is needed wherever any of them would be wrong."""

    def __init__(self, key: Key) -> None:
        self._sharps = signature(key)
        self._letters: dict[str, int] = {}
        self._places: dict[tuple[str, int], int] = {}
        self._doubtful: set[str] = set()

    def change(self, key: Key) -> None:
        """Another key begins within the bar."""
        self._doubtful |= set(self._letters)
        self._sharps, self._letters, self._places = signature(key), {}, {}

    def needed(self, name: Spelled) -> bool:
        """Whether a note needs its accidental printed, a natural too. If so, it holds from here on."""
        place = (name.letter, name.octave)
        plain = signature_alter(name.letter, self._sharps)
        held = {self._letters.get(name.letter, plain), self._places.get(place, plain)}
        if held == {name.alter} and name.letter not in self._doubtful:
            return False
        self._letters[name.letter] = self._places[place] = name.alter
        return True


def _bracket(pieces: Sequence[Piece], index: int) -> str:
    """ "(3" and the like where a tuplet begins."""
    piece = pieces[index]
    if piece.tuplet is None or not piece.tuplet_start:
        return ""
    count = next(i for i in range(index, len(pieces)) if pieces[i].tuplet_stop) - index + 1
    return _tuplet(piece.tuplet, count)


def _tuplet(tuplet: Tuplet, count: int) -> str:
    p, q = tuplet.actual, tuplet.normal
    if (p, q) in _SHORT_TUPLETS and count == p:
        return f"({p}"
    if not p <= 999 or not count <= 999:
        raise ValueError(f"a tuplet of {p} in the time of {q} with {count} notes: legal are at most 999")
    return f"({p}:{q}:{count}"


def _beamed(beats: Sequence[Fraction], before: Piece, piece: Piece) -> bool:
    """Whether two pieces are written without a space: shorter than a quarter, and in one tuplet or one beat. `beats` are in onsets."""
    if before.is_rest or piece.is_rest or before.value >= 1 or piece.value >= 1:
        return False
    if before.tuplet is not None or piece.tuplet is not None:
        return piece.tuplet is not None and not piece.tuplet_start
    return bisect_right(beats, before.onset) == bisect_right(beats, piece.onset)
