"""Form and harmony: how long a piece is, which phrases it has, and which chords they stand on.

Phrases of four bars carry letters (AABA, ABAC, rondo); the same letter has the same chords up to its cadence. Chords either follow a
loop of the genre or walk through the functions of the mode (tonic, predominant, dominant; Riemann) to a cadence.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from solfa.data.composer.attributes import Attributes
from solfa.data.composer.genres import GENRES, Genre
from solfa.data.composer.theory import SCALES, Bar, Chord, bar_of, chord_scale, diatonic

_FORMS = ("AABA", "ABAB", "AABB", "ABAC", "AAAB", "AABACA", "ABACABA", "ABCA")
# Where a degree likes to go: (degree, weight). Minor modes lean on 3, 6 and 7.
_MAJOR = {1: ((4, 3), (5, 3), (6, 3), (2, 2), (3, 1)), 2: ((5, 5), (4, 1)), 3: ((6, 4), (4, 2)), 4: ((5, 4), (1, 2), (2, 2)),
          5: ((1, 4), (6, 2), (4, 1)), 6: ((4, 3), (2, 3), (5, 1), (3, 1)), 7: ((1, 4), (3, 1))}  # fmt: skip
_MINOR = {1: ((4, 3), (6, 3), (7, 2), (5, 3), (3, 1)), 2: ((5, 1),), 3: ((6, 4), (4, 2), (7, 2)), 4: ((5, 4), (1, 2), (7, 2)),
          5: ((1, 4), (6, 2)), 6: ((4, 3), (3, 2), (7, 2), (5, 1)), 7: ((3, 3), (1, 2), (6, 2))}  # fmt: skip
_MODAL = {
    "dorian": {1: ((4, 4), (7, 3), (2, 2), (3, 1)), 2: ((1, 2), (4, 2)), 3: ((4, 2), (1, 1)), 4: ((1, 3), (7, 2)), 5: ((1, 2), (4, 2)),
               7: ((4, 3), (1, 3))},
    "mixolydian": {1: ((7, 4), (4, 4), (5, 2)), 2: ((7, 1), (4, 1)), 4: ((1, 3), (7, 2)), 5: ((4, 2), (7, 2)), 6: ((7, 2), (4, 2)),
                   7: ((4, 3), (1, 3))},
    "lydian": {1: ((2, 5), (5, 2), (6, 2), (3, 1)), 2: ((1, 4), (5, 1)), 3: ((2, 2), (6, 2)), 5: ((1, 2), (2, 2)), 6: ((2, 3), (1, 1))},
    "phrygian": {1: ((2, 5), (7, 3), (6, 2)), 2: ((1, 4), (3, 2)), 3: ((2, 3), (1, 1)), 4: ((1, 2), (2, 2)), 6: ((7, 2), (2, 2)),
                 7: ((1, 3), (6, 2))},
}  # fmt: skip
_CADENCES = {
    "dorian": ((4, 1), (7, 1)),
    "mixolydian": ((7, 1), (4, 1)),
    "lydian": ((2, 1),),
    "phrygian": ((2, 1), (7, 1)),
}
_INVERTING = frozenset({"chorale", "baroque", "classical", "romantic piano", "film score", "ballad", "waltz", "march"})
_CHROMATIC = frozenset(
    {"swing jazz", "ragtime", "baroque", "classical", "romantic piano", "waltz", "tango", "bossa nova"}
)


@dataclass(frozen=True)
class Phrase:
    """`bars` bars from tick `start`: `label` names its material, `repeat` counts earlier phrases of that label."""

    start: int
    bars: int
    label: str
    repeat: int
    final: bool
    chords: tuple[Chord, ...]


@dataclass(frozen=True)
class Plan:
    """The frame of a piece: its metre, its phrases, and its end in ticks."""

    bar: Bar
    phrases: tuple[Phrase, ...]

    @property
    def end(self) -> int:
        return self.phrases[-1].start + self.phrases[-1].bars * self.bar.length

    @property
    def chords(self) -> tuple[Chord, ...]:
        return tuple(chord for phrase in self.phrases for chord in phrase.chords)


def stream(seed: int, *names: object) -> random.Random:
    """An independent stream of random numbers for one purpose, the same on every machine (seeded through SHA-512)."""
    return random.Random(":".join(map(str, (seed, *names))))


def weighted(rng: random.Random, pairs: tuple[tuple[int, int], ...]) -> int:
    """One of the first items, drawn by the integer weights in second place."""
    ticket = rng.randrange(sum(weight for _, weight in pairs))
    for item, weight in pairs:
        if ticket < weight:
            return item
        ticket -= weight
    raise AssertionError("weights add up")


def plan(attributes: Attributes) -> Plan:
    """Lay out the phrases of a piece and their chords."""
    rng = stream(attributes.seed, "form")
    bar = bar_of(attributes.metre)
    row = GENRES[attributes.genre]
    quarters = attributes.seconds * attributes.quarters_per_minute / 60.0
    bars = max(2, round(quarters * 480 / bar.length))
    form = rng.choice(_FORMS)
    lengths = _phrase_lengths(bars)
    loops = {letter: _loop(rng, row) for letter in "ABC"}
    phrases: list[Phrase] = []
    now, counts = 0, dict.fromkeys("ABC", 0)
    for index, length in enumerate(lengths):
        label = form[index % len(form)]
        final = index == len(lengths) - 1
        closed = final or index % 2 == 1
        chords = _Writer(attributes, row, bar, label).phrase(
            now, length, closed, final, loops[label], sum(lengths[:index])
        )
        phrases.append(Phrase(now, length, label, counts[label], final, tuple(chords)))
        counts[label] += 1
        now += length * bar.length
    return Plan(bar, tuple(phrases))


def _phrase_lengths(bars: int) -> list[int]:
    """Phrases of four bars; a rest of one bar lengthens the last."""
    lengths = [4] * (bars // 4)
    if bars % 4 == 1 and lengths:
        lengths[-1] = 5
    elif bars % 4:
        lengths.append(bars % 4)
    return lengths


def _loop(rng: random.Random, row: Genre) -> tuple[int, ...]:
    return rng.choice(row.loops) if row.loops and (len(row.loops[0]) == 12 or rng.random() < 0.85) else ()


class _Writer:
    """Writes the chords of phrases with one label. The label's own stream makes every repetition begin alike."""

    def __init__(self, attributes: Attributes, row: Genre, bar: Bar, label: str) -> None:
        self.attributes, self.row, self.bar = attributes, row, bar
        self.rng = stream(attributes.seed, "harmony", label)
        self.mode = attributes.mode
        minor = chord_scale(self.mode)[2] == 3
        self.graph = _MODAL.get(self.mode, _MINOR if minor else _MAJOR)
        self.start_degree = (
            1 if label == "A" else self.rng.choice((4, 6, 1, 5) if self.mode not in _MODAL else (1, 7, 2))
        )

    def phrase(
        self, start: int, bars: int, closed: bool, final: bool, loop: tuple[int, ...], bars_before: int
    ) -> Iterator[Chord]:
        slots = self._slots(bars, loop, final)
        if loop:
            offset = bars_before if len(loop) == 12 else 0
            degrees = self._looped(slots, loop, offset, final)
        else:
            degrees = self._walk(len(slots), closed)
        if final:
            degrees[-1] = 1
        raised = self.mode == "harmonic minor" or (self.mode == "minor" and self.rng.random() < 0.5)
        for index, (place, length) in enumerate(slots):
            following = degrees[index + 1] if index + 1 < len(degrees) else 1
            last = final and index == len(slots) - 1
            yield self._chord(start + place, length, degrees[index], following, raised, last)

    def _slots(self, bars: int, loop: tuple[int, ...], final: bool) -> list[tuple[int, int]]:
        """Where chords begin in the phrase, and how long they last. The last bar of a piece holds one chord."""
        rate, length = self.row.per_bar, self.bar.length
        if loop:
            rate = 2.0 if len(loop) in (6, 8) else min(rate, 1.0)
        slots: list[tuple[int, int]] = []
        index = 0
        while index < bars:
            here, left = index * length, bars - index
            if (final and left == 1) or rate == 1.0:
                slots.append((here, length))
            elif rate < 1.0:
                wide = 2 if left >= 2 and not (final and left == 2) else 1
                slots.append((here, wide * length))
                index += wide - 1
            elif rate >= 3.0:
                slots.extend(self._per_beat(here))
            elif rate >= 2.0 or self.rng.random() < rate - 1.0:
                middle = self.bar.accent
                slots += [(here, middle), (here + middle, length - middle)]
            else:
                slots.append((here, length))
            index += 1
        return slots

    def _per_beat(self, here: int) -> list[tuple[int, int]]:
        slots: list[tuple[int, int]] = []
        for place, beat in zip(self.bar.beat_starts(), self.bar.beats, strict=True):
            if slots and place and self.rng.random() < 0.2:  # hold the chord before
                slots[-1] = (slots[-1][0], slots[-1][1] + beat)
            else:
                slots.append((here + place, beat))
        return slots

    def _looped(self, slots: list[tuple[int, int]], loop: tuple[int, ...], bars_before: int, final: bool) -> list[int]:
        if len(loop) == 12:
            return [loop[(bars_before + place // self.bar.length) % 12] for place, _ in slots]
        known = [degree if degree in self.graph else 1 for degree in loop]
        degrees = [known[index % len(known)] for index in range(len(slots))]
        if final and len(degrees) > 1:
            degrees[-2] = self._cadence()[0]
        return degrees

    def _cadence(self) -> tuple[int, int]:
        return self.rng.choice(_CADENCES.get(self.mode, ((5, 1), (5, 1), (5, 1), (4, 1))))

    def _walk(self, count: int, closed: bool) -> list[int]:
        cadence = self._cadence() if closed else (self.rng.choice((4, 2, 1)) if self.mode not in _MODAL else 1, 5)
        if cadence[1] == 5 and self.mode in _MODAL:
            cadence = (1, _CADENCES[self.mode][0][0])
        degrees = [self.start_degree if self.start_degree in self.graph else 1]
        while len(degrees) < count:
            degrees.append(weighted(self.rng, self.graph[degrees[-1]]))
        tail = cadence[-min(2, max(1, count - 1)) :]
        return degrees[: count - len(tail)] + list(tail) if count > 1 else [1]

    def _chord(self, start: int, length: int, degree: int, following: int, raised: bool, last: bool) -> Chord:
        mode, tonic, colour = self.mode, self.attributes.tonic, self.row.colour
        size = {"triad": 3, "seventh": 4, "ninth": 5, "suspended": 3, "power": 3}[colour]
        pitches = list(diatonic(mode, degree, 3 if last and colour == "seventh" else size))
        scale = set(SCALES[mode])
        if mode == "blues":
            pitches = [pitches[0], (pitches[0] + 4) % 12, (pitches[0] + 7) % 12, (pitches[0] + 10) % 12]
        elif degree == 5 and raised:
            pitches = [11 if pitch == 10 else pitch for pitch in pitches]
            if len(pitches) == 3 and self.rng.random() < 0.4:
                pitches.append(5)
            scale = scale - {10} | {11}
        elif self._applied(degree, following, pitches[0]):
            third = (pitches[0] + 4) % 12
            scale = scale - {(third - 1) % 12} | {third}
            pitches = [pitches[0], third, (pitches[0] + 7) % 12, (pitches[0] + 10) % 12]
        elif colour == "suspended" and not last and self.rng.random() < 0.5:
            pitches[1] = diatonic(mode, degree, 7)[self.rng.choice((4, 5))]  # the ninth or the fourth for the third
            pitches = [p for i, p in enumerate(pitches) if p not in pitches[:i]]
        elif colour == "power" and (pitches[2] - pitches[0]) % 12 == 7 and self.rng.random() < 0.7:
            pitches = [pitches[0], pitches[2]]
        bass = pitches[0]
        if self.row.name in _INVERTING and not last and len(pitches) >= 3 and self.rng.random() < 0.25:
            bass = pitches[1]
        lift = [(pitch + tonic) % 12 for pitch in pitches]
        return Chord(
            start, length, tuple(lift), (bass + tonic) % 12, degree, tuple(sorted((p + tonic) % 12 for p in scale))
        )

    def _applied(self, degree: int, following: int, root: int) -> bool:
        """Whether this chord becomes the dominant of the next one."""
        if self.row.name not in _CHROMATIC or degree in (1, 5) or following == 1:
            return False
        target = chord_scale(self.mode)[following - 1]
        return (target - root) % 12 == 5 and self.rng.random() < (0.8 if self.row.name == "ragtime" else 0.25)
