"""A store's files where they lie in a folder of this machine. `remote.RemoteFiles` has the same face."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from solfa.tokenize_audio.store.format import (
    FileHash,
    ShardManifest,
    StoreHead,
    TokenStoreError,
    read_head,
    read_manifest,
    shard_number,
)


class LocalFiles:
    """The files of a folder."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.where = os.fspath(folder)  # for messages

    def named(self, name: str) -> str:
        """A file of that name, for messages."""
        return str(self.folder / name)

    def head(self) -> StoreHead:
        return read_head(self.folder)

    def sizes(self) -> dict[str, int]:
        """Every name in the folder, and its bytes."""
        try:
            with os.scandir(self.folder) as entries:
                return {entry.name: _size(entry) for entry in entries}
        except OSError as error:
            raise TokenStoreError(f"{self.where}: {error.strerror}") from error

    def manifests(self) -> list[ShardManifest]:
        """Of all shards that are there, in order."""
        return [read_manifest(self.folder, number) for number in shard_numbers(self.sizes())]

    def manifest(self, number: int) -> ShardManifest:
        """Of one shard, as it is now."""
        return read_manifest(self.folder, number)

    def path(self, record: FileHash) -> Path:
        """Where the file is that a manifest names."""
        return self.folder / record.name

    def apart(self) -> AbstractContextManager[LocalFiles]:
        """The files for one look at them: those that are here anyway."""
        return nullcontext(self)


def shard_numbers(names: Iterable[str]) -> list[int]:
    """The numbers of the shards whose manifests are among the names, in order."""
    return sorted(number for name in names if (number := shard_number(name)) is not None)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nothing
        return 0
