"""Accompaniment: patterns of one bar that play the tones of whatever chord sounds.

A pattern is a list of strokes `(place, length, pick)`: where in the bar, how long, and which tones: `ALL`, or an index into
the ladder of chord tones (the voicing, then the same an octave higher, and so on).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from solfa.data.composer.harmony import Plan, stream
from solfa.data.composer.melody import Tone
from solfa.data.composer.theory import Bar, Chord

ALL = -1
Stroke = tuple[int, int, int]
SIXTEENTH, EIGHTH, QUARTER = 120, 240, 480


def segments(plan: Plan) -> Iterator[tuple[int, Chord, int, int, int]]:
    """Every chord cut at the bar lines: (index of the chord, chord, start of the bar, start, end)."""
    length = plan.bar.length
    index = 0
    for phrase in plan.phrases:
        for chord in phrase.chords:
            now = chord.start
            while now < chord.end:
                bar_start = now - now % length
                end = min(chord.end, bar_start + length)
                yield index, chord, bar_start, now, end
                now = end
            index += 1


def play(plan: Plan, strokes: dict[str, list[Stroke]], voiced: list[tuple[int, ...]], spread: int = 0) -> list[Tone]:
    """Play a pattern (one for each phrase letter) on voiced chords. Strokes end with their chord; the last bar of the piece is one
    held chord. `spread` ticks part the tones of a chord, lowest first."""
    tones: list[Tone] = []
    labels = [phrase.label for phrase in plan.phrases for _ in phrase.chords]
    last_bar = plan.end - plan.bar.length
    for index, _, bar_start, start, end in segments(plan):
        voicing = voiced[index]
        if bar_start >= last_bar:
            tones += [Tone(start + i * spread, end - start - i * spread, pitch, 4) for i, pitch in enumerate(voicing)]
            continue
        for place, length, pick in strokes[labels[index]]:
            now = bar_start + place
            if not start <= now < end:
                continue
            stop = min(now + length, end)
            accent = 3 * plan.bar.strength(place)
            if pick == ALL:
                tones += [
                    Tone(now + i * spread, stop - now - i * spread, pitch, accent)
                    for i, pitch in enumerate(voicing)
                    if stop - now > i * spread
                ]
            else:
                octave, rung = divmod(pick, len(voicing))
                tones.append(Tone(now, stop - now, voicing[rung] + 12 * octave, accent))
    return tones


def held(plan: Plan, voiced: list[tuple[int, ...]]) -> list[Tone]:
    """Every chord for as long as it lasts; voices that stay on their pitch are tied."""
    chords = [chord for phrase in plan.phrases for chord in phrase.chords]
    sounding: dict[int, Tone] = {}
    tones: list[Tone] = []
    for chord, voicing in zip(chords, voiced, strict=True):
        following: dict[int, Tone] = {}
        for pitch in voicing:
            tone = sounding.get(pitch)
            if tone is not None and tone.length < 4 * plan.bar.length:
                tone.length += chord.length
            else:
                tone = Tone(chord.start, chord.length, pitch, 0)
                tones.append(tone)
            following[pitch] = tone
        sounding = following
    return tones


def _grid(bar: Bar, unit: int) -> range:
    return range(0, bar.length, unit)


def _beats(bar: Bar) -> list[tuple[int, int]]:
    return list(zip(bar.beat_starts(), bar.beats, strict=True))


def _steps(bar: Bar, text: str, length: int, unit: int = SIXTEENTH) -> list[Stroke]:
    """A bar of strokes from a picture such as "x..x..x.", repeated or cut to the bar."""
    marks = [place for i, place in enumerate(_grid(bar, unit)) if text[i % len(text)] == "x"]
    ends = [*marks[1:], bar.length]
    return [(place, min(length, end - place), ALL) for place, end in zip(marks, ends, strict=True)]


def _ladder(bar: Bar, unit: int, shape: tuple[int, ...], legato: bool = True) -> list[Stroke]:
    return [(place, bar.length if legato else unit, shape[i % len(shape)]) for i, place in enumerate(_grid(bar, unit))]


def _unit(rng: random.Random, level: int, bar: Bar) -> int:
    """The note value of a figure: sixteenths only where the line may be busy."""
    return EIGHTH if bar.compound else rng.choice(((QUARTER,), (EIGHTH,), (EIGHTH, SIXTEENTH), (SIXTEENTH,))[level])


_SHAPES = ((0, 1, 2, 3), (0, 1, 2, 3, 4, 3, 2, 1), (0, 2, 1, 2), (3, 2, 1, 0), (0, 1, 2, 1), (0, 2, 3, 4), (0, 3, 2, 1, 4, 2),
           (0, 2, 4, 5, 4, 2))  # fmt: skip


def _arpeggio(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    shape = (0, 1, 2, 3, 2, 1) if bar.compound or bar.metre == (3, 4) else rng.choice(_SHAPES)
    return _ladder(bar, _unit(rng, level, bar), shape, legato=rng.random() < 0.5)


def _broken(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    if bar.compound or bar.metre == (3, 4):
        return _ladder(bar, EIGHTH if level else QUARTER, (0, 1, 2) if bar.compound else (0, 2, 1), legato=False)
    return _ladder(bar, QUARTER if level == 0 else EIGHTH, (0, 2, 1, 2), legato=False)


def _cells(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    """A figure of three to six notes that goes round regardless of the bar."""
    shape = tuple(rng.randrange(5) for _ in range(rng.choice((3, 4, 5, 6))))
    return _ladder(bar, _unit(rng, level, bar), shape, legato=False)


def _sequence(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    share = (0.15, 0.5, 0.8, 0.95)[level]
    places = [place for place in _grid(bar, SIXTEENTH) if place == 0 or rng.random() < share]
    return [(place, SIXTEENTH, rng.choice((0, 0, 1, 2, 3, 4))) for place in places]


def _stabs(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    places = sorted(rng.sample(list(_grid(bar, EIGHTH)), min(2 + level, bar.length // EIGHTH)))
    return [(place, rng.choice((150, 200)), ALL) for place in places]


def _comp(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    text = rng.choice(("...x..x.", "x..x....", "..x...x.", ".x..x...", "x..x..x.", "....x..x"))
    return _steps(bar, text, rng.choice((200, 400, 700)), EIGHTH)


def _off_beats(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    """The chord on every beat but the strong ones; in compound beats on the last third."""
    if bar.compound:
        return [(place + 480, 200, ALL) for place, _ in _beats(bar)]
    return [(place, 330, ALL) for place, _ in _beats(bar) if bar.strength(place) < 2]


def _boom_chick(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    if bar.compound or bar.metre[0] in (3, 5, 7):
        return _off_beats(bar, rng, level)
    if bar.metre == (2, 4) or level >= 2:
        return [(place + EIGHTH, 180, ALL) for place, _ in _beats(bar)]
    return [(place, 300, ALL) for place, _ in _beats(bar)[1::2]]


def _strum(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    if bar.compound:
        return [(place + shift, 240, ALL) for place, _ in _beats(bar) for shift in ((0, 480) if level else (0,))]
    sparse, medium, dense = (
        ("x...x...", "x.......", "x.....x."),
        ("x.xx.xx.", "x.x.xxx.", "x..x.xx."),
        ("x.xxxxxx", "xxxxxxxx", "x.xx.xxx"),
    )
    return _steps(bar, rng.choice((sparse, medium, dense, dense)[level]), 460, EIGHTH)


def _eighths(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    unit = EIGHTH if level or bar.compound else QUARTER
    return [(place, unit * 3 // 4, ALL) for place in _grid(bar, unit)]


def _four(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    return [(place, beat * 3 // 5, ALL) for place, beat in _beats(bar)]


def _block(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    if level == 0:
        return [(0, bar.length, ALL)]
    places = [0, bar.accent] if level == 1 else bar.beat_starts()
    return [(a, b - a - 20, ALL) for a, b in zip(places, [*places[1:], bar.length], strict=True)]


def _slow_arpeggio(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    return [(place, bar.length, i % 4) for i, place in enumerate(bar.beat_starts())]


def _bell(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    places = rng.sample(bar.beat_starts(), min(1 + level // 2, len(bar.beats)))
    return [(place, bar.length, rng.choice((2, 3, 4))) for place in sorted(places)]


def _tremolo(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    unit = SIXTEENTH if level else EIGHTH
    return [(place, unit, ALL) for place in _grid(bar, unit)]


def _shuffle(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    strokes: list[Stroke] = []
    for place, beat in _beats(bar):
        late = beat * 2 // 3 if bar.compound else beat // 2
        strokes += [(place, late - 40, ALL), (place + late, beat - late - 20, ALL)]
    return strokes if level else strokes[::2]


def _picture(text: str, length: int, unit: int = SIXTEENTH) -> Callable[[Bar, random.Random, int], list[Stroke]]:
    """A fixed picture; sparse pieces take every other stroke of it."""

    def strokes(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
        marks = _steps(bar, text, length, unit)
        return marks[::2] if level == 0 else marks

    return strokes


def _montuno(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    marks = [i for i, mark in enumerate("x.xx.xx.xx.x.xx.") if mark == "x" and i * SIXTEENTH < bar.length]
    return [(i * SIXTEENTH, 130, ALL if n % 3 == 0 else (n * 2) % 5) for n, i in enumerate(marks)]


def _ostinato(bar: Bar, rng: random.Random, level: int) -> list[Stroke]:
    shape = rng.choice(((0, 2, 1, 2), (0, 0, 2, 0), (0, 1, 0, 2), (2, 0, 1, 0)))
    return _ladder(
        bar, (QUARTER, EIGHTH, EIGHTH, SIXTEENTH)[level] if not bar.compound else EIGHTH, shape, legato=False
    )


PATTERNS: dict[str, Callable[[Bar, random.Random, int], list[Stroke]]] = {
    "arpeggio": _arpeggio, "broken": _broken, "cells": _cells, "sequence": _sequence, "stabs": _stabs, "comp": _comp,
    "oompah": _off_beats, "boom-chick": _boom_chick, "strum": _strum, "eighths": _eighths, "four": _four, "block": _block,
    "slow arpeggio": _slow_arpeggio, "bell": _bell, "tremolo": _tremolo, "shuffle": _shuffle, "montuno": _montuno,
    "ostinato": _ostinato, "charleston": _picture("x..x....", 500, EIGHTH), "bossa": _picture("x..x..x...x..x..", 240),
    "scratch": _picture("x.xx.xx.x.x.xxx.", 90),
    "habanera": _picture("x..xx.x.", 200, EIGHTH), "skank": _picture("..x...x.", 150, EIGHTH), "chug": _picture("x.xxx.xxx.x.x.xx", 110),
}  # fmt: skip


def accompany(plan: Plan, style: str, voiced: list[tuple[int, ...]], seed: int, name: str, level: int) -> list[Tone]:
    """Play `voiced` chords in a style of `PATTERNS`, "held" or "drone". The letters of the form have patterns of their own half
    the time."""
    if style in ("held", "drone"):
        return held(plan, voiced)
    letters = {phrase.label for phrase in plan.phrases}
    shared = stream(seed, "pattern", name, "shared").random() < 0.5
    strokes = {
        letter: PATTERNS[style](plan.bar, stream(seed, "pattern", name, "A" if shared else letter), level)
        for letter in sorted(letters)
    }
    return play(plan, strokes, voiced, spread=14 if style == "strum" else 0)
