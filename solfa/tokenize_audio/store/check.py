"""Whether a shard is whole: every byte of its files against its manifest, and every value against the head."""

from __future__ import annotations

import os
from pathlib import Path

from solfa.tokenize_audio.store.codes_file import CodesFile
from solfa.tokenize_audio.store.format import ShardManifest, StoreHead, TokenStoreError, read_manifest
from solfa.tokenize_audio.store.meta_file import MetaFile


def check_shard(folder: str | os.PathLike[str], index: int, head: StoreHead | None) -> tuple[str, ...]:
    """What is wrong with a shard, each a sentence that names the file; empty for one that is whole.

    The manifest, and size and hashes of both files; with a head also what is in them: offsets, codes, and rows that make sense.
    """
    folder = Path(folder)
    try:
        manifest = read_manifest(folder, index)
    except TokenStoreError as error:
        return (str(error),)
    found = []
    for record in (manifest.codes, manifest.meta):
        try:
            record.check(folder / record.name)
        except TokenStoreError as error:
            found.append(str(error))
    if head and not found:
        try:
            _check_values(folder, manifest, head)
        except TokenStoreError as error:
            found.append(str(error))
    return tuple(found)


def _check_values(folder: Path, manifest: ShardManifest, head: StoreHead) -> None:
    codes = CodesFile(folder / manifest.codes.name, head, manifest.items, manifest.frames)
    _ = codes.codes  # looks at each
    table = MetaFile(folder / manifest.meta.name, manifest.items)
    keys = set()
    for number, meta in enumerate(table.metas()):
        frames = int(codes.offsets[number + 1] - codes.offsets[number])
        if frames != head.frames_of(meta.samples):
            raise TokenStoreError(
                f"{table.path}: item {meta.key!r} has {meta.samples} samples, and {frames} frames of {head.hop}"
            )
        if meta.key in keys:
            raise TokenStoreError(f"{table.path}: item {meta.key!r} is there twice")
        keys.add(meta.key)
