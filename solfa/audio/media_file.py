"""A recording that FFmpeg decodes, in a process of its own: a file that crashes it costs itself only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from solfa.audio.apart import HEAD, start
from solfa.audio.media import MISSING, Medium, is_installed, told
from solfa.audio.sound_file import AudioError, AudioInfo, block_size
from solfa.parent import how_it_ended

CHILD = "solfa.audio.media_child"


class MediaFile:
    """As `SoundFile`, of what that one cannot read; see `MediaReader` for what is refused. It takes a quarter of a second to open."""

    def __init__(self, path: str | os.PathLike[str], medium: Medium) -> None:
        self.path = Path(path)
        if not is_installed():
            raise self.error(MISSING.format(medium.name))
        self._medium = medium
        self._child: _Child | None = _Child(self, medium)
        facts = self._child.facts
        self.sample_rate, self.channels = int(facts["rate"]), int(facts["channels"])
        self.format, self.subtype = str(facts["format"]), str(facts["subtype"])

    def __enter__(self) -> MediaFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def error(self, reason: str) -> AudioError:
        """An AudioError that names this file."""
        return AudioError(f"{self.path}: {reason}")

    def info(self) -> AudioInfo:
        """Rate, channels and exact length, for which it is decoded once."""
        return told(self)

    def blocks(self, size: int = 1 << 18, start: int = 0) -> Iterator[np.ndarray]:
        """As `SoundFile.blocks`. It is decoded from its beginning, whatever the start."""
        size, done = block_size(size, start, self.channels), 0
        # The process that said what the file is goes on to decode it, for the first who asks.
        child, self._child = self._child or _Child(self, self._medium), None
        try:
            for block in child.blocks(self.channels):
                skipped = max(0, start - done)
                done += block.shape[1]
                for at in range(skipped, block.shape[1], size):
                    yield np.ascontiguousarray(block[:, at : at + size])
        finally:
            child.close()


class _Child:
    """The process, and what comes from it."""

    def __init__(self, file: MediaFile, medium: Medium) -> None:
        self._file = file
        try:
            self._pipe, theirs = os.pipe()
        except OSError as error:
            raise file.error(f"cannot be opened ({error.strerror})") from error
        try:
            self._process = start(CHILD, theirs, os.fspath(file.path), medium.name, medium.reader)
        except OSError as error:
            os.close(self._pipe)
            raise file.error(f"cannot be opened ({error.strerror})") from error
        finally:
            os.close(theirs)
        try:
            kind, data = self._next()
            assert kind == b"O", kind
        except BaseException:
            self.close()
            raise
        self.facts = json.loads(data)

    def blocks(self, channels: int) -> Iterator[np.ndarray]:
        """float32 [C, n]."""
        while True:
            kind, data = self._next()
            if kind == b"E":
                return
            yield np.frombuffer(data, np.float32).reshape(channels, -1)

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.wait()
        os.close(self._pipe)

    def _next(self) -> tuple[bytes, bytearray]:
        kind, size = HEAD.unpack(self._read(HEAD.size))
        data = self._read(size)
        if kind == b"X":
            raise self._file.error(" ".join(json.loads(data)["reason"].split()))
        if kind == b"F":
            number = int(json.loads(data)["number"])
            cause = OSError(number, os.strerror(number))
            raise self._file.error(f"cannot be opened ({cause.strerror})") from cause
        return kind, data

    def _read(self, size: int) -> bytearray:
        data, at = bytearray(size), 0
        with memoryview(data) as view:
            while at < size:
                count = os.readv(self._pipe, [view[at:]])
                if count == 0:
                    raise self._file.error(f"kills its decoder ({how_it_ended(self._process.wait())})")
                at += count
        return data
