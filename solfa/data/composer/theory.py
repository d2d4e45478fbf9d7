"""Scales, chords and metres as small numbers: what every part of the composer agrees on.

Pitch classes run 0 (C) to 11 (B). Time is ticks, 480 a quarter note: integers, so that a seed gives the same score anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

QUARTER = 480

# The scale that melodies are drawn from.
SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
}
# The seven-note scale that chords are stacked from, where it is another.
_PARENTS = {
    "major pentatonic": "major",
    "minor pentatonic": "minor",
    "blues": "mixolydian",
    "harmonic minor": "minor",  # only its dominants take the raised seventh
}
MINOR_MODES = frozenset(mode for mode, scale in SCALES.items() if 3 in scale and 4 not in scale and mode != "blues")

# The beats of a bar in ticks. In 5/4 and 7/8 the grouping is the bar's own rhythm.
METRES: dict[tuple[int, int], tuple[int, ...]] = {
    (2, 4): (480, 480),
    (3, 4): (480, 480, 480),
    (4, 4): (480, 480, 480, 480),
    (5, 4): (480, 480, 480, 480, 480),
    (6, 8): (720, 720),
    (7, 8): (480, 480, 720),
    (9, 8): (720, 720, 720),
    (12, 8): (720, 720, 720, 720),
}
# Where the second accent of the bar falls (index of the beat), if anywhere.
_SECOND_ACCENT = {(4, 4): 2, (5, 4): 3, (12, 8): 2, (7, 8): 2, (6, 8): 1}


@dataclass(frozen=True)
class Chord:
    """A chord sounding from tick `start` for `length` ticks: `pitches` are its pitch classes, root first."""

    start: int
    length: int
    pitches: tuple[int, ...]
    bass: int  # pitch class of the lowest note
    degree: int  # 1 to 7
    scale: tuple[int, ...]  # the pitch classes that melodies may use over it, sorted

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class Bar:
    """A metre as the composer uses it: `beats` in ticks, `length` of the bar, `strength` of any place in it."""

    metre: tuple[int, int]
    beats: tuple[int, ...]

    @property
    def length(self) -> int:
        return sum(self.beats)

    @property
    def compound(self) -> bool:
        """Whether the beats divide in three."""
        return self.metre[1] == 8 and self.metre[0] % 3 == 0

    def beat_starts(self) -> list[int]:
        starts, now = [], 0
        for beat in self.beats:
            starts.append(now)
            now += beat
        return starts

    def strength(self, place: int) -> int:
        """3 on the first beat, 2 on the bar's second accent, 1 on other beats, 0 between beats."""
        starts = self.beat_starts()
        place %= self.length
        if place == 0:
            return 3
        if place not in starts:
            return 0
        return 2 if starts.index(place) == _SECOND_ACCENT.get(self.metre) else 1

    @property
    def accent(self) -> int:
        """Tick of the bar's second accent; its middle beat where the metre has none."""
        return self.beat_starts()[_SECOND_ACCENT.get(self.metre, len(self.beats) // 2)]


def bar_of(metre: tuple[int, int]) -> Bar:
    return Bar(metre, METRES[metre])


def chord_scale(mode: str) -> tuple[int, ...]:
    """The seven-note scale, as steps above the tonic, that a mode's chords come from."""
    return SCALES[_PARENTS.get(mode, mode)]


def diatonic(mode: str, degree: int, size: int) -> tuple[int, ...]:
    """`size` thirds stacked on a degree (1 to 7): semitones above the tonic, root first."""
    scale = chord_scale(mode)
    return tuple((scale[(degree - 1 + 2 * i) % 7]) % 12 for i in range(size))


def nearest(pitch: int, classes: tuple[int, ...] | list[int]) -> int:
    """The pitch nearest to `pitch` whose class is one of `classes`; the lower of two that are as near."""
    for distance in range(12):
        for candidate in (pitch - distance, pitch + distance):
            if candidate % 12 in classes:
                return candidate
    raise ValueError("no pitch classes to choose from")


def step(pitch: int, steps: int, scale: tuple[int, ...]) -> int:
    """The pitch `steps` scale steps away from `pitch` (which is first moved to the scale)."""
    pitch = nearest(pitch, scale)
    direction = 1 if steps > 0 else -1
    for _ in range(abs(steps)):
        pitch += direction
        while pitch % 12 not in scale:
            pitch += direction
    return pitch
