"""The sustain pedal in the lengths of notes: what is heard, rather than what the fingers do."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from solfa.score.note import Note
from solfa.score.score import Part, Score

Time = TypeVar("Time", int, float)  # ticks or seconds


def pedal_extended(score: Score) -> Score:
    """The score with its notes as long as they sound: one that ends while its part's pedal is down lasts until the pedal comes up, or
    until its pitch is struck again in its part, whichever is first. Drums stay as they are; the pedals stay in the score.

    A note that ends in the moment the pedal goes down is held; one that ends as it comes up is not. As in Onsets and Frames, MT3 and most
    piano transcription, except that there a note is cut short where its pitch is struck again before the note ends; here none gets shorter.
    """
    parts = tuple(
        part if part.is_drum else _extended(part, [(p.onset, p.offset) for p in score.pedals if p.part == index])
        for index, part in enumerate(score.parts)
    )
    return replace(score, parts=parts)


def _extended(part: Part, pedals: Iterable[tuple[float, float]]) -> Part:
    down = joined(pedals)
    strokes: dict[int, list[float]] = {}
    for note in part.notes:
        strokes.setdefault(note.pitch, []).append(note.onset)
    return replace(part, notes=tuple(_held(note, down, strokes[note.pitch]) for note in part.notes))


def _held(note: Note, down: list[tuple[float, float]], strokes: list[float]) -> Note:
    """The note, held by the stretches in which the pedal is down, up to the next of the sorted strokes."""
    place = bisect_right(down, note.offset, key=lambda stretch: stretch[0]) - 1
    if place < 0 or down[place][1] <= note.offset:
        return note
    following = max(bisect_left(strokes, note.offset), bisect_right(strokes, note.onset))
    again = strokes[following] if following < len(strokes) else float("inf")
    return replace(note, offset=min(down[place][1], again))


def joined(pedals: Iterable[tuple[Time, Time]]) -> list[tuple[Time, Time]]:
    """The stretches, sorted, where they overlap as one; those that only touch stay apart, for there the pedal came up."""
    result: list[tuple[Time, Time]] = []
    for start, end in sorted(pedals):
        if result and start < result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        elif end > start:
            result.append((start, end))
    return result
