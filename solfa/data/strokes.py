"""Strokes of a keyboard as MIDI can say them: a key is up before it is struck again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from solfa.score.note import Note

SHORTEST = 0.03  # seconds between two strokes of a key


def apart(notes: Iterable[Note]) -> tuple[Note, ...]:
    """In order, each of a key's notes ended where the key is struck again; strokes that all but coincide are one."""
    result: list[Note] = []
    last: dict[int, int] = {}
    for note in sorted(notes):
        if note.pitch in last:
            before = result[last[note.pitch]]
            if note.onset - before.onset < SHORTEST:
                continue
            result[last[note.pitch]] = replace(before, offset=min(before.offset, note.onset))
        last[note.pitch] = len(result)
        result.append(note)
    return tuple(result)
