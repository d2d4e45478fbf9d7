"""A shard while it is made: the codes of its files, in the order in which they were done, and a journal of them.

Codes are written as they come, so a file of hours needs no memory. A line of the journal is written when a file is done with; a process
that is killed leaves at most a torn line and codes that no line speaks of, which the next one cuts off. What was done stays done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import xxhash

from solfa.tokenize_audio.work.decode import SourceStamp

_AT_ONCE = 1 << 20  # bytes


@dataclass(frozen=True)
class Record:
    """What became of a file. reason: why it was quarantined, or None; then samples (at the codec's rate), seconds (of the source), and
    where its codes are: `frames` of them from frame `start` on, with their xxh3-64. source: what it was made of."""

    key: str
    source: SourceStamp | None = None
    reason: str | None = None
    samples: int = 0
    seconds: float = 0.0
    start: int = 0
    frames: int = 0
    hash: str = ""


class SpoolDamaged(RuntimeError):
    """The codes are not those that the journal speaks of. The next who opens the spool drops them."""


class Spool:
    """The codes and the journal of one shard, at `path` with two endings; close it, or use it in a `with`.

    head: what the codes are of, in one line; what is there of another head is thrown away. codebooks K and dtype are those of the codes.
    Opening reads what is there and drops what is torn or damaged. Raises OSError where the disk says so.
    """

    def __init__(self, path: Path, head: str, codebooks: int, dtype: np.dtype) -> None:
        self.path, self.head, self.codebooks, self.dtype = path, head, codebooks, dtype
        self._row = codebooks * dtype.itemsize
        path.parent.mkdir(parents=True, exist_ok=True)
        self._codes = os.open(path.with_suffix(".codes"), os.O_RDWR | os.O_CREAT, 0o666)
        self._journal = os.open(path.with_suffix(".journal"), os.O_RDWR | os.O_CREAT, 0o666)
        self._records: dict[str, Record] = {}
        self.reload()

    @property
    def records(self) -> Mapping[str, Record]:
        """What is done with, by key."""
        return MappingProxyType(self._records)

    @property
    def written(self) -> int:
        """Bytes that are on the disk, by whichever process."""
        return os.fstat(self._codes).st_size + os.fstat(self._journal).st_size

    def reload(self) -> None:
        """Read what is there, which another process may have added to."""
        first = _line({"head": self.head})
        self._records.clear()
        self._end = whole = 0
        lines = _read_all(self._journal).splitlines(keepends=True)
        if lines and lines[0] == first:
            whole = len(lines[0])
            for line in lines[1:]:
                record = _parsed(line)
                if record is None or not self._holds(record):
                    break
                self._records[record.key] = record
                self._end = max(self._end, record.start + record.frames)
                whole += len(line)
        os.ftruncate(self._journal, whole)
        os.ftruncate(self._codes, self._end * self._row)
        if not whole:
            _write_all(self._journal, first, 0)

    def begin(self) -> None:
        """Codes that are added now are those of one file."""
        self._hash, self._frames = xxhash.xxh3_64(), 0

    def add(self, codes: np.ndarray) -> None:
        """Codes [K, t], after those that were added."""
        assert codes.shape[0] == self.codebooks
        data = np.ascontiguousarray(codes.T, self.dtype).tobytes()
        _write_all(self._codes, data, (self._end + self._frames) * self._row)
        self._hash.update(data)
        self._frames += codes.shape[1]

    def commit(self, key: str, source: SourceStamp, samples: int, seconds: float) -> Record:
        """The file whose codes were added is done."""
        hashed = self._hash.hexdigest()
        return self._put(Record(key, source, None, samples, seconds, self._end, self._frames, hashed))

    def refuse(self, key: str, reason: str, source: SourceStamp | None = None) -> Record:
        """The file is bad; what was added of it is dropped."""
        return self._put(Record(key, source, reason))

    def forget(self, key: str) -> None:
        """Do a file again."""
        self._records.pop(key)

    def codes(self, record: Record) -> np.ndarray:
        """The codes of a record, [K, T]: a memory map, not to be written to. Raises SpoolDamaged where they are not what was added: two
        processes wrote here, or the disk did not keep it."""
        if not record.frames:
            return np.zeros((self.codebooks, 0), self.dtype)
        shape, offset = (record.frames, self.codebooks), record.start * self._row
        codes = np.memmap(self.path.with_suffix(".codes"), self.dtype, "r", offset, shape)
        if xxhash.xxh3_64_hexdigest(codes.data) != record.hash:
            raise SpoolDamaged(
                f"{self.path.with_suffix('.codes')}: the codes of {record.key!r} are not what was written"
            )
        return codes.T

    def close(self) -> None:
        for handle in (self._codes, self._journal):
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, record: Record) -> Record:
        _write_all(self._journal, _line(asdict(record)), os.fstat(self._journal).st_size)
        self._records[record.key] = record
        self._end = max(self._end, record.start + record.frames)
        return record

    def _holds(self, record: Record) -> bool:
        """Whether the codes of a record are there, undamaged: a machine that lost power may have lost them, and not the line."""
        found, at, left = xxhash.xxh3_64(), record.start * self._row, record.frames * self._row
        while left and (data := os.pread(self._codes, min(left, _AT_ONCE), at)):
            found.update(data)
            at, left = at + len(data), left - len(data)
        return not left and (record.reason is not None or found.hexdigest() == record.hash)


def spooled(path: Path) -> bool:
    """Whether a shard was begun there."""
    return path.with_suffix(".journal").exists()


def remove_spool(path: Path) -> None:
    """Remove what is there of a shard that is done."""
    for ending in (".journal", ".codes"):  # without its journal, codes mean nothing
        path.with_suffix(ending).unlink(missing_ok=True)


def _line(record: dict[str, object]) -> bytes:
    text = json.dumps(record).encode()
    return text + b" " + xxhash.xxh3_64_hexdigest(text).encode() + b"\n"


def _parsed(line: bytes) -> Record | None:
    text, _, hashed = line.rstrip(b"\n").rpartition(b" ")
    if not line.endswith(b"\n") or xxhash.xxh3_64_hexdigest(text).encode() != hashed:
        return None
    try:
        fields = json.loads(text)
        source = fields.pop("source")
        return Record(source=None if source is None else SourceStamp(**source), **fields)
    except (ValueError, TypeError, KeyError):
        return None


def _read_all(handle: int) -> bytes:
    os.lseek(handle, 0, os.SEEK_SET)
    parts = []
    while data := os.read(handle, _AT_ONCE):
        parts.append(data)
    return b"".join(parts)


def _write_all(handle: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(handle, view, at)
        view, at = view[count:], at + count
