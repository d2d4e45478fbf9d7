"""Piano pieces: both hands of five textures."""

from __future__ import annotations

from itertools import pairwise

from solfa.data.composer.attributes import Attributes
from solfa.data.composer.harmony import Plan, stream
from solfa.data.composer.melody import Line, Tone, chord_at, melody
from solfa.data.composer.patterns import EIGHTH, QUARTER, SIXTEENTH, Stroke, play, segments
from solfa.data.composer.theory import Bar
from solfa.data.composer.voicing import bass_line, voicings


def piano(plan: Plan, attributes: Attributes, line: Line) -> tuple[list[Tone], list[Tone]]:
    """The right hand (the melody, doubled or filled where the texture asks for it) and the left hand."""
    seed, texture = attributes.seed, attributes.texture
    roots = bass_line(plan, 33, 50)
    top = melody(plan, seed, line, roots)
    right = _filled(plan, top, line) if texture in ("block-chord piano", "stride piano") else top
    # The left hand stays below the melody: its upper voices end a third under the line's lowest note.
    ceiling = max(57, min(67, line.low - 3))
    chords = voicings(plan.chords, ceiling - 15, ceiling, 3)
    if texture == "stride piano":
        return right, _stride(plan, roots, chords)
    if texture == "block-chord piano":
        return right, _block(plan, roots, line.level)
    if texture == "alberti piano":
        return right, play(plan, dict.fromkeys("ABC", _alberti(plan.bar, line.level)), chords)
    wide = [
        (roots[c.start], *[p for p in v if p > roots[c.start] + 4]) for c, v in zip(plan.chords, chords, strict=True)
    ]
    rng = stream(seed, "left hand")
    nocturne = texture == "nocturne piano"
    strokes = {letter: _wave(plan.bar, line.level, nocturne, rng.randrange(3)) for letter in "ABC"}
    return right, play(plan, strokes, wide, spread=0)


def _wave(bar: Bar, level: int, nocturne: bool, turn: int) -> list[Stroke]:
    """A figure that rises from the bass and comes back. A nocturne's touches the bass once a bar, under the pedal."""
    unit = EIGHTH if nocturne or level < 2 or bar.compound else SIXTEENTH
    if level == 0 and not bar.compound:
        unit = QUARTER
    if nocturne:
        cycle: tuple[int, ...] = ((1, 2, 3, 2), (1, 3, 2, 3), (2, 3, 1, 2))[turn]
        shape = [0, *(cycle[i % 4] for i in range(bar.length // unit - 1))]
    else:
        cycle = ((0, 1, 2, 3, 2, 1), (0, 2, 1, 3, 2, 1), (0, 1, 2, 3))[turn]
        shape = [cycle[i % len(cycle)] for i in range(bar.length // unit)]
    return [(i * unit, bar.length if nocturne else unit, rung) for i, rung in enumerate(shape)]


def _alberti(bar: Bar, level: int) -> list[Stroke]:
    """Low, high, middle, high (or low, middle, high in threes)."""
    unit = SIXTEENTH if level >= 3 and not bar.compound else EIGHTH
    shape = (0, 1, 2) if bar.compound else (0, 2, 1, 2)
    return [(place, unit, shape[i % len(shape)]) for i, place in enumerate(range(0, bar.length, unit))]


def _block(plan: Plan, roots: dict[int, int], level: int) -> list[Tone]:
    """Octaves in the left hand, struck again at the bar's second accent where the piece is not sparse."""
    tones = []
    for _, chord, bar_start, start, end in segments(plan):
        cuts = [start, end]
        if level and start < bar_start + plan.bar.accent < end:
            cuts.insert(1, bar_start + plan.bar.accent)
        low = roots[chord.start]
        for a, b in pairwise(cuts):
            tones += [Tone(a, b - a, low, 4), Tone(a, b - a, low - 12 if low - 12 >= 21 else low + 12, 0)]
    return tones


def _stride(plan: Plan, roots: dict[int, int], chords: list[tuple[int, ...]]) -> list[Tone]:
    """Bass notes on the strong beats, chords in the middle on the weak ones."""
    tones = []
    for index, chord, bar_start, start, end in segments(plan):
        root = roots[chord.start]
        for i, place in enumerate(plan.bar.beat_starts()):
            now, beat = bar_start + place, plan.bar.beats[i]
            if not start <= now < end:
                continue
            weak = i % 2 == 1 if len(plan.bar.beats) != 3 else i > 0
            if weak and now != start:
                tones += [Tone(now, beat // 2, pitch, -4) for pitch in chords[index]]
            else:
                # The fifth on the bar's second accent, where it is in reach and in the chord.
                fifth = root + 7 <= 50 and root % 12 == chord.pitches[0] and (root + 7) % 12 in chord.pitches
                low = root + 7 if fifth and i and len(plan.bar.beats) != 3 else root
                tones.append(Tone(now, beat * 3 // 4, low, 6))
                if beat == 720:
                    tones += [Tone(now + 480, 200, pitch, -6) for pitch in chords[index]]
    return tones


def _filled(plan: Plan, top: list[Tone], line: Line) -> list[Tone]:
    """Chord notes under the melody: an octave's worth under strong long notes, a third or sixth under the others."""
    result: list[Tone] = []
    chords, index = plan.chords, 0
    for tone in top:
        index = chord_at(chords, tone.start, index)
        classes = chords[index].pitches
        below = [p for p in range(tone.pitch - 3, tone.pitch - 13, -1) if p % 12 in classes and p >= 52]
        strength = plan.bar.strength(tone.start)
        count = 3 if strength >= 2 and tone.length >= 480 else 2 if strength and line.level else 1 if strength else 0
        result += [Tone(tone.start, tone.length, pitch, tone.weight - 8) for pitch in below[:count]]
        result.append(tone)
    return result
