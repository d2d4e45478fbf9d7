"""A store's files where they lie in a folder of this machine. `remote.RemoteFiles` has the same face."""

from __future__ import annotations

import os
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

    def head(self) -> StoreHead:
        return read_head(self.folder)

    def manifests(self) -> list[ShardManifest]:
        """Of all shards that are there, in order."""
        try:
            numbers = [shard_number(name) for name in os.listdir(self.folder)]
        except OSError as error:
            raise TokenStoreError(f"{self.where}: {error.strerror}") from error
        return [read_manifest(self.folder, number) for number in sorted(n for n in numbers if n is not None)]

    def manifest(self, number: int) -> ShardManifest:
        """Of one shard, as it is now."""
        return read_manifest(self.folder, number)

    def path(self, record: FileHash) -> Path:
        """Where the file is that a manifest names."""
        return self.folder / record.name
