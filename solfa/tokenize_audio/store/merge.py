"""Several stores as one."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from solfa.files import check_new_folder, replace_folder
from solfa.tokenize_audio.store.format import (
    ShardManifest,
    StoreHead,
    shard_paths,
    table_name,
    write_head,
    write_manifest,
)
from solfa.tokenize_audio.store.records import TokenStoreError
from solfa.tokenize_audio.store.store import TokenStore

_NAMED = 5  # keys that a message names


@dataclass(frozen=True)
class Merged:
    """What was made."""

    folder: Path
    shards: int
    items: int
    frames: int


def merge(
    stores: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    on_shard: Callable[[int, int], None] = lambda done, of: None,
) -> Merged:
    """Make a store of all shards of several, in their order, numbered anew. Codes and tables are copied byte for byte, and checked by
    their hashes; `out` appears whole or not at all. An input that one store left out and another one has is not left out any more.

    Raises TokenStoreError where the stores are of other codecs, weights or shapes, where a key is in two of them (naming both), and for
    damage; ValueError without stores, and where `out` is there already. Warns where encoders differ.
    """
    if not stores:
        raise ValueError("no stores to merge")
    folder = Path(out)
    check_new_folder(folder)
    opened = [TokenStore(store) for store in stores]
    _check_heads(opened)
    _check_keys(opened)
    encoders = sorted({manifest.fingerprint for store in opened for manifest in store.manifests})
    if len(encoders) > 1:
        warnings.warn(f"the shards are of several encoders: {'; '.join(map(repr, encoders))}", stacklevel=2)
    total = sum(len(store.manifests) for store in opened)

    def fill(temporary: Path) -> None:
        write_head(temporary, opened[0].head)
        number, known = 0, {key for store in opened for key in store.keys}
        for store in opened:
            for manifest in store.manifests:
                left = tuple(each for each in manifest.quarantined if each.key not in known)
                known.update(each.key for each in left)  # once, if several stores left it out
                _copy(store, replace(manifest, quarantined=left), temporary, number)
                number += 1
                on_shard(number, total)

    replace_folder(folder, fill)
    frames = sum(manifest.frames for store in opened for manifest in store.manifests)
    return Merged(folder, total, sum(map(len, opened)), frames)


def _check_heads(stores: Sequence[TokenStore]) -> None:
    first = stores[0]
    for store in stores[1:]:
        mine, theirs = asdict(first.head), asdict(store.head)
        if other := [name for name in mine if mine[name] != theirs[name]]:
            told = ", ".join(f"{name} {_short(theirs[name])} instead of {_short(mine[name])}" for name in other)
            raise TokenStoreError(
                f"{store.path}: codes of {_codec(store.head)} do not go with those of {first.path}, {_codec(first.head)}: {told}"
            )


def _codec(head: StoreHead) -> str:
    return f"{head.codec} (weights {head.weights_hash[:12] or 'none'})"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 32 else f"{text[:12]}..."


def _check_keys(stores: Sequence[TokenStore]) -> None:
    seen: dict[str, TokenStore] = {}
    twice = []
    for store in stores:
        for key in store.keys:
            other = seen.setdefault(key, store)
            if other is not store:
                twice.append(f"{key!r} is in {other.path} and in {store.path}")
    if twice:
        more = f"; and {len(twice) - _NAMED} more" if len(twice) > _NAMED else ""
        raise TokenStoreError(f"keys must be unique: {'; '.join(twice[:_NAMED])}{more}")


def _copy(store: TokenStore, manifest: ShardManifest, folder: Path, number: int) -> None:
    codes = replace(manifest.codes, name=shard_paths(folder, number).codes.name)
    meta = replace(manifest.meta, name=table_name(number, manifest.rewrites))  # it still says that it was annotated
    for record, copy in ((manifest.codes, codes), (manifest.meta, meta)):
        shutil.copyfile(store.file(record), folder / copy.name)
        record.check(folder / copy.name)
    write_manifest(folder, replace(manifest, shard=number, codes=codes, meta=meta))
