"""MusicXML in: enough of a score to play it. Source: MusicXML 4.0 (W3C Music Notation Community Group)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from fractions import Fraction
from xml.etree.ElementTree import Element

from solfa.score.musicxml.file import MAX_BYTES, MusicXmlError, read_tree
from solfa.score.musicxml.measures import Measure, shown_metres
from solfa.score.note import Note
from solfa.score.score import KeySignature, Metre, Part, Pedal, Score
from solfa.score.tempo import TempoMap, microseconds

__all__ = ["MusicXmlError", "read_musicxml"]

TICKS = 10080  # a quarter: divisible by 2 to the 5th, 9, 5 and 7, so tuplets fall on ticks
MAX_SECONDS = 24 * 3600.0
MAX_DENOMINATOR = 1 << 48  # sums of fractions with ever new denominators would grow without end
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MARKS = {"pppp": 16, "ppp": 22, "pp": 34, "p": 48, "mp": 62, "mf": 76, "f": 92, "ff": 108, "fff": 118, "ffff": 126}
_UNITS = {
    "whole": Fraction(4),
    "half": Fraction(2),
    "quarter": Fraction(1),
    "eighth": Fraction(1, 2),
    "16th": Fraction(1, 4),
}
_NUMBER = re.compile(r"\s*([+-]?(\d{1,9}(\.\d{0,40})?|\.\d{1,40}))\s*\Z")  # no exponents: 1e999999999 is a number too
_FINEST = 10**9  # decimals beyond nine are rounded: programs write 133.33333333333334


@dataclass
class _Staff:
    """One part while it is read. Times are quarter notes from the start."""

    name: str = ""
    program: int = 0
    drum: bool = False
    unpitched: dict[str, int] = field(default_factory=dict)  # instrument id to percussion key
    divisions: Fraction = Fraction(1)
    transpose: int = 0
    velocity: int = 80
    now: Fraction = Fraction(0)
    chord_onset: Fraction = Fraction(0)
    notes: list[list] = field(default_factory=list)  # [onset, offset, pitch, velocity]
    tied: dict[int, dict[str, list]] = field(default_factory=dict)  # pitch to voice to the note that is to go on
    pedal_down: Fraction | None = None
    pedals: list[tuple[Fraction, Fraction]] = field(default_factory=list)


@dataclass(frozen=True)
class _Key:
    """A key signature as it sounds. signature: the tonic of its major key. stated: its mode was said, not only its sharps or flats."""

    tonic: int
    mode: str
    signature: int
    stated: bool


@dataclass
class _Line:
    """What all parts share, each with its time in quarter notes. keys: at one time the first part's, as in ABC."""

    tempi: list[tuple[Fraction, float]] = field(default_factory=list)
    metres: dict[tuple[Fraction, int, int], None] = field(default_factory=dict)
    keys: dict[Fraction, _Key] = field(default_factory=dict)


def read_musicxml(source: str | os.PathLike | bytes) -> Score:
    """Read a MusicXML score (.musicxml, .xml or zipped .mxl; partwise or timewise) from a path or from its bytes.

    Kept: parts with their MIDI programs, notes, chords, ties, voices and staves, tempo, keys, metres, transposition,
    dynamics and the sustain pedal. Measures are played once in the order they are written: repeats and endings are not
    unfolded. Grace and cue notes and ornaments are left out. Raises MusicXmlError, naming the reason; OSError for a file
    that cannot be opened.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(bytes(source))
    with open(source, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    try:
        return _read(data)
    except MusicXmlError as error:
        raise MusicXmlError(f"{os.fspath(source)}: {error}") from error


def _read(data: bytes) -> Score:
    root = read_tree(data)
    if root.tag not in ("score-partwise", "score-timewise"):
        raise MusicXmlError(f"the root element is {root.tag!r}: legal are score-partwise and score-timewise")
    staves = {key: staff for key, staff in (_staff(element) for element in root.iterfind("part-list/score-part"))}
    rows = _rows(root)
    line = _Line()
    measures: list[Measure] = []
    start = Fraction(0)
    for row in rows:
        longest = start
        for key, measure in row:
            staff = staves.setdefault(key, _Staff(name=key))
            staff.now = staff.chord_onset = start
            longest = max(longest, _measure(staff, measure, start, line))
        measures.append(Measure(start, longest, row[0][1].get("implicit") == "yes"))
        start = longest
    line.metres = shown_metres(line.metres, measures)
    return _score(list(staves.values()), line, start)


def _rows(root: Element) -> list[list[tuple[str, Element]]]:
    """Measure by measure, the (part id, element) of every part."""
    if root.tag == "score-timewise":
        return [
            [(part.get("id", ""), part) for part in measure.iterfind("part")] for measure in root.iterfind("measure")
        ]
    rows: list[list[tuple[str, Element]]] = []
    for part in root.iterfind("part"):
        for index, measure in enumerate(part.iterfind("measure")):
            if index == len(rows):
                rows.append([])
            rows[index].append((part.get("id", ""), measure))
    return rows


def _number(text: str | None, what: str) -> Fraction:
    match = _NUMBER.match(text or "")
    if match is None:
        raise MusicXmlError(f"{what} is {text!r}: not a number of at most nine digits before its point")
    return Fraction(round(Fraction(match.group(1)) * _FINEST), _FINEST)


def _in_range(text: str | None, low: int, high: int) -> int | None:
    """What is only a hint for playback, where it is a number in range: 0 is written for none."""
    match = _NUMBER.match(text or "")
    value = None if match is None else Fraction(match.group(1))
    return int(value) if value is not None and value.denominator == 1 and low <= value <= high else None


def _whole(text: str | None, what: str, low: int, high: int) -> int:
    value = _number(text, what)
    if value.denominator != 1 or not low <= value <= high:
        raise MusicXmlError(f"{what} is {text!r}: legal are whole numbers from {low} to {high}")
    return int(value)


def _staff(element: Element) -> tuple[str, _Staff]:
    staff = _Staff(name=(element.findtext("part-name") or "").strip())
    for index, midi in enumerate(element.iterfind("midi-instrument")):
        program = _in_range(midi.findtext("midi-program"), 1, 128)
        if program is not None and index == 0:
            staff.program = program - 1
        if midi.findtext("midi-channel", "").strip() == "10":
            staff.drum = True
        key = _in_range(midi.findtext("midi-unpitched"), 1, 128)
        if key is not None:
            staff.unpitched[midi.get("id", "")] = key - 1
    return element.get("id", ""), staff


def _measure(staff: _Staff, measure: Element, start: Fraction, line: _Line) -> Fraction:
    """Read one measure of one part; the latest time that it reaches."""
    latest = start
    for element in measure:
        if element.tag == "note":
            _note(staff, element)
        elif element.tag == "backup":
            staff.now = max(start, staff.now - _duration(staff, element))
        elif element.tag == "forward":
            staff.now += _duration(staff, element)
        elif element.tag == "attributes":
            _attributes(staff, element, line)
        elif element.tag == "direction":
            _direction(staff, element, line)
        elif element.tag == "sound":
            _sound(staff, element, line, staff.now)
        latest = max(latest, staff.now)
        if latest.denominator > MAX_DENOMINATOR:
            raise MusicXmlError("durations with no common measure: positions in the bar cannot be counted")
    return latest


def _duration(staff: _Staff, element: Element) -> Fraction:
    value = _number(element.findtext("duration"), "duration")
    if value < 0:
        raise MusicXmlError(f"a duration of {value}")
    return value / staff.divisions


def _note(staff: _Staff, element: Element) -> None:
    if element.find("grace") is not None or (element.find("cue") is not None and element.find("duration") is None):
        return
    length = _duration(staff, element)
    onset = staff.chord_onset if element.find("chord") is not None else staff.now
    if element.find("chord") is None:
        staff.chord_onset = onset
        staff.now += length
    pitch = _pitch(staff, element)
    if pitch is None or element.find("rest") is not None or element.find("cue") is not None:
        return
    ties = {tie.get("type") for tie in element.iterfind("tie")}
    voice = (element.findtext("voice") or "").strip()
    before = _tied(staff, pitch, voice, onset) if "stop" in ties else None
    if before is not None:
        before[1] = onset + length
        note = before
    else:
        dynamics = element.get("dynamics")  # percent of a velocity of 90
        loud = staff.velocity if dynamics is None else int(_number(dynamics, "dynamics") * 90 / 100)
        note = [onset, onset + length, pitch, min(127, max(1, loud))]
        staff.notes.append(note)
    waiting = staff.tied.setdefault(pitch, {})
    waiting.pop(voice, None)
    if "start" in ties:
        waiting[voice] = note


def _tied(staff: _Staff, pitch: int, voice: str, onset: Fraction) -> list | None:
    """The note that goes on here: of its own voice, else the last of another, as a tie may go from voice to voice."""
    waiting = staff.tied.get(pitch, {})
    for name in (voice, next(reversed(waiting), voice)):
        if name in waiting and waiting[name][1] == onset:
            return waiting.pop(name)
    return None


def _pitch(staff: _Staff, element: Element) -> int | None:
    pitch = element.find("pitch")
    if pitch is not None:
        letter = (pitch.findtext("step") or "").strip()
        if letter not in _STEPS:
            raise MusicXmlError(f"the step of a pitch is {letter!r}: legal are A to G")
        octave = _whole(pitch.findtext("octave"), "octave", 0, 9)
        alter = _number(pitch.findtext("alter", "0"), "alter")
        value = _STEPS[letter] + 12 * (octave + 1) + round(alter) + staff.transpose
        if not 0 <= value <= 127:
            raise MusicXmlError(f"pitch {letter}{octave} sounds at MIDI number {value}: legal are 0 to 127")
        return value
    if element.find("unpitched") is None:
        return None
    staff.drum = True
    instrument = element.find("instrument")
    return staff.unpitched.get(instrument.get("id", "") if instrument is not None else "", 38)


def _attributes(staff: _Staff, element: Element, line: _Line) -> None:
    divisions = element.findtext("divisions")
    if divisions is not None:
        staff.divisions = _number(divisions, "divisions")
        if staff.divisions <= 0:
            raise MusicXmlError(f"divisions of {divisions}: legal are positive numbers")
    transpose = element.find("transpose")
    if transpose is not None:
        octaves = _whole(transpose.findtext("octave-change", "0"), "octave-change", -9, 9)
        staff.transpose = _whole(transpose.findtext("chromatic"), "chromatic", -127, 127) + 12 * octaves
    for key in element.iterfind("key"):
        if key.find("fifths") is not None:
            fifths = _whole(key.findtext("fifths"), "fifths", -11, 11)
            said = (key.findtext("mode") or "").strip()
            mode = "minor" if said == "minor" else "major"
            tonic = (fifths * 7 + (9 if mode == "minor" else 0) + staff.transpose) % 12
            signature = (fifths * 7 + staff.transpose) % 12
            there = line.keys.get(staff.now)
            if there is None or (said and not there.stated and signature == there.signature):
                line.keys[staff.now] = _Key(tonic, mode, signature, bool(said))
    for time in element.iterfind("time"):
        if time.find("beats") is not None:
            beats = sum(_whole(piece, "beats", 1, 255) for piece in (time.findtext("beats") or "").split("+"))
            unit = _whole(time.findtext("beat-type"), "beat-type", 1, 64)
            if unit & (unit - 1) or beats > 255:
                raise MusicXmlError(f"a metre of {beats}/{unit}: legal are 1 to 255 notes of 1/1, 1/2, 1/4, ... 1/64")
            line.metres[staff.now, beats, unit] = None


def _direction(staff: _Staff, element: Element, line: _Line) -> None:
    sound, offset = element.find("sound"), element.find("offset")
    at = staff.now if offset is None else _moved(staff, offset)
    heard = at if offset is not None and offset.get("sound") == "yes" else staff.now
    if sound is not None:
        _sound(staff, sound, line, heard)
    for kind in element.iterfind("direction-type"):
        for mark in kind.iterfind("dynamics/*"):
            staff.velocity = _MARKS.get(mark.tag, staff.velocity)
        for pedal in kind.iterfind("pedal"):
            _pedal(staff, pedal.get("type", ""), at)
        metronome = kind.find("metronome")
        if metronome is not None and (sound is None or sound.get("tempo") is None):
            _metronome(metronome, line, heard)


def _moved(staff: _Staff, offset: Element) -> Fraction:
    """The time of what stands beside the place where it is written."""
    return max(Fraction(0), staff.now + _number(offset.text, "offset") / staff.divisions)


def _pedal(staff: _Staff, kind: str, at: Fraction) -> None:
    if kind in ("stop", "change") and staff.pedal_down is not None:
        if at > staff.pedal_down:
            staff.pedals.append((staff.pedal_down, at))
        staff.pedal_down = None
    if kind in ("start", "change", "resume") and staff.pedal_down is None:
        staff.pedal_down = at


def _metronome(element: Element, line: _Line, at: Fraction) -> None:
    unit, rate = (element.findtext("beat-unit") or "").strip(), (element.findtext("per-minute") or "").strip()
    if unit in _UNITS and _NUMBER.match(rate):  # else a text such as "ca. 80", or a metric modulation
        dots = len(element.findall("beat-unit-dot"))
        _set_tempo(_number(rate, "per-minute") * _UNITS[unit] * (2 - Fraction(1, 2 ** min(dots, 4))), line, at)


def _sound(staff: _Staff, element: Element, line: _Line, at: Fraction) -> None:
    """at: where its direction is heard; it may have an offset of its own."""
    if element.get("tempo") is not None:
        offset = element.find("offset")
        _set_tempo(_number(element.get("tempo"), "tempo"), line, at if offset is None else _moved(staff, offset))
    if element.get("dynamics") is not None:
        staff.velocity = min(127, max(1, int(_number(element.get("dynamics"), "dynamics") * 90 / 100)))


def _set_tempo(bpm: Fraction, line: _Line, at: Fraction) -> None:
    if not Fraction(7, 2) <= bpm <= 60_000_000:  # what a score may hold, so what our writer may have written
        raise MusicXmlError(f"a tempo of {float(bpm)} quarter notes a minute: legal are 3.5 to 60,000,000")
    line.tempi.append((at, float(bpm)))


def _tick(quarters: Fraction) -> int:
    return round(quarters * TICKS)


def _score(staves: list[_Staff], line: _Line, end: Fraction) -> Score:
    # What is written beside its place may stand beyond the end.
    tempi = [(_tick(time), microseconds(bpm)) for time, bpm in line.tempi if time <= end]
    changes = sorted(tempi, key=lambda change: change[0])
    clock = TempoMap(TICKS, changes)
    if clock.seconds(_tick(end)) > MAX_SECONDS:
        raise MusicXmlError(f"lasts {clock.seconds(_tick(end)):.0f} s: the longest read here is {MAX_SECONDS:.0f} s")

    def at(quarters: Fraction) -> float:
        return clock.seconds(_tick(quarters))

    parts: list[Part] = []
    pedals: list[Pedal] = []
    for staff in staves:
        notes = tuple(Note(at(a), at(b), pitch, loud, staff.program, staff.drum) for a, b, pitch, loud in staff.notes)
        if staff.pedal_down is not None and end > staff.pedal_down:
            staff.pedals.append((staff.pedal_down, end))
        pedals += [Pedal(at(a), at(min(b, end)), len(parts)) for a, b in staff.pedals if a < end]
        parts.append(Part(staff.name, staff.program, staff.drum, notes))
    metres = tuple(Metre(at(time), beats, unit) for time, beats, unit in line.metres)
    keys = tuple(
        KeySignature(at(time), key.tonic, key.mode) for time, key in sorted(line.keys.items(), key=lambda each: each[0])
    )
    return Score(tuple(parts), clock.tempi, metres, keys, tuple(pedals), TICKS)
