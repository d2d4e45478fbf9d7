"""Drills: notes that no composer would write, so that a transcriber learns to hear what is there and not what music makes likely.

Every key of an instrument is as likely as any other, in lines, chords, two hands, repeated notes, trills and scattered notes; any interval,
any onset, long and short, soft and loud, with pedal and without. Composed pieces are in a key, and in the middle of the keyboard.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from solfa.data.composer.instruments import INSTRUMENTS
from solfa.data.programs import PIANOS, Presets
from solfa.data.strokes import SHORTEST, apart
from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score

PEDALLED = PIANOS | frozenset((8, 10, 11, 14, 46))  # what rings: celesta, music box, vibraphone, bells, harp
BEYOND = 4  # semitones that others may leave their comfortable range by
SECTION = (1.5, 6.0)  # seconds of one texture

Stroke = tuple[float, float, int]  # onset, length, pitch


@dataclass(frozen=True)
class _Section:
    """A stretch of one texture: its keys, and the usual time from one stroke to the next."""

    start: float
    end: float
    low: int
    high: int
    pace: float
    touch: float  # length of a note against that time


def drill(rng: random.Random, seconds: float, presets: Presets) -> Score:
    """One to three parts of about `seconds`, each of one program that may sound. Raises ValueError where none may."""
    programs = sorted(presets.programs)
    if not programs:
        raise ValueError("drills need a program that may sound: drums alone do not do")
    parts, pedals = [], []
    for number in range(rng.choices((1, 2, 3), (6, 3, 1))[0]):
        program = rng.choice(programs)
        notes = _played(rng, program, seconds)
        if program in PEDALLED and rng.random() < 0.5:
            pedals += [Pedal(start, end, number) for start, end in _pressed(rng, seconds)]
        parts.append(Part(INSTRUMENTS[program].name, program, False, notes))
    return Score(tuple(parts), pedals=tuple(pedals))


def _played(rng: random.Random, program: int, seconds: float) -> tuple[Note, ...]:
    instrument = INSTRUMENTS[program]
    low, high = instrument.low - BEYOND, instrument.high + BEYOND
    if program in PIANOS:
        low, high = 21, 108
    strokes: list[Note] = []
    start = rng.uniform(0.0, 0.5)
    while start < seconds - SHORTEST:
        end = min(seconds, start + rng.uniform(*SECTION))
        centre, spread = rng.uniform(20, 115), rng.uniform(1, 22)
        for onset, length, pitch in _texture(rng, _section(rng, start, end, low, high)):
            loud = round(min(127, max(8, rng.gauss(centre, spread))))
            end_of = max(min(onset + length, seconds), onset + SHORTEST)
            strokes.append(Note(onset, end_of, pitch, loud, program))
        start = end + rng.choice((0.0, 0.0, rng.uniform(0.0, 1.0)))
    return apart(strokes)


def _section(rng: random.Random, start: float, end: float, low: int, high: int) -> _Section:
    pace = math.exp(rng.uniform(math.log(0.09), math.log(0.9)))
    return _Section(start, end, low, high, pace, math.exp(rng.uniform(math.log(0.3), math.log(2.5))))


def _texture(rng: random.Random, section: _Section) -> Iterator[Stroke]:
    kinds: tuple[Callable[[random.Random, _Section], Iterator[Stroke]], ...]
    kinds = (_line, _chords, _hands, _repeated, _trill, _scattered)
    return rng.choices(kinds, (3, 4, 4, 1, 1, 2))[0](rng, section)


def _times(rng: random.Random, section: _Section, looseness: float) -> Iterator[float]:
    """Strokes from the start to the end of a section, no two nearer than the shortest."""
    now = section.start
    while now < section.end - SHORTEST:
        yield now
        now += max(SHORTEST, section.pace * rng.choice((0.5, 1, 1, 1, 1, 2)) * math.exp(rng.gauss(0.0, looseness)))


def _line(rng: random.Random, section: _Section) -> Iterator[Stroke]:
    reach, pitch = rng.choice((2, 4, 12)), rng.randint(section.low, section.high)
    for now in _times(rng, section, 0.1):
        yield now, section.pace * section.touch, pitch
        pitch += rng.randint(-reach, reach)
        if not section.low <= pitch <= section.high:
            pitch = rng.randint(section.low, section.high)


def _chords(rng: random.Random, section: _Section) -> Iterator[Stroke]:
    span, spread = rng.randint(7, 28), rng.choice((0.0, 0.005, 0.03))
    low = rng.randint(section.low, max(section.low, section.high - span))
    keys = range(low, min(low + span, section.high) + 1)
    slow = _Section(section.start, section.end, section.low, section.high, max(0.15, section.pace), section.touch)
    for now in _times(rng, slow, 0.1):
        for pitch in rng.sample(keys, min(len(keys), rng.randint(2, 6))):
            yield now + rng.uniform(0.0, spread), slow.pace * section.touch, pitch


def _hands(rng: random.Random, section: _Section) -> Iterator[Stroke]:
    """A line or chords above, chords or a line below, each at its own pace."""
    middle = rng.randint(section.low + 5, max(section.low + 5, section.high - 5))
    for low, high in ((section.low, middle), (middle + 1, section.high)):
        if low < high:
            own = _section(rng, section.start, section.end, low, high)
            yield from rng.choice((_line, _chords))(rng, own)


def _repeated(rng: random.Random, section: _Section) -> Iterator[Stroke]:
    keys = [rng.randint(section.low, section.high) for _ in range(rng.choice((1, 1, 2, 3)))]
    for now in _times(rng, section, 0.03):
        for pitch in keys:
            yield now, section.pace * min(section.touch, 1.0), pitch


def _trill(rng: random.Random, section: _Section) -> Iterator[Stroke]:
    low = rng.randint(section.low, section.high - 4)
    high, pace = low + rng.randint(1, 4), rng.uniform(0.06, 0.14)
    quick = _Section(section.start, section.end, low, high, pace, section.touch)
    for count, now in enumerate(_times(rng, quick, 0.02)):
        yield now, pace, (low, high)[count % 2]


def _scattered(rng: random.Random, section: _Section) -> Iterator[Stroke]:
    for now in _times(rng, section, 0.8):
        yield now, math.exp(rng.uniform(math.log(0.05), math.log(3.0))), rng.randint(section.low, section.high)


def _pressed(rng: random.Random, seconds: float) -> Iterator[tuple[float, float]]:
    """Pedals down and up, from quick changes to long blurs."""
    now = rng.uniform(0.0, 1.0)
    while now < seconds - 0.2:
        up = min(seconds, now + math.exp(rng.uniform(math.log(0.2), math.log(5.0))))
        yield now, up
        now = up + rng.choice((0.05, 0.1, rng.uniform(0.1, 2.0)))
