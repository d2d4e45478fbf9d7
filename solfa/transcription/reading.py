"""Event tokens back to notes and pedals, by the rules of MT3 (Gardner et al., 2021); any ids are read, what makes no sense is counted.

Where we differ from MT3's code: a segment's events reach to its own end, also in the last one; ids of programs above 127 play nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields

from solfa.score import Note
from solfa.transcription.events import tie_section
from solfa.transcription.segments import MIN_DURATION, PEDAL, PedalSpan, Segment
from solfa.transcription.vocabulary import Vocabulary

_VELOCITY = 100  # in force before the first velocity, as in MT3


@dataclass(frozen=True)
class Dropped:
    """How many ids were not used, by reason.

    unknown: padding, unknown or spare ids, or ids outside of the vocabulary. unread: of a kind that notes are not made of.
    late: behind a shift past the segment's end, that shift included. backwards: events before an event already read.
    tie_silent: tied, but nothing sounds. tie_twice: tied already. tie_misplaced: an end of a tie section that has ended.
    off_silent: the end of what does not sound. drum_off: drum hits of velocity 0. no_program: notes of programs above 127, or that the
    vocabulary does not have.
    """

    unknown: int = 0
    unread: int = 0
    late: int = 0
    backwards: int = 0
    tie_silent: int = 0
    tie_twice: int = 0
    tie_misplaced: int = 0
    off_silent: int = 0
    drum_off: int = 0
    no_program: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, each.name) for each in fields(self))

    @property
    def invalid(self) -> int:
        """All but the late ones: what MT3 counts as invalid; the late ones it counts as dropped."""
        return self.total - self.late


class EventReader:
    """Reads the segments of one recording in order: what sounds at the end of one goes on in the next if it is tied there.

    A note begun anew while it sounds ends and begins; nothing is shorter than 10 ms or a step, and drum hits last just so long. Velocity
    and program stay in force until another is said, also into the next segment. `pedals` holds the pedals that have ended so far.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.pedals: list[PedalSpan] = []
        self._counts: Counter[str] = Counter()
        self._open: dict[
            tuple[int, int], tuple[int, int]
        ] = {}  # (program, pitch) -> step and velocity of its beginning
        self._tied: set[tuple[int, int]] = set()
        self._in_ties = False
        self._step, self._program, self._velocity = 0, 0, _VELOCITY
        self._least = max(1, round(MIN_DURATION * vocabulary.steps_per_second))
        self._ended: list[Note] = []
        self._programs = {0} if vocabulary.granularity == "flat" else vocabulary.values("program") & set(range(128))
        kinds = ("pitch", "velocity", "tie", "program", "drum", "pedal")
        self._readers = {kind: getattr(self, f"_{kind}_event") for kind in kinds}

    @property
    def dropped(self) -> Dropped:
        """What was not used so far."""
        return Dropped(**self._counts)

    @property
    def sounding(self) -> list[tuple[int, int]]:
        """(program, pitch) of what has begun and not ended, sorted; PEDAL is the pitch of pedals."""
        return sorted(self._open)

    def prefix(self) -> list[int]:
        """The tie section that says that all that sounds goes on: with it forced, the next segment can only go on from here."""
        return tie_section(self.sounding, self.vocabulary) if self.vocabulary.ties else []

    def push(self, ids: Iterable[int], segment: Segment) -> list[Note]:
        """Read a segment's ids, up to its end token or their end. Gives the notes that ended, sorted."""
        table, size = self.vocabulary.events, self.vocabulary.size
        first, last = segment.steps(self.vocabulary.steps_per_second)
        self._tied, self._in_ties = set(), self.vocabulary.ties
        step, shift = first, 0
        ids = self._until_eos(ids)
        for place, id in enumerate(ids):
            event = table[id] if 0 <= id < size else None
            if event is None:
                self._counts["unknown"] += 1
                continue
            kind, value = event
            if kind == "shift":
                shift += value
                step = first + shift
                if step > last:
                    self._counts["late"] += len(ids) - place
                    break
                continue
            shift = 0
            if kind not in self._readers:
                self._counts["unread"] += 1
            elif step < self._step:
                self._counts["backwards"] += 1
            else:
                self._step = step
                self._readers[kind](value)
        return self._take()

    def finish(self, end: float | None = None) -> list[Note]:
        """End all that sounds at `end` (seconds; not before its beginning), or as MT3 does with the last event. Gives the notes, sorted."""
        if end is None:
            begun = [step + self._least for step, _ in self._open.values()]
            end = self._seconds(max([self._step, *begun]))
        for key in list(self._open):
            self._end(key, end)
        return self._take()

    def _until_eos(self, ids: Iterable[int]) -> list[int]:
        plain = [int(id) for id in ids]
        return plain[: plain.index(self.vocabulary.eos)] if self.vocabulary.eos in plain else plain

    def _seconds(self, step: int) -> float:
        return step / self.vocabulary.steps_per_second

    def _take(self) -> list[Note]:
        ended, self._ended = sorted(self._ended), []
        return ended

    def _end(self, key: tuple[int, int], end: float) -> None:
        step, velocity = self._open.pop(key)
        program, pitch = key
        onset = self._seconds(step)
        offset = max(end, self._seconds(step + self._least))
        if pitch == PEDAL:
            self.pedals.append(PedalSpan(onset, offset, program))
        else:
            self._ended.append(Note(onset, offset, pitch, velocity, program))

    def _begin_or_end(self, pitch: int, begins: bool, velocity: int) -> None:
        """Something begins, ends, or, in the tie section, goes on."""
        key = self._program, pitch
        if self._program not in self._programs:
            self._counts["no_program"] += 1
        elif self._in_ties:
            self._tie(key, begins or pitch != PEDAL)
        elif not begins and key not in self._open:
            self._counts["off_silent"] += 1
        else:
            if key in self._open:
                self._end(key, self._seconds(self._step))
            if begins:
                self._open[key] = self._step, velocity

    def _tie(self, key: tuple[int, int], goes_on: bool) -> None:
        if key not in self._open or not goes_on:
            self._counts["tie_silent"] += 1
        elif key in self._tied:
            self._counts["tie_twice"] += 1
        else:
            self._tied.add(key)

    def _pitch_event(self, pitch: int) -> None:
        self._begin_or_end(pitch, self._velocity > 0, self._velocity)

    def _pedal_event(self, down: int) -> None:
        self._begin_or_end(PEDAL, bool(down), 0)

    def _drum_event(self, key: int) -> None:
        if self._velocity == 0:
            self._counts["drum_off"] += 1
        else:
            onset, offset = self._seconds(self._step), self._seconds(self._step + self._least)
            self._ended.append(Note(onset, offset, key, self._velocity, is_drum=True))

    def _velocity_event(self, bin: int) -> None:
        self._velocity = self.vocabulary.velocity_of(bin)

    def _program_event(self, program: int) -> None:
        self._program = self.vocabulary.program_of(program)

    def _tie_event(self, _: int) -> None:
        if not self._in_ties:
            self._counts["tie_misplaced"] += 1
            return
        self._in_ties = False
        for key in [key for key in self._open if key not in self._tied]:
            self._end(key, self._seconds(self._step))
