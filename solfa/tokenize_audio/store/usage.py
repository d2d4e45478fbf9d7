"""What is in a store: hours, items, tokens, and how its codebooks are used. Read shard by shard, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solfa.eval.codebooks import CodebookReport, codebook_report
from solfa.tokenize_audio.store.codes_file import CodesFile
from solfa.tokenize_audio.store.format import ShardManifest
from solfa.tokenize_audio.store.meta_file import MetaFile
from solfa.tokenize_audio.store.records import TokenStoreError
from solfa.tokenize_audio.store.store import TokenStore

MAX_CODES = 1 << 22  # K x N that can be counted: 32 MB of counts are far more than any codec has codes
_FRAMES_AT_ONCE = 1 << 18
_NO_TEXTS, _NO_NOTES = "[]", "null"  # in the table's columns


@dataclass(frozen=True, eq=False)
class Usage:
    """seconds: of sound, at the codec's rate. tokens: K x frames. bytes: of codes and tables. splits: items of each, "" where none is told.

    captions, notes: items that have them. counts: how often each code occurs, int64 [K, N]; codebooks: the report of them, None without
    frames.
    """

    shards: int
    items: int
    frames: int
    tokens: int
    seconds: float
    bytes: int
    quarantined: int
    captions: int
    notes: int
    splits: dict[str, int]
    counts: np.ndarray  # [K, N]
    codebooks: CodebookReport | None


def usage(store: TokenStore, on_shard: Callable[[int, int], None] = lambda done, of: None) -> Usage:
    """Read a store through. Raises TokenStoreError for damage, and where its codebooks are too many and large to be counted."""
    head = store.head
    if head.codebooks * head.codebook_size > MAX_CODES:
        raise TokenStoreError(
            f"{store.path}: {head.codebooks} codebooks of {head.codebook_size} codes: no more than {MAX_CODES} codes can be counted"
        )
    counts = np.zeros((head.codebooks, head.codebook_size), np.int64)
    told: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    for done, manifest in enumerate(store.manifests, 1):
        _count_codes(store, manifest, counts)
        _count_rows(store, manifest, told, splits)
        on_shard(done, len(store.manifests))
    frames = sum(manifest.frames for manifest in store.manifests)
    return Usage(
        shards=len(store.manifests),
        items=len(store),
        frames=frames,
        tokens=frames * head.codebooks,
        seconds=told["samples"] / head.sample_rate,
        bytes=sum(manifest.codes.bytes + manifest.meta.bytes for manifest in store.manifests),
        quarantined=sum(len(manifest.quarantined) for manifest in store.manifests),
        captions=told["captions"],
        notes=told["notes"],
        splits=dict(sorted(splits.items())),
        counts=counts,
        codebooks=codebook_report(counts) if frames else None,
    )


def _count_codes(store: TokenStore, manifest: ShardManifest, counts: np.ndarray) -> None:
    # A file of its own: the store keeps those that it opens.
    codes = CodesFile(store.file(manifest.codes), store.head, manifest.items, manifest.frames).codes  # [sum T, K]
    for start in range(0, len(codes), _FRAMES_AT_ONCE):
        part = codes[start : start + _FRAMES_AT_ONCE]
        for book in range(counts.shape[0]):
            counts[book] += np.bincount(part[:, book], minlength=counts.shape[1])


def _count_rows(store: TokenStore, manifest: ShardManifest, told: Counter[str], splits: Counter[str]) -> None:
    table = MetaFile(store.file(manifest.meta), manifest.items)
    told["samples"] += sum(table.column("samples"))
    told["captions"] += sum(text != _NO_TEXTS for text in table.column("texts"))
    told["notes"] += sum(text != _NO_NOTES for text in table.column("notes"))
    splits.update(table.column("split"))
