"""Rhythm: cells of one or two beats, drawn by density, joined to bars."""

from __future__ import annotations

import random

from solfa.data.composer.theory import Bar

# Cells that fill one beat, by how busy the line is (0 calm to 3 very busy). A negative length is a rest.
_SIMPLE: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((480,), (480,), (480,), (240, 240), (480,)),
    ((480,), (480,), (480,), (240, 240), (240, 240), (360, 120), (-240, 240)),
    ((240, 240), (240, 240), (240, 240), (480,), (360, 120), (240, 120, 120), (120, 120, 240), (-240, 240), (160, 160, 160)),
    ((120, 120, 120, 120), (120, 120, 120, 120), (240, 120, 120), (120, 120, 240), (240, 240), (-120, 120, 120, 120), (160, 160, 160)),
)  # fmt: skip
_COMPOUND: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((720,), (720,), (480, 240)),
    ((720,), (480, 240), (480, 240), (240, 240, 240), (240, 480)),
    ((480, 240), (240, 240, 240), (240, 240, 240), (360, 120, 240), (-240, 240, 240)),
    ((240, 240, 240), (240, 120, 120, 240), (120, 120, 240, 240), (240, 240, 120, 120), (120, 120, 120, 120, 120, 120)),
)  # fmt: skip
# Cells over two quarter beats that lean against the beat.
_LEANING: tuple[tuple[int, ...], ...] = (
    (240, 480, 240), (360, 360, 240), (-240, 240, 240, 240), (360, 120, 240, 240), (240, 240, -240, 240), (120, 240, 120, 480),
    (480, -240, 240), (360, 600), (-120, 360, 240, 240),
)  # fmt: skip
_HOLD = (0.5, 0.25, 0.08, 0.02)  # how often a note lasts two beats


def busyness(density: str, beats_per_minute: int) -> int:
    """How busy a line is, 0 to 3: the density asked for, eased at fast tempi and filled at slow ones."""
    level = {"sparse": 0, "medium": 1, "dense": 2}[density]
    return min(3, max(0, level + (beats_per_minute < 80) - (beats_per_minute > 150))) if level else 0


def bar_rhythm(bar: Bar, rng: random.Random, level: int, syncopation: float, triplets: bool) -> list[tuple[int, int]]:
    """One bar of notes as (place in the bar, length), with rests as gaps."""
    result: list[tuple[int, int]] = []
    now, index, beats = 0, 0, bar.beats
    while index < len(beats):
        beat = beats[index]
        pair = index + 1 < len(beats) and beat == beats[index + 1] == 480
        if index + 1 < len(beats) and rng.random() < _HOLD[level]:
            cell: tuple[int, ...] = (beat + beats[index + 1],)
            index += 1
        elif pair and rng.random() < syncopation * (0.35 if level == 0 else 0.7):
            cell = rng.choice(_LEANING)
            index += 1
        else:
            cell = rng.choice((_SIMPLE if beat == 480 else _COMPOUND)[level])
            if not triplets and cell == (160, 160, 160):
                cell = (240, 240)
        for length in cell:
            if length > 0:
                result.append((now, length))
            now += abs(length)
        index += 1
    return result


def closing_rhythm(bar: Bar, rng: random.Random, level: int) -> list[tuple[int, int]]:
    """The last bar of a phrase: an upbeat of at most two beats' motion into a long note, and a breath."""
    starts = bar.beat_starts()
    arrival = rng.choice([0, 0, starts[1]] if level < 2 or len(starts) < 3 else [0, starts[1], starts[2]])
    result = []
    for place, beat in zip(starts, bar.beats, strict=True):
        if place >= arrival:
            break
        half = 240 if beat == 480 else 480
        result += [(place, half), (place + half, beat - half)] if level and rng.random() < 0.6 else [(place, beat)]
    breath = 240 if bar.length - arrival > 480 else 60
    result.append((arrival, bar.length - arrival - breath))
    return result
