"""A token store somewhere else: any address that fsspec knows, s3://, gs://, hf://, https://, memory:// ...

The head and the manifests are read at once, some side by side, into memory; a shard's file when it is needed: it comes to a folder of this
machine, is checked against its manifest, and is mapped there. What has come once is not fetched again, but by who verifies the store.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from solfa.files import WholeFile
from solfa.tokenize_audio.store.format import (
    HEAD_NAME,
    MAX_HEAD,
    MAX_MANIFEST,
    FileHash,
    ShardManifest,
    StoreHead,
    head_of,
    manifest_of,
    shard_paths,
)
from solfa.tokenize_audio.store.local_files import shard_numbers
from solfa.tokenize_audio.store.records import TokenStoreError

CACHE = "SOLFA_CACHE"  # the environment variable that names another folder for what is fetched
_AT_ONCE = 1 << 20  # bytes
_SIDE_BY_SIDE = 16  # manifests that are on their way: one takes the time of the way there and back


@dataclass(frozen=True)
class RemoteFiles:
    """The files of a store at an address. cache: the folder that they come to; `cache_folder()`/stores without it.

    It pickles: another process fetches for itself, into the same folder. Raises ImportError without fsspec, TokenStoreError for an address
    that is none, cannot be reached, or holds no store.
    """

    where: str
    cache: Path | None = None

    @property
    def folder(self) -> Path:
        """Where its files come to."""
        place = hashlib.sha256(self.where.rstrip("/").encode()).hexdigest()[:24]
        return (self.cache or cache_folder() / "stores") / place

    def named(self, name: str) -> str:
        """A file of that name, for messages."""
        return f"{self.where.rstrip('/')}/{name}"

    def head(self) -> StoreHead:
        files, root = self._system()
        return head_of(self._small(files, root, HEAD_NAME, MAX_HEAD), self.named(HEAD_NAME))

    def sizes(self) -> dict[str, int]:
        """Every name in the folder, and its bytes as far as the listing tells them."""
        files, root = self._system()
        try:
            entries = files.ls(root, detail=True)
        except Exception as error:
            raise self._error(error) from error
        rows = ((posixpath.basename(entry["name"].rstrip("/")), entry.get("size") or 0) for entry in entries)
        return {name: int(size) for name, size in rows}

    def manifests(self) -> list[ShardManifest]:
        """Of all shards that are there, in order."""
        files, root = self._system()
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            return list(pool.map(partial(self._manifest, files, root), shard_numbers(self.sizes())))

    def manifest(self, number: int) -> ShardManifest:
        """Of one shard, as it is now."""
        return self._manifest(*self._system(), number)

    def path(self, record: FileHash) -> Path:
        """Where the file is that a manifest names: fetched and checked if it has not come yet. Its name here holds its hash."""
        target = self.folder / f"{record.sha256[:32]}.{record.name}"
        if not (target.is_file() and target.stat().st_size == record.bytes):
            self.folder.mkdir(parents=True, exist_ok=True)
            with WholeFile(target) as temporary:
                self._fetch(record, temporary)
                try:
                    record.check(temporary)
                except TokenStoreError as error:  # which tells of the copy
                    text = str(error).replace(str(temporary), self.named(record.name))
                    raise TokenStoreError(text) from None
        return target

    @contextlib.contextmanager
    def apart(self) -> Iterator[RemoteFiles]:
        """The files for one look at them: what is asked of these is fetched anew, to a folder that is gone afterwards."""
        with TemporaryDirectory(prefix="solfa-store-") as folder:
            yield replace(self, cache=Path(folder))

    def _manifest(self, files: Any, root: str, number: int) -> ShardManifest:
        name = shard_paths("", number).manifest.name
        return manifest_of(self._small(files, root, name, MAX_MANIFEST), number, self.named(name))

    def _small(self, files: Any, root: str, name: str, limit: int) -> bytes:
        """The bytes of a file of at most `limit`. Any thread may ask, of a file system that was made in another."""
        try:
            with files.open(posixpath.join(root, name), "rb") as file:
                data: bytes = file.read(limit + 1)
        except FileNotFoundError:
            raise TokenStoreError(f"{self.where}: not a token store (no {name} in it)") from None
        except Exception as error:
            raise self._error(error) from error
        if len(data) > limit:
            raise TokenStoreError(f"{self.named(name)}: longer than {limit} bytes")
        return data

    def _fetch(self, record: FileHash, target: Path) -> None:
        """The bytes of a file, and not many more than it has; nothing of one that is known to be longer."""
        files, root = self._system()
        try:
            with files.open(posixpath.join(root, record.name), "rb") as source, open(target, "xb") as file:
                size = getattr(source, "size", None) or 0
                left = record.bytes + 1 if size <= record.bytes else 0
                while left > 0 and (data := source.read(min(left, _AT_ONCE))):
                    file.write(data)
                    left -= len(data)
        except Exception as error:
            raise self._error(error, record.name) from error
        if size > record.bytes:
            raise TokenStoreError(f"{self.named(record.name)}: damaged, {size} bytes where {record.bytes} were written")

    def _system(self) -> tuple[Any, str]:
        """fsspec's file system of the address, and the path in it."""
        try:
            import fsspec
        except ImportError as error:
            raise ImportError(f'{self.where}: remote stores need fsspec: pip install "solfa[scale]"') from error
        try:
            return fsspec.core.url_to_fs(self.where.rstrip("/"))
        except ImportError as error:  # the package of this kind of address
            raise ImportError(f"{self.where}: {error}") from error
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception, name: str = "") -> TokenStoreError:
        told = os.strerror(errno.ENOENT) if name and isinstance(error, FileNotFoundError) else str(error)
        where = self.named(name) if name else self.where
        return TokenStoreError(f"{where}: {' '.join(told.split())[:300] or type(error).__name__}")


def cache_folder() -> Path:
    """Where what was fetched is kept: $SOLFA_CACHE, or the user's cache (XDG_CACHE_HOME, ~/.cache) and there `solfa`."""
    if named := os.environ.get(CACHE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "solfa"
