"""The notes of a bar as MusicXML says them: heads, dots, ties, tuplets, accidentals and beams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement

from solfa.score.percussion import percussion_key
from solfa.score.sheet.bars import Bar, Piece
from solfa.score.sheet.keys import Spelled, signature_alter
from solfa.score.sheet.notation import beats_of

_TYPES = ("breve", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "128th", "256th", "512th", "1024th")
TYPES = {Fraction(8, 1 << index): name for index, name in enumerate(_TYPES)}  # by length in quarter notes
_ACCIDENTALS = {-2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}


@dataclass(frozen=True)
class VoiceBar:
    """One voice's bar, ready to be written.

    number: of the voice in its part. staff: counted from 1, the highest. spelled: of each piece, how its pitches are written (empty for
    rests and drums). stem: "up", "down", or "" for an engraver's choice.
    """

    bar: Bar
    number: int
    staff: int
    spelled: tuple[tuple[Spelled, ...], ...]
    stem: str = ""
    is_drum: bool = False


# (voice number, piece, place in the chord) -> accidental to print
Shown = dict[tuple[int, int, int], str]


def add(parent: Element, tag: str, text: object = None, **attributes: str) -> Element:
    """A new last child; `_` in the names of attributes stands for `-`."""
    child = SubElement(parent, tag, {name.replace("_", "-"): value for name, value in attributes.items()})
    if text is not None:
        child.text = str(text)
    return child


def accidentals(voices: Sequence[VoiceBar], fifths: Callable[[Fraction], int]) -> Shown:
    """The accidentals that the voices on one staff need in a bar, where `fifths(onset)` is the key signature in force.

    An accidental holds for its line or space until the bar's end, whichever voice it stood in. Notes tied from before show none and set
    none. Where voices meet with different accidentals on one place, all of them are shown, and what follows there is shown again.
    """
    heads = [
        (piece.onset, voice.number, index, place, name)
        for voice in voices
        for index, (piece, names) in enumerate(zip(voice.bar.pieces, voice.spelled, strict=True))
        if not piece.tie_in
        for place, name in enumerate(names)
    ]
    shown: Shown = {}
    state: dict[tuple[str, int], int | None] = {}  # what was last said of a place in this bar; None: several things
    key = None
    for onset, group in groupby(sorted(heads, key=lambda head: head[:4]), key=lambda head: head[0]):
        if key is not None and fifths(onset) != key:
            state = dict.fromkeys(state)
        key = fifths(onset)
        here = list(group)
        alters: dict[tuple[str, int], set[int]] = {}
        for *_, name in here:
            alters.setdefault((name.letter, name.octave), set()).add(name.alter)
        for _, number, index, place, name in here:
            spot = (name.letter, name.octave)
            if len(alters[spot]) > 1 or state.get(spot, signature_alter(name.letter, key)) != name.alter:
                shown[number, index, place] = _ACCIDENTALS[name.alter]
        state |= {spot: next(iter(found)) if len(found) == 1 else None for spot, found in alters.items()}
    return shown


def beams(bar: Bar) -> list[list[str]]:
    """Of each piece, what MusicXML's beams 1, 2, ... do at it: begin, continue, end or a hook; nothing where there is a flag or none.

    Notes are beamed within a beat, or under their tuplet's bracket; rests and longer notes part them.
    """
    marks: list[list[str]] = [[] for _ in bar.pieces]
    for group in _beamed(bar):
        flags = [_flags(bar.pieces[index]) for index in group]
        for place, index in enumerate(group):
            marks[index] = [_beam(flags, place, level) for level in range(1, flags[place] + 1)]
    return marks


def _beamed(bar: Bar) -> list[list[int]]:
    """The pieces under each beam, by their place in the bar."""
    flags = [0 if piece.is_rest else _flags(piece) for piece in bar.pieces]
    if not any(flags):
        return []
    origin = bar.line.end - bar.line.metre.quarters  # beats of an upbeat are those before its bar line
    beats = beats_of(bar.line.metre)
    groups: list[list[int]] = []
    last: tuple[str, int] | None = None
    brackets = 0
    for index, piece in enumerate(bar.pieces):
        brackets += piece.tuplet_start
        beat = sum(start <= piece.onset - origin for start in beats)
        place = ("bracket", brackets) if piece.tuplet else ("beat", beat)
        if not flags[index]:
            last = None
        elif place == last:
            groups[-1].append(index)
        else:
            groups.append([index])
            last = place
    return [group for group in groups if len(group) > 1]


def _flags(piece: Piece) -> int:
    """0 for a quarter and longer, 1 for an eighth, 2 for a 16th ..."""
    return max(0, (1 / piece.value).__floor__().bit_length() - 1)


def _beam(flags: Sequence[int], place: int, level: int) -> str:
    before = place > 0 and flags[place - 1] >= level
    after = place + 1 < len(flags) and flags[place + 1] >= level
    if before and after:
        return "continue"
    if before or after:
        return "end" if before else "begin"
    return "backward hook" if place else "forward hook"


def write_piece(
    measure: Element, voice: VoiceBar, index: int, shown: Shown, marks: Sequence[str], form: NoteForm
) -> None:
    """Append a note, all notes of a chord, or a rest to a measure."""
    piece = voice.bar.pieces[index]
    for place, pitch in enumerate(piece.pitches or (None,)):
        note = add(measure, "note")
        if pitch is not None:  # percent of 90; the smallest that gives the velocity back, rounded up to two digits
            note.set("dynamics", f"{-(-piece.velocity * 10000 // 90) / 100:.2f}")
        if place:
            add(note, "chord")
        if pitch is None:
            add(note, "rest", **({"measure": "yes"} if piece.whole_bar else {}))
        elif voice.is_drum:
            key = percussion_key(pitch)
            _position(add(note, "unpitched"), "display-step", key.step, 0, "display-octave", key.octave)
        else:
            name = voice.spelled[index][place]
            _position(add(note, "pitch"), "step", name.letter, name.alter, "octave", name.octave)
        add(note, "duration", form.length(piece.duration))
        for kind in _ties(piece):
            add(note, "tie", type=kind)
        if pitch is not None and voice.is_drum:
            add(note, "instrument", id=form.instrument(pitch))
        _look(note, voice, piece, pitch, shown.get((voice.number, index, place)))
        if form.staves > 1:
            add(note, "staff", voice.staff)
        for number, mark in enumerate(marks if not place else (), start=1):
            add(note, "beam", mark, number=str(number))
        _notations(note, piece, place == 0)


@dataclass(frozen=True)
class NoteForm:
    """What the notes of a part have in common: divisions of a quarter note, staves, and the id of each percussion key's instrument."""

    part: str
    divisions: int
    staves: int

    def length(self, quarters: Fraction) -> int:
        """A duration in divisions."""
        value = quarters * self.divisions
        assert value.denominator == 1
        return int(value)

    def instrument(self, key: int) -> str:
        """The id of a percussion key's instrument."""
        return f"{self.part}-I{key + 1}"


def _position(parent: Element, step_tag: str, step: str, alter: int, octave_tag: str, octave: int) -> None:
    add(parent, step_tag, step)
    if alter:
        add(parent, "alter", alter)
    add(parent, octave_tag, octave)


def _ties(piece: Piece) -> list[str]:
    return ["stop"] * piece.tie_in + ["start"] * piece.tie_out


def _look(note: Element, voice: VoiceBar, piece: Piece, pitch: int | None, accidental: str | None) -> None:
    """Voice, head, dots, accidental, tuplet and stem, in the order of the schema."""
    add(note, "voice", voice.number)
    if not piece.whole_bar:
        add(note, "type", TYPES[piece.value])
        for _ in range(piece.dots):
            add(note, "dot")
    if accidental:
        add(note, "accidental", accidental)
    if piece.tuplet:
        ratio = add(note, "time-modification")
        add(ratio, "actual-notes", piece.tuplet.actual)
        add(ratio, "normal-notes", piece.tuplet.normal)
    if pitch is None:
        return
    if voice.stem and piece.value < 4:
        add(note, "stem", voice.stem)
    head = percussion_key(pitch).notehead if voice.is_drum else "normal"
    if head != "normal":
        add(note, "notehead", head)


def _notations(note: Element, piece: Piece, first: bool) -> None:
    tuplets = (["start"] * piece.tuplet_start + ["stop"] * piece.tuplet_stop) if first else []
    ties = _ties(piece)
    if not ties and not tuplets:
        return
    notations = add(note, "notations")
    for kind in ties:
        add(notations, "tied", type=kind)
    for kind in tuplets:
        add(notations, "tuplet", type=kind, number="1")
