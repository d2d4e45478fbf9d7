"""MusicXML out: a sheet as a partwise score. Source: MusicXML 4.0 (W3C Music Notation Community Group).

Voices of one name and instrument that follow one another are a part; it has two staves where some of them have a treble and some a bass
clef. What is sounded is exact: onsets, lengths, pitches, tempi, and velocities as the `dynamics` of notes. What is printed is chosen to be
read: a tempo mark where the tempo changes by a tenth and stays for a bar, a dynamic mark where the mean of a bar leaves the last one.
The bytes depend on the sheet alone: no date, no version.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from math import lcm
from xml.etree.ElementTree import Element, tostring

from solfa.files import write_whole
from solfa.score.musicxml.notes import NoteForm, Shown, VoiceBar, accidentals, add, beams, write_piece
from solfa.score.percussion import percussion_key
from solfa.score.sheet.bars import Bar, BarLine, bar_lines, bars
from solfa.score.sheet.keys import Spelled, signature, spell
from solfa.score.sheet.notation import Clef, Key, Sheet, Voice, has_dotted_beat
from solfa.score.xml_text import legal_text

LOWEST = 12  # C of octave 0: the format has no octave below
MAX_DURATION = 10**9  # of a bar, in divisions; programs count in 32 bits
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">\n'
)
_CLEFS: dict[Clef, tuple[str, int | None]] = {"treble": ("G", 2), "bass": ("F", 4), "percussion": ("percussion", None)}
_MARKS = {"ppp": 22, "pp": 34, "p": 48, "mp": 62, "mf": 76, "f": 92, "ff": 108, "fff": 118}  # as the reader takes them
_NEAR = 10  # a mark holds while the mean velocity of bars stays within this of it
_CONTAINER = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<container><rootfiles>'
    '<rootfile full-path="score.musicxml" media-type="application/vnd.recordare.musicxml+xml"/></rootfiles></container>\n'
)


def write_musicxml(sheet: Sheet, path: str | os.PathLike[str] | None = None) -> bytes:
    """The sheet as MusicXML, also written to `path` (whole or not at all) if one is given: zipped where it ends in .mxl.

    Returns the bytes of the file. Keys and tempi from the end of the last bar on are left out, with a warning. Raises ValueError for what
    the format cannot say: pitches below 12 (C of octave 0), times with no common measure; and for a sheet whose symbols overlap or that
    has no voice.
    """
    data = _document(sheet)
    if path is not None:
        if os.fspath(path).lower().endswith(".mxl"):
            data = packed_musicxml(data)
        write_whole(path, data)
    return data


def packed_musicxml(data: bytes) -> bytes:
    """The bytes of an .mxl file that holds a MusicXML document. They carry no date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), "application/vnd.recordare.musicxml", zipfile.ZIP_STORED)
        archive.writestr(zipfile.ZipInfo("META-INF/container.xml"), _CONTAINER, zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("score.musicxml"), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Part:
    """An instrument: its id, the voices that it plays, and on what staves they stand, from the highest."""

    id: str
    voices: tuple[Voice, ...]
    clefs: tuple[Clef, ...]
    channel: int

    @property
    def is_drum(self) -> bool:
        return self.voices[0].is_drum

    def seats(self) -> list[tuple[Voice, int, int]]:
        """(voice, its number in the part, staff from 1), staff by staff; those of a second staff are numbered from 5, as is usual."""
        result: list[tuple[Voice, int, int]] = []
        for staff, clef in enumerate(self.clefs, start=1):
            members = [voice for voice in self.voices if len(self.clefs) == 1 or voice.clef == clef]
            first = max(4 * (staff - 1), len(result)) + 1
            result += [(voice, first + index, staff) for index, voice in enumerate(members)]
        return result


def _parts(sheet: Sheet) -> list[_Part]:
    result: list[_Part] = []
    melodic = [channel for channel in range(1, 17) if channel != 10]
    pitched = 0
    for (_, _, is_drum), group in groupby(sheet.voices, key=lambda voice: (voice.name, voice.program, voice.is_drum)):
        voices = tuple(group)
        clefs: tuple[Clef, ...] = tuple(clef for clef in _CLEFS if any(voice.clef == clef for voice in voices))
        channel = 10 if is_drum else melodic[pitched % len(melodic)]
        pitched += not is_drum
        result.append(_Part(f"P{len(result) + 1}", voices, ("percussion",) if is_drum else clefs, channel))
    return result


def _document(sheet: Sheet) -> bytes:
    if not sheet.voices:
        raise ValueError("a sheet without voices: MusicXML needs a part")
    root = Element("score-partwise", version="4.0")
    if sheet.title:
        add(add(root, "work"), "work-title", legal_text(sheet.title))
    add(add(add(root, "identification"), "encoding"), "software", "solfa")
    parts = _parts(sheet)
    names = add(root, "part-list")
    for part in parts:
        _score_part(names, part)
    for index, part in enumerate(parts):
        keys = () if part.is_drum and not all(other.is_drum for other in parts) else sheet.keys
        _PartWriter(sheet, part, keys, leads=index == 0).write(add(root, "part", id=part.id))
    end = max(line.end for line in bar_lines(sheet))
    late = sum(change.onset >= end for changes in (sheet.keys, sheet.tempi) for change in changes)
    if late:
        warnings.warn(
            f"{late} changes of key or tempo after the last bar ({end} quarters) are not written", stacklevel=4
        )
    for parent in (root, names, *root.iter("part"), *root.iter("measure")):  # a line a note
        parent.text = "\n"
        for child in parent:
            child.tail = "\n"
    return (_HEAD + tostring(root, encoding="unicode") + "\n").encode("utf-8")


def _score_part(parent: Element, part: _Part) -> None:
    voice = part.voices[0]
    element = add(parent, "score-part", id=part.id)
    add(element, "part-name", legal_text(voice.name))
    keys: list[int | None] = [None]
    if part.is_drum:
        keys = [*sorted({pitch for v in part.voices for symbol in v.symbols for pitch in symbol.pitches})] or keys
    form = NoteForm(part.id, 1, 1)
    ids = {key: f"{part.id}-I1" if key is None else form.instrument(key) for key in keys}
    for key in keys:
        name = legal_text(voice.name) if key is None else percussion_key(key).name
        add(add(element, "score-instrument", id=ids[key]), "instrument-name", name)
    for key in keys:
        midi = add(element, "midi-instrument", id=ids[key])
        add(midi, "midi-channel", part.channel)
        add(midi, "midi-program", voice.program + 1)
        if key is not None:
            add(midi, "midi-unpitched", key + 1)


class _PartWriter:
    """One part, bar by bar, under these keys. `leads`: it is the first, and carries the tempi for all."""

    def __init__(self, sheet: Sheet, part: _Part, keys: Sequence[Key], leads: bool) -> None:
        self.sheet, self.part, self.keys, self.leads = sheet, part, keys, leads
        self.seats = part.seats()
        self.rows = list(zip(*(bars(sheet, voice) for voice, _, _ in self.seats), strict=True))  # bar by bar
        self.form = NoteForm(part.id, _divisions(sheet, self.rows), len(part.clefs))
        self.key_onsets = [key.onset for key in keys]
        self.tempo_marks = _tempo_marks(sheet)
        self.mark = 0  # velocity of the dynamic mark in force
        self.tied: dict[int, tuple[Spelled, ...]] = {}  # of each voice, the names that a tie carries on

    def write(self, element: Element) -> None:
        measure = element
        for row in self.rows:
            line = row[0].line
            measure = add(element, "measure", number=str(line.number))
            if line.number == 0:
                measure.set("implicit", "yes")
            self._measure(measure, line, row)
        add(add(measure, "barline", location="right"), "bar-style", "light-heavy")

    def _measure(self, measure: Element, line: BarLine, row: Sequence[Bar]) -> None:
        voices = self._voice_bars(row)
        self._attributes(measure, line)
        self._dynamics(measure, row)
        changes = self._changes(line)
        between = {piece.onset for piece in voices[0].bar.pieces} - {line.onset}  # the first voice's notes
        for onset, change in (pair for pair in changes if pair[0] not in between):
            self._move(measure, "forward", onset - line.onset)
            measure.append(change)
            self._move(measure, "backup", onset - line.onset)
        inline = [pair for pair in changes if pair[0] in between]
        shown: Shown = {}
        for staff in range(1, len(self.part.clefs) + 1):
            shown |= accidentals([voice for voice in voices if voice.staff == staff], self._fifths)
        for place, voice in enumerate(voices):
            if place:
                self._move(measure, "backup", line.duration)
            marks = beams(voice.bar)
            for index, piece in enumerate(voice.bar.pieces):
                while inline and inline[0][0] == piece.onset:
                    measure.append(inline.pop(0)[1])
                write_piece(measure, voice, index, shown, marks[index], self.form)

    def _voice_bars(self, row: Sequence[Bar]) -> list[VoiceBar]:
        """The voices that are written in a bar: the first of each staff, and the others where they sound."""
        heard = [not all(piece.is_rest for piece in bar.pieces) for bar in row]
        result = []
        for staff in range(1, len(self.part.clefs) + 1):
            members = [index for index, seat in enumerate(self.seats) if seat[2] == staff]
            written = [index for index in members if heard[index]] or members[:1]
            for index in written:
                stem = "" if len(written) == 1 else "up" if index == written[0] else "down"
                result.append(self._voice_bar(row[index], self.seats[index][1], staff, stem))
        return result

    def _move(self, measure: Element, tag: str, quarters: Fraction) -> None:
        if quarters:
            add(add(measure, tag), "duration", self.form.length(quarters))

    def _voice_bar(self, bar: Bar, number: int, staff: int, stem: str) -> VoiceBar:
        """A bar with its pitches spelled; what is tied keeps the name that it began with."""
        names: list[tuple[Spelled, ...]] = []
        for piece in bar.pieces:
            if not piece.tie_in or self.part.is_drum:
                spelled = () if self.part.is_drum else tuple(self._spell(pitch, piece.onset) for pitch in piece.pitches)
                self.tied[number] = spelled
            names.append(self.tied[number])
        return VoiceBar(bar, number, staff, tuple(names), stem, self.part.is_drum)

    def _spell(self, pitch: int, onset: Fraction) -> Spelled:
        if pitch < LOWEST:
            raise ValueError(
                f"pitch {pitch} of {self.part.voices[0].name!r}: the lowest that MusicXML can write is {LOWEST}"
            )
        key = self._key(onset)
        name = spell(pitch, key) if key else spell(pitch, Key(onset, 0, "major"))
        if 0 <= name.octave <= 9:
            return name
        return spell(pitch, Key(onset, 0, "major"))  # B sharp below the lowest C

    def _key(self, onset: Fraction) -> Key | None:
        return self.keys[max(0, bisect_right(self.key_onsets, onset) - 1)] if self.keys else None

    def _fifths(self, onset: Fraction) -> int:
        key = self._key(onset)
        return signature(key) if key else 0

    def _attributes(self, measure: Element, line: BarLine) -> None:
        """Divisions and clefs at the part's beginning; the key and the metre where they begin with this bar."""
        attributes = Element("attributes")
        if line.onset == 0:
            add(attributes, "divisions", self.form.divisions)
        for key in (key for key in line.keys if key.onset == line.onset and self.keys):
            self._write_key(attributes, key)
        if line.new_metre:
            time = add(attributes, "time")
            add(time, "beats", line.metre.numerator)
            add(time, "beat-type", line.metre.denominator)
        if line.onset == 0:
            self._clefs(attributes)
        if len(attributes):
            measure.append(attributes)

    def _write_key(self, attributes: Element, key: Key) -> None:
        element = add(attributes, "key", **({"print_object": "no"} if self.part.is_drum else {}))
        add(element, "fifths", signature(key))
        add(element, "mode", key.mode)

    def _clefs(self, attributes: Element) -> None:
        if len(self.part.clefs) > 1:
            add(attributes, "staves", len(self.part.clefs))
        for number, clef in enumerate(self.part.clefs, start=1):
            sign, line = _CLEFS[clef]
            element = add(attributes, "clef", **({"number": str(number)} if len(self.part.clefs) > 1 else {}))
            add(element, "sign", sign)
            if line is not None:
                add(element, "line", line)

    def _dynamics(self, measure: Element, row: Sequence[Bar]) -> None:
        """A mark for the mean velocity of what begins in the bar, where it is not the one in force."""
        loud = [p.velocity for bar in row for p in bar.pieces if not p.is_rest and not p.tie_in]
        if not loud:
            return
        mean = sum(loud) / len(loud)
        name, velocity = min(_MARKS.items(), key=lambda mark: abs(mark[1] - mean))
        if velocity == self.mark or (self.mark and abs(mean - self.mark) <= _NEAR):
            return
        self.mark = velocity
        direction = add(measure, "direction", placement="below")
        add(add(add(direction, "direction-type"), "dynamics"), name)
        self._on_first_staff(direction)

    def _on_first_staff(self, direction: Element) -> None:
        if len(self.part.clefs) > 1:
            add(direction, "staff", 1)

    def _changes(self, line: BarLine) -> list[tuple[Fraction, Element]]:
        """Tempi, and the keys that begin within the bar, with their onsets in order."""
        result: list[tuple[Fraction, Element]] = []
        for key in line.keys:
            if key.onset > line.onset and self.keys:
                attributes = Element("attributes")
                self._write_key(attributes, key)
                result.append((key.onset, attributes))
        for tempo in line.tempi if self.leads else ():
            sound = Element("sound", tempo=f"{tempo.bpm:.9f}".rstrip("0").rstrip("."))
            if tempo.onset not in self.tempo_marks:
                result.append((tempo.onset, sound))
                continue
            direction = _tempo_mark(tempo.bpm, line)
            self._on_first_staff(direction)
            direction.append(sound)
            result.append((tempo.onset, direction))
        return sorted(result, key=lambda pair: pair[0])


def _divisions(sheet: Sheet, rows: Iterable[Sequence[Bar]]) -> int:
    """How many parts of a quarter note all times of a part can be counted in."""
    grid = 1
    times = {key.onset for key in sheet.keys} | {tempo.onset for tempo in sheet.tempi}
    longest = Fraction(1)
    for row in rows:
        longest = max(longest, row[0].line.duration)
        times |= {time for bar in row for piece in bar.pieces for time in (piece.onset, piece.duration)}
    for denominator in {time.denominator for time in times}:
        grid = lcm(grid, denominator)
        if grid * longest >= MAX_DURATION:
            raise ValueError(
                "the sheet's times have no common measure that MusicXML could count them in: quantise them first"
            )
    return grid


def _tempo_marks(sheet: Sheet) -> set[Fraction]:
    """The onsets of the tempi that are printed: the first, and those a tenth away from the last printed that stay for a bar."""
    printed: set[Fraction] = set()
    last = 0.0
    bar = [metre.onset for metre in sheet.metres]
    for index, tempo in enumerate(sheet.tempi):
        metre = sheet.metres[max(0, bisect_right(bar, tempo.onset) - 1)]
        after = sheet.tempi[index + 1 :][:1]
        stays = not after or after[0].onset - tempo.onset >= metre.quarters
        if not printed or (stays and abs(tempo.bpm / last - 1) >= 0.1):
            printed.add(tempo.onset)
            last = tempo.bpm
    return printed


def _tempo_mark(bpm: float, line: BarLine) -> Element:
    """A metronome mark in quarters, or in dotted quarters where these are the beats."""
    direction = Element("direction", placement="above")
    metronome = add(add(direction, "direction-type"), "metronome")
    dotted = has_dotted_beat(line.metre)
    add(metronome, "beat-unit", "quarter")
    if dotted:
        add(metronome, "beat-unit-dot")
    add(metronome, "per-minute", round(bpm / 1.5 if dotted else bpm))
    return direction
