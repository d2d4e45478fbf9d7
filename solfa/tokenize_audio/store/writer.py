"""Writing a shard: two files and, last, the manifest that makes them one.

Equal items give equal bytes. Codes are written as they come, one item in memory at a time. A shard that was there stays whole until
all of the new one is on the disk; whoever kills a writer, a store is left that opens, with the shard or without it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from solfa.files import WholeFile, flush
from solfa.tokenize_audio.store.codes_file import write_codes
from solfa.tokenize_audio.store.format import (
    MAX_ITEMS,
    FileHash,
    Meta,
    Quarantined,
    ShardManifest,
    StoreHead,
    TokenStoreError,
    file_record,
    read_head,
    read_manifest,
    shard_paths,
    table_name,
    write_manifest,
)
from solfa.tokenize_audio.store.meta_file import MetaFile, MetaWriter

_TABLE = re.compile(r"([0-9]{5,9})\.meta(?:\.[1-9][0-9]{0,8})?\.parquet")


def write_shard(
    folder: str | os.PathLike[str],
    index: int,
    head: StoreHead,
    items: Iterable[tuple[Meta, np.ndarray]],
    quarantined: Sequence[Quarantined] = (),
    fingerprint: str = "",
    rewrites: int = 0,
) -> ShardManifest:
    """Write shard number `index` of a store, in place of an older one of that number.

    items: what is known of each and its codes [K, T], of any integers. fingerprint: of the encoder that made them.
    rewrites: those of the table that is written; whoever describes annotated items anew counts one more than the old shard had, for the
    number says that they were annotated, and the old table stays readable until the new one is named.
    What the iterable raises comes through and leaves all as it was. Raises TokenStoreError for a store of another head, and naming the item
    for codes that the head does not allow, a length that is not that of its samples, and a key that is there already; OSError where the
    disk says so.
    """
    folder = Path(folder)
    if read_head(folder) != head:
        raise TokenStoreError(f"{folder}: is a store of other codes than the shard's ({read_head(folder)}, not {head})")
    paths = shard_paths(folder, index)
    old = {
        table_name(index, max(rewrites - 1, 0)),
        _table_there(folder, index),
    }  # the first: where an attempt was killed
    codes, meta = WholeFile(paths.codes), WholeFile(folder / table_name(index, rewrites))
    body = WholeFile(paths.codes)
    try:
        with open(body.temporary, "xb+") as spool:
            with MetaWriter(meta.temporary) as table:
                offsets = _write_items(items, head, spool, table)
            write_codes(codes.temporary, head, offsets, spool)
        body.discard()
        manifest = ShardManifest(
            shard=index,
            items=len(offsets) - 1,
            frames=offsets[-1],
            fingerprint=fingerprint,
            codes=_record(codes),
            meta=_record(meta),
            quarantined=tuple(quarantined),
        )
        for file in (codes, meta):
            flush(file.temporary)
        if paths.manifest.exists():  # from here on the old shard is gone
            os.unlink(paths.manifest)
            _flush_folder(folder)
        codes.commit()
        meta.commit()
        write_manifest(folder, manifest)
    finally:
        for file in (codes, meta, body):
            file.discard()
    for name in old - {manifest.meta.name, ""}:
        (folder / name).unlink(missing_ok=True)
    return manifest


def rewrite_meta(folder: str | os.PathLike[str], index: int, metas: Iterable[Meta]) -> ShardManifest:
    """Give a shard another table: the same items in the same order, codes untouched. Readers see the old one or the new one, whole.

    Raises TokenStoreError for other items or another number of them.
    """
    folder = Path(folder)
    old = read_manifest(folder, index)
    path = folder / table_name(index, old.rewrites + 1)
    file = WholeFile(path)
    try:
        with MetaWriter(file.temporary) as table:
            before = MetaFile(folder / old.meta.name, old.items).metas()
            count = 0
            for meta in metas:
                was = next(before, None)
                if was is None or (was.key, was.samples) != (meta.key, meta.samples):
                    raise TokenStoreError(f"{path}: item {count} must be {was and was.key!r}, not {meta.key!r}")
                table.add(meta)
                count += 1
            if count != old.items:
                raise TokenStoreError(f"{path}: {count} items; the shard has {old.items}")
        manifest = replace(old, meta=_record(file))
        file.commit()
        write_manifest(folder, manifest)
    finally:
        file.discard()
    (folder / old.meta.name).unlink(missing_ok=True)
    return manifest


def sweep(folder: str | os.PathLike[str]) -> int:
    """Remove what killed writers left, temporary files and tables that no manifest names; gives how many files. Only for who has the store
    for himself: others may be writing. Tables of a shard without a manifest that can be read stay: it may be on its way back."""
    folder = Path(folder)
    left = [path for path in folder.glob(".solfa-*.tmp") if path.is_file()]
    for index, names in tables_in(folder).items():
        if len(names) > 1 and (named := _table_there(folder, index)):
            left += [folder / name for name in names if name != named]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def tables_in(folder: str | os.PathLike[str]) -> dict[int, list[str]]:
    """The names of the tables that lie in a store, by shard; there is more than one where a writer was killed. One look at the folder."""
    found: dict[int, list[str]] = {}
    for name in os.listdir(folder):
        if match := _TABLE.fullmatch(name):
            found.setdefault(int(match[1]), []).append(name)
    return found


def _write_items(
    items: Iterable[tuple[Meta, np.ndarray]], head: StoreHead, body: BinaryIO, table: MetaWriter
) -> list[int]:
    """Writes codes and rows; gives the offsets."""
    offsets, keys = [0], set[str]()
    for meta, codes in items:
        codes = np.asarray(codes)
        _check_item(meta, codes, head)
        if meta.key in keys:
            raise TokenStoreError(f"item {meta.key!r} is there twice")
        if len(keys) == MAX_ITEMS:
            raise TokenStoreError(f"a shard has at most {MAX_ITEMS} items")
        keys.add(meta.key)
        body.write(np.ascontiguousarray(codes.T, head.dtype).data)  # [T, K]
        table.add(meta)
        offsets.append(offsets[-1] + codes.shape[1])
    return offsets


def _check_item(meta: Meta, codes: np.ndarray, head: StoreHead) -> None:
    told = f"item {meta.key!r}"
    if codes.dtype.kind not in "iu" or codes.ndim != 2 or codes.shape[0] != head.codebooks:
        raise TokenStoreError(
            f"{told}: codes must be integers [{head.codebooks}, T], not {codes.dtype} {list(codes.shape)}"
        )
    if codes.shape[1] != head.frames_of(meta.samples):
        raise TokenStoreError(
            f"{told}: {codes.shape[1]} frames; {meta.samples} samples at hop {head.hop} have {head.frames_of(meta.samples)}"
        )
    if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < head.codebook_size:
        raise TokenStoreError(
            f"{told}: codes from {codes.min()} to {codes.max()}; legal are 0 to {head.codebook_size - 1}"
        )


def _record(file: WholeFile) -> FileHash:
    return replace(file_record(file.temporary), name=file.target.name)


def _table_there(folder: Path, index: int) -> str:
    """The table that a shard's manifest names, "" where there is none that can be read."""
    try:
        return read_manifest(folder, index).meta.name
    except TokenStoreError:
        return ""


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not on Windows
        flush(folder)
