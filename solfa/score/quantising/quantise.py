"""From notes in seconds to a sheet of music."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from solfa.score.note import Note
from solfa.score.quantising.hands import KEYBOARDS, left_hand
from solfa.score.quantising.sheet_grid import SheetGrid, found_grid, given_grid
from solfa.score.quantising.tidy import hits, tidied
from solfa.score.quantising.timing import Origin, Timing
from solfa.score.quantising.voices import Chord, Placed, exact_voices, reading_voices
from solfa.score.score import Part, Score, score_of_notes
from solfa.score.sheet.keys import find_key
from solfa.score.sheet.notation import Clef, Key, Sheet, Symbol, Voice

MAX_SECONDS = 24 * 3600.0
_WIDE = 19  # semitones between notes struck together from which one hand does not play both


@dataclass(frozen=True)
class QuantiseOptions:
    """How notes become a sheet.

    tempo: quarter notes a minute, 5 to 1000; None: the score's own tempi if it has any, else found. `find` leaves a score's own tempi
    and metres unread. metre: (numerator, denominator); None: the score's, else found. start: seconds at which a bar begins (found, if
    None). key: (tonic, "major" or "minor"); None: the score's, else found. voices: the most voices a staff may have where lengths are
    cleaned. clean: whether lengths are changed for reading (rests and overlaps of the performance alone go); None: unless every note
    begins and ends on a grid already, which needs the score's own tempi.
    """

    tempo: float | None = None
    metre: tuple[int, int] | None = None
    start: float | None = None
    key: tuple[int, str] | None = None
    find: bool = False
    voices: int = 2
    clean: bool | None = None
    title: str = ""

    def __post_init__(self) -> None:
        if self.tempo is not None and not 5.0 <= self.tempo <= 1000.0:
            raise ValueError(f"tempo of {self.tempo} quarter notes a minute: legal are 5 to 1000")
        if self.metre is not None and not (1 <= self.metre[0] <= 32 and self.metre[1] in (1, 2, 4, 8, 16, 32)):
            raise ValueError(f"metre {self.metre}: legal are numerators 1 to 32 over 1, 2, 4, 8, 16, 32")
        if self.key is not None and not (0 <= self.key[0] <= 11 and self.key[1] in ("major", "minor")):
            raise ValueError(f"key {self.key}: legal are tonics 0 to 11 in major or minor")
        if not 1 <= self.voices <= 4:
            raise ValueError(f"voices {self.voices}: legal are 1 to 4 a staff")
        if self.start is not None and not abs(self.start) <= MAX_SECONDS:
            raise ValueError(f"start {self.start}: legal are -{MAX_SECONDS:.0f} to {MAX_SECONDS:.0f} seconds")


@dataclass(frozen=True)
class Quantised:
    """A sheet, and how it came about.

    tempo, metre, key: "given", "found" in the notes, or "assumed" where there is too little to find it in. start: the time in seconds
    of the sheet's beginning. timing: the beats found; None where the score's own tempi were used. exact: every note is on the sheet
    with its own length. error: root mean square of the distance (seconds) from the notes' onsets to those of the sheet. merged: notes
    that became one with another of their pitch and onset. unison: how many of these had another's pitch and onset before.
    """

    sheet: Sheet
    tempo: Origin
    metre: Origin
    key: Origin
    start: float
    timing: Timing | None
    exact: bool
    error: float
    merged: int
    unison: int = 0

    @property
    def remarks(self) -> list[str]:
        """What a reader of the sheet should know, a line each: that notes are not on it."""
        there = self.merged + sum(len(symbol.pitches) for voice in self.sheet.voices for symbol in voice.symbols)
        fallen = self.merged - self.unison
        found = []
        if self.unison:
            found.append(
                f"{self.unison} of {there} notes sound in unison with another of their part and are one with it"
            )
        if fallen:
            found.append(
                f"{fallen} of {there} notes fall on others of the same pitch at this tempo and are one with them"
            )
        return found


def quantise(source: Score | Iterable[Note], options: QuantiseOptions | None = None) -> Quantised:
    """Write notes down: beats, metre, key, a grid for every beat, hands, voices and readable lengths.

    A score that has tempi and lies on a grid under them (thirds, fifths, sevenths or 32nds of a quarter note) is taken exactly:
    `sheet_score` gives back its notes, in as many voices as they need. Everything else is cleaned for reading. Of a chord, a sheet
    keeps the loudest velocity. Raises ValueError for notes that end later than after 24 hours.
    """
    options = options or QuantiseOptions()
    score = source if isinstance(source, Score) else score_of_notes(source)
    given = isinstance(source, Score) and bool(score.tempi) and not options.find and options.tempo is None
    notes = [note for part in score.parts for note in part.notes]
    if notes and max(note.offset for note in notes) > MAX_SECONDS:
        raise ValueError(
            f"notes up to {max(note.offset for note in notes):.0f} s: the longest sheet is of {MAX_SECONDS:.0f} s"
        )
    grid = (
        given_grid(score, notes, options.metre)
        if given
        else found_grid(notes, options.tempo, options.metre, options.start)
    )
    clean = not grid.exact if options.clean is None else options.clean
    keys, key_origin = _keys(score, notes, grid, options, given)
    voices: list[Voice] = []
    first = 0
    for name, part in zip(_names(score.parts), score.parts, strict=True):
        last = first + len(part.notes)
        voices += _part_voices(name, part, grid, slice(first, last), clean, options.voices)
        first = last
    sheet = Sheet(tuple(voices), grid.metres, keys, grid.tempi, grid.upbeat, options.title)
    written = sum(len(symbol.pitches) for voice in voices for symbol in voice.symbols)
    alone = sum(len({(note.onset, note.pitch) for note in part.notes}) for part in score.parts)
    return Quantised(
        sheet=sheet,
        tempo=grid.tempo_origin,
        metre=grid.metre_origin,
        key=key_origin,
        start=grid.start,
        timing=grid.timing,
        exact=grid.exact and not clean,
        error=grid.error,
        merged=len(notes) - written,
        unison=min(len(notes) - alone, len(notes) - written),
    )


def _names(parts: Sequence[Part]) -> Iterator[str]:
    """The parts' names, told apart: voices of one name that follow one another are one part."""
    seen: set[str] = set()
    for part in parts:
        name, count = part.name, 2
        while name in seen:
            name, count = f"{part.name} {count}", count + 1
        seen.add(name)
        yield name


def _keys(
    score: Score, notes: Sequence[Note], grid: SheetGrid, options: QuantiseOptions, given: bool
) -> tuple[tuple[Key, ...], Origin]:
    if options.key is not None:
        return (Key(Fraction(0), *options.key),), "given"
    if given and score.keys:
        keys = [Key(grid.quarters(key.time), key.tonic, key.mode) for key in score.keys]
        # The first holds from the start; of several at one place the last counts.
        placed = {key.onset if index else Fraction(0): key for index, key in enumerate(keys)}
        return tuple(Key(onset, key.tonic, key.mode) for onset, key in sorted(placed.items())), "given"
    if not any(not note.is_drum for note in notes):
        return (Key(Fraction(0), 0, "major"),), "assumed"
    return (find_key(notes),), "found"


def _part_voices(name: str, part: Part, grid: SheetGrid, where: slice, clean: bool, most: int) -> Iterator[Voice]:
    """The voices of a part: those of its upper staff, then those of its lower one, if it has two."""
    offsets = np.maximum(np.round(grid.offsets[where]).astype(np.int64), grid.onsets[where] + 1)
    times = zip(grid.onsets[where].tolist(), offsets.tolist(), strict=True)
    notes = sorted(
        (Placed(on, off, note.pitch, note.velocity) for (on, off), note in zip(times, part.notes, strict=True)),
        key=lambda placed: (placed.onset, placed.pitch),
    )
    staves: list[list[Placed]] = [notes]
    if not part.is_drum and _two_staves(notes, part.program):
        low = left_hand([note.onset for note in notes], [note.pitch for note in notes], grid.quarter)
        hands = [[n for n, left in zip(notes, low, strict=True) if left == side] for side in (False, True)]
        staves = hands if all(hands) else staves  # one line may cross from one register to the other
    for staff in staves:
        clef: Clef = (
            "percussion"
            if part.is_drum
            else _clef(staff if len(staves) == 1 else [], staff is staves[-1] is not staves[0])
        )
        lines = _lines(staff, grid, clean, 1 if part.is_drum else most, part.is_drum)
        for line in lines or [[]]:
            yield Voice(name, part.program, part.is_drum, clef, tuple(_symbol(chord, grid.quarter) for chord in line))


def _two_staves(notes: Sequence[Placed], program: int) -> bool:
    """Whether a part needs two staves: a keyboard that uses both registers, or wide chords."""
    if not notes:
        return False
    pitches = np.array([note.pitch for note in notes])
    if program in KEYBOARDS:
        return bool((pitches < 57).sum() > 0.03 * len(pitches) and (pitches > 62).sum() > 0.03 * len(pitches))
    starts = np.flatnonzero(np.diff([note.onset for note in notes], prepend=notes[0].onset - 1))
    spans = np.maximum.reduceat(pitches, starts) - np.minimum.reduceat(pitches, starts)
    return bool((spans > _WIDE).mean() > 0.25)


def _clef(notes: Sequence[Placed], lower: bool) -> Clef:
    if notes:
        return "treble" if np.median([note.pitch for note in notes]) >= 57 else "bass"
    return "bass" if lower else "treble"


def _lines(notes: Sequence[Placed], grid: SheetGrid, clean: bool, most: int, drums: bool) -> list[list[Chord]]:
    """The voices of a staff."""
    if not notes:
        return []
    if not clean:
        return exact_voices(notes)
    shift = int(grid.upbeat * grid.quarter)  # beats count from the first full bar
    lines = reading_voices(
        [Placed(n.onset - shift, n.offset - shift, n.pitch, n.velocity) for n in notes], most, grid.quarter
    )
    result = []
    for line in lines:
        neat = hits(line, grid.beat) if drums else tidied(line, grid.quarter, grid.beat, grid.triplets)
        result.append([Chord(c.onset + shift, c.offset + shift, c.pitches, c.velocity) for c in neat])
    return result


def _symbol(chord: Chord, quarter: int) -> Symbol:
    return Symbol(
        Fraction(chord.onset, quarter), Fraction(chord.offset - chord.onset, quarter), chord.pitches, chord.velocity
    )
