"""What the work says of itself: a step while it goes on, a report of a shard at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from solfa.tokenize_audio.store.format import ShardManifest
from solfa.tokenize_audio.store.meta_file import MetaFile


@dataclass(frozen=True)
class Step:
    """A part of a file was encoded, or a file is over with: `encode_shard` calls `progress` with it.

    key: of the file. seconds: of sound that were encoded since the step before. done: the file is over with. reason: why it was
    quarantined, None where it was encoded.
    """

    shard: int
    key: str
    seconds: float = 0.0
    done: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class Failure:
    """An input that was quarantined, and why, in one line."""

    key: str
    source: str
    reason: str


@dataclass(frozen=True)
class ShardReport:
    """What became of a shard. It is small: it travels between machines, the codes do not.

    items: that are in the store. frames, seconds: of them together. quarantined: inputs that are not. skipped: the shard was there
    already, whole. resumed: items that an earlier attempt had encoded. changed: keys of sources that were other than an earlier attempt
    had found them, and were encoded anew. kept, kept_seconds: items, and seconds of them, that were taken from the shard that was there
    before. others: quarantined inputs beside those, which are not the command's. encode_seconds, decode_seconds: of wall time in the
    codec, and waiting for sound.
    """

    index: int
    items: int
    frames: int
    seconds: float
    quarantined: tuple[Failure, ...] = ()
    skipped: bool = False
    resumed: int = 0
    changed: tuple[str, ...] = ()
    kept: int = 0
    kept_seconds: float = 0.0
    others: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0


def report_of(store: str, manifest: ShardManifest) -> ShardReport:
    """The report of a shard that is in the store: the seconds are those of the sources, as when it was encoded."""
    table = MetaFile(Path(store) / manifest.meta.name, manifest.items)
    failures = tuple(Failure(each.key, each.source, each.reason) for each in manifest.quarantined)
    seconds = float(sum(table.column("seconds")))
    return ShardReport(manifest.shard, manifest.items, manifest.frames, seconds, failures)
