"""What stands in a token store: its head, and the manifest of a shard.

    store.json                   whose codes these are
    00000.codes.safetensors      codes [sum T, K] of the shard's items, offsets [items + 1]
    00000.meta.parquet           a row an item
    00000.json                   the shard's manifest, written last: a shard is there when its manifest is

docs/token-store.md draws it all. The codes are `codes_file`'s, the rows `meta_file`'s; here are the two kinds of JSON. Their bytes
are fixed: what is read must be, byte for byte, what would be written. What is known of an item (`Meta`), a file's hashes and the room's
error stand here too, so that all of the format is imported from one place.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solfa.codecs.header_fields import check_fields, short_text
from solfa.files import write_whole
from solfa.tokenize_audio.store.hashes import FileHash, file_record
from solfa.tokenize_audio.store.meta import Meta, check_key, notes_of
from solfa.tokenize_audio.store.place import HEAD_NAME
from solfa.tokenize_audio.store.records import (
    TokenStoreError,
    check_bytes,
    is_line,
    is_text,
    json_object,
    parsed,
    read_small,
    rendered,
)

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec

__all__ = [
    "FileHash",
    "Meta",
    "Quarantined",
    "ShardManifest",
    "ShardPaths",
    "StoreHead",
    "TokenStoreError",
    "check_key",
    "file_record",
    "head_bytes",
    "head_of",
    "manifest_bytes",
    "manifest_of",
    "notes_of",
    "read_head",
    "read_manifest",
    "shard_number",
    "shard_paths",
    "table_name",
    "write_head",
    "write_manifest",
]

HEAD_FORMAT, SHARD_FORMAT = "solfa-token-store", "solfa-token-shard"
MAX_HEAD = 1 << 16  # bytes
MAX_MANIFEST = 64 << 20  # bytes
MAX_ITEMS = 1 << 24  # of a shard
MAX_FRAMES = 1 << 40  # of a shard
MAX_SHARDS = 10**9
MAX_REASON = 4096  # letters

_BOUNDS = {
    "sample_rate": (1, 10_000_000),
    "channels": (1, 256),
    "hop": (1, 1 << 24),
    "codebooks": (1, 128),
    "codebook_size": (2, 1 << 24),
}
_MAX_TEXT = {"codec": 256, "weights_hash": 128, "precision": 32}
_MANIFEST_NAME = re.compile(r"([0-9]{5,9})\.json")


@dataclass(frozen=True)
class StoreHead:
    """Whose codes a store holds: of the codec and its weights, the first `codebooks` K of them, codes below `codebook_size` N.

    sample_rate (Hz), channels and hop (samples a frame) are the codec's; precision is the arithmetic of the encoder.
    Raises ValueError naming a field that is out of its range.
    """

    codec: str
    weights_hash: str
    sample_rate: int
    channels: int
    hop: int
    codebooks: int
    codebook_size: int
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_fields(self, _BOUNDS, _MAX_TEXT)
        if not self.codec:
            raise ValueError("codec must not be empty")

    @classmethod
    def of_codec(cls, codec: Codec, codebooks: int | None = None) -> StoreHead:
        """The head of a codec's first `codebooks` (all). ValueError for one of segments: their frames do not follow one another."""
        if codec.segment is not None:
            raise ValueError(f"{codec.name} codes segment by segment; a store holds frames that follow one another")
        books = codec.codebooks if codebooks is None else codebooks
        if not 1 <= books <= codec.codebooks:
            raise ValueError(f"codebooks must be 1 to {codec.codebooks}, not {short_text(books)}")
        facts = (codec.sample_rate, codec.channels, codec.hop)
        return cls(codec.name, codec.weights_hash, *facts, books, codec.codebook_size)

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop

    @cached_property
    def dtype(self) -> np.dtype:
        """Of a code: int16, or int32 where that does not hold N."""
        return np.dtype("<i2" if self.codebook_size <= 1 << 15 else "<i4")

    def frames_of(self, samples: int) -> int:
        """Frames of a recording of so many samples."""
        return -(-samples // self.hop)

    def check_codec(self, codec: Codec, where: str) -> None:
        """TokenStoreError where the codes are not that codec's; a codec may have more codebooks than the store."""
        told = f"{where}: holds codes of {self.codec}"
        if self.weights_hash != codec.weights_hash:
            mine, theirs = self.weights_hash[:12] or "none", codec.weights_hash[:12] or "none"
            raise TokenStoreError(f"{told} (weights {mine}): the codec here is {codec.name} (weights {theirs})")
        if not self.weights_hash and self.codec != codec.name:
            raise TokenStoreError(f"{told}: the codec here is {codec.name}")
        for name in ("sample_rate", "channels", "hop", "codebook_size"):
            if getattr(self, name) != getattr(codec, name):
                raise TokenStoreError(
                    f"{told} with {name} {getattr(self, name)}: that of {codec.name} is {getattr(codec, name)}"
                )
        if self.codebooks > codec.codebooks:
            raise TokenStoreError(f"{told} with {self.codebooks} codebooks: {codec.name} has {codec.codebooks}")


@dataclass(frozen=True)
class Quarantined:
    """An input that was left out, and why."""

    key: str
    source: str
    reason: str

    def __post_init__(self) -> None:
        check_key(self.key)
        if not is_line(self.source) or not is_line(self.reason) or len(self.reason) > MAX_REASON:
            raise ValueError(
                f"quarantined {short_text(self.key)}: source and reason must be text without control characters, the reason at most "
                f"{MAX_REASON} letters"
            )


@dataclass(frozen=True)
class ShardManifest:
    """What a shard holds. codes, meta: its files; fingerprint: of the encoder; quarantined: the inputs that are not in it."""

    shard: int
    items: int
    frames: int
    fingerprint: str
    codes: FileHash
    meta: FileHash
    quarantined: tuple[Quarantined, ...] = ()

    def __post_init__(self) -> None:
        for name, high in (("shard", MAX_SHARDS - 1), ("items", MAX_ITEMS), ("frames", MAX_FRAMES)):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= high:
                raise ValueError(f"{name} must be an integer from 0 to {high}, not {short_text(value)}")
        if not is_text(self.fingerprint) or len(self.fingerprint) > MAX_REASON:
            raise ValueError(
                f"fingerprint must be text of at most {MAX_REASON} letters, not {short_text(self.fingerprint)}"
            )
        paths = shard_paths("", self.shard)
        if self.codes.name != paths.codes.name:
            raise ValueError(f"the codes must be in {paths.codes.name}, not {short_text(self.codes.name)}")
        if not re.fullmatch(rf"{self.shard:05d}\.meta(\.[1-9][0-9]{{0,8}})?\.parquet", self.meta.name):
            raise ValueError(f"the metadata must be in {paths.meta.name}, not {short_text(self.meta.name)}")

    @property
    def rewrites(self) -> int:
        """How often the table was replaced since its items were first described: 0 where none of them was ever annotated."""
        parts = self.meta.name.split(".")
        return int(parts[2]) if len(parts) == 4 else 0


@dataclass(frozen=True)
class ShardPaths:
    """The files of a shard. What is annotated has another `meta`, which the manifest names: 00000.meta.1.parquet."""

    codes: Path
    meta: Path
    manifest: Path


def shard_paths(folder: str | os.PathLike[str], index: int) -> ShardPaths:
    """Where the files of shard number `index` are."""
    if not 0 <= index < MAX_SHARDS:
        raise ValueError(f"a shard's number must be 0 to {MAX_SHARDS - 1}, not {index}")
    folder, name = Path(folder), f"{index:05d}"
    return ShardPaths(folder / f"{name}.codes.safetensors", folder / f"{name}.meta.parquet", folder / f"{name}.json")


def table_name(index: int, rewrites: int) -> str:
    """The name of a shard's table after so many `rewrites`: 00000.meta.parquet, 00000.meta.1.parquet, ..."""
    return f"{index:05d}.meta.{rewrites}.parquet" if rewrites else f"{index:05d}.meta.parquet"


def shard_number(name: str) -> int | None:
    """The shard whose manifest a file name is; None for other files."""
    match = _MANIFEST_NAME.fullmatch(name)
    return int(match[1]) if match and f"{int(match[1]):05d}.json" == name else None


def write_head(folder: str | os.PathLike[str], head: StoreHead) -> None:
    """Make a store of a folder (made where it is not there), whole or not at all. Raises OSError where the disk says so."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_whole(Path(folder) / HEAD_NAME, head_bytes(head))


def head_bytes(head: StoreHead) -> bytes:
    """The bytes of store.json."""
    return rendered(HEAD_FORMAT, asdict(head))


def read_head(folder: str | os.PathLike[str]) -> StoreHead:
    """The head of a store. Raises TokenStoreError for what is no store, is damaged, or of a version that is not known."""
    path = Path(folder) / HEAD_NAME
    if not path.exists():
        raise TokenStoreError(f"{os.fspath(folder)}: not a token store (no {HEAD_NAME} in it)")
    return head_of(read_small(path, MAX_HEAD), path)


def head_of(data: bytes, where: object) -> StoreHead:
    """The head that these bytes are; where: they came from. Raises TokenStoreError."""
    try:
        head = StoreHead(**parsed(data, HEAD_FORMAT, {item.name for item in fields(StoreHead)}))
        check_bytes(data, head_bytes(head))
    except ValueError as error:
        raise TokenStoreError(f"{where}: {error}") from None
    return head


def manifest_bytes(manifest: ShardManifest) -> bytes:
    """The bytes of a shard's manifest."""
    return rendered(SHARD_FORMAT, asdict(manifest))


def write_manifest(folder: str | os.PathLike[str], manifest: ShardManifest) -> None:
    """Put a shard's manifest in place: from then on the shard is there."""
    data = manifest_bytes(manifest)
    if len(data) > MAX_MANIFEST:
        raise TokenStoreError(
            f"{os.fspath(folder)}: the manifest of shard {manifest.shard} has {len(data)} bytes; at most {MAX_MANIFEST}"
        )
    write_whole(shard_paths(folder, manifest.shard).manifest, data)


def read_manifest(folder: str | os.PathLike[str], index: int) -> ShardManifest:
    """The manifest of a shard. Raises TokenStoreError where it is missing, damaged, or of a version that is not known."""
    path = shard_paths(folder, index).manifest
    return manifest_of(read_small(path, MAX_MANIFEST), index, path)


def manifest_of(data: bytes, index: int, where: object) -> ShardManifest:
    """The manifest of shard number `index` that these bytes are; where: they came from. Raises TokenStoreError."""
    try:
        record = parsed(data, SHARD_FORMAT, {item.name for item in fields(ShardManifest)})
        for name in ("codes", "meta"):
            record[name] = FileHash(**json_object(record[name], name))
        rows = record["quarantined"]
        if not isinstance(rows, list):
            raise ValueError("quarantined must be a list")
        record["quarantined"] = tuple(Quarantined(**json_object(row, "quarantined")) for row in rows)
        manifest = ShardManifest(**record)
        if manifest.shard != index:
            raise ValueError(f"it is the manifest of shard {manifest.shard}")
        check_bytes(data, manifest_bytes(manifest))
    except (ValueError, TypeError) as error:  # a TypeError names the field that is missing or not known
        raise TokenStoreError(f"{where}: {str(error).replace('__init__() ', '')}") from None
    return manifest
