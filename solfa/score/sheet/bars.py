"""Bar by bar, what is printed of a voice: notes and rests of printable lengths, with dots, ties and tuplets.

A symbol is cut at bar lines, at the edges of tuplets, and where a length that no note head can show, or one that would hide the beat,
needs a tie (lengths.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

from solfa.score.sheet.lengths import SHORTEST, Metrical, odd_part, plain_split, printable
from solfa.score.sheet.notation import BarLength, Key, Sheet, Symbol, Tempo, Voice, beats_of

_ZERO = Fraction(0)


@dataclass(frozen=True)
class Tuplet:
    """`actual` notes in the time of `normal`: a triplet is 3 in the time of 2."""

    actual: int
    normal: int


@dataclass(frozen=True)
class Piece:
    """One note, chord or rest as it is printed.

    `onset` and `duration` are the sounding ones, quarter notes from the sheet's start. `value` is the note head's own length (4 whole,
    1 quarter, 1/2 eighth ..., 8 breve) before dots and tuplet: duration = value * (2 - 2 ** -dots) * normal / actual. No pitches: a
    rest. Ties count for all pitches of a chord. A `whole_bar` rest fills its bar whatever the metre; its value says nothing then.
    `tuplet_start` and `tuplet_stop` mark the first and last piece under one bracket.
    """

    onset: Fraction
    duration: Fraction
    pitches: tuple[int, ...]
    velocity: int
    value: Fraction
    dots: int = 0
    tie_in: bool = False
    tie_out: bool = False
    tuplet: Tuplet | None = None
    tuplet_start: bool = False
    tuplet_stop: bool = False
    whole_bar: bool = False

    @property
    def is_rest(self) -> bool:
        """Whether nothing sounds."""
        return not self.pitches


@dataclass(frozen=True)
class BarLine:
    """A bar of the sheet: `number` counts from 1, the upbeat is 0. The tempi and keys are those that begin within it."""

    number: int
    onset: Fraction
    duration: Fraction
    metre: BarLength
    new_metre: bool  # whether this metre begins here (in the first bar: always)
    keys: tuple[Key, ...]
    tempi: tuple[Tempo, ...]

    @property
    def end(self) -> Fraction:
        """Where the next bar begins."""
        return self.onset + self.duration


@dataclass(frozen=True)
class Bar:
    """A bar of one voice; its pieces fill it from `line.onset` to `line.end`."""

    line: BarLine
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class _Span:
    """A part of the bar; places are quarter notes from where the bar would begin if it were full."""

    start: Fraction
    end: Fraction
    symbol: Symbol | None


@dataclass(frozen=True)
class _Bracket:
    """Where a tuplet lies, in places like a span's."""

    start: Fraction
    end: Fraction
    tuplet: Tuplet


def bar_lines(sheet: Sheet) -> Iterator[BarLine]:
    """The bars of a sheet, at least one, until every symbol has ended; the last is full.

    Raises ValueError for metres that change inside a bar, and for an upbeat as long as a bar or longer.
    """
    if not 0 <= sheet.upbeat < sheet.metres[0].quarters:
        raise ValueError(
            f"upbeat of {sheet.upbeat} quarters: legal are 0 to less than a bar, {sheet.metres[0].quarters}"
        )
    last = max(
        (voice.symbols[-1].onset + voice.symbols[-1].duration for voice in sheet.voices if voice.symbols), default=_ZERO
    )
    last = max([last, *(metre.onset + SHORTEST for metre in sheet.metres[1:])])
    keys, tempi = [key.onset for key in sheet.keys], [tempo.onset for tempo in sheet.tempi]
    index, now, number = 0, _ZERO, 0 if sheet.upbeat else 1
    fresh = True
    while now < last or number < 2:
        while index + 1 < len(sheet.metres) and sheet.metres[index + 1].onset <= now:
            index, fresh = index + 1, True
        end = now + (sheet.metres[index].quarters if number else sheet.upbeat)
        if index + 1 < len(sheet.metres) and sheet.metres[index + 1].onset < end:
            raise ValueError(f"metre at {sheet.metres[index + 1].onset} quarters: metres change on bar lines only")
        here = sheet.keys[bisect_left(keys, now) : bisect_left(keys, end)]
        speeds = sheet.tempi[bisect_left(tempi, now) : bisect_left(tempi, end)]
        yield BarLine(number, now, end - now, sheet.metres[index], fresh, here, speeds)
        now, number, fresh = end, number + 1, False


def bars(sheet: Sheet, voice: Voice, cuts: Collection[Fraction] = ()) -> Iterator[Bar]:
    """Yield the bars of a voice. All voices of a sheet have the same bars, and their pieces sum to the bar's length.

    `cuts` are further places (quarter notes) where a piece must end and another begin, say for a change of tempo that a notation can
    write only between notes. Raises ValueError for symbols that overlap, that lie before 0, or whose times are finer than a 1024th note.
    """
    symbols = _checked(voice)
    onsets = [symbol.onset for symbol in symbols]
    places = sorted(cuts)
    for line in bar_lines(sheet):
        first = max(bisect_right(onsets, line.onset) - 1, 0)
        here = symbols[first : bisect_left(onsets, line.end)]
        # Places count from the start of the full bar, so that beats of an upbeat are those before its bar line.
        origin = line.end - line.metre.quarters
        inner = {cut - origin for cut in places[bisect_right(places, line.onset) : bisect_left(places, line.end)]}
        spans = _filled(line, origin, here)
        if len(spans) == 1 and spans[0].symbol is None and line.number and not inner:
            rest = Piece(line.onset, line.duration, (), 80, Fraction(4), whole_bar=True)
            yield Bar(line, (rest,))
        else:
            yield Bar(line, tuple(_pieces(line.metre, origin, spans, inner)))


def _checked(voice: Voice) -> list[Symbol]:
    """The symbols in order; ValueError if they overlap."""
    symbols = sorted(voice.symbols)
    end = _ZERO
    for symbol in symbols:
        if symbol.onset < end or symbol.duration <= 0 or not symbol.pitches:
            raise ValueError(
                f"voice {voice.name!r}: the symbol at {symbol.onset} for {symbol.duration} quarters, pitches {symbol.pitches}: it needs "
                f"a pitch and a length above 0, and may not begin before the last has ended at {end}"
            )
        end = symbol.onset + symbol.duration
    return symbols


def _filled(line: BarLine, origin: Fraction, symbols: list[Symbol]) -> list[_Span]:
    """What of the symbols lies in the bar, with rests between."""
    spans, now = [], line.onset
    for symbol in symbols:
        start, end = max(symbol.onset, line.onset), min(symbol.onset + symbol.duration, line.end)
        if start >= end:
            continue
        if start > now:
            spans.append(_Span(now - origin, start - origin, None))
        spans.append(_Span(start - origin, end - origin, symbol))
        now = end
    if now < line.end:
        spans.append(_Span(now - origin, line.end - origin, None))
    return spans


def _pieces(metre: BarLength, origin: Fraction, spans: list[_Span], cuts: set[Fraction]) -> Iterator[Piece]:
    """The pieces of a bar in order."""
    points = sorted({span.start for span in spans} | {span.end for span in spans} | cuts)
    brackets = _tuplets(points, [*beats_of(metre), metre.quarters])
    edges = sorted({edge for bracket in brackets for edge in (bracket.start, bracket.end)} | cuts)
    rule = Metrical(metre)
    for bracket, group in _grouped(_cut(spans, edges), brackets):
        if bracket is not None:
            yield from _bracketed(origin, bracket, group)
            continue
        for span in group:
            for start, end in rule.split(span.start, span.end, span.symbol is None):
                yield _piece(origin, start, end, span.symbol, None)


def _bracketed(origin: Fraction, bracket: _Bracket, group: list[_Span]) -> Iterator[Piece]:
    """The pieces under one tuplet bracket."""
    tuplet = bracket.tuplet
    stretch = Fraction(tuplet.actual, tuplet.normal)
    found = []
    for span in group:
        for a, b in plain_split((span.start - bracket.start) * stretch, (span.end - bracket.start) * stretch):
            found.append(_piece(origin, bracket.start + a / stretch, bracket.start + b / stretch, span.symbol, tuplet))
    found[0] = replace(found[0], tuplet_start=True)
    found[-1] = replace(found[-1], tuplet_stop=True)
    yield from found


def _cut(spans: list[_Span], edges: list[Fraction]) -> Iterator[_Span]:
    for span in spans:
        inner = [edge for edge in edges if span.start < edge < span.end]
        for start, end in zip([span.start, *inner], [*inner, span.end], strict=True):
            yield _Span(start, end, span.symbol)


def _grouped(spans: Iterator[_Span], brackets: list[_Bracket]) -> Iterator[tuple[_Bracket | None, list[_Span]]]:
    """Runs of spans under the same bracket, or under none."""
    current: _Bracket | None = None
    group: list[_Span] = []
    for span in spans:
        bracket = next((b for b in brackets if b.start <= span.start < b.end), None)
        if group and bracket != current:
            yield current, group
            group = []
        current = bracket
        group.append(span)
    if group:
        yield current, group


def _piece(origin: Fraction, start: Fraction, end: Fraction, symbol: Symbol | None, tuplet: Tuplet | None) -> Piece:
    shown = (end - start) * (Fraction(tuplet.actual, tuplet.normal) if tuplet else 1)
    value, dots = printable(shown) or (shown, 0)
    onset = origin + start
    if symbol is None:
        return Piece(onset, end - start, (), 80, value, dots, tuplet=tuplet)
    tie_in, tie_out = symbol.onset < onset, origin + end < symbol.onset + symbol.duration
    return Piece(onset, end - start, symbol.pitches, symbol.velocity, value, dots, tie_in, tie_out, tuplet)


def _tuplets(points: list[Fraction], cells: list[Fraction]) -> list[_Bracket]:
    """The brackets of a bar whose symbols begin and end at `points`. A stretch of beats (`cells` are their edges) is one bracket if it
    is divided evenly; if not, its halves are looked at, down to what lies between the places of one beat."""
    start, end = cells[0], cells[-1]
    here = points[bisect_left(points, start) : bisect_right(points, end)]
    odd = lcm(*(odd_part(point.denominator) for point in here))
    if odd == 1:
        return []
    even = all(((point - start) * odd / (end - start)).denominator == 1 for point in here)
    cut = None if even else _middle(cells, here)
    if cut is None:
        return [_Bracket(start, end, Tuplet(odd, 1 << (odd.bit_length() - 1)))]
    low, high = [cell for cell in cells if cell < cut], [cell for cell in cells if cell > cut]
    return _tuplets(here, [*low, cut]) + _tuplets(here, [cut, *high])


def _middle(cells: list[Fraction], points: list[Fraction]) -> Fraction | None:
    """Where to part a stretch: between its beats, or within one at the roundest place where something begins."""
    if len(cells) > 2:
        return cells[len(cells) // 2]
    round_places = [point for point in points if cells[0] < point < cells[1] and odd_part(point.denominator) == 1]
    return min(round_places, key=lambda place: place.denominator, default=None)
