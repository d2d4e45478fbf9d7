"""What of a shard stays when it is made again: all but the recordings whose sound is other than it was.

The shard that is there is copied to STORE/.work/kept before anything of the new one is written. So whoever is killed, and wherever, the
next has the old codes and rows still, of files too that are gone since. The copy counts as long as the shard is marked to be made again.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from solfa.files import WholeFile, exhaustion
from solfa.tokenize_audio.store.codes_file import CodesFile
from solfa.tokenize_audio.store.format import (
    Meta,
    Quarantined,
    ShardManifest,
    TokenStoreError,
    read_manifest,
    shard_paths,
    write_manifest,
)
from solfa.tokenize_audio.store.meta_file import MetaFile
from solfa.tokenize_audio.work.job import WORK, Job, read_redo, redo_path

KEPT = "kept"  # folder of the copies


@dataclass
class Kept:
    """An older shard, and what of it goes into the new one as it is.

    rows: key -> what is known of an item, and its codes [K, T]; refused: key -> why an input was left out. keys: those that are kept; it
    may grow. fingerprint: of the encoder of the codes.
    """

    fingerprint: str = ""
    rows: dict[str, tuple[Meta, np.ndarray]] = field(default_factory=dict)
    refused: dict[str, Quarantined] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    @property
    def metas(self) -> list[Meta]:
        """Of the items that are kept."""
        return [meta for key, (meta, _) in self.rows.items() if key in self.keys]

    def encoders(self, mine: str, encoded: bool) -> str:
        """The fingerprint of the new shard. encoded: whether it has codes that are not kept, by `mine`."""
        if not self.keys & self.rows.keys():
            return mine
        return "; ".join(sorted({*self.fingerprint.split("; "), *([mine] if encoded else [])}))


def old_folder(store: str | Path, index: int) -> Path | None:
    """The folder with the shard that is in the store, or was until another began to take its place; None where there is none."""
    aside = Path(store) / WORK / KEPT
    if shard_paths(store, index).manifest.exists():
        return Path(store)
    return aside if redo_path(store, index).exists() and shard_paths(aside, index).manifest.exists() else None


def lay_aside(job: Job, index: int) -> Kept:
    """Copy the shard that is to be made again, where that was not done yet, and say what is kept of it. Of one that is damaged nothing is,
    with a warning. Raises OSError where the disk says so."""
    folder, aside = old_folder(job.store, index), job.work / KEPT
    if folder is None or not redo_path(job.store, index).exists():
        return Kept()
    try:
        manifest = read_manifest(folder, index)
        if folder != aside:
            _copy(Path(job.store), aside, manifest)
        for file in (manifest.codes, manifest.meta):
            file.check(aside / file.name)
        rows = dict(_rows(job, aside, manifest))
    except TokenStoreError as error:
        if exhaustion(error):
            raise
        warnings.warn(f"{error}: of shard {index} nothing can be kept, all of it is encoded again", stacklevel=3)
        return Kept()
    refused = {each.key: each for each in manifest.quarantined}
    encode = read_redo(job.store, index)
    keys = set() if encode is None else {*rows, *refused} - encode
    return Kept(manifest.fingerprint, rows, refused, keys)


def remove_kept(job: Job, index: int) -> None:
    """Remove the copy, and with it what says that the shard is to be made again: that one never outlives the other."""
    aside = job.work / KEPT
    shard_paths(aside, index).manifest.unlink(missing_ok=True)
    redo_path(job.store, index).unlink(missing_ok=True)
    for path in aside.glob(f"{index:05d}.*"):
        path.unlink(missing_ok=True)


def _copy(store: Path, aside: Path, manifest: ShardManifest) -> None:
    """The files of a shard, the manifest last. Those that were copied before stay."""
    if shard_paths(aside, manifest.shard).manifest.exists():
        try:
            if read_manifest(aside, manifest.shard) == manifest:
                return
        except TokenStoreError as error:
            if exhaustion(error):
                raise
        shard_paths(aside, manifest.shard).manifest.unlink()
    aside.mkdir(parents=True, exist_ok=True)
    for file in (manifest.codes, manifest.meta):
        with WholeFile(aside / file.name) as temporary:
            if not (store / file.name).is_file():
                raise TokenStoreError(f"{store / file.name}: is not there")
            shutil.copyfile(store / file.name, temporary)
    write_manifest(aside, manifest)


def _rows(job: Job, folder: Path, manifest: ShardManifest) -> Iterator[tuple[str, tuple[Meta, np.ndarray]]]:
    codes = CodesFile(folder / manifest.codes.name, job.head, manifest.items, manifest.frames)
    metas = MetaFile(folder / manifest.meta.name, manifest.items).metas()
    for meta, start, end in zip(metas, codes.offsets[:-1], codes.offsets[1:], strict=True):
        yield meta.key, (meta, codes.codes[start:end].T)
