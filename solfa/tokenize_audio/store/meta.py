"""What is known of one item of a store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from solfa.codecs.header_fields import short_text
from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score, score_of_notes
from solfa.tokenize_audio.store.records import is_text

MAX_KEY = 1024  # bytes in UTF-8
_UNSAFE = re.compile("[\\\\\0-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Meta:
    """What is known of one item.

    key: its name in the store, unique: a relative path or an id (see `check_key`). source: the file that it was made of, with its size,
    time of change (`source_stamp`, ns) and xxh3-128 (hex; "" where it was not taken). samples: length at the codec's rate; frames are
    ceil(samples / hop). seconds: length of the source. texts: captions. attributes, extra: plain JSON. notes: None where there are none
    to know; `pedals` are of the parts of `score_of_notes(notes)`; velocities: whether those of the notes are known.

    Raises ValueError for a key that is no safe name and for numbers out of range.
    """

    key: str
    samples: int
    seconds: float
    source: str = ""
    source_bytes: int = 0
    source_stamp: int = 0
    source_hash: str = ""
    texts: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] | None = None
    pedals: tuple[Pedal, ...] = ()
    velocities: bool = True
    split: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_key(self.key)
        for name, low in (("samples", 0), ("source_bytes", 0), ("source_stamp", -(1 << 63))):
            value = getattr(self, name)
            if type(value) is not int or not low <= value < 1 << 63:
                raise ValueError(f"{name} must be an integer of 64 bits, at least {low}, not {short_text(value)}")
        if not isinstance(self.seconds, int | float) or not 0 <= self.seconds < float("inf"):
            raise ValueError(f"seconds must be a number from 0, not {short_text(self.seconds)}")
        if not isinstance(self.texts, list | tuple) or type(self.velocities) is not bool:
            raise ValueError(f"item {short_text(self.key)}: texts must be a list of text, velocities true or false")
        object.__setattr__(self, "texts", tuple(self.texts))
        if not all(is_text(text) for text in (self.source, self.source_hash, self.split, *self.texts)):
            raise ValueError(f"item {short_text(self.key)}: source, split and texts must be text that UTF-8 can hold")

    def score(self) -> Score:
        """Notes and pedals as a score. Raises ValueError for an item without notes."""
        if self.notes is None:
            raise ValueError(f"item {self.key!r} has no notes")
        score = score_of_notes(self.notes)
        return Score(score.parts, score.tempi, pedals=self.pedals)


def notes_of(score: Score) -> tuple[tuple[Note, ...], tuple[Pedal, ...]]:
    """Notes and pedals of a score as an item holds them: parts of one program are one part, and what is down for one is down for all."""
    notes = score.notes
    place = {_kind(part): number for number, part in enumerate(score_of_notes(notes).parts)}
    kinds = [_kind(part) for part in score.parts]
    moved = (Pedal(p.onset, p.offset, place[kinds[p.part]]) for p in score.pedals if kinds[p.part] in place)
    return notes, tuple(sorted(set(moved)))


def _kind(part: Part) -> tuple[bool, int]:
    return part.is_drum, part.program


def check_key(key: Any) -> None:
    """ValueError for a key that is no safe name: it is relative, without empty, `.` or `..` parts, backslashes and control characters."""
    if not isinstance(key, str) or not is_text(key) or not 0 < len(key.encode()) <= MAX_KEY:
        raise ValueError(f"key must be text of 1 to {MAX_KEY} bytes, not {short_text(key)}")
    if _UNSAFE.search(key):
        raise ValueError(f"key {short_text(key)}: no backslashes and control characters")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"key {short_text(key)}: it must be a relative path without empty, . and .. parts")
