"""Stores for other programs: Parquet files (and back), WebDataset's tars, a folder for Hugging Face datasets."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from solfa.files import check_new_folder, replace_folder
from solfa.tokenize_audio.store.export_hf import write_hf
from solfa.tokenize_audio.store.export_parquet import from_parquet, write_parquet
from solfa.tokenize_audio.store.export_webdataset import write_webdataset
from solfa.tokenize_audio.store.store import TokenStore

__all__ = ["KINDS", "Exported", "export", "from_parquet"]

KINDS = {"parquet": write_parquet, "webdataset": write_webdataset, "hf": write_hf}


@dataclass(frozen=True)
class Exported:
    """What was written: the folder, its files (relative), and how many items they hold."""

    folder: Path
    kind: str
    items: int
    files: tuple[str, ...]
    bytes: int


def export(
    store: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: str = "parquet",
    on_shard: Callable[[int, int], None] = lambda done, of: None,
) -> Exported:
    """Write the items of a store in a folder, which appears whole or not at all.

    to: "parquet", a file a shard, of which `from_parquet` makes the same store again; "webdataset", a tar a shard, of every item a .npy
    with its codes [K, T] and a .json with its metadata; "hf", a folder that `datasets.load_dataset` reads, by splits.
    Every file is checked by its hashes before it is read. on_shard(done, of) is called after each shard.

    Raises ValueError for another kind and where `out` holds something; TokenStoreError for a store that is damaged.
    """
    if to not in KINDS:
        raise ValueError(f"to {to!r}: there are {', '.join(KINDS)}")
    folder = Path(out)
    check_new_folder(folder)
    source = TokenStore(store, verify=True)
    replace_folder(folder, lambda temporary: KINDS[to](source, temporary, on_shard))
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = tuple(path.relative_to(folder).as_posix() for path in found)
    return Exported(folder, to, len(source), names, sum(path.stat().st_size for path in found))
