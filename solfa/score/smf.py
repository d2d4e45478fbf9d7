"""Standard MIDI files, byte by byte: the reader under `read_midi`.

mido writes our files, but its reader gathers variable-length numbers of any size (4 MB of them take hours) and stops at
chunks that it does not know. Here every length is checked against the bytes that are there before anything is read, so
time and memory are bounded by the file's size. Source: "Standard MIDI Files 1.0" (MIDI Manufacturers Association,
RP-001).
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_BYTES = 8 << 20  # 115 bytes of memory for each byte of a file that is all notes: under a gigabyte
MAX_TICK = 1 << 40

TRACK_NAME, PORT, END_OF_TRACK, TEMPO, METRE, KEY = 0x03, 0x21, 0x2F, 0x51, 0x58, 0x59
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, META = 0x80, 0x90, 0xB0, 0xC0, 0xFF
_KEPT_META = frozenset((TRACK_NAME, PORT, TEMPO, METRE, KEY))


class MidiError(ValueError):
    """A MIDI file that cannot be read or written; the message says why."""


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
    """A file: its division (ticks a quarter, or SMPTE if negative), its tracks, and the tick that each of them ends on."""

    division: int
    tracks: tuple[tuple[Event, ...], ...]
    ends: tuple[int, ...]


def parse(data: bytes) -> MidiBytes:
    """Parse a file of format 0 or 1. Notes, CC 64, programs, tempo, metre, key, port and track names are kept, the rest
    is checked and skipped. Raises MidiError naming what is wrong and where."""
    if len(data) > MAX_BYTES:
        raise MidiError(f"{len(data)} bytes: the largest MIDI file read here is {MAX_BYTES}")
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
    tracks: list[tuple[Event, ...]] = []
    ends: list[int] = []
    position = 8 + header
    while len(tracks) < count:
        if position + 8 > len(data):
            raise MidiError(f"the header promises {count} tracks, the file ends after {len(tracks)}")
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "big")
        position += 8
        if position + size > len(data):
            raise MidiError(f"chunk {name!r} says it has {size} bytes, but {len(data) - position} are left")
        if name == b"MTrk":
            events, end = _track(data, position, position + size, len(tracks))
            tracks.append(events)
            ends.append(end)
        position += size
    if not tracks:
        raise MidiError("a MIDI file without tracks")
    return MidiBytes(division, tuple(tracks), tuple(ends))


def _number(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A variable-length number of at most four bytes, and the position after it."""
    value = 0
    for index in range(position, min(position + 4, end)):
        byte = data[index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, index + 1
    raise MidiError(f"byte {position}: a variable-length number does not end within 4 bytes or its track")


def _track(data: bytes, position: int, end: int, number: int) -> tuple[tuple[Event, ...], int]:
    """The events of one track that matter, and the tick it ends on."""
    events: list[Event] = []
    tick, running = 0, 0
    while position < end:
        delta, position = _number(data, position, end)
        tick += delta
        if position >= end or tick > MAX_TICK:
            raise MidiError(f"track {number}: it stops between a time and its event, or runs past {MAX_TICK} ticks")
        status = data[position]
        if status >= 0x80:
            position += 1
        elif running:
            status = running
        else:
            raise MidiError(f"track {number}, byte {position}: a data byte with no status before it")
        if status < 0xF0:
            running = status
            position = _channel(data, position, end, tick, status, events)
        elif status == META:
            kind = data[position] if position < end else -1
            size, position = _number(data, position + 1, end)
            if position + size > end:
                raise MidiError(
                    f"track {number}, byte {position}: a meta event of {size} bytes runs past its track's end"
                )
            if kind == END_OF_TRACK:
                break
            if kind in _KEPT_META:
                events.append(Event(tick, META, kind, 0, data[position : position + size]))
            position += size
        elif status in (0xF0, 0xF7):
            size, position = _number(data, position, end)
            if position + size > end:
                raise MidiError(f"track {number}, byte {position}: a system exclusive runs past its track's end")
            position += size
        else:
            raise MidiError(f"track {number}, byte {position - 1}: status {status:#04x} has no place in a file")
    return tuple(events), tick


def _channel(data: bytes, position: int, end: int, tick: int, status: int, events: list[Event]) -> int:
    kind = status & 0xF0
    size = 1 if kind in (PROGRAM, 0xD0) else 2
    if position + size > end:
        raise MidiError(f"byte {position}: a channel message is cut off by the end of its track")
    first = data[position]
    second = data[position + 1] if size == 2 else 0
    if first > 127 or second > 127:
        raise MidiError(f"byte {position}: data bytes {first}, {second} of message {status:#04x}: legal are 0 to 127")
    if kind in (NOTE_ON, NOTE_OFF, PROGRAM) or (kind == CONTROL and first == 64):
        events.append(Event(tick, status, first, second))
    return position + size
