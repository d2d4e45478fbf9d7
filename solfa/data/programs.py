"""Which presets may sound: General MIDI programs and drum kits, chosen or held out."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from solfa.data.soundfont import SoundFont
from solfa.score.score import Part, Pedal, Score

ITEM = re.compile(r"(d?)(\d+)(?:-(\d+))?")
EVERY = frozenset(range(128))
PIANOS = frozenset(range(8))


@dataclass(frozen=True)
class Presets:
    """Programs (0 to 127) and drum kits (by their program) that may sound."""

    programs: frozenset[int] = EVERY
    kits: frozenset[int] = EVERY

    def within(self, soundfont: SoundFont) -> Presets:
        """Those that the soundfont holds. Raises ValueError where that leaves nothing."""
        left = Presets(self.programs & set(soundfont.programs), self.kits & set(soundfont.kits))
        if not left.programs and not left.kits:
            raise ValueError(f"{soundfont.name} holds none of the chosen programs")
        return left


def parse_presets(only: str | None = None, exclude: str | None = None) -> Presets:
    """Presets from text: `0-7,40,d0,d16-32,drums`; d marks a drum kit, `drums` is all of them.

    `only` names all that may sound (drums too: without a kit there are none); `exclude` is then taken away. Raises
    ValueError for text that is no such list, and where nothing is left.
    """
    programs, kits = (EVERY, EVERY) if only is None else _parse(only)
    out, out_kits = (frozenset[int](), frozenset[int]()) if exclude is None else _parse(exclude)
    left = Presets(programs - out, kits - out_kits)
    if not left.programs and not left.kits:
        raise ValueError(f"programs {only!r} without {exclude!r}: nothing is left to play")
    return left


def _parse(text: str) -> tuple[frozenset[int], frozenset[int]]:
    sets: dict[str, set[int]] = {"": set(), "d": set()}
    for item in text.replace(" ", "").split(","):
        if item == "drums":
            sets["d"] |= EVERY
            continue
        match = ITEM.fullmatch(item)
        low, high = (int(match[2]), int(match[3] or match[2])) if match else (0, -1)
        if match is None or not low <= high <= 127:
            raise ValueError(f"programs {text!r}: {item!r} is none of 40, 0-7, d16, d0-25, drums (numbers 0 to 127)")
        sets[match[1]] |= set(range(low, high + 1))
    return frozenset(sets[""]), frozenset(sets["d"])


def nearest(program: int, legal: Sequence[int], rng: random.Random) -> int:
    """`program` where it is legal, else another of its family of eight, else any."""
    if program in legal:
        return program
    family = [other for other in legal if other // 8 == program // 8]
    return rng.choice(sorted(family or legal))


def restrict(score: Score, presets: Presets, rng: random.Random) -> Score:
    """The score with every part on a preset that may sound; parts that cannot have one (drums without kits) are left out."""
    legal, kits = sorted(presets.programs), sorted(presets.kits)
    parts: list[Part] = []
    kept: dict[int, int] = {}  # old number of a part -> new
    for number, part in enumerate(score.parts):
        choice = kits if part.is_drum else legal
        if choice:
            kept[number] = len(parts)
            parts.append(with_program(part, nearest(part.program, choice, rng)))
    pedals = tuple(Pedal(p.onset, p.offset, kept[p.part]) for p in score.pedals if p.part in kept)
    return replace(score, parts=tuple(parts), pedals=pedals)


def vary(score: Score, presets: Presets, rng: random.Random) -> Score:
    """The score with other instruments drawn for its parts; drums get another kit."""
    legal, kits = sorted(presets.programs - set(range(112, 128))) or sorted(presets.programs), sorted(presets.kits)
    parts = tuple(
        with_program(part, rng.choice((kits if part.is_drum else legal) or [part.program])) for part in score.parts
    )
    return restrict(replace(score, parts=parts), presets, rng)


def with_program(part: Part, program: int) -> Part:
    """The part on another program, notes and all."""
    if program == part.program:
        return part
    return replace(part, program=program, notes=tuple(replace(note, program=program) for note in part.notes))
