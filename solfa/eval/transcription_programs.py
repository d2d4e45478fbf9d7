"""Transcription with instruments: notes must have the right program too, at three granularities (MT3, arXiv 2111.03017).

Pitched notes are matched by onset, offset, pitch and program; drums by onset and key alone, for nobody hears where a drum stroke ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from solfa.eval.note_matching import (
    MIREX,
    Bools,
    Ints,
    NoteTable,
    Rates,
    Tolerances,
    largest_matching,
    near_offsets,
    near_onsets,
    note_table,
    rates,
)
from solfa.score.families import FAMILIES
from solfa.score.note import Note

Granularity = Literal["flat", "midi_class", "full"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
_FAMILY = {"flat": 128, "midi_class": 8, "full": 1}  # so many programs, from a multiple of it, count as one


@dataclass(frozen=True)
class FamilyCount:
    """How many pitched notes of one instrument family a reference has, and how many of them were matched."""

    family: str
    reference: int
    matched: int


@dataclass(frozen=True)
class ProgramScore:
    """Rates of notes whose program must be right, at one granularity.

    granularity: flat, all programs are one (but drums are no pitched notes); midi_class, the 16 families of General MIDI,
        8 floor(program / 8); full, the 128 programs.
    pitched: pitched notes by onset, offset, pitch and program.
    onset: pitched notes by onset, pitch and program, wherever they end. MT3 has no such measure.
    families: the reference's side of `onset`, by the families that it has notes of, in General MIDI's order. Each granularity is matched by
        itself: where two families play one note and one was found, it is either's, and not always the same one's.
    drums: drum notes by onset and key.
    all: both together. Every note weighs the same: the precision of each program weighs as many as notes were estimated with it, its
        recall as many as the reference has, which is MT3's weighting. Often called multi-instrument or multi F1.

    Source: `_program_aware_note_scores` in magenta/mt3's metrics.py, where these are "Nondrum onset + offset + program", "Drum onset" and
    "Onset + offset + program".
    """

    granularity: Granularity
    pitched: Rates
    onset: Rates
    drums: Rates
    all: Rates
    families: tuple[FamilyCount, ...]


def program_scores(
    reference: Sequence[Note] | NoteTable,
    estimate: Sequence[Note] | NoteTable,
    tolerances: Tolerances = MIREX,
    *,
    kits_apart: bool = False,
) -> tuple[ProgramScore, ...]:
    """MT3's program-aware scores, for flat, midi_class and full.

    Notes of no length are left out, as MT3 leaves them. All drum kits are one instrument, for MT3's tokens name no kit: what it
    estimates is always kit 0. Its own code still compares the kits' programs where a reference has others, and `kits_apart` does as it
    does.
    """
    wanted, found = (table[table.offset > table.onset] for table in (note_table(reference), note_table(estimate)))
    wanted_drums, found_drums = wanted[wanted.is_drum], found[found.is_drum]
    kits = _kits(wanted_drums, kits_apart), _kits(found_drums, kits_apart)
    strokes = len(largest_matching(near_onsets(wanted_drums, found_drums, tolerances, kits)))
    drums = rates(strokes, len(wanted_drums), len(found_drums))
    wanted, found = wanted[~wanted.is_drum], found[~found.is_drum]
    near = near_onsets(wanted, found, tolerances)
    scores = []
    for granularity in GRANULARITIES:
        same = near[_same(granularity, wanted.program[near.reference], found.program[near.estimate])]
        begun = largest_matching(same)
        notes = len(largest_matching(near_offsets(same, wanted, found, tolerances)))
        pitched = rates(notes, len(wanted), len(found))
        both = rates(notes + strokes, drums.reference + len(wanted), drums.estimate + len(found))
        onset = rates(len(begun), len(wanted), len(found))
        families = _by_family(wanted.program, wanted.program[begun.reference])
        scores.append(ProgramScore(granularity, pitched, onset, drums, both, families))
    return tuple(scores)


def _by_family(programs: Ints, matched: Ints) -> tuple[FamilyCount, ...]:
    counts = [
        np.bincount(each // _FAMILY["midi_class"], minlength=len(FAMILIES)).tolist() for each in (programs, matched)
    ]
    return tuple(FamilyCount(*row) for row in zip(FAMILIES, *counts, strict=True) if row[1])


def _kits(drums: NoteTable, apart: bool) -> Ints:
    return drums.pitch + 128 * drums.program if apart else drums.pitch


def _same(granularity: Granularity, wanted: Ints, found: Ints) -> Bools:
    family = _FAMILY[granularity]
    return np.equal(wanted // family, found // family)
