"""Variants of recordings, in the audio domain, and their notes with them: detuned, transposed, mixed, in a room, in noise.

Codes cannot be transposed or made softer; sound can, before it is encoded. A variant is drawn first (`draw_variation`, a pure function of
its generator) and then applied to the sound and to the score apart, so that the notes are known without the sound. Transposing and
detuning are a tape that runs faster or slower, as in Thickstun et al. (2018, arXiv 1711.04845): the times of the notes go with it, exactly.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from solfa.audio.resample import resample
from solfa.data.effects import Effects, Range, RenderOptions, Samples, apply_effects, draw_effects, set_level
from solfa.data.render import excerpt
from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score

TAPE = 4000  # the speed of a tape is a whole number over this: within a quarter of a cent of what was drawn
COMPASS = (21, 108)  # a transposed recording stays on the piano's keys, where it was on them
LEVEL = -20.0  # dB full scale, of each recording before they are mixed


@dataclass(frozen=True)
class MixOptions:
    """What is drawn for a variant; each range is (low, high), and low = high fixes it.

    detune: in cents (-99 to 99). transpose: in whole semitones (-12 to 12); drums are moved with the rest, and stay what they are.
    mix: how often (0 to 1) a second recording sounds too, with its own detuning and transposition. beside: its gain in dB (-40 to 20)
    against the first. The rest, of the whole, as `RenderOptions` has it: dry, reverb, wet, equalise, noisy, noise, level.
    """

    detune: Range = (-30.0, 30.0)
    transpose: tuple[int, int] = (-2, 2)
    mix: float = 0.3
    beside: Range = (-12.0, 3.0)
    dry: float = 0.4
    reverb: Range = (0.2, 2.0)
    wet: Range = (-24.0, -6.0)
    equalise: Range = (-6.0, 6.0)
    noisy: float = 0.5
    noise: Range = (-80.0, -45.0)
    level: Range = (-36.0, -12.0)

    def __post_init__(self) -> None:
        for name, (low, high) in {"transpose": (-12, 12), "beside": (-40, 20)}.items():
            value = getattr(self, name)
            if not low <= value[0] <= value[1] <= high:
                raise ValueError(f"{name} {value}: a range (low, high) within {low} to {high}")
        if not 0 <= self.mix <= 1:
            raise ValueError(f"mix {self.mix}: 0 to 1")
        self.room()  # checks the rest

    def room(self) -> RenderOptions:
        """What is drawn of the whole."""
        names = ("dry", "reverb", "wet", "equalise", "noisy", "noise", "level", "detune")
        return RenderOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Strand:
    """One recording in a variant: recording number `index`, its tape at `speed` / TAPE of its speed, from `delay` seconds on."""

    index: int
    speed: int
    semitones: int = 0
    gain: float = 0.0  # dB
    delay: float = 0.0

    @property
    def stretch(self) -> float:
        """What times are multiplied by."""
        return TAPE / self.speed


@dataclass(frozen=True)
class Variation:
    """What was drawn for a variant: it is as long as the first strand, and the others are cut there."""

    strands: tuple[Strand, ...]
    effects: Effects

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"strands": [asdict(strand) for strand in self.strands], "effects": self.effects.to_dict()}


def draw_variation(rng: random.Random, options: MixOptions, index: int, scores: Sequence[Score]) -> Variation:
    """A variant of recording `index`; the second one, where there is one, is any other of them."""
    effects = draw_effects(rng, options.room())
    first = _strand(rng, options, index, scores[index])
    mixed, beside, place, other = rng.random() < options.mix, rng.uniform(*options.beside), rng.random(), rng.random()
    if not mixed or len(scores) < 2:
        return Variation((first,), effects)
    partner = (index + 1 + int(other * (len(scores) - 1))) % len(scores)
    second = _strand(rng, options, partner, scores[partner])
    delay = place * first.stretch * scores[index].duration / 2
    return Variation((first, replace(second, gain=round(beside, 2), delay=round(delay, 3))), effects)


def _strand(rng: random.Random, options: MixOptions, index: int, score: Score) -> Strand:
    cents, semitones = rng.uniform(*options.detune), rng.randint(*options.transpose)
    pitches = [note.pitch for part in score.parts if not part.is_drum for note in part.notes]
    if pitches:
        # Down to the lowest key and up to the highest; a recording beyond the piano's keys is moved no further out.
        down, up = min(0, COMPASS[0] - min(pitches)), max(0, COMPASS[1] - max(pitches))
        semitones = max(down, min(up, semitones))
    return Strand(index, round(TAPE * 2 ** ((semitones + cents / 100) / 12)), semitones)


def vary_sound(sounds: Sequence[Samples], sample_rate: int, variation: Variation) -> Samples:
    """The sound of a variant: [C, S] of each of its strands, in order, all of one rate and channel count, to [C, S']."""
    total: Samples | None = None
    for sound, strand in zip(sounds, variation.strands, strict=True):
        moved = resample(sound, strand.speed, TAPE)
        moved = set_level(moved, LEVEL) * np.float32(10 ** (strand.gain / 20))
        if total is None:
            total = moved
            continue
        start = round(strand.delay * sample_rate)
        part = moved[:, : max(0, total.shape[1] - start)]
        total[:, start : start + part.shape[1]] += part
    assert total is not None  # a variation has a strand
    return apply_effects(total, sample_rate, variation.effects)


def vary_score(scores: Sequence[Score], variation: Variation, seconds: float) -> Score:
    """The notes of a variant: the score of each of its strands, in order. seconds: how long the first recording was.

    Tempo, metre and key are left out: of two pieces at once there are none.
    """
    parts: list[Part] = []
    pedals: list[Pedal] = []
    for score, strand in zip(scores, variation.strands, strict=True):
        moved = _moved(score, strand)
        pedals += [replace(pedal, part=pedal.part + len(parts)) for pedal in moved.pedals]
        parts += moved.parts
    whole = Score(tuple(parts), pedals=tuple(pedals))
    return excerpt(whole, 0.0, seconds * variation.strands[0].stretch)


def _moved(score: Score, strand: Strand) -> Score:
    def at(time: float) -> float:
        return time * strand.stretch + strand.delay

    def moved(note: Note) -> Note:
        pitch = note.pitch if note.is_drum else note.pitch + strand.semitones
        return replace(note, onset=at(note.onset), offset=at(note.offset), pitch=pitch)

    parts = tuple(replace(part, notes=tuple(moved(note) for note in part.notes)) for part in score.parts)
    return Score(parts, pedals=tuple(Pedal(at(p.onset), at(p.offset), p.part) for p in score.pedals))
