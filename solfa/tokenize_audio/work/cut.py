"""Recordings into shards: enough of them for all workers, smaller ones at the end, the same for any number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from solfa.tokenize_audio.work.job import SHARD_ITEMS
from solfa.tokenize_audio.work.sources import SourceItem

PARTS = 64  # shards that recordings come to, about, where nobody says how large one is
LEAST_ITEMS, LEAST_BYTES = 4, 32 << 20  # such a shard has one of them, if it is not among the last
LAST = 8  # so many shards' worth of recordings at the end are cut smaller and smaller, down to an eighth of a shard


def cut(
    items: Sequence[SourceItem], sizes: Mapping[str, int], device: str, most: int | None, most_bytes: int
) -> Iterator[tuple[SourceItem, ...]]:
    """Shards of at most `most` recordings that end with the one that brings them to most_bytes; None: see `_usual` and `_tapered`."""
    tapering = most is None and device.startswith("cpu")
    if most is None:
        most, most_bytes = _usual(items, sizes, device, most_bytes)
    start = 0
    while start < len(items):
        enough = _tapered(len(items) - start, most) if tapering else most
        end, size = start, 0
        while end < len(items) and end - start < most and size < most_bytes:
            size += sizes[items[end].key]
            end += 1
            if end - start >= enough and size >= LEAST_BYTES // LAST:
                break
        yield tuple(items[start:end])
        start = end


def _usual(items: Sequence[SourceItem], sizes: Mapping[str, int], device: str, most_bytes: int) -> tuple[int, int]:
    """Recordings and bytes of a shard where nobody says how many.

    One worker takes a shard, so there must be more shards than workers; but the number of workers must not be asked, or the store's bytes
    would hang on it. A shard costs 10 ms, three files beside its codes, and the wait for its first sound, which no shard before it could
    have decoded ahead: 50 ms, twice that on busy cores. The least, 32 MiB, is three minutes of a WAV, a second and a half of
    `solfa-24khz`. A GPU's batches want many recordings; it may be asked for, because codes are another device's to the last bit anyway.
    """
    if not device.startswith("cpu"):
        return SHARD_ITEMS, most_bytes
    size = sum(sizes[item.key] for item in items)
    most = min(SHARD_ITEMS, max(LEAST_ITEMS, -(-len(items) // PARTS)))
    return most, min(most_bytes, max(LEAST_BYTES, -(-size // PARTS)))


def _tapered(left: int, usual: int) -> int:
    """How many of the recordings that are left are enough for a shard of 4 MiB: as many as usual, or an eighth of what is left.

    So no worker waits long for another's last shard (guided self-scheduling; Polychronopoulos and Kuck, 1987).
    """
    return min(usual, max(usual // LAST, -(-left // LAST)))
