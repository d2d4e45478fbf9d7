"""A store as Parquet files that any program reads, a file a shard, and a store of them again. The columns are `columns`'s.

In the footer of each file stand the store's head and what its shard's manifest says beside hashes, so that the way back gives the same
store, byte for byte. Pages have checksums, which are looked at on the way back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from solfa.files import check_new_folder, replace_folder
from solfa.tokenize_audio.store.columns import rows, schema, table
from solfa.tokenize_audio.store.format import (
    HEAD_FORMAT,
    HEAD_NAME,
    Meta,
    Quarantined,
    ShardManifest,
    StoreHead,
    head_bytes,
)
from solfa.tokenize_audio.store.pages import MAX_GROUP_BYTES, check_group
from solfa.tokenize_audio.store.records import (
    TokenStoreError,
    check_bytes,
    check_regular,
    json_object,
    parsed,
    rendered,
)
from solfa.tokenize_audio.store.writer import write_shard

if TYPE_CHECKING:
    from solfa.tokenize_audio.store.store import TokenStore

SHARD_FORMAT = "solfa-parquet-shard"
HEAD, SHARD = b"solfa_head", b"solfa_shard"  # in the footer
REWRITES = b"solfa_rewrites"  # too, where a shard was annotated
GROUP_ROWS, GROUP_BYTES = 256, 16 << 20  # a row group ends with the item that reaches one of them
_CODE_BYTES, _NOTE_BYTES = 4, 48  # in a page: Parquet has no integers of 16 bits
_MAX_FOOTER = 128 << 20
_NAME = re.compile(r"([0-9]{5,9})\.parquet")


def write_parquet(store: TokenStore, folder: Path, on_shard: Callable[[int, int], None]) -> None:
    """A file a shard, in bounded memory. The same store gives the same bytes."""
    first = 0
    for done, manifest in enumerate(store.manifests, 1):
        with ItemsWriter(folder / f"{manifest.shard:05d}.parquet", store.head, _footer(store.head, manifest)) as file:
            for item in range(first, first + manifest.items):
                file.add(store.meta(item), store.codes(item))
        first += manifest.items
        on_shard(done, len(store.manifests))


def from_parquet(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> int:
    """Make a store of a folder that `export` wrote as Parquet: the number of its items. It appears whole or not at all.

    Raises TokenStoreError for other files, for damage, and for files of several stores; ValueError where `out` is there already.
    """
    source, target = Path(folder), Path(out)
    found = {int(match[1]): path for path in sorted(source.glob("*")) if (match := _NAME.fullmatch(path.name))}
    if not found:
        raise TokenStoreError(f"{source}: no Parquet files of a store in it (00000.parquet, ...)")
    check_new_folder(target)
    items = 0

    def fill(temporary: Path) -> None:
        """A shard of each file, where all are of one store."""
        nonlocal items
        head: bytes | None = None
        for index, path in found.items():
            with ItemsFile(path) as file:
                if head not in (None, file.head_bytes):
                    raise TokenStoreError(f"{path}: it is of another store than the files before it")
                if file.shard.shard != index:
                    raise TokenStoreError(f"{path}: it holds shard {file.shard.shard}")
                if head is None:
                    (temporary / HEAD_NAME).write_bytes(file.head_bytes)
                head = file.head_bytes
                facts = (file.shard.quarantined, file.shard.fingerprint, file.rewrites)
                written = write_shard(temporary, index, file.head, file.items(), *facts)
                if (written.items, written.frames) != (file.shard.items, file.shard.frames):
                    raise TokenStoreError(f"{path}: {written.items} items where {file.shard.items} were written")
                items += written.items

    replace_folder(target, fill)
    return items


@dataclass(frozen=True)
class ShardFacts:
    """What a manifest says beside its files."""

    shard: int
    items: int
    frames: int
    fingerprint: str
    quarantined: tuple[Quarantined, ...]


class ItemsWriter:
    """Writes items as they come to a Parquet file, group by group. footer: texts to carry in it."""

    def __init__(self, path: Path, head: StoreHead, footer: Mapping[bytes, bytes]) -> None:
        import pyarrow.parquet as pq

        self._head, self._weight = head, 0
        self._items: list[tuple[Meta, np.ndarray]] = []
        self._writer = pq.ParquetWriter(
            path,
            schema(head),
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
            store_schema=False,
            data_page_version="1.0",
        )
        self._writer.add_key_value_metadata(dict(footer))

    def add(self, meta: Meta, codes: np.ndarray) -> None:
        """An item, its codes [K, T]. Raises TokenStoreError for one that is too large for a row."""
        letters = sum(map(len, meta.texts)) + len(repr(meta.attributes)) + len(repr(meta.extra))
        weight = _CODE_BYTES * codes.size + _NOTE_BYTES * len(meta.notes or ()) + 4 * letters
        if 2 * weight > MAX_GROUP_BYTES:
            raise TokenStoreError(f"item {meta.key!r}: {codes.shape[1]} frames are too many for a row of a table")
        self._items.append((meta, codes))
        self._weight += weight
        if len(self._items) >= GROUP_ROWS or self._weight >= GROUP_BYTES:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()

    def _flush(self) -> None:
        if self._items:
            metas, codes = zip(*self._items, strict=True)
            self._writer.write_table(table(self._head, metas, codes), row_group_size=len(metas))
        self._items, self._weight = [], 0


class ItemsFile:
    """A file of `ItemsWriter`, open for reading. Raises TokenStoreError for any other, and for damage when it is met."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path, self._size = path, check_regular(path)
        try:
            self._file = pa.OSFile(str(path))
            self._parquet = pq.ParquetFile(
                self._file,
                page_checksum_verification=True,
                thrift_string_size_limit=_MAX_FOOTER,
                thrift_container_size_limit=_MAX_FOOTER,
            )
            footer = self._parquet.metadata.metadata or {}
            if HEAD not in footer or SHARD not in footer:
                raise ValueError("not a file that solfa exported as Parquet")
            self.head_bytes = footer[HEAD]
            self.head = StoreHead(**parsed(self.head_bytes, HEAD_FORMAT, {field.name for field in fields(StoreHead)}))
            check_bytes(self.head_bytes, head_bytes(self.head))
            self.shard, self.rewrites = _shard_facts(footer[SHARD]), _rewrites(footer.get(REWRITES, b"0"))
            if not self._parquet.schema_arrow.remove_metadata().equals(schema(self.head)):
                raise ValueError("its columns are not those of such a file")
        except (pa.ArrowException, OSError, ValueError, TypeError) as error:
            raise self._error(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def items(self) -> Iterator[tuple[Meta, np.ndarray]]:
        """Metadata and codes [K, T], group by group: each is looked at before it is unfolded."""
        import pyarrow as pa

        metadata = self._parquet.metadata
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            try:
                check_group(self._file.read_at, self._size, group, list(range(group.num_columns)), flat=False)
                found = self._parquet.read_row_group(number, use_threads=False)
                found.validate(full=True)
                yield from rows(found, self.head)
            except (pa.ArrowException, OSError, ValueError, TypeError, RecursionError) as error:
                raise self._error(error) from None

    def _error(self, error: BaseException) -> TokenStoreError:
        return TokenStoreError(f"{self._path}: {' '.join(str(error).split())[:300]}")


def _footer(head: StoreHead, manifest: ShardManifest) -> dict[bytes, bytes]:
    facts = ShardFacts(manifest.shard, manifest.items, manifest.frames, manifest.fingerprint, manifest.quarantined)
    told = {REWRITES: str(manifest.rewrites).encode()} if manifest.rewrites else {}
    return {HEAD: head_bytes(head), SHARD: rendered(SHARD_FORMAT, asdict(facts)), **told}


def _rewrites(text: bytes) -> int:
    if not re.fullmatch(rb"0|[1-9][0-9]{0,8}", text):
        raise ValueError(f"{REWRITES.decode()} must be a number of at most nine digits")
    return int(text)


def _shard_facts(data: bytes) -> ShardFacts:
    record: dict[str, Any] = parsed(data, SHARD_FORMAT, {field.name for field in fields(ShardFacts)})
    left_out = record["quarantined"]
    if not isinstance(left_out, list):
        raise ValueError("quarantined must be a list")
    record["quarantined"] = tuple(Quarantined(**json_object(row, "quarantined")) for row in left_out)
    return ShardFacts(**record)
