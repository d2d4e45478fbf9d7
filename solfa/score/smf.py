"""Standard MIDI files, byte by byte: the reader under `read_midi`.

mido writes our files, but its reader gathers variable-length numbers of any size (4 MB of them take hours) and stops at
chunks that it does not know. Here every length is checked against the bytes that are there before anything is read, so
time and memory are bounded by the file's size. Source: "Standard MIDI Files 1.0" (MIDI Manufacturers Association,
RP-001).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

MAX_BYTES = 8 << 20  # 115 bytes of memory for each byte of a file that is all notes: under a gigabyte
MAX_TICK = 1 << 40

TRACK_NAME, PORT, END_OF_TRACK, TEMPO, METRE, KEY = 0x03, 0x21, 0x2F, 0x51, 0x58, 0x59
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, META = 0x80, 0x90, 0xB0, 0xC0, 0xFF
PEDAL, SOUND_OFF, NOTES_OFF = 64, 120, 123  # controllers
_KEPT_META = frozenset((TRACK_NAME, PORT, TEMPO, METRE, KEY))


class MidiError(ValueError):
    """A MIDI file that cannot be read or written; the message says why."""


class _CutShort(MidiError):
    """A track that ends within an event."""


@dataclass(frozen=True, slots=True)
class Event:
    """A channel message (`status` with the channel in its low bits, two data bytes) or a meta event (`status` 0xFF, its
    type in `first`, its payload)."""

    tick: int
    status: int
    first: int
    second: int
    payload: bytes = b""


@dataclass(frozen=True)
class MidiBytes:
    """A file: its division (ticks a quarter, or SMPTE if negative), format, tracks, and the tick that each of them ends on."""

    division: int
    format: int
    tracks: tuple[tuple[Event, ...], ...]
    ends: tuple[int, ...]


def parse(data: bytes) -> MidiBytes:
    """Parse a file of format 0 or 1, also within RIFF (.rmi). Notes, CC 64, 120 and 123, programs, tempo, metre, key, port and
    track names are kept, the rest is checked and skipped. Of a file that is cut short, what is there is kept, with a warning. Raises
    MidiError naming what is wrong and where."""
    if len(data) > MAX_BYTES:
        raise MidiError(f"{len(data)} bytes: the largest MIDI file read here is {MAX_BYTES}")
    data = _unwrapped(data)
    if len(data) < 14 or data[:4] != b"MThd":
        raise MidiError("no MIDI header (MThd) at the start: this is not a Standard MIDI File")
    header = int.from_bytes(data[4:8], "big")
    kind, count = int.from_bytes(data[8:10], "big"), int.from_bytes(data[10:12], "big")
    division = int.from_bytes(data[12:14], "big", signed=True)
    if header < 6 or kind > 2:
        raise MidiError(f"header of {header} bytes and format {kind}: legal are 6 bytes or more and formats 0, 1 and 2")
    if kind == 2:
        raise MidiError("format 2 (independent patterns, no common time line) cannot be read as one score")
    if division == 0:
        raise MidiError("time division of 0 ticks a quarter note")
    tracks, lost = _tracks(data, 8 + header, count)
    if lost and not any(track.events for track in tracks):
        raise MidiError(lost)
    if not tracks:
        raise MidiError("a MIDI file without tracks")
    if lost:
        warnings.warn(f"{lost}: what is there is read", stacklevel=4)
    return MidiBytes(
        division, kind, tuple(tuple(track.events) for track in tracks), tuple(track.end for track in tracks)
    )


def _unwrapped(data: bytes) -> bytes:
    """The MIDI file within a RIFF file (.rmi); other bytes as they are."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"data":
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    raise MidiError("a RIFF file without its chunk of MIDI (data)")


@dataclass
class _Track:
    """The events of a track that matter, and the tick that it ends on."""

    events: list[Event] = field(default_factory=list)
    end: int = 0


def _tracks(data: bytes, position: int, count: int) -> tuple[list[_Track], str]:
    """So many tracks from a position on, and what is said of them if the file ends before they do."""
    tracks: list[_Track] = []
    while len(tracks) < count:
        if position + 8 > len(data):
            return tracks, f"the header promises {count} tracks, the file ends after {len(tracks)}"
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "big")
        position += 8
        left = len(data) - position
        if name == b"MTrk":
            tracks.append(_Track())
            try:
                _read_track(tracks[-1], data, position, position + min(size, left), len(tracks) - 1)
            except _CutShort:
                if size <= left:
                    raise
        if size > left:
            return tracks, f"chunk {name!r} says it has {size} bytes, but {left} are left"
        position += size
    return tracks, ""


def _number(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A variable-length number of at most four bytes, and the position after it."""
    value = 0
    for index in range(position, min(position + 4, end)):
        byte = data[index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, index + 1
    fault = _CutShort if end - position < 4 else MidiError
    raise fault(f"byte {position}: a variable-length number does not end within 4 bytes or its track")


def _read_track(track: _Track, data: bytes, position: int, end: int, number: int) -> None:
    """Read one track into `track`; where a MidiError is raised, what stands before the fault is in it."""
    tick, running = 0, 0
    while position < end:
        delta, position = _number(data, position, end)
        tick += delta
        if tick > MAX_TICK:
            raise MidiError(f"track {number}: it runs past {MAX_TICK} ticks")
        if position >= end:
            raise _CutShort(f"track {number}: it stops between a time and its event")
        status = data[position]
        if status >= 0x80:
            position += 1
        elif running:
            status = running
        else:
            raise MidiError(f"track {number}, byte {position}: a data byte with no status before it")
        track.end = tick
        if status < 0xF0:
            running = status
            position = _channel(data, position, end, tick, status, track.events)
        elif status == META:
            kind = data[position] if position < end else -1
            size, position = _number(data, position + 1, end)
            if position + size > end:
                raise _CutShort(
                    f"track {number}, byte {position}: a meta event of {size} bytes runs past its track's end"
                )
            if kind == END_OF_TRACK:
                break
            if kind in _KEPT_META:
                track.events.append(Event(tick, META, kind, 0, data[position : position + size]))
            position += size
        elif status in (0xF0, 0xF7):
            size, position = _number(data, position, end)
            if position + size > end:
                raise _CutShort(f"track {number}, byte {position}: a system exclusive runs past its track's end")
            position += size
        else:
            raise MidiError(f"track {number}, byte {position - 1}: status {status:#04x} has no place in a file")


def _channel(data: bytes, position: int, end: int, tick: int, status: int, events: list[Event]) -> int:
    kind = status & 0xF0
    size = 1 if kind in (PROGRAM, 0xD0) else 2
    if position + size > end:
        raise _CutShort(f"byte {position}: a channel message is cut off by the end of its track")
    first = data[position]
    second = data[position + 1] if size == 2 else 0
    if first > 127 or second > 127:
        raise MidiError(f"byte {position}: data bytes {first}, {second} of message {status:#04x}: legal are 0 to 127")
    if kind in (NOTE_ON, NOTE_OFF, PROGRAM) or (kind == CONTROL and first in (PEDAL, SOUND_OFF, NOTES_OFF)):
        events.append(Event(tick, status, first, second))
    return position + size
