"""Bass lines: a pattern by genre over the bass notes of the chords."""

from __future__ import annotations

import random

from solfa.data.composer.harmony import Plan
from solfa.data.composer.melody import Tone
from solfa.data.composer.patterns import segments
from solfa.data.composer.theory import Bar, Chord, nearest, step

# (place, length, what): root, fifth, octave, third or sixth of the chord, on a bar of 4/4.
_FIXED: dict[str, tuple[tuple[tuple[int, int, str], ...], ...]] = {
    "bossa": (((0, 700, "root"), (720, 220, "fifth"), (960, 700, "fifth"), (1680, 220, "root")),),
    "tango": (((0, 680, "root"), (720, 220, "fifth"), (960, 440, "octave"), (1440, 440, "fifth")), ((0, 400, "root"),
    (480, 400, "root"), (960, 400, "fifth"), (1440, 400, "root"))),
    "sub": (((0, 700, "root"), (1200, 700, "root")), ((0, 940, "root"), (1080, 340, "root"), (1560, 340, "fifth")),
    ((0, 1900, "root"),)),
    "dub": (((480, 200, "root"), (720, 200, "root"), (960, 440, "third"), (1440, 440, "fifth")), ((0, 460, "root"),
    (720, 220, "root"), (1200, 220, "fifth"), (1440, 400, "root"))),
    "tumbao": (((0, 200, "root"), (720, 680, "fifth"), (1440, 460, "root")),),
    "funk": (
        ((0, 200, "root"), (360, 100, "root"), (480, 100, "octave"), (840, 100, "root"), (1080, 100, "fifth"),
        (1320, 100, "octave"), (1560, 100, "root"), (1800, 100, "fifth")),
        ((0, 300, "root"), (600, 100, "root"), (720, 200, "octave"), (1200, 100, "root"), (1440, 200, "fifth"),
        (1680, 200, "root")),
    ),
}  # fmt: skip


def bass(
    plan: Plan, style: str, roots: dict[int, int], low: int, high: int, rng: random.Random, level: int
) -> list[Tone]:
    """A bass line in a style. `roots` holds the bass pitch at the start of each chord; the line keeps to `low`..`high`."""
    chords = plan.chords
    fixed = rng.choice(_FIXED[style]) if style in _FIXED else ()
    tones: list[Tone] = []
    last_bar = plan.end - plan.bar.length
    for index, chord, bar_start, start, end in segments(plan):
        root = roots[chord.start]
        following = roots[chords[index + 1].start] if index + 1 < len(chords) else root
        if bar_start >= last_bar or style in ("long", "one"):
            if style == "one" and bar_start < last_bar:
                end = min(end, start + plan.bar.beats[0])
            tones.append(Tone(start, end - start, root, 6))
        elif style == "drone":
            _extend(tones, start, end, root)
        elif fixed:
            first = True
            for place, length, what in fixed:
                now = bar_start + place
                if start <= now < end:
                    pitch = root if first else _member(what, root, chord, low, high)
                    tones.append(Tone(now, min(length, end - now), pitch, 4 * plan.bar.strength(place)))
                    first = False
        else:
            tones += _moving(style, plan.bar, chord, (start, end), root, following, (low, high), rng, level)
    return tones


def _extend(tones: list[Tone], start: int, end: int, pitch: int) -> None:
    if tones and tones[-1].pitch == pitch and tones[-1].end == start and tones[-1].length < 7680:
        tones[-1].length += end - start
    else:
        tones.append(Tone(start, end - start, pitch, 4))


def _member(what: str, root: int, chord: Chord, low: int, high: int) -> int:
    """A member of the chord near its bass note, within range."""
    if what == "root":
        return root
    if what == "octave":
        return root + 12 if root + 12 <= high else root - 12 if root - 12 >= low else root
    members = chord.pitches
    if what == "sixth":
        pitch = nearest(root + 9, chord.scale)
    else:
        index = 1 if what == "third" and len(members) > 2 else min(2, len(members) - 1)
        pitch = nearest(root + (4 if what == "third" else 7), (members[index],))
    while pitch > high:
        pitch -= 12
    return pitch if pitch >= low else pitch + 12


def _moving(
    style: str, bar: Bar, chord: Chord, span: tuple[int, int], root: int, following: int, limits: tuple[int, int],
    rng: random.Random, level: int,
) -> list[Tone]:  # fmt: skip
    start, end = span
    if style == "walking":
        return _walk(bar, chord, span, root, following, limits, rng)
    if style == "running":
        return _run(bar, chord, span, root, following, limits, 240 if level else 480)
    if style == "root-fifth":
        return _alternate(bar, chord, span, root, limits)
    if style == "boogie":
        order = (
            ("root", "root", "third", "third", "fifth", "fifth", "sixth", "sixth")
            if level
            else ("root", "third", "fifth", "sixth")
        )
        unit = 240 if level else 480
        if bar.compound:
            order, unit = ("root", "third", "fifth", "sixth"), 720
        return [
            Tone(now, unit * 4 // 5, _member(order[i % len(order)], root, chord, *limits), 6 if i % 2 == 0 else 0)
            for i, now in enumerate(range(start, end, unit))
        ]
    if style == "offbeat":
        return [
            Tone(now + 240, min(200, end - now - 240), root, 6) for now in range(start, end, 480) if now + 240 < end
        ]
    if style == "octaves":
        pitches = (root, _member("octave", root, chord, *limits))
        return [
            Tone(now, min(200, end - now), pitches[i % 2], 4 if i % 2 else 0)
            for i, now in enumerate(range(start, end, 240))
        ]
    unit = 240 if style == "eighths" and level else 480  # "eighths" and "pulse"
    if bar.compound and unit == 480:
        unit = 720
    return [Tone(now, min(unit - 30, end - now), root, 6 if now == start else 0) for now in range(start, end, unit)]


def _beats_within(bar: Bar, start: int, end: int) -> list[tuple[int, int]]:
    bar_start = start - start % bar.length
    pairs = zip(bar.beat_starts(), bar.beats, strict=True)
    return [(bar_start + place, beat) for place, beat in pairs if start <= bar_start + place < end]


def _alternate(bar: Bar, chord: Chord, span: tuple[int, int], root: int, limits: tuple[int, int]) -> list[Tone]:
    """Root and fifth by turns on the strong beats (every beat in 2/4, the first in 3/4)."""
    fifth = _member("fifth", root, chord, *limits)
    if fifth > root and fifth - 12 >= limits[0]:
        fifth -= 12
    beats = _beats_within(bar, *span)
    strong = [pair for pair in beats if bar.strength(pair[0]) >= 2] if len(bar.beats) != 2 else beats
    return [Tone(now, beat * 9 // 10, (root, fifth)[i % 2], 6) for i, (now, beat) in enumerate(strong or beats[:1])]


def _walk(
    bar: Bar,
    chord: Chord,
    span: tuple[int, int],
    root: int,
    following: int,
    limits: tuple[int, int],
    rng: random.Random,
) -> list[Tone]:
    """Quarter notes: the root, chord and scale tones, and a step or half step into the next chord."""
    beats = _beats_within(bar, *span)
    tones: list[Tone] = []
    pitch = root
    for i, (now, beat) in enumerate(beats):
        if i == 0:
            pitch = root
        elif i == len(beats) - 1:
            pitch = (
                following + rng.choice((1, -1))
                if rng.random() < 0.5
                else step(following, rng.choice((1, -1)), chord.scale)
            )
        else:
            towards = 1 if following > pitch else -1
            pitch = step(pitch, towards if rng.random() < 0.5 else -towards, tuple(sorted(set(chord.pitches))))
        while pitch > limits[1]:
            pitch -= 12
        while pitch < limits[0]:
            pitch += 12
        tones.append(Tone(now, beat * 9 // 10, pitch, 3))
    return tones


def _run(
    bar: Bar, chord: Chord, span: tuple[int, int], root: int, following: int, limits: tuple[int, int], unit: int
) -> list[Tone]:
    """Scale steps that arrive next to the next chord's bass note in time; turning round where there is time to spare."""
    start, end = span
    unit = 240 if bar.compound else unit
    count = max(1, (end - start) // unit)
    tones, pitch = [], root
    for i in range(count):
        tones.append(Tone(start + i * unit, unit * 9 // 10, pitch, 5 if i == 0 else 0))
        left = count - i - 1
        away = abs(following - pitch) * 7 // 12
        direction = (
            (1 if following > pitch else -1) if away >= left else (1 if pitch <= root and (i // 2) % 2 == 0 else -1)
        )
        pitch = step(pitch, direction, chord.scale)
        if not limits[0] <= pitch <= limits[1]:
            pitch = step(pitch, -2 * direction, chord.scale)
    return tones
