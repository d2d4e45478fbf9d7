"""What a store says of a recording: what its source says, and what became of its sound."""

from __future__ import annotations

from typing import Any

from solfa.tokenize_audio.store.format import Meta
from solfa.tokenize_audio.work.sources import SourceItem
from solfa.tokenize_audio.work.spool import Record


def meta_of(item: SourceItem, record: Record | None = None, told: Meta | None = None) -> Meta:
    """An item as the store holds it. record: of its sound; None before there is one. told: what was said of it since in the store, which
    then counts instead of the source.

    Raises ValueError for what no store can hold: notes that cannot be read, text that is none, files beside it that make no sense.
    """
    if item.fault:
        raise ValueError(item.fault)
    said = item if told is None else told
    try:
        notes, pedals = item.read_notes() if told is None else (told.notes, told.pedals)
    except ValueError as error:
        raise ValueError(f"its notes cannot be read ({str(error).removeprefix(f'{item.notes}: ')})") from error
    facts: dict[str, Any] = {"samples": 0, "seconds": 0.0}
    if record is not None:
        facts = {"samples": record.samples, "seconds": record.seconds}
        if (source := record.source) is not None:
            facts |= {"source_bytes": source.bytes, "source_stamp": source.time, "source_hash": source.hash}
    return Meta(
        key=item.key,
        source=item.source,
        texts=said.texts,
        attributes=said.attributes,
        notes=notes,
        pedals=pedals,
        velocities=said.velocities,
        split=said.split,
        extra=said.extra,
        **facts,
    )
