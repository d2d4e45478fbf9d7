"""Vocabularies of transcription events as tables: which id says what, and by which rules notes are written with it.

A vocabulary is ranges of (kind, lowest, highest), each with its first id. The kinds that notes are written and read with:

    shift     steps since the segment's start (absolute, as MT3's on the wire); of consecutive ones the sum
    pitch     a note begins or ends, by the velocity in force; in the tie section it goes on from the segment before
    velocity  0: what follows ends; 1 to B, its bin: what follows begins
    tie       the end of the tie section
    program   the General MIDI program of what follows
    drum      a hit of this percussion key; a hit has no end
    pedal     1, 0: the sustain pedal of the program in force goes down, up; 1 in the tie section: it is still down

Other kinds may be added (a technique, say): they have ids, notes are not written with them, and reading counts them as unread.

`mt3`, `piano_2021` follow magenta/mt3 (Gardner et al., 2021, arXiv 2111.03017; Hawthorne et al., 2021, arXiv 2107.09142) id for id,
`muscriptor` the ids of MuScriptor (arXiv 2607.08168); `solfa_events` is our own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

Granularity = Literal["full", "midi_class", "flat"]
Order = Literal["mt3", "muscriptor", "grid"]
SPECIALS = 3  # of every preset: padding, end, unknown
_SPARE = 100  # MT3 keeps T5's extra ids behind its events
_MULTIPLE = 128  # MT3 rounds its embeddings up to this
_LIMITS = {"shift": 1 << 20, "pitch": 127, "velocity": 127, "tie": 0, "drum": 127, "pedal": 1}
_FIXED = ("velocity", "tie", "pedal")  # a value more would change what the old ids mean, or means nothing


class Event(NamedTuple):
    """What an id says."""

    kind: str
    value: int


@dataclass(frozen=True)
class TokenRange:
    """The ids `first`, first + 1, ... say the values `lowest` to `highest` of one kind."""

    kind: str
    lowest: int
    highest: int
    first: int

    def __post_init__(self) -> None:
        most = _LIMITS.get(self.kind, 1 << 20)
        if not self.kind or not 0 <= self.lowest <= self.highest <= most:
            raise ValueError(
                f"range {self.kind!r} {self.lowest} to {self.highest}: it needs a kind and 0 <= lowest <= highest <= {most}"
            )
        if self.first < 0:
            raise ValueError(f"range {self.kind!r} begins at id {self.first}: ids count from 0")

    @property
    def end(self) -> int:
        """The first id behind it."""
        return self.first + self.highest - self.lowest + 1


@dataclass(frozen=True)
class Vocabulary:
    """A table of ids; plain enough to stand in a configuration (`dataclasses.asdict`, `checkpoint.config_from_dict`).

    size: ids on the wire, spare ones included; a model has that many logits. steps_per_second: of the shifts. ties: every segment begins
    with a tie section. granularity: how programs are said: all 128, the first of its General MIDI class of 8, or not at all ("flat").
    order: of events at one time. "mt3": ends before beginnings, drums behind notes, by program, by pitch; one time is there the same second
    to the last bit. "grid": the same order of events on one step, so that what comes first does not hang on what no token can say.
    "muscriptor": events on one step with drums last, by program, ends before beginnings, by pitch (as YourMT3's).

    Raises ValueError for ids that are said twice or lie outside of `size`, for values said twice, and where a kind is missing that
    notes cannot do without.
    """

    name: str
    ranges: tuple[TokenRange, ...]
    size: int
    steps_per_second: int = 100
    ties: bool = True
    granularity: Granularity = "full"
    order: Order = "grid"
    pad: int = 0
    eos: int = 1
    unk: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.steps_per_second <= 10_000:
            raise ValueError(f"steps_per_second is {self.steps_per_second}: it must lie between 1 and 10,000")
        for name, legal in (("granularity", get_args(Granularity)), ("order", get_args(Order))):
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} is {getattr(self, name)!r}: legal are {', '.join(legal)}")
        self._check_ids()
        self._check_kinds()

    def _check_ids(self) -> None:
        if not 1 <= self.size <= 1 << 20:
            raise ValueError(f"size is {self.size}: it must lie between 1 and {1 << 20}")
        taken = [(special, special + 1) for special in (self.pad, self.eos, self.unk)]
        taken = sorted(taken + [(each.first, each.end) for each in self.ranges])
        for (_, end), (first, _) in pairwise(taken):
            if first < end:
                raise ValueError(f"vocabulary {self.name!r} uses id {first} twice")
        if taken[0][0] < 0 or taken[-1][1] > self.size:
            raise ValueError(
                f"vocabulary {self.name!r} has ids from {taken[0][0]} to {taken[-1][1] - 1}, but size {self.size}"
            )

    def _check_kinds(self) -> None:
        needed = ["shift", "pitch", "velocity"] + ["tie"] * self.ties + ["program"] * (self.granularity != "flat")
        for kind in needed:
            if not self.has(kind):
                raise ValueError(f"vocabulary {self.name!r} has no {kind}: it needs {', '.join(needed)}")
        for kind in self.kinds:
            values = sorted(value for each in self.ranges if each.kind == kind for value in _values(each))
            if len(set(values)) < len(values):
                raise ValueError(f"vocabulary {self.name!r} says a {kind} twice")
            if kind in ("shift", "velocity", "tie", "pedal") and values != list(range(len(values))):
                raise ValueError(f"vocabulary {self.name!r}: {kind} must have all values from 0 on")
        if self.velocity_bins < 1 or self.max_shift < 1 or (self.has("pedal") and len(self.ids("pedal")) < 2):
            raise ValueError(f"vocabulary {self.name!r}: shift, velocity and pedal need the values 0 and 1 at least")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its kinds, in order of their first range."""
        return tuple(dict.fromkeys(each.kind for each in self.ranges))

    def has(self, kind: str) -> bool:
        return any(each.kind == kind for each in self.ranges)

    @cached_property
    def velocity_bins(self) -> int:
        """B: velocities are said as 1 to B; 0 is an end."""
        return max((each.highest for each in self.ranges if each.kind == "velocity"), default=0)

    @cached_property
    def max_shift(self) -> int:
        """The most steps that one shift says."""
        return max((each.highest for each in self.ranges if each.kind == "shift"), default=0)

    @cached_property
    def events(self) -> tuple[Event | None, ...]:
        """What each of the `size` ids says; None for padding, end, unknown and spare ids."""
        table: list[Event | None] = [None] * self.size
        for each in self.ranges:
            table[each.first : each.end] = [Event(each.kind, value) for value in _values(each)]
        return tuple(table)

    @cached_property
    def _ids(self) -> dict[tuple[str, int], int]:
        return {event: index for index, event in enumerate(self.events) if event is not None}

    @cached_property
    def _by_kind(self) -> dict[str, tuple[int, ...]]:
        by_value = sorted((value, id) for (_, value), id in self._ids.items())
        return {kind: tuple(id for _, id in by_value if self.events[id][0] == kind) for kind in self.kinds}  # type: ignore[index]

    def id(self, kind: str, value: int) -> int:
        """The id that says this. Raises ValueError, with what is legal, where there is none."""
        found = self._ids.get((kind, value))
        if found is None:
            if not self.has(kind):
                raise ValueError(f"vocabulary {self.name!r} has no {kind!r}: legal are {', '.join(self.kinds)}")
            legal = " and ".join(f"{each.lowest} to {each.highest}" for each in self.ranges if each.kind == kind)
            raise ValueError(f"vocabulary {self.name!r} has no {kind} {value}: legal are {legal}")
        return found

    def event(self, id: int) -> Event:
        """What an id says. Raises ValueError for one that says nothing (special, spare or outside)."""
        event = self.events[id] if 0 <= id < self.size else None
        if event is None:
            raise ValueError(
                f"id {id} is no event of vocabulary {self.name!r}: its {len(self._ids)} events lie in 0 to {self.size - 1}"
            )
        return event

    def ids(self, kind: str) -> tuple[int, ...]:
        """All ids of a kind, by value; none for a kind that it does not have."""
        return self._by_kind.get(kind, ())

    def values(self, kind: str) -> set[int]:
        """All values of a kind that can be said."""
        return {value for each in self.ranges if each.kind == kind for value in _values(each)}

    def find(self, kind: str, value: int) -> int | None:
        """As `id`, but None for what cannot be said."""
        return self._ids.get((kind, value))

    def with_added(self, kind: str, lowest: int, highest: int) -> Vocabulary:
        """The vocabulary with more values of a kind, old or new, behind all old ids, which stay; `size` grows only when it must.

        Raises ValueError for values it has already, and for velocities, ties and pedals that would change what old ids mean.
        """
        if kind in _FIXED and self.has(kind):
            raise ValueError(f"vocabulary {self.name!r} has its {kind}s: more would change what the old ones mean")
        first = max(self.pad + 1, self.eos + 1, self.unk + 1, *(each.end for each in self.ranges))
        added = TokenRange(kind, lowest, highest, first)
        size = self.size if added.end <= self.size else _rounded(added.end)
        return replace(self, ranges=(*self.ranges, added), size=size)

    def program_of(self, program: int) -> int:
        """The program as it is said: itself, the first of its class, or 0."""
        return {"full": program, "midi_class": 8 * (program // 8), "flat": 0}[self.granularity]

    def bin_of(self, velocity: int) -> int:
        """The bin of a velocity, 0 to 127: 0 of 0, else ceil(B v / 127)."""
        return math.ceil(self.velocity_bins * velocity / 127)

    def velocity_of(self, bin: int) -> int:
        """The velocity of a bin, its highest: floor(127 b / B). All notes of a vocabulary with one bin come out at 127."""
        return int(127 * bin / self.velocity_bins)


def _values(each: TokenRange) -> range:
    return range(each.lowest, each.highest + 1)


def _rounded(size: int) -> int:
    return -(-size // _MULTIPLE) * _MULTIPLE


def _laid_out(kinds: Iterable[tuple[str, int, int]]) -> tuple[TokenRange, ...]:
    """One range behind the other, from the first id that is not special."""
    ranges: list[TokenRange] = []
    for kind, lowest, highest in kinds:
        ranges.append(TokenRange(kind, lowest, highest, ranges[-1].end if ranges else SPECIALS))
    return tuple(ranges)


def _mt3_ranges(velocity_bins: int, programs: int = 128) -> tuple[TokenRange, ...]:
    return _laid_out(
        (
            ("shift", 0, 1000),
            ("pitch", 0, 127),
            ("velocity", 0, velocity_bins),
            ("tie", 0, 0),
            ("program", 0, programs - 1),
            ("drum", 0, 127),
        )
    )


def _wire(ranges: tuple[TokenRange, ...]) -> int:
    return _rounded(ranges[-1].end + _SPARE)


def mt3() -> Vocabulary:
    """MT3: 1388 events, of one velocity bin, 1536 ids on the wire. Ids here are those on the wire: 3 above the events' own."""
    ranges = _mt3_ranges(1)
    return Vocabulary("mt3", ranges, _wire(ranges), order="mt3")


def piano_2021() -> Vocabulary:
    """The piano model of 2021 as magenta/mt3 has it: 127 velocity bins, no ties, no programs said; 1514 events, 1664 ids on the wire."""
    ranges = _mt3_ranges(127)
    return Vocabulary("piano_2021", ranges, _wire(ranges), ties=False, granularity="flat", order="mt3")


def muscriptor() -> Vocabulary:
    """MuScriptor's 1393 ids: MT3's as far as the tie, then programs to 129. What programs 128 and 129 play no `Note` can hold."""
    ranges = _mt3_ranges(1, programs=130)
    return Vocabulary("muscriptor", ranges, ranges[-1].end, order="muscriptor")


def solfa_events() -> Vocabulary:
    """Ours: velocity, all programs, drums and the sustain pedal in one; 1421 events, 1536 ids on the wire.

    32 velocity bins, each of 4 velocities: a third of the tolerance that velocities are scored with (mir_eval's 0.1 of the range), four
    times the examples for each token of what 127 bins would have, and fewer changes of velocity to write.
    """
    ranges = _mt3_ranges(32)
    ranges = (*ranges, TokenRange("pedal", 0, 1, ranges[-1].end))
    return Vocabulary("solfa_events", ranges, _wire(ranges))


PRESETS: dict[str, Callable[[], Vocabulary]] = {
    "mt3": mt3,
    "piano_2021": piano_2021,
    "muscriptor": muscriptor,
    "solfa_events": solfa_events,
}


def vocabulary(name: str) -> Vocabulary:
    """A vocabulary by its name. Raises ValueError, with the names, for an unknown one."""
    if name not in PRESETS:
        raise ValueError(f"no vocabulary {name!r}: legal are {', '.join(PRESETS)}")
    return PRESETS[name]()
