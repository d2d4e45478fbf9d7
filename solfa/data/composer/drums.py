"""Drums: one bar's picture for each style, varied by phrase, with fills and crashes at the seams.

Pictures count sixteenths: `X` an accent, `x` a stroke, `o` a ghost note. Keys are those of General MIDI percussion.
"""

from __future__ import annotations

import random

from solfa.data.composer.harmony import Phrase, Plan, stream
from solfa.data.composer.melody import Tone
from solfa.data.composer.theory import Bar

KICK, STICK, SNARE, CLAP, HAT, PEDAL, OPEN, CRASH, RIDE, BELL = 36, 37, 38, 39, 42, 44, 46, 49, 51, 53
LOW_TOM, MID_TOM, HIGH_TOM, TAMBOURINE, COWBELL, SHAKER, CLAVES, MARACAS, CABASA = 45, 47, 50, 54, 56, 82, 75, 70, 69
_FULL_HAT, _EIGHTH_HAT, _QUARTER_HAT = "xoxoxoxoxoxoxoxo", "X.x.X.x.X.x.X.x.", "x...x...x...x..."

# style -> variants -> (key, picture)
_STYLES: dict[str, tuple[tuple[tuple[int, str], ...], ...]] = {
    "rock": (
        ((KICK, "X.......X.x....."), (SNARE, "....X.......X..."), (HAT, _EIGHTH_HAT)),
        ((KICK, "X..x....X......."), (SNARE, "....X.......X..o"), (HAT, _EIGHTH_HAT)),
        ((KICK, "X.x.....X.x...x."), (SNARE, "....X.......X..."), (RIDE, _EIGHTH_HAT)),
    ),
    "pop": (
        ((KICK, "X...x...X...x..."), (SNARE, "....X.......X..."), (HAT, _EIGHTH_HAT)),
        ((KICK, "X.....x.X......."), (CLAP, "....X.......X..."), (HAT, _FULL_HAT), (TAMBOURINE, "..x...x...x...x.")),
        ((KICK, "X..x..x...x....."), (SNARE, "....X.......X..."), (HAT, _EIGHTH_HAT), (SHAKER, _FULL_HAT)),
    ),
    "metal": (
        ((KICK, "XxxxXxxxXxxxXxxx"), (SNARE, "....X.......X..."), (HAT, "X...X...X...X...")),
        ((KICK, "X.xxX.xxX.xxX.xx"), (SNARE, "....X.......X..."), (CRASH, "X.......X.......")),
        ((KICK, "X.x.X.x.X.x.X.x."), (SNARE, "..X...X...X...X."), (RIDE, "X.X.X.X.X.X.X.X.")),
    ),
    "ballad": (
        ((KICK, "X.........x....."), (STICK, "....x.......x..."), (HAT, _EIGHTH_HAT)),
        ((KICK, "X.......x......."), (SNARE, "........X......."), (RIDE, _QUARTER_HAT)),
    ),
    "folk": (
        ((KICK, "X.......x......."), (TAMBOURINE, "....x.......x...")),
        ((KICK, "X.......X......."), (SHAKER, _EIGHTH_HAT), (STICK, "....x.......x...")),
    ),
    "country": (
        ((KICK, "X.......X......."), (SNARE, "....x.......x..."), (HAT, _EIGHTH_HAT)),
        ((KICK, "X.......X......."), (SNARE, "xoXoxoXoxoXoxoXo")),
    ),
    "swing": (
        ((RIDE, "X...x.x.X...x.x."), (PEDAL, "....x.......x..."), (KICK, "o...o...o...o...")),
        ((RIDE, "X...x.x.X...x.x."), (PEDAL, "....x.......x..."), (SNARE, "......o.......o.")),
    ),
    "shuffle": (
        ((RIDE, "X.x.X.x.X.x.X.x."), (SNARE, "....X.......X..."), (KICK, "X.......X.x.....")),
        ((HAT, "X.x.X.x.X.x.X.x."), (SNARE, "....X.......X..."), (KICK, "X......xX.......")),
    ),
    "bossa": (
        ((KICK, "X..xX..xX..xX..x"), (STICK, "x..x..x...x..x.."), (HAT, _EIGHTH_HAT)),
        ((KICK, "X..xX..xX..xX..x"), (STICK, "..x..x....x..x.."), (SHAKER, _FULL_HAT)),
    ),
    "funk": (
        ((KICK, "X.x....x..x..x.."), (SNARE, "....X..o.o..X..o"), (HAT, "xxxxxxxxxxxxxxxx")),
        (
            (KICK, "X..x..x...x....."),
            (SNARE, "....X..o.oo.X..."),
            (HAT, "x.xxx.xxx.xxx.x."),
            (OPEN, "..............x."),
        ),
    ),
    "march": (
        ((KICK, "X.......X......."), (SNARE, "x.xxX.x.x.xxX.x.")),
        ((KICK, "X...x...X...x..."), (SNARE, "..x.x.xx..x.x.xx"), (CRASH, "X...............")),
    ),
    "techno": (
        ((KICK, "X...X...X...X..."), (OPEN, "..x...x...x...x."), (CLAP, "....X.......X...")),
        (
            (KICK, "X...X...X...X..."),
            (HAT, "xxXxxxXxxxXxxxXx"),
            (CLAP, "....X.......X..."),
            (COWBELL, "...x..x....x..x."),
        ),
        ((KICK, "X...X...X...X..x"), (OPEN, "..X...X...X...X."), (SHAKER, _FULL_HAT)),
    ),
    "disco": (
        (
            (KICK, "X...X...X...X..."),
            (SNARE, "....X.......X..."),
            (OPEN, "..x...x...x...x."),
            (HAT, "x...x...x...x..."),
        ),
        ((KICK, "X...X...X...X..."), (CLAP, "....X.......X..."), (HAT, _FULL_HAT), (TAMBOURINE, "..x...x...x...x.")),
    ),
    "breakbeat": (
        ((KICK, "X.X.......XX...."), (SNARE, "....X..o.o..X..o"), (HAT, _EIGHTH_HAT)),
        ((KICK, "X.........X....."), (SNARE, "....X.......X..."), (RIDE, _EIGHTH_HAT), (SHAKER, _FULL_HAT)),
    ),
    "hip hop": (
        ((KICK, "X..x...x..X....."), (SNARE, "....X.......X..."), (HAT, _EIGHTH_HAT)),
        ((KICK, "X.....x...x..x.."), (CLAP, "....X.......X..."), (HAT, "x.x.x.xxx.x.xxx.")),
    ),
    "reggae": (
        ((KICK, "........X......."), (STICK, "........X......."), (HAT, _EIGHTH_HAT)),
        ((KICK, "X...X...X...X..."), (STICK, "........X......."), (HAT, "x.xox.xox.xox.xo")),
    ),
    "latin": (
        (
            (CLAVES, "x..x..x...x.x..."),
            (COWBELL, "X...x...X...x..."),
            (64, "......xx......xx"),
            (62, "..x.......x....."),
        ),
        ((CLAVES, "..x.x...x..x..x."), (MARACAS, _FULL_HAT), (63, "....x.......x..."), (65, "x.....x...x.....")),
    ),
    "cinematic": (
        ((KICK, "X.......x......."), (LOW_TOM, "X..x..x.X..x..x.")),
        ((KICK, "X..............."), (MID_TOM, "..x...x...x...x."), (LOW_TOM, "X...x...X...x...")),
    ),
    "waltz": (
        ((KICK, "X..........."), (PEDAL, "....x...x...")),
        ((KICK, "X..........."), (SNARE, "....o...o..."), (RIDE, "x...x...x...")),
    ),
}
_PERCUSSION = (
    (36, 41, 43), (60, 61), (62, 63, 64), (75, 76, 77), (69, 70, 82), (67, 68), (65, 66), (54, 56), (45, 47, 50),
    (38, 37), (80, 81), (73, 74),
)  # fmt: skip
_LOUD = {"X": 14, "x": 0, "o": -28}


def drums(plan: Plan, style: str, seed: int, level: int) -> list[Tone]:
    """A drum part for the whole plan. Styles are those of the genres; "world" layers hand percussion."""
    pictures = {
        label: _bar(plan.bar, style, stream(seed, "drums", label), level)
        for label in sorted({p.label for p in plan.phrases})
    }
    rng = stream(seed, "fills")
    tones: list[Tone] = []
    for phrase in plan.phrases:
        tones += _phrase(phrase, plan.bar, pictures[phrase.label], style, rng)
    return tones


def _phrase(phrase: Phrase, bar: Bar, picture: list[Tone], style: str, rng: random.Random) -> list[Tone]:
    tones: list[Tone] = []
    for number in range(phrase.bars):
        here = phrase.start + number * bar.length
        last = number == phrase.bars - 1
        if phrase.final and last:  # the last bar is one stroke
            keys = (
                (KICK, CRASH)
                if style not in ("world", "swing", "bossa", "latin", "folk", "waltz")
                else (picture[0].pitch,)
            )
            return tones + [Tone(here, 120, key, 10) for key in keys]
        cut = bar.length
        if last and style != "world" and rng.random() < 0.7:
            cut = bar.beat_starts()[-1 if rng.random() < 0.5 else -2]
            tones += _fill(bar, here, cut, rng)
        tones += [
            Tone(here + t.start, t.length, t.pitch, t.weight + rng.randrange(-4, 5)) for t in picture if t.start < cut
        ]
        if number == 0 and phrase.start and style not in ("world", "bossa", "latin", "swing"):
            tones.append(Tone(here, 120, CRASH, 6))
    return tones


def _fill(bar: Bar, here: int, cut: int, rng: random.Random) -> list[Tone]:
    unit = 80 if bar.compound and rng.random() < 0.2 else 120
    order = sorted(rng.choice((SNARE, SNARE, HIGH_TOM, MID_TOM, LOW_TOM)) for _ in range((bar.length - cut) // unit))
    order = order[::-1] if rng.random() < 0.7 else order
    return [
        Tone(here + cut + i * unit, unit, key, 2 * i - 6)
        for i, key in enumerate(order)
        if i == 0 or rng.random() < 0.85
    ]


def _bar(bar: Bar, style: str, rng: random.Random, level: int) -> list[Tone]:
    if style == "world":
        return _world(bar, rng, level)
    variants = _STYLES[style]
    variant = rng.choice(variants)
    if bar.length != 120 * len(variant[0][1]) and bar.metre != (2, 4):
        return _generic(bar, variant, level)
    tones = []
    for key, picture in variant:
        for i, mark in enumerate(picture):
            place = 120 * i
            thin = level == 0 and (
                mark == "o" or (key not in (KICK, SNARE, STICK, CLAP) and i % 4) or (mark == "x" and i % 2)
            )
            if mark != "." and place < bar.length and not thin:
                tones.append(Tone(place, 120, key, _LOUD[mark]))
    return tones


def _generic(bar: Bar, variant: tuple[tuple[int, str], ...], level: int) -> list[Tone]:
    """The kit of a style in a metre it has no picture for: low drum on strong beats, high drum on the others, time on eighths."""
    keys = [key for key, _ in variant]
    low = next((k for k in keys if k in (KICK, LOW_TOM, CLAVES)), keys[0])
    high = next((k for k in keys if k in (SNARE, STICK, CLAP, TAMBOURINE, MID_TOM)), SNARE)
    time = next((k for k in keys if k in (HAT, RIDE, SHAKER, OPEN)), HAT)
    tones = []
    for place in bar.beat_starts():
        strength = bar.strength(place)
        back = strength == 2 if len(bar.beats) in (2, 4) else strength == 1
        tones.append(Tone(place, 120, high if back else low, 10 if back or strength == 3 else -6))
    tones += [
        Tone(place, 120, time, 0 if bar.strength(place) else -10)
        for place in range(0, bar.length, 240 if level else 480)
    ]
    return tones


def _world(bar: Bar, rng: random.Random, level: int) -> list[Tone]:
    """Layers of hand percussion, each with its strokes spread as evenly as the grid allows (Toussaint's Euclidean rhythms)."""
    grid = bar.length // 120
    tones = [
        Tone(place, 120, KICK if bar.strength(place) >= 2 else 41, 8)
        for place in bar.beat_starts()
        if bar.strength(place) >= 2
    ]
    for family in rng.sample(_PERCUSSION, 2 + level):
        strokes = rng.randint(2, max(3, grid * (2 + level) // 8))
        shift, keys = rng.randrange(4), [rng.choice(family) for _ in range(3)]
        for i in range(grid):
            if (i + shift) * strokes % grid < strokes:
                tones.append(Tone(120 * i, 120, keys[i % 3], 8 if i % 4 == 0 else -8))
    return sorted(tones, key=lambda tone: (tone.start, tone.pitch))
