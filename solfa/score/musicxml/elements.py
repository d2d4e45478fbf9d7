"""What stands in a measure of MusicXML, read into the part that it belongs to. Source: MusicXML 4.0."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from xml.etree.ElementTree import Element

from solfa.score.musicxml.file import MusicXmlError
from solfa.score.sheet.keys import MINOR_MODES

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
class Staff:
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

    @property
    def state(self) -> tuple[Fraction, int, int]:
        """What is in force: divisions, transposition, velocity."""
        return self.divisions, self.transpose, self.velocity

    @state.setter
    def state(self, state: tuple[Fraction, int, int]) -> None:
        self.divisions, self.transpose, self.velocity = state


@dataclass(frozen=True)
class SoundingKey:
    """A key signature as it sounds. signature: the tonic of its major key. stated: its mode was said, not only its sharps or flats."""

    tonic: int
    mode: str
    signature: int
    stated: bool


@dataclass
class Line:
    """What all parts share, each with its time in quarter notes. keys: at one time the first part's, as in ABC."""

    tempi: list[tuple[Fraction, float]] = field(default_factory=list)
    metres: dict[tuple[Fraction, int, int], None] = field(default_factory=dict)
    keys: dict[Fraction, SoundingKey] = field(default_factory=dict)


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


def read_part(element: Element) -> tuple[str, Staff]:
    staff = Staff(name=(element.findtext("part-name") or "").strip())
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


def read_measure(staff: Staff, measure: Element, start: Fraction, line: Line) -> Fraction:
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


def _duration(staff: Staff, element: Element) -> Fraction:
    value = _number(element.findtext("duration"), "duration")
    if value < 0:
        raise MusicXmlError(f"a duration of {value}")
    return value / staff.divisions


def _note(staff: Staff, element: Element) -> None:
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
        note = [onset, onset + length, pitch, _velocity(element, staff.velocity)]
        staff.notes.append(note)
    waiting = staff.tied.setdefault(pitch, {})
    waiting.pop(voice, None)
    if "start" in ties:
        waiting[voice] = note


def _tied(staff: Staff, pitch: int, voice: str, onset: Fraction) -> list | None:
    """The note that goes on here: of its own voice, else the last of another, as a tie may go from voice to voice."""
    waiting = staff.tied.get(pitch, {})
    for name in (voice, next(reversed(waiting), voice)):
        if name in waiting and waiting[name][1] == onset:
            return waiting.pop(name)
    return None


def _pitch(staff: Staff, element: Element) -> int | None:
    pitch = element.find("pitch")
    if pitch is not None:
        letter = (pitch.findtext("step") or "").strip()
        if letter not in _STEPS:
            raise MusicXmlError(f"the step of a pitch is {letter!r}: legal are A to G")
        octave = _whole(pitch.findtext("octave"), "octave", 0, 9)
        alter = _number((pitch.findtext("alter") or "").strip() or "0", "alter")
        value = _STEPS[letter] + 12 * (octave + 1) + round(alter) + staff.transpose
        if not 0 <= value <= 127:
            raise MusicXmlError(f"pitch {letter}{octave} sounds at MIDI number {value}: legal are 0 to 127")
        return value
    if element.find("unpitched") is None:
        return None
    staff.drum = True
    instrument = element.find("instrument")
    return staff.unpitched.get(instrument.get("id", "") if instrument is not None else "", 38)


def _attributes(staff: Staff, element: Element, line: Line) -> None:
    divisions = element.findtext("divisions")
    if divisions is not None:
        staff.divisions = _number(divisions, "divisions")
        if staff.divisions <= 0:
            raise MusicXmlError(f"divisions of {divisions}: legal are positive numbers")
    transpose = element.find("transpose")
    if transpose is not None:
        octaves = _whole(transpose.findtext("octave-change") or "0", "octave-change", -9, 9)
        staff.transpose = _whole(transpose.findtext("chromatic") or "0", "chromatic", -127, 127) + 12 * octaves
    for key in element.iterfind("key"):
        if key.find("fifths") is not None:
            fifths = _whole(key.findtext("fifths"), "fifths", -11, 11)
            said = (key.findtext("mode") or "").strip()
            # A mode is named by the key with the same signature whose third is like the mode's, as in ABC.
            mode = "minor" if said.lower()[:3] in MINOR_MODES else "major"
            tonic = (fifths * 7 + (9 if mode == "minor" else 0) + staff.transpose) % 12
            signature = (fifths * 7 + staff.transpose) % 12
            there = line.keys.get(staff.now)
            if there is None or (said and not there.stated and signature == there.signature):
                line.keys[staff.now] = SoundingKey(tonic, mode, signature, bool(said))
    for time in element.iterfind("time"):
        if time.find("beats") is not None:
            beats = sum(_whole(piece, "beats", 1, 255) for piece in (time.findtext("beats") or "").split("+"))
            unit = _whole(time.findtext("beat-type"), "beat-type", 1, 64)
            if unit & (unit - 1) or beats > 255:
                raise MusicXmlError(f"a metre of {beats}/{unit}: legal are 1 to 255 notes of 1/1, 1/2, 1/4, ... 1/64")
            line.metres[staff.now, beats, unit] = None


def _direction(staff: Staff, element: Element, line: Line) -> None:
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


def _moved(staff: Staff, offset: Element) -> Fraction:
    """The time of what stands beside the place where it is written."""
    return max(Fraction(0), staff.now + _number(offset.text, "offset") / staff.divisions)


def _pedal(staff: Staff, kind: str, at: Fraction) -> None:
    if kind in ("stop", "change") and staff.pedal_down is not None:
        if at > staff.pedal_down:
            staff.pedals.append((staff.pedal_down, at))
        staff.pedal_down = None
    if kind in ("start", "change", "resume") and staff.pedal_down is None:
        staff.pedal_down = at


def _metronome(element: Element, line: Line, at: Fraction) -> None:
    unit, rate = (element.findtext("beat-unit") or "").strip(), (element.findtext("per-minute") or "").strip()
    if unit in _UNITS and _NUMBER.match(rate):  # else a text such as "ca. 80", or a metric modulation
        dots = len(element.findall("beat-unit-dot"))
        _set_tempo(_number(rate, "per-minute") * _UNITS[unit] * (2 - Fraction(1, 2 ** min(dots, 4))), line, at)


def _sound(staff: Staff, element: Element, line: Line, at: Fraction) -> None:
    """at: where its direction is heard; it may have an offset of its own."""
    if _NUMBER.match(element.get("tempo", "")):  # else a word
        offset = element.find("offset")
        _set_tempo(_number(element.get("tempo"), "tempo"), line, at if offset is None else _moved(staff, offset))
    staff.velocity = _velocity(element, staff.velocity)


def _velocity(element: Element, before: int) -> int:
    """What the attribute dynamics says, percent of a velocity of 90; where that is no number, what was before."""
    dynamics = element.get("dynamics", "")
    if not _NUMBER.match(dynamics):
        return before
    return min(127, max(1, int(_number(dynamics, "dynamics") * 90 / 100)))


def _set_tempo(bpm: Fraction, line: Line, at: Fraction) -> None:
    if not Fraction(7, 2) <= bpm <= 60_000_000:  # what a score may hold, so what our writer may have written
        raise MusicXmlError(f"a tempo of {float(bpm)} quarter notes a minute: legal are 3.5 to 60,000,000")
    line.tempi.append((at, float(bpm)))
