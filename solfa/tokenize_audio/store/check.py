"""Whether a shard is whole: every byte of its files against its manifest, and every value against the head."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from solfa.tokenize_audio.store.codes_file import CodesFile
from solfa.tokenize_audio.store.format import ShardManifest, StoreHead, TokenStoreError
from solfa.tokenize_audio.store.local_files import LocalFiles
from solfa.tokenize_audio.store.meta_file import MetaFile

if TYPE_CHECKING:
    from solfa.tokenize_audio.store.store import StoreFiles


def check_shard(folder: str | os.PathLike[str], index: int, head: StoreHead | None) -> tuple[str, ...]:
    """What is wrong with a shard, each a sentence that names the file; empty for one that is whole.

    The manifest, and size and hashes of both files; with a head also what is in them: offsets, codes, and rows that make sense.
    """
    files = LocalFiles(folder)
    try:
        manifest = files.manifest(index)
    except TokenStoreError as error:
        return (str(error),)
    return check_files(files, manifest, head)


def check_files(files: StoreFiles, manifest: ShardManifest, head: StoreHead | None) -> tuple[str, ...]:
    """The same of the two files that a manifest names, wherever the store is."""
    found: list[str] = []
    paths: dict[str, Path] = {}
    for record in (manifest.codes, manifest.meta):
        try:
            paths[record.name] = files.path(record)
            record.check(paths[record.name])
        except TokenStoreError as error:
            found.append(str(error))
    if head and not found:
        try:
            _check_values(paths[manifest.codes.name], paths[manifest.meta.name], manifest, head)
        except TokenStoreError as error:
            found.append(str(error))
    for name, path in paths.items():  # what came from an address has another name here
        found = [problem.replace(str(path), files.named(name)) for problem in found]
    return tuple(found)


def _check_values(codes_path: Path, table_path: Path, manifest: ShardManifest, head: StoreHead) -> None:
    codes = CodesFile(codes_path, head, manifest.items, manifest.frames)
    _ = codes.codes  # looks at each
    table = MetaFile(table_path, manifest.items)
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
