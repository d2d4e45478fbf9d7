"""Notes from the messages that begin and end them, in time order: which end belongs to which beginning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from solfa.score.smf import NOTE_ON, Event

Place = tuple[int, int, int]  # track, channel, pitch


def is_on(event: Event) -> bool:
    """Whether a note message begins a note: one of velocity 0 ends it."""
    return event.status & 0xF0 == NOTE_ON and event.second > 0


@dataclass(slots=True)
class _Stretch:
    """The messages of one place since it last was silent. programs: of its beginnings. depth: how many notes are not ended yet."""

    events: list[Event] = field(default_factory=list)
    programs: list[int] = field(default_factory=list)
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A note with its end, a tick. released: whether a message of its own ended it."""

    begun: Event
    program: int
    offset: int
    released: bool


@dataclass
class Sounding:
    """What sounds while the messages of all tracks go by.

    Notes of one place that overlap are paired first in, first out, where as many are ended as begin. Where ends are missing, the notes
    whose are (those after which the place never comes to as few sounding notes again) last until the next of their pitch begins, as a
    synthesizer would have it, and take no end from the others.
    """

    _stretches: dict[Place, _Stretch] = field(default_factory=dict)
    _active: dict[tuple[int, int], set[Place]] = field(default_factory=dict)  # by port and channel

    def begin(self, place: Place, port: int, event: Event, program: int) -> None:
        """A note begins."""
        stretch = self._stretches.setdefault(place, _Stretch())
        stretch.events.append(event)
        stretch.programs.append(program)
        stretch.depth += 1
        self._active.setdefault((port, place[1]), set()).add(place)

    def end(self, place: Place, port: int, event: Event) -> Iterator[Ended]:
        """A note is ended; gives those of its place once it is silent. Where none sounds the message says nothing."""
        stretch = self._stretches.get(place)
        if stretch is None:
            return
        stretch.events.append(event)
        stretch.depth -= 1
        if stretch.depth == 0:
            yield from self._silenced(place, port, event.tick)

    def end_all(self, port: int, channel: int, tick: int) -> Iterator[tuple[Place, Ended]]:
        """All notes of a channel end, in all tracks."""
        for place in sorted(self._active.get((port, channel), ())):
            for note in self._silenced(place, port, tick):
                yield place, note

    def finish(self, ends: Sequence[int]) -> Iterator[tuple[Place, Ended]]:
        """All tracks have ended, each on its tick."""
        for place, stretch in self._stretches.items():
            for note in _paired(stretch, ends[place[0]]):
                yield place, note

    def _silenced(self, place: Place, port: int, tick: int) -> list[Ended]:
        self._active[port, place[1]].discard(place)
        return list(_paired(self._stretches.pop(place), tick))


def _paired(stretch: _Stretch, tick: int) -> Iterator[Ended]:
    """The notes of a stretch that is silent from a tick on."""
    begun = [event for event in stretch.events if is_on(event)]
    unreleased: list[int] = []  # last in, first out: what is left has no end after which all is as it was before
    count = 0
    for event in stretch.events:
        if is_on(event):
            unreleased.append(count)
            count += 1
        else:
            unreleased.pop()
    lost = set(unreleased)
    ends = iter([event.tick for event in stretch.events if not is_on(event)])
    next_onsets = _next_onsets(begun, tick)
    for number, (event, program) in enumerate(zip(begun, stretch.programs, strict=True)):
        offset = next_onsets[number] if number in lost else next(ends)
        yield Ended(event, program, offset, number not in lost)


def _next_onsets(begun: list[Event], tick: int) -> list[int]:
    """Of each beginning, the tick of the next that is later, else the given one."""
    result: list[int] = []
    later = tick
    for event, after in zip(reversed(begun), [None, *reversed(begun)], strict=False):
        if after is not None and after.tick > event.tick:
            later = after.tick
        result.append(later)
    return result[::-1]
