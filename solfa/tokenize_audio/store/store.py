"""Reading a token store: crops by the hundred thousand, and what is known of each item."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from solfa.tokenize_audio.store.codes_file import CodesFile
from solfa.tokenize_audio.store.format import FileHash, Meta, ShardManifest, StoreHead, TokenStoreError
from solfa.tokenize_audio.store.local_files import LocalFiles
from solfa.tokenize_audio.store.meta_file import COLUMNS, WITHOUT_NOTES, MetaFile

if TYPE_CHECKING:
    import pyarrow as pa

    from solfa.codecs.codec import Codec

_OPEN_TABLES = 64  # each keeps a file open
_CACHED_BYTES = 256 << 20  # of row groups


class StoreFiles(Protocol):
    """Where a store's files come from."""

    @property
    def where(self) -> str: ...
    def named(self, name: str) -> str: ...
    def head(self) -> StoreHead: ...
    def sizes(self) -> dict[str, int]: ...
    def manifests(self) -> list[ShardManifest]: ...
    def manifest(self, number: int) -> ShardManifest: ...
    def path(self, record: FileHash) -> Path: ...
    def apart(self) -> AbstractContextManager[StoreFiles]: ...


class TokenStore:
    """A token store, open for reading: a folder, or an address such as s3://bucket/store (needs fsspec).

    Items are numbered from 0, shard by shard. Opening reads the head and the manifests; other files are opened when they are first
    needed, checked, and mapped: memory holds what is asked for. Shards that are written meanwhile are not seen, here nor by a copy in
    another process (it pickles). Where a shard is annotated meanwhile its codes stay, and what is known of its items is what was known
    when its table was opened, or what is known now.

    verify: check sizes and hashes of a shard's files when they are opened; without it sizes, structure and ranges are checked.
    codec: refuse codes that are not this codec's. Raises TokenStoreError naming the file and the reason.
    """

    def __init__(self, path: str | os.PathLike[str], verify: bool = False, codec: Codec | None = None) -> None:
        self.path, self.verify = os.fspath(path), verify
        self._files = files_at(self.path)
        self.head = self._files.head()
        if codec is not None:
            self.head.check_codec(codec, self.path)
        self.manifests: tuple[ShardManifest, ...] = tuple(self._files.manifests())
        self._open()

    @property
    def shards(self) -> tuple[int, ...]:
        """The numbers of the shards that are there."""
        return tuple(manifest.shard for manifest in self.manifests)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @cached_property
    def lengths(self) -> np.ndarray:
        """Frames of each item, int64 [n]. The first look opens every shard."""
        return np.concatenate([np.zeros(0, np.int64), *(np.diff(self._codes_of(at).offsets) for at in self._places)])

    @cached_property
    def keys(self) -> list[str]:
        """The key of each item. Raises TokenStoreError where two have one key."""
        keys = self.column("key")
        if len(set(keys)) != len(keys):
            twice = Counter(keys).most_common(1)[0][0]
            raise TokenStoreError(f"{self.path}: item {twice!r} is there twice")
        return keys

    @cached_property
    def splits(self) -> list[str]:
        """The split of each item, "" where none is told."""
        return self.column("split")

    def find(self, key: str) -> int:
        """The number of the item of that key. Raises KeyError."""
        return self._numbers[key]

    def codes(self, item: int, start: int = 0, frames: int | None = None) -> np.ndarray:
        """Codes [K, t] of an item, from a frame on, at most `frames` (all): a view of the map, read-only.

        Raises IndexError for an item, ValueError for frames, that the store does not have.
        """
        place, row = self._place(item)
        file = self._codes_of(place)
        first, end = int(file.offsets[row]), int(file.offsets[row + 1])
        if not 0 <= start <= end - first or (frames is not None and frames < 0):
            raise ValueError(f"item {item} has {end - first} frames: cannot read {frames} from {start}")
        stop = end if frames is None else min(end, first + start + frames)
        return file.codes[first + start : stop].T

    def crops(self, items: Any, starts: Any, frames: int, pad: int | None = None) -> np.ndarray:
        """Crops [B, K, frames] of items [B], each from its start [B]: new, of the head's dtype, in memory frame by frame.

        pad: stands where an item has ended; without it a crop that goes beyond its item's end is a ValueError. IndexError for items that
        there are not.
        """
        items, starts = np.asarray(items, np.int64), np.asarray(starts, np.int64)
        if items.ndim != 1 or items.shape != starts.shape or frames < 0:
            raise ValueError(f"items {items.shape} and starts {starts.shape} must be [B], frames {frames} from 0")
        if not len(items):
            return np.zeros((0, self.head.codebooks, frames), self.head.dtype)
        if items.min() < 0 or items.max() >= len(self):
            raise IndexError(f"items from {items.min()} to {items.max()}; the store has 0 to {len(self) - 1}")
        room = self.lengths[items] - starts  # frames from the start to the item's end
        if starts.min() < 0 or room.min() < (frames if pad is None else 0):
            worst = int(np.argmin(np.minimum(room - frames, starts)))
            raise ValueError(
                f"item {items[worst]} has {self.lengths[items[worst]]} frames: cannot read {frames} from {starts[worst]}"
            )
        place, first = self._spots
        return self._gather(place[items].tolist(), first[items] + starts, np.minimum(room, frames), frames, pad or 0)

    def meta(self, item: int, notes: bool = True) -> Meta:
        """What is known of an item. Row groups that were read are kept, up to 256 MiB of them. notes: False leaves notes and pedals unread,
        which are most of what there is to read: the item then says that it has none.
        """
        place, row = self._place(item)
        with self._lock:
            file = self._table_of(place)
            number, row = file.find(row)
            name = (file.path.name, number, notes)  # another table of the shard has other groups
            group = self._groups.get(name)
            if group is None:
                group = self._groups[name] = file.group(number, _columns(notes))
                self._cached += group.nbytes
            self._groups.move_to_end(name)
            while self._cached > _CACHED_BYTES and len(self._groups) > 1:
                self._cached -= self._groups.popitem(last=False)[1].nbytes
        return file.row(group, row)

    def metas(self, notes: bool = True) -> Iterator[Meta]:
        """What is known of every item, in order and in bounded memory. notes: see `meta`."""
        for place in self._places:
            yield from self._new_table(place).metas(_columns(notes))

    def column(self, name: str) -> list[Any]:
        """One column of the tables, of every item; see docs/token-store.md."""
        return [value for place in self._places for value in self._new_table(place).column(name)]

    def file(self, record: FileHash) -> Path:
        """Where a file that a manifest names is on this machine."""
        path = self._files.path(record)
        if self.verify and record.name not in self._verified:
            record.check(path)
            self._verified.add(record.name)
        return path

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("path", "verify", "head", "manifests", "_files")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __repr__(self) -> str:
        return f"TokenStore({self.path!r}: {len(self)} items of {self.head.codec} in {len(self.manifests)} shards)"

    def _open(self) -> None:
        self._places = range(len(self.manifests))
        counts = [manifest.items for manifest in self.manifests]
        self._firsts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)  # [shards + 1]
        self._codes: dict[int, CodesFile] = {}
        self._memory: dict[int, memoryview] = {}  # the bytes of their codes
        self._tables: OrderedDict[int, MetaFile] = OrderedDict()
        self._groups: OrderedDict[tuple[str, int, bool], pa.Table] = OrderedDict()
        self._cached = 0  # bytes of them
        self._verified: set[str] = set()  # names of files
        self._lock = Lock()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.keys)}

    @cached_property
    def _spots(self) -> tuple[np.ndarray, np.ndarray]:
        """The place of each item's shard, int32 [n], and its first frame there, int64 [n]."""
        firsts = [self._codes_of(at).offsets[:-1] for at in self._places]
        counts = [manifest.items for manifest in self.manifests]
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts), np.concatenate(
            [np.zeros(0, np.int64), *firsts]
        )

    def _gather(self, places: list[int], at: np.ndarray, lengths: np.ndarray, frames: int, pad: int) -> np.ndarray:
        """Crops [B, K, frames], a view: runs of bytes, joined, are the frames one after the other."""
        memory = self._memory
        for place in set(places) - memory.keys():
            memory[place] = self._codes_of(place).codes.reshape(-1).view(np.uint8).data
        dtype, books = self.head.dtype, self.head.codebooks
        width = books * dtype.itemsize  # bytes a frame
        ends = ((at + lengths) * width).tolist()
        runs: list[memoryview | bytes]
        runs = [memory[place][start:end] for place, start, end in zip(places, (at * width).tolist(), ends, strict=True)]
        if lengths.min() < frames:
            rest = np.full(books, pad, dtype).tobytes()
            runs = [part for run, n in zip(runs, lengths.tolist(), strict=True) for part in (run, rest * (frames - n))]
        table = np.frombuffer(bytearray().join(runs), dtype)
        return table.reshape(len(places), frames, books).transpose(0, 2, 1)

    def _place(self, item: int) -> tuple[int, int]:
        """The shard's place among the shards, and the item's among the shard's."""
        if not 0 <= item < len(self):
            raise IndexError(f"item {item}: the store has {len(self)}, counted from 0")
        place = int(np.searchsorted(self._firsts, item, "right")) - 1
        return place, int(item - self._firsts[place])

    def _codes_of(self, place: int) -> CodesFile:
        if place not in self._codes:
            manifest = self.manifests[place]
            path = self.file(manifest.codes)
            self._codes[place] = CodesFile(path, self.head, manifest.items, manifest.frames)
        return self._codes[place]

    def _table_of(self, place: int) -> MetaFile:
        if place not in self._tables:
            self._tables[place] = self._new_table(place)
            if len(self._tables) > _OPEN_TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(place)
        return self._tables[place]

    def _new_table(self, place: int) -> MetaFile:
        while True:
            manifest = self.manifests[place]
            try:
                return MetaFile(self.file(manifest.meta), manifest.items)
            except TokenStoreError:
                if not self._annotated(place):
                    raise

    def _annotated(self, place: int) -> bool:
        """Whether a shard has another table now, for the same codes: from now on that one is read."""
        was = self.manifests[place]
        try:
            now = self._files.manifest(was.shard)
        except TokenStoreError:
            return False
        if now.meta == was.meta or (now.codes, now.items) != (was.codes, was.items):
            return False
        self.manifests = (*self.manifests[:place], now, *self.manifests[place + 1 :])
        return True


def _columns(notes: bool) -> Sequence[str]:
    return tuple(COLUMNS) if notes else WITHOUT_NOTES


def files_at(path: str) -> StoreFiles:
    """The files of a store in a folder, or at an address."""
    if "://" not in path:
        return LocalFiles(path)
    from solfa.tokenize_audio.store.remote import RemoteFiles

    return RemoteFiles(path)
