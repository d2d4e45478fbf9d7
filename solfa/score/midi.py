"""MIDI in and out. A score read and written again is the same score, to the tick.

Policies. Notes of one part, channel and pitch that overlap are paired first in, first out (the file format cannot say more). A note that
would so be paired wrongly, as it begins after another of its pitch and ends before it (two voices in unison), is written on a further
track and channel of its part, and read as a part of the same name; strokes on drums are not, nor are notes when the channels are used up.
A note shorter than a tick is written and read one tick long; one that is never released ends where the next of its pitch begins, else
with its track, and a warning says so. All Notes Off and All Sound Off release what sounds on their channel. Every part is written on a
channel of its own, 15 melodic parts and one drum part a port (meta event 0x21), up to 128 ports. Parts without notes are written, but
not read back.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import mido

from solfa.files import write_whole
from solfa.score import smf
from solfa.score.general_midi import instrument_name
from solfa.score.note import Note
from solfa.score.pedal import joined
from solfa.score.score import KeySignature, Metre, Part, Pedal, Score
from solfa.score.smf import MidiError
from solfa.score.sounding import Ended, Place, Sounding, is_on
from solfa.score.tempo import TempoMap

__all__ = ["MAX_SECONDS", "MidiError", "read_midi", "write_midi"]

MAX_SECONDS = 24 * 3600.0
MAX_PEDALS = 1 << 20  # a pedal counts for all parts of its channel, so a small file could ask for very many
MAX_NESTED = 15  # further channels of a part, for notes within others of their pitch
MAX_DELTA = 0x0FFFFFFF  # ticks; what a variable-length number of four bytes holds
DRUM_CHANNEL = 9
_MELODIC = [channel for channel in range(16) if channel != DRUM_CHANNEL]
_Sign = TypeVar("_Sign", Metre, KeySignature)
_MAJOR = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR = ("Cm", "C#m", "Dm", "Ebm", "Em", "Fm", "F#m", "Gm", "G#m", "Am", "Bbm", "Bm")


@dataclass
class _Reading:
    """What is gathered while the events of all tracks go by in time order. Times are ticks."""

    ports: list[int]  # of each track
    programs: dict[tuple[int, int], int] = field(default_factory=dict)  # of each (port, channel)
    sounding: Sounding = field(default_factory=Sounding)
    unreleased: int = 0
    parts: dict[tuple[int, int, int, int], list[tuple[int, int, int, int]]] = field(default_factory=dict)
    pedal_down: dict[tuple[int, int], int] = field(default_factory=dict)
    pedals: list[tuple[int, int, tuple[int, int]]] = field(default_factory=list)

    def note(self, track: int, channel: int, event: smf.Event) -> None:
        """A message that begins or ends a note."""
        place, port = (track, channel, event.first), self.ports[track]
        if is_on(event):
            program = self.programs.get((port, channel), 0)
            self.parts.setdefault((track, port, channel, program), [])
            self.sounding.begin(place, port, event, program)
        else:
            for note in self.sounding.end(place, port, event):
                self._keep(place, note)

    def all_off(self, port: int, channel: int, tick: int) -> None:
        """All Notes Off: it releases what sounds, but for notes of which it is not the first end that is missing."""
        for place, note in self.sounding.end_all(port, channel, tick):
            self._keep(place, note)
            self.unreleased += not note.released and note.offset < tick

    def finish(self, ends: Sequence[int]) -> None:
        """The tracks end, each on its tick, and with them what was never released."""
        for place, note in self.sounding.finish(ends):
            self._keep(place, note)
            self.unreleased += not note.released
        for port, channel in list(self.pedal_down):
            self.pedal(port, channel, 0, max(ends))

    def _keep(self, place: Place, note: Ended) -> None:
        track, channel, pitch = place
        onset = note.begun.tick
        span = (onset, max(note.offset, onset + 1), pitch, note.begun.second)
        self.parts[track, self.ports[track], channel, note.program].append(span)

    def pedal(self, port: int, channel: int, value: int, tick: int) -> None:
        key = (port, channel)
        if value >= 64:
            self.pedal_down.setdefault(key, tick)
        elif key in self.pedal_down:
            onset = self.pedal_down.pop(key)
            if tick > onset:
                self.pedals.append((onset, tick, key))


def read_midi(source: str | os.PathLike[str] | bytes) -> Score:
    """Read a Standard MIDI File (format 0 or 1) from a path or from its bytes.

    Every (track, channel, program) with notes becomes a part; channel 10 is drums; the sustain pedal of a channel counts
    for all its parts. A part is named after its track, where that is its alone, else after its instrument. Warned of, and read: a file
    that is cut short within a track or between two, notes that are never released, metres and keys that there are not. Raises MidiError,
    naming the reason, for a file that is otherwise malformed, larger than 8 MiB or longer than 24 hours; OSError for one that cannot be
    opened. Memory and time are bounded by the file's size.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _score(smf.parse(bytes(source)))
    with open(source, "rb") as file:
        data = file.read(smf.MAX_BYTES + 1)
    try:
        return _score(smf.parse(data))
    except MidiError as error:
        raise MidiError(f"{os.fspath(source)}: {error}") from error


def _score(file: smf.MidiBytes) -> Score:
    # Programs and metas of a tick count before its notes, whichever track they stand in.
    merged = [(event, track) for track, events in enumerate(file.tracks) for event in events]
    merged.sort(key=lambda pair: (pair[0].tick, pair[0].status & 0xF0 in (smf.NOTE_ON, smf.NOTE_OFF)))
    reading = _Reading([_port(track) for track in file.tracks])
    metas: list[smf.Event] = []
    for event, track in merged:
        kind, channel, port = event.status & 0xF0, event.status & 0x0F, reading.ports[track]
        if event.status == smf.META:
            metas.append(event)
        elif kind in (smf.NOTE_ON, smf.NOTE_OFF):
            reading.note(track, channel, event)
        elif kind == smf.PROGRAM:
            reading.programs[port, channel] = event.first
        elif event.first == smf.PEDAL:
            reading.pedal(port, channel, event.second, event.tick)
        else:
            reading.all_off(port, channel, event.tick)
    reading.finish(file.ends)
    if reading.unreleased:
        _warn(
            f"notes that are never released: {reading.unreleased}; each ends where the next of its pitch begins, or with its track"
        )
    return _assemble(file, reading, metas)


def _warn(what: str) -> None:
    warnings.warn(what, stacklevel=4)


def _assemble(file: smf.MidiBytes, reading: _Reading, metas: list[smf.Event]) -> Score:
    clock = _clock(file.division, metas)
    length = clock.seconds(max(file.ends))
    if length > MAX_SECONDS:
        raise MidiError(f"lasts {length:.0f} s: the longest score read here is {MAX_SECONDS:.0f} s")
    seconds = clock.seconds
    order = {key: index for index, key in enumerate(reading.parts)}
    keys = sorted(reading.parts, key=lambda key: (key[0], order[key]))
    instruments: dict[int, set[tuple[int, int]]] = {}  # of each track
    for track, _, channel, program in keys:
        instruments.setdefault(track, set()).add((channel, program))
    parts = []
    for track, port, channel, program in keys:
        drum = channel == DRUM_CHANNEL
        notes = reading.parts[track, port, channel, program]
        alone = file.format != 0 and len(instruments[track]) == 1  # else the track's name is the song's
        name = (_name(file.tracks[track]) if alone else "") or instrument_name(program, drum)
        made = (Note(seconds(on), seconds(off), pitch, loud, program, drum) for on, off, pitch, loud in notes)
        parts.append(Part(name, program, drum, tuple(made)))
    pedals = _pedals(reading, keys, clock)
    # Many files say the metre and the key in every track: once is enough.
    metres = _signs(metas, smf.METRE, clock, _metre)
    signatures = _signs(metas, smf.KEY, clock, _key)
    return Score(tuple(parts), clock.tempi, metres, signatures, pedals, clock.ticks_per_beat)


def _signs(
    metas: list[smf.Event], kind: int, clock: TempoMap, read: Callable[[float, bytes], _Sign]
) -> tuple[_Sign, ...]:
    """The metres or the keys, each once. What is none is warned of: no note depends on it."""
    found: dict[_Sign, None] = {}
    first, wrong = "", 0
    for event in metas:
        if event.first == kind:
            try:
                found[read(clock.seconds(event.tick), event.payload)] = None
            except MidiError as error:
                first, wrong = first or str(error), wrong + 1
    if wrong:
        _warn(f"left out, {first}" + (f" (and {wrong - 1} more)" if wrong > 1 else ""))
    return tuple(found)


def _pedals(reading: _Reading, keys: list[tuple[int, int, int, int]], clock: TempoMap) -> tuple[Pedal, ...]:
    """Each pedal once for every part on its channel."""
    parts: dict[tuple[int, int], list[int]] = {}
    for index, (_, port, channel, _) in enumerate(keys):
        parts.setdefault((port, channel), []).append(index)
    if sum(len(parts.get(place, ())) for _, _, place in reading.pedals) > MAX_PEDALS:
        raise MidiError(f"{len(reading.pedals)} pedal strokes over {len(keys)} parts: at most {MAX_PEDALS} altogether")
    return tuple(
        Pedal(clock.seconds(onset), clock.seconds(offset), index)
        for onset, offset, place in reading.pedals
        for index in parts.get(place, ())
    )


def _clock(division: int, metas: list[smf.Event]) -> TempoMap:
    if division < 0:  # SMPTE: frames a second (high byte, negative), ticks a frame (low byte); tempi do not count
        rate, ticks = -(division >> 8), division & 0xFF
        if rate not in (24, 25, 29, 30) or ticks == 0:
            raise MidiError(f"{rate} SMPTE frames a second of {ticks} ticks: legal are 24, 25, 29, 30 of 1 or more")
        beat = (30 if rate == 29 else rate) * ticks  # a "quarter note" of one second, or 1.001 for 29.97
        return TempoMap(beat, [(0, 1_001_000 if rate == 29 else 1_000_000)])
    changes = []
    for event in metas:
        if event.first == smf.TEMPO:
            tempo = int.from_bytes(event.payload, "big")
            if len(event.payload) != 3 or tempo == 0:
                size = len(event.payload)
                raise MidiError(f"tick {event.tick}: tempo {tempo} in {size} bytes: legal is 1 or more in 3 bytes")
            changes.append((event.tick, tempo))
    return TempoMap(division, changes)


def _metre(time: float, payload: bytes) -> Metre:
    if len(payload) < 2 or payload[1] > 6 or payload[0] == 0:
        raise MidiError(f"{time:.3f} s: metre {payload[:8].hex()}: legal are 1 to 255 notes of 1/1 to 1/64")
    return Metre(time, payload[0], 1 << payload[1])


def _key(time: float, payload: bytes) -> KeySignature:
    sharps = int.from_bytes(payload[:1], "big", signed=True)
    if len(payload) < 2 or abs(sharps) > 7 or payload[1] > 1:
        raise MidiError(f"{time:.3f} s: key signature {payload[:8].hex()}: legal are -7 to 7 sharps and mode 0 or 1")
    minor = payload[1] == 1
    return KeySignature(time, (sharps * 7 + (9 if minor else 0)) % 12, "minor" if minor else "major")


def _port(track: tuple[smf.Event, ...]) -> int:
    return next((e.payload[0] for e in track if e.status == smf.META and e.first == smf.PORT and e.payload), 0)


def _name(track: tuple[smf.Event, ...]) -> str:
    names = (e.payload for e in track if e.status == smf.META and e.first == smf.TRACK_NAME)
    name = next(names, b"")
    try:
        return name.decode("utf-8").strip()
    except UnicodeDecodeError:
        return name.decode("latin-1").strip()  # what the files of before were written in, as those of ABC


def write_midi(score: Score, path: str | os.PathLike | None = None) -> bytes:
    """The score as a Standard MIDI File of format 1, also written to `path` (whole or not at all) if one is given.

    Times are rounded to the nearest tick of the score's grid. Pedals of one part that overlap are joined. The same
    score gives the same bytes. Raises MidiError for more parts than 128 ports hold (1920 melodic, 128 drums), and for two
    events of a track more than 268,435,455 ticks apart (78 hours at 120 and 480 ticks): its numbers end there.
    """
    clock = TempoMap.of(score.tempi, score.ticks_per_beat)
    file = mido.MidiFile(type=1, ticks_per_beat=score.ticks_per_beat, charset="utf-8")
    file.tracks.append(_conductor(score, clock))
    drums = ((port, DRUM_CHANNEL) for port in range(128))
    places = {True: drums, False: ((port, channel) for port in range(128) for channel in _MELODIC)}
    free = max(0, 128 * len(_MELODIC) - sum(not part.is_drum for part in score.parts))
    nested: list[tuple[int, Sequence[Note]]] = []
    for index, part in enumerate(score.parts):
        place = next(places[part.is_drum], None)
        if place is None:
            raise MidiError(f"{len(score.parts)} parts: a MIDI file holds at most 1920 melodic and 128 drum parts")
        layers = [part.notes] if part.is_drum else _layers(part.notes, clock, 1 + min(free, MAX_NESTED))
        free -= len(layers) - 1
        nested += [(index, notes) for notes in layers[1:]]
        file.tracks.append(_track(score, index, layers[0], place, clock))
    for (index, notes), place in zip(nested, places[False], strict=False):
        file.tracks.append(_track(score, index, notes, place, clock))
    buffer = io.BytesIO()
    file.save(file=buffer)
    data = buffer.getvalue()
    if path is not None:
        write_whole(path, data)
    return data


def _conductor(score: Score, clock: TempoMap) -> Any:
    events = [(tick, mido.MetaMessage("set_tempo", tempo=tempo)) for tick, tempo in clock.changes]
    for metre in score.metres:
        message = mido.MetaMessage("time_signature", numerator=metre.numerator, denominator=metre.denominator)
        events.append((clock.tick(metre.time), message))
    for key in score.keys:
        name = (_MAJOR if key.mode == "major" else _MINOR)[key.tonic]
        events.append((clock.tick(key.time), mido.MetaMessage("key_signature", key=name)))
    return _deltas(sorted(events, key=lambda event: event[0]))


def _layers(notes: Sequence[Note], clock: TempoMap, most: int) -> list[list[Note]]:
    """The notes of a part in as few layers as it takes for first in, first out to pair those of every layer; at most so many."""
    layers: list[list[Note]] = [[]]
    # Of each layer and pitch: the last onset, the latest end of what began before it, and the latest end of all.
    seen: list[dict[int, tuple[int, int, int]]] = [{}]
    for note in notes:
        onset = clock.tick(note.onset)
        offset = max(clock.tick(note.offset), onset + 1)
        for number in range(most):
            if number == len(layers):
                layers.append([])
                seen.append({})
            last, earlier, latest = seen[number].get(note.pitch, (onset, 0, 0))
            earlier = latest if last < onset else earlier
            if earlier <= offset:
                seen[number][note.pitch] = (onset, earlier, max(latest, offset))
                layers[number].append(note)
                break
        else:
            layers[0].append(note)  # no channel is left: paired as the format has it
    return layers


def _track(score: Score, index: int, notes: Sequence[Note], place: tuple[int, int], clock: TempoMap) -> Any:
    port, channel = place
    part = score.parts[index]
    head = [mido.MetaMessage("track_name", name=part.name)]
    if port:
        head.append(mido.MetaMessage("midi_port", port=port))
    head.append(mido.Message("program_change", channel=channel, program=part.program))
    # On one tick: ends, then the pedal (up before down), then beginnings.
    events: list[tuple[int, int, Any]] = [(0, -1, message) for message in head]
    for note in notes:
        onset = clock.tick(note.onset)
        offset = max(clock.tick(note.offset), onset + 1)
        events.append((onset, 3, mido.Message("note_on", channel=channel, note=note.pitch, velocity=note.velocity)))
        events.append((offset, 0, mido.Message("note_off", channel=channel, note=note.pitch, velocity=64)))
    for onset, offset in joined((clock.tick(p.onset), clock.tick(p.offset)) for p in score.pedals if p.part == index):
        events.append((onset, 2, mido.Message("control_change", channel=channel, control=64, value=127)))
        events.append((offset, 1, mido.Message("control_change", channel=channel, control=64, value=0)))
    events.sort(key=lambda event: event[:2])
    return _deltas([(tick, message) for tick, _, message in events])


def _deltas(events: list[tuple[int, Any]]) -> Any:
    track, now = mido.MidiTrack(), 0
    for tick, message in events:
        message.time = tick - now
        if message.time > MAX_DELTA:
            raise MidiError(f"{message.time} ticks without an event: a MIDI file can say at most {MAX_DELTA}")
        now = tick
        track.append(message)
    return track
