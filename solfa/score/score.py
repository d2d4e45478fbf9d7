"""A score: parts of notes in seconds, with the tempo, metre, key and pedal that a notation or a synthesizer needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from solfa.score.general_midi import instrument_name
from solfa.score.note import Note


def _check_time(what: str, time: float) -> None:
    if not 0.0 <= time < float("inf"):
        raise ValueError(f"{what} at {time} s: legal are finite times from 0")


@dataclass(frozen=True, order=True)
class TempoChange:
    """From `time` (seconds) on, `bpm` quarter notes a minute. Before the first change a score runs at 120."""

    time: float
    bpm: float

    def __post_init__(self) -> None:
        _check_time("tempo change", self.time)
        if not 3.5 <= self.bpm <= 60_000_000:  # what the 24 bits of microseconds in a MIDI file can say
            raise ValueError(f"tempo of {self.bpm} quarter notes a minute: legal are 3.5 to 60,000,000")


@dataclass(frozen=True, order=True)
class Metre:
    """From `time` (seconds) on, bars of `numerator` (1 to 255) notes of 1/`denominator` (1, 2, 4, ... 64)."""

    time: float
    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        _check_time("metre", self.time)
        if not 1 <= self.numerator <= 255 or self.denominator not in (1, 2, 4, 8, 16, 32, 64):
            raise ValueError(
                f"metre {self.numerator}/{self.denominator}: legal are numerators 1 to 255 over 1, 2, 4, ... 64"
            )

    @property
    def quarters(self) -> float:
        """Length of one bar in quarter notes."""
        return 4.0 * self.numerator / self.denominator


@dataclass(frozen=True, order=True)
class KeySignature:
    """From `time` (seconds) on, the key of `tonic` (pitch class, 0 is C) and `mode` ("major" or "minor")."""

    time: float
    tonic: int
    mode: str

    def __post_init__(self) -> None:
        _check_time("key signature", self.time)
        if not 0 <= self.tonic <= 11 or self.mode not in ("major", "minor"):
            raise ValueError(f"key signature {self.tonic} {self.mode}: legal are tonics 0 to 11 in major or minor")


@dataclass(frozen=True, order=True)
class Pedal:
    """The sustain pedal of part number `part` is down from `onset` to `offset` (seconds)."""

    onset: float
    offset: float
    part: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.onset <= self.offset < float("inf"):
            raise ValueError(f"pedal from {self.onset} to {self.offset} s: it needs 0 <= onset <= offset, both finite")


@dataclass(frozen=True)
class Part:
    """One instrument: all its notes carry the part's program and drum flag, and are kept sorted."""

    name: str
    program: int
    is_drum: bool
    notes: tuple[Note, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.program <= 127:
            raise ValueError(f"part {self.name!r} has program {self.program}: legal are 0 to 127")
        for note in self.notes:
            if note.program != self.program or note.is_drum != self.is_drum:
                raise ValueError(
                    f"part {self.name!r} is program {self.program} (drums: {self.is_drum}), but holds a note of "
                    f"program {note.program} (drums: {note.is_drum})"
                )
        object.__setattr__(self, "notes", tuple(sorted(self.notes)))


@dataclass(frozen=True)
class Score:
    """Parts and the time line they share. Times are seconds; `ticks_per_beat` is the grid that MIDI is written on.

    `tempi`, `metres` and `keys` are kept sorted by time. Raises ValueError for a pedal whose part does not exist and for
    a grid outside 1 to 32767 ticks a quarter note.
    """

    parts: tuple[Part, ...]
    tempi: tuple[TempoChange, ...] = ()
    metres: tuple[Metre, ...] = ()
    keys: tuple[KeySignature, ...] = ()
    pedals: tuple[Pedal, ...] = ()
    ticks_per_beat: int = 480

    def __post_init__(self) -> None:
        if not 1 <= self.ticks_per_beat <= 32767:
            raise ValueError(f"ticks_per_beat {self.ticks_per_beat}: legal are 1 to 32767")
        for pedal in self.pedals:
            if not 0 <= pedal.part < len(self.parts):
                raise ValueError(f"pedal of part {pedal.part}: the score has {len(self.parts)} parts, counted from 0")
        for name in ("tempi", "metres", "keys"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name), key=lambda change: change.time)))
        object.__setattr__(self, "pedals", tuple(sorted(self.pedals)))
        object.__setattr__(self, "parts", tuple(self.parts))

    @property
    def notes(self) -> tuple[Note, ...]:
        """The notes of all parts, sorted."""
        return tuple(sorted(note for part in self.parts for note in part.notes))

    @property
    def duration(self) -> float:
        """Seconds until the last note has ended and the last pedal is up (0 for an empty score)."""
        ends = [note.offset for part in self.parts for note in part.notes]
        return max(ends + [pedal.offset for pedal in self.pedals], default=0.0)


def score_of_notes(notes: Iterable[Note], bpm: float = 120.0) -> Score:
    """A score of loose notes: one part for every program and drum kit, in order of program, drums last, by General MIDI's names."""
    groups: dict[tuple[bool, int], list[Note]] = {}
    for note in notes:
        groups.setdefault((note.is_drum, note.program), []).append(note)
    parts = tuple(
        Part(instrument_name(program, drum), program, drum, tuple(groups[drum, program]))
        for drum, program in sorted(groups)
    )
    return Score(parts=parts, tempi=(TempoChange(0.0, bpm),))


def transposed(score: Score, semitones: int) -> Score:
    """The score moved by `semitones`, keys and all; drums stay. Raises ValueError if a note would leave 0 to 127."""
    parts = tuple(
        part
        if part.is_drum
        else replace(part, notes=tuple(replace(note, pitch=note.pitch + semitones) for note in part.notes))
        for part in score.parts
    )
    keys = tuple(replace(key, tonic=(key.tonic + semitones) % 12) for key in score.keys)
    return replace(score, parts=parts, keys=keys)
