"""The order in which measures are played: repeats and endings written out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class Measure(Protocol):
    """What the bar lines of a measure say.

    opens: it begins with |:. closes: it ends with :|, to be played so many times more. double: it ends with a double bar, or with the end
    of an ending. ending: the passes that an ending beginning here is for.
    """

    @property
    def opens(self) -> bool: ...
    @property
    def closes(self) -> int: ...
    @property
    def double(self) -> bool: ...
    @property
    def ending(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class _Section:
    """A stretch that is repeated as a whole: measures start to body are common to all passes, then come the endings.

    endings: (passes, first measure, measure after the last). stop: where the next section begins.
    """

    start: int
    body: int
    endings: tuple[tuple[tuple[int, ...], int, int], ...]
    stop: int
    passes: int


def playing_order(measures: Sequence[Measure]) -> Iterator[int]:
    """Yield the numbers of the measures as they are played (ABC 2.1, sections 4.8 to 4.10).

    A repeat goes back to its |: or, where it has none, to the latest of the beginning, the last double bar (|| |] [|) and the end of the
    repeat before. An ending ends with :|, a double bar, |: or another ending. It is played in the passes that it names; each but the last
    goes back at its end, even where its :| was forgotten. Repeats do not nest. A double bar right before an ending is no place to go
    back to: nothing would lie between.
    """
    start = 0
    while start < len(measures):
        section = _section(measures, start)
        if not section.endings:
            for _ in range(section.passes):
                yield from range(section.start, section.body)
        for number in range(1, section.passes + 1) if section.endings else ():
            ending = next((e for e in section.endings if number in e[0]), None)
            if ending is None:  # no ending says it is for this pass; after the last one the music goes on
                if number == section.passes:
                    yield from range(section.start, section.body)
                continue
            yield from range(section.start, section.body)
            yield from range(ending[1], ending[2])
        start = section.stop


def _section(measures: Sequence[Measure], start: int) -> _Section:
    """The section that begins at a measure. One without any repeat goes up to the next |: or the end, if it has no |: to a double bar."""
    body = start
    while body < len(measures) and not measures[body].ending and not (measures[body].opens and body > start):
        body += 1
        if measures[body - 1].closes:
            break
        if measures[body - 1].double and not measures[start].opens and not _ending_at(measures, body):
            break
    repeats = measures[body - 1].closes if body > start else 0
    if repeats or body == len(measures) or not measures[body].ending:
        return _Section(start, body, (), body, 1 + repeats)
    endings: list[tuple[tuple[int, ...], int, int]] = []
    place = body
    while place < len(measures) and measures[place].ending and not (measures[place].opens and place > body):
        first = place
        place += 1
        while not (measures[place - 1].closes or measures[place - 1].double) and place < len(measures):
            if measures[place].ending or measures[place].opens:
                break
            place += 1
        endings.append((measures[first].ending, first, place))
    highest = max(max(passes) for passes, _, _ in endings)
    if highest == 1 and measures[endings[-1][2] - 1].closes:
        highest = 2
    return _Section(start, body, tuple(endings), place, highest)


def _ending_at(measures: Sequence[Measure], place: int) -> bool:
    return place < len(measures) and bool(measures[place].ending)
