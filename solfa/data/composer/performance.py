"""Performance: how grid notes become sounding ones. Swing, rubato, dynamics, touch, pedal and small human errors.

Everything is integer arithmetic on ticks until the tempo map gives seconds, so a seed plays the same on every machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

from solfa.data.composer.attributes import MOODS, Attributes
from solfa.data.composer.genres import GENRES
from solfa.data.composer.harmony import Phrase, Plan, stream
from solfa.data.composer.instruments import fold
from solfa.data.composer.melody import Tone
from solfa.score.note import Note
from solfa.score.score import Part, Pedal
from solfa.score.tempo import TempoMap

# Added to the velocity of a role, and how late (ticks) its players tend to be.
_BALANCE = {"melody": (8, 4), "counter": (-4, 4), "chords": (-9, 0), "arpeggio": (-12, 0), "bass": (2, 2), "pad": (-18, 0),
            "effect": (-12, 0), "drums": (4, 0), "left hand": (-12, 0)}  # fmt: skip
_MACHINES = frozenset({"techno", "chiptune", "drum and bass", "disco"})  # played by a sequencer: on the grid


@dataclass(frozen=True)
class Hand:
    """Grid notes of one role, to be played by one part."""

    role: str
    tones: list[Tone]


def tempo_map(plan: Plan, attributes: Attributes, steady: bool = False) -> TempoMap:
    """The tempo of every beat: even where the genre is, breathing with the phrases where it has rubato, slowing at the end.
    `steady` leaves out the rubato."""
    row = GENRES[attributes.genre]
    base = round(60_000_000 / attributes.quarters_per_minute)
    rng = stream(attributes.seed, "rubato")
    rubato = 0 if steady else int(row.rubato * 1000)
    if not rubato:
        return TempoMap(480, [(0, base)])
    changes = []
    for phrase in plan.phrases:
        beats = [
            (phrase.start + n * plan.bar.length + place) for n in range(phrase.bars) for place in plan.bar.beat_starts()
        ]
        for index, tick in enumerate(beats):
            # Quicker in the middle of the phrase, slower towards its end: parts in a thousand of the beat's length.
            place = index * 1000 // len(beats)
            bend = 40 - place * (1000 - place) * 60 // 250_000 + max(0, place - 800) * 200 // 200
            bend = bend * rubato // 1000 + rng.randrange(-15, 16) * rubato // 1000
            left = len(beats) - index
            if phrase.final and left <= 2 * len(plan.bar.beats):
                bend += (2 * len(plan.bar.beats) - left) * 220 // (2 * len(plan.bar.beats)) * (500 + rubato) // 1000
            changes.append((tick, base * (1000 + bend) // 1000))
    return TempoMap(480, changes)


def perform(
    plan: Plan, attributes: Attributes, hands: list[Hand], name: str, program: int, clock: TempoMap, index: int
) -> Part:
    """Play the hands of one part: its notes in seconds, no two of one pitch at once."""
    row = GENRES[attributes.genre]
    rng = stream(attributes.seed, "play", index)
    swing = 160 if row.swing and row.name != "hip hop" else 0
    is_drum = hands[0].role == "drums"
    played: list[tuple[int, int, int, int]] = []
    for hand in hands:
        played += _played(plan, attributes, hand, rng, swing, None if is_drum else program)
    notes = tuple(
        Note(clock.seconds(start), clock.seconds(end), pitch, velocity, program, is_drum)
        for start, end, pitch, velocity in _separated(played)
    )
    return Part(name, program, is_drum, notes)


def _played(
    plan: Plan, attributes: Attributes, hand: Hand, rng: random.Random, swing: int, program: int | None
) -> list[tuple[int, int, int, int]]:
    """(start, end, pitch, velocity) in ticks."""
    balance, late = _BALANCE[hand.role]
    loudness = MOODS[attributes.mood][3]
    base = 44 + int(52 * loudness) + balance
    arcs = _Arcs(plan, attributes)
    machine = attributes.genre in _MACHINES or (hand.role == "drums" and attributes.kit in (24, 25))
    loose = 1 if machine else max(3, min(12, 1400 // attributes.tempo))
    touch = _touch(attributes, hand.role)
    span = 5 if not machine else 2
    result = []
    for tone in hand.tones:
        start, end = tone.start, tone.end
        if swing and plan.bar.beats[0] == 480:
            start, end = _swung(start), _swung(end)
        length = max(30, (end - start) * touch // 100)
        shift = rng.randrange(-loose, loose + 1) + (late if not machine else 0)
        start = max(0, start + shift)
        velocity = base + tone.weight * arcs.contrast // 100 + arcs.at(tone.start) + rng.randrange(-span, span + 1)
        pitch = tone.pitch if program is None else fold(tone.pitch, program)
        result.append((start, start + length, pitch, min(127, max(12, velocity))))
    return result


def _touch(attributes: Attributes, role: str) -> int:
    """Percent of a note's length that sounds."""
    if role in ("drums", "pad", "effect", "left hand", "chords", "arpeggio"):
        return 100
    short = {"playful": 70, "energetic": 85, "lively": 80, "aggressive": 85, "groovy": 85, "driving": 88}
    return short.get(attributes.mood, 97)


def _swung(tick: int) -> int:
    """Move the half of each beat to its second third, and what is between in proportion."""
    beat, place = tick - tick % 480, tick % 480
    return beat + (place * 320 // 240 if place <= 240 else 320 + (place - 240) * 160 // 240)


class _Arcs:
    """Dynamics: every phrase swells and falls, and the piece grows towards its last third."""

    def __init__(self, plan: Plan, attributes: Attributes) -> None:
        rng = stream(attributes.seed, "arcs")
        row = GENRES[attributes.genre]
        self.swell = 6 + int(24 * row.rubato)  # velocity between the edge and the middle of a phrase
        self.contrast = 100 + int(100 * row.rubato)
        growth = rng.randrange(-4, 13)
        self.phrases: list[tuple[Phrase, int]] = []
        for index, phrase in enumerate(plan.phrases):
            whole = index * 1000 // max(1, len(plan.phrases) - 1) if len(plan.phrases) > 1 else 500
            level = growth * whole // 1000 + rng.randrange(-3, 4) - (6 if phrase.final and growth < 4 else 0)
            self.phrases.append((phrase, level + (4 if phrase.label == "B" else 0)))
        self.length = plan.bar.length
        self.starts = {phrase.start: i for i, phrase in enumerate(plan.phrases)}
        self.index = 0

    def at(self, tick: int) -> int:
        """Velocity to add at a tick."""
        while self.index and self.phrases[self.index][0].start > tick:
            self.index -= 1
        while self.index + 1 < len(self.phrases) and self.phrases[self.index + 1][0].start <= tick:
            self.index += 1
        phrase, level = self.phrases[self.index]
        place = (tick - phrase.start) * 1000 // (phrase.bars * self.length)
        return level + self.swell * place * (1000 - place) // 250_000 - self.swell // 2


def _separated(played: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """End a note where its own pitch is struck again, and join strokes of one pitch that all but coincide."""
    result: list[tuple[int, int, int, int]] = []
    last: dict[int, int] = {}
    for start, end, pitch, velocity in sorted(played):
        if pitch in last:
            index = last[pitch]
            before = result[index]
            if start - before[0] < 30:
                result[index] = (before[0], max(end, before[1]), pitch, max(velocity, before[3]))
                continue
            if before[1] > start:
                result[index] = (before[0], start, pitch, before[3])
        last[pitch] = len(result)
        result.append((start, end, pitch, velocity))
    return result


def pedals(plan: Plan, clock: TempoMap, part: int) -> tuple[Pedal, ...]:
    """The sustain pedal, changed with every chord (at every bar line at the latest): up with the new chord, down again just
    after it, so that nothing blurs."""
    result = []
    edges = sorted({chord.start for chord in plan.chords} | set(range(0, plan.end, plan.bar.length)))
    for start, end in pairwise([*edges, plan.end + 240]):
        if end - start > 120:
            result.append(Pedal(clock.seconds(start + 40), clock.seconds(end - 10), part))
    return tuple(result)
