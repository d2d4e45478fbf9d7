"""A store as WebDataset's tars: of every item a .npy with its codes and a .json with the rest. No pickle, no object arrays.

    00000.tar        00000-000000.npy    int16 or int32 [K, T]
                     00000-000000.json   {"key": "sub/take.wav", "seconds": 3.2, "texts": [...], ...}
                     00000-000001.npy    ...
    dataset.json     the codec, and the tars with their items

Members are named by shard and number, never by key: a key may hold dots, at which WebDataset cuts a name, and slashes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solfa.tokenize_audio.store.columns import plain

if TYPE_CHECKING:
    from solfa.tokenize_audio.store.store import TokenStore

INDEX_NAME = "dataset.json"


def write_webdataset(store: TokenStore, folder: Path, on_shard: Callable[[int, int], None]) -> None:
    """A tar a shard, and the index. The same store gives the same bytes."""
    first, listed = 0, []
    for done, manifest in enumerate(store.manifests, 1):
        name = f"{manifest.shard:05d}.tar"
        with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(manifest.items):
                member = f"{manifest.shard:05d}-{number:06d}"
                _add(tar, f"{member}.npy", _npy(store.codes(first + number)))
                _add(tar, f"{member}.json", _json(plain(store.meta(first + number))))
        listed.append({"tar": name, "items": manifest.items})
        first += manifest.items
        on_shard(done, len(store.manifests))
    index = {"head": asdict(store.head), "frame_rate": store.head.frame_rate, "items": first, "tars": listed}
    (folder / INDEX_NAME).write_bytes(_json(index, indent=1))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # of no time and no owner
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))


def _npy(codes: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(codes), allow_pickle=False)
    return out.getvalue()


def _json(value: object, indent: int | None = None) -> bytes:
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n").encode()
