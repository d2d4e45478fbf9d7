"""Melody: motifs of rhythm and steps, laid over the chords.

Strong places take chord notes, weak ones step between them. A motif is its rhythm and its steps; said again over other chords, it
is the same idea on other notes. Phrases with one letter share their motifs; a repetition may be ornamented.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from solfa.data.composer.harmony import Phrase, Plan, stream
from solfa.data.composer.rhythm import bar_rhythm, closing_rhythm
from solfa.data.composer.theory import Bar, Chord, nearest, step


@dataclass(slots=True)
class Tone:
    """A note on the grid: ticks, a pitch, and `weight`, its velocity relative to the line it is in."""

    start: int
    length: int
    pitch: int
    weight: int = 0

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class Line:
    """What a melodic line is written for: `centre` and the pitches it keeps to, how busy it is, how far it leans off the beat."""

    name: str
    centre: int
    low: int
    high: int
    level: int
    syncopation: float
    triplets: bool
    ornaments: float = 0.15


_STEPS = (1, 1, 1, -1, -1, -1, 1, -1, 2, -2, 0, 3, -3, 2, -2, 4)
_ORDERS = ((0, 1, 0), (0, 0, 1), (0, 1, 1), (0, 1, 2), (0, 0, 0))


class _Motifs:
    """The motifs of one letter: bars of (place, length, step)."""

    def __init__(self, seed: int, line: Line, label: str, bar: Bar) -> None:
        self.rng = stream(seed, "melody", line.name, label)
        self.order = self.rng.choice(_ORDERS)
        self.ideas = [self._idea(line, bar) for _ in range(3)]
        self.closing = [(place, length, self._step(0)) for place, length in closing_rhythm(bar, self.rng, line.level)]
        self.opening = self.rng.choice((0, 2, 4, -3, 0))

    def _step(self, before: int) -> int:
        if abs(before) >= 3:  # after a leap, step back
            return -1 if before > 0 else 1
        return self.rng.choice(_STEPS)

    def _idea(self, line: Line, bar: Bar) -> list[tuple[int, int, int]]:
        idea, before = [], 0
        for place, length in bar_rhythm(bar, self.rng, line.level, line.syncopation, line.triplets):
            before = self._step(before)
            idea.append((place, length, before))
        return idea

    def bar(self, index: int, bars: int) -> list[tuple[int, int, int]]:
        return self.closing if index == bars - 1 else self.ideas[self.order[index % 3]]


def melody(plan: Plan, seed: int, line: Line, bass: dict[int, int] | None = None) -> list[Tone]:
    """A melody over the whole plan. `bass` gives the pitch of the lowest voice at each chord's start: the melody keeps clear of
    parallel fifths and octaves with it."""
    tones: list[Tone] = []
    motifs: dict[str, _Motifs] = {}
    guard = _Guard(bass or {})
    pitch = line.centre
    for phrase in plan.phrases:
        if phrase.label not in motifs:
            motifs[phrase.label] = _Motifs(seed, line, phrase.label, plan.bar)
        written = _phrase(phrase, plan.bar, motifs[phrase.label], line, pitch, guard)
        if phrase.repeat and line.ornaments:
            written = _ornamented(written, phrase, plan.bar, line, stream(seed, "ornament", line.name, phrase.start))
        tones += written
        pitch = written[-1].pitch if written else pitch
    return tones


class _Guard:
    """Remembers the outer voices at the last chord, and says which pitches would run parallel to the bass."""

    def __init__(self, bass: dict[int, int]) -> None:
        self.bass = bass
        self.before: tuple[int, int] | None = None

    def allows(self, start: int, pitch: int) -> bool:
        if self.before is None or start not in self.bass:
            return True
        low, high = self.before
        here = self.bass[start]
        interval = (pitch - here) % 12
        return here == low or pitch == high or interval not in (0, 7) or interval != (high - low) % 12

    def note(self, start: int, pitch: int) -> None:
        if start in self.bass:
            self.before = (self.bass[start], pitch)


def chord_at(chords: tuple[Chord, ...], tick: int, hint: int = 0) -> int:
    """The index of the chord sounding at a tick, searched from index `hint` on; the last one beyond the end."""
    while hint + 1 < len(chords) and chords[hint].end <= tick:
        hint += 1
    return hint


def _phrase(phrase: Phrase, bar: Bar, motifs: _Motifs, line: Line, pitch: int, guard: _Guard) -> list[Tone]:
    tones: list[Tone] = []
    index = 0
    # A phrase starts near the line's centre, so that the same letter sounds alike.
    pitch = (pitch + line.centre + line.centre + motifs.opening) // 3
    for number in range(phrase.bars):
        here = phrase.start + number * bar.length
        notes = motifs.bar(number, phrase.bars)
        for place, length, move in notes:
            index = chord_at(phrase.chords, here + place, index)
            chord = phrase.chords[index]
            last = number == phrase.bars - 1 and (place, length) == notes[-1][:2]
            strong = bar.strength(place) >= 1 or length >= 480 or here + place == chord.start
            pitch = _next(pitch, move, chord, line, strong)
            if last:
                pitch = _arrival(pitch, chord, phrase.final)
            pitch = _kept(pitch, line)
            if not guard.allows(here + place, pitch):
                pitch = _sidestep(pitch, chord, here + place, line, guard)
            guard.note(here + place, pitch)
            tones.append(Tone(here + place, length, pitch, 6 * min(2, bar.strength(place))))
    return tones


def _next(pitch: int, move: int, chord: Chord, line: Line, strong: bool) -> int:
    """The next pitch: `move` steps on, turned round at the edges of the range, on a chord note if the place is strong."""
    reach = pitch - line.centre
    if (reach > 7 and move > 0) or (reach < -7 and move < 0):
        move = -move
    target = step(pitch, move, chord.scale)
    if strong:
        common = tuple(p for p in chord.pitches if p in chord.scale)
        target = nearest(target, common or chord.pitches)
    return target


def _arrival(pitch: int, chord: Chord, final: bool) -> int:
    return nearest(pitch, (chord.pitches[0],) if final else chord.pitches[:3])


def _kept(pitch: int, line: Line) -> int:
    while pitch > line.high:
        pitch -= 12
    while pitch < line.low:
        pitch += 12
    return pitch


def _sidestep(pitch: int, chord: Chord, start: int, line: Line, guard: _Guard) -> int:
    """The nearest other chord note that runs parallel to nothing; the pitch itself if there is none."""
    for distance in range(1, 10):
        for candidate in (pitch - distance, pitch + distance):
            if (
                candidate % 12 in chord.pitches
                and line.low <= candidate <= line.high
                and guard.allows(start, candidate)
            ):
                return candidate
    return pitch


def _ornamented(tones: list[Tone], phrase: Phrase, bar: Bar, line: Line, rng: random.Random) -> list[Tone]:
    """Now and then split a note into itself and a neighbour, or add a turn before a long one."""
    result: list[Tone] = []
    index = 0
    for tone in tones:
        index = chord_at(phrase.chords, tone.start, index)
        if (
            tone.length < 480
            or tone is tones[-1]
            or tone.length % 240
            or rng.random() >= line.ornaments * (1 + line.level)
        ):
            result.append(tone)
            continue
        scale = phrase.chords[index].scale
        neighbour = _kept(step(tone.pitch, rng.choice((1, -1)), scale), line)
        half = tone.length // 2 if rng.random() < 0.5 else tone.length - 240
        result.append(Tone(tone.start, half, tone.pitch, tone.weight))
        result.append(Tone(tone.start + half, tone.length - half, neighbour, 0))
    return result
