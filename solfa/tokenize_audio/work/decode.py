"""Sound files decoded in a process of their own, ahead of the codec: a file that crashes, hangs or bloats its decoder costs itself only.

The process stays from file to file, and is replaced when it dies. What it is asked for it does in order, one block ahead of what is
taken from it, also over the end of a file. Memory is a block or two, whatever the file's length.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from solfa.audio.apart import HEAD, start
from solfa.parent import how_it_ended
from solfa.tokenize_audio.work.decode_child import READY

TRIES = 2  # of a file that kills its decoder: the first death may be an accident
CPU_SECONDS = 3600  # of one file: ten hours of the slowest format take minutes
PIPE = 1 << 20  # bytes
MANY = 4096  # files after which a process is replaced when there is nothing to do: what a library loses of its memory counts as a file's
START = 120.0  # seconds that a new process may take to read its libraries
CHILD = "solfa.tokenize_audio.work.decode_child"


class BadSound(ValueError):
    """A file that cannot be decoded. The message is the reason, in one line, without the file's name."""


class DecoderDied(Exception):
    """The decoder died of the file, for the first time: it is to be asked for the file's sound again, from the start."""


@dataclass(frozen=True)
class SourceStamp:
    """What a source was when it was decoded: size, time of change in ns, xxh3-128 in hex."""

    bytes: int
    time: int
    hash: str


class Sound:
    """A file as it comes out of the decoder. Its blocks are to be taken once, before the next file is asked for."""

    def __init__(self, decoder: Decoder, facts: dict[str, Any]) -> None:
        self._decoder = decoder
        self.sample_rate, self.channels = int(facts["rate"]), int(facts["channels"])  # of the blocks
        self.mixed = bool(facts["mixed"])  # of two channels
        self.stamp = SourceStamp(int(facts["bytes"]), int(facts["stamp"]), str(facts["hash"]))
        self.seconds = 0.0  # of the file; known when all blocks were taken
        self._ended = False

    def blocks(self) -> Iterator[np.ndarray]:
        """float32 [C, n]. Raises BadSound for damage that shows on the way, DecoderDied (see there)."""
        while (data := self._take()) is not None:
            yield np.frombuffer(data, np.float32).reshape(self.channels, -1)
        self.seconds = self._decoder.seconds

    def drop(self) -> None:
        """Be done with the file, however much of it was taken."""
        if not self._ended:
            self._decoder.drop()
        self._ended = True

    def _take(self) -> memoryview | None:
        try:
            data = self._decoder.take()
        except (BadSound, DecoderDied):
            self._ended = True
            raise
        self._ended = data is None
        return data


class Decoder:
    """A decoding process; close it, or use it in a `with`.

    timeout: seconds within which a file must give something, its beginning, its next block or its end. memory: MiB that decoding may take.
    mono: whether two channels become one. rate: what sound is brought to by soxr; None: it stays. Sound of more than two channels that is
    to be mono comes as it is, for `Codec.fit`. It can be used again after `close`.
    """

    def __init__(self, timeout: float, memory: int, mono: bool = False, rate: int | None = None) -> None:
        self.timeout, self.memory, self.mono, self.rate = timeout, memory, mono, rate
        self.seconds = 0.0  # of the last file that came to its end
        self._asked: deque[str] = deque()  # the first is the one that is read
        self._deaths = 0  # over the first
        self._files = 0  # that were asked of the process
        self._child: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._pipe = -1

    def ask(self, path: str) -> None:
        """Have a file decoded after those that were asked for before. Two at a time are enough to keep it busy."""
        self._asked.append(path)
        if self._child is not None:
            self._send(path)

    def sound(self) -> Sound:
        """The first of the files that were asked for. Raises BadSound and DecoderDied as its blocks do, and OSError where the decoder can
        open no file at all: then it is to be closed."""
        facts = self._receive("O")
        assert facts is not None
        return Sound(self, json.loads(bytes(facts)))

    def take(self) -> memoryview | None:
        """The next block's bytes; None at the end of the file, which then is done with."""
        return self._receive("B")

    def drop(self) -> None:
        """Be done with the first file, wherever it is."""
        self._stop()
        self._done()

    def close(self) -> None:
        """End the process, whatever it is at, and forget what was asked for."""
        self._stop()
        self._asked.clear()
        self._deaths = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self, expected: str) -> memoryview | None:
        self._start()
        kind, size = HEAD.unpack(self._read(HEAD.size))
        data = self._read(size)
        if kind == b"X":
            self._done()
            raise BadSound(" ".join(json.loads(bytes(data))["reason"].split()) or "cannot be decoded")
        if kind == b"F":
            number = int(json.loads(bytes(data))["number"])
            raise OSError(number, os.strerror(number), self._asked[0])
        if kind == b"E":
            self.seconds = float(json.loads(bytes(data))["seconds"])
            self._done()
            return None
        assert kind.decode() == expected, f"{kind!r} where {expected} must come"
        return data

    def _read(self, size: int) -> memoryview:
        data, at = np.empty(size, np.uint8).data, 0  # not set to zero first, which for blocks of sound takes time
        while at < size:
            if not self._waited(self.timeout):
                self._died(f"hangs: nothing came out of its decoder for {self.timeout:g} s")
            count = os.readv(self._pipe, [data[at:]])
            if count == 0:
                assert self._child is not None
                self._died(f"kills its decoder ({how_it_ended(self._child.wait())})")
            at += count
        return data

    def _waited(self, seconds: float) -> bool:
        """Whether there is something to read, or the process is dead."""
        waiting = select.poll()
        waiting.register(self._pipe, select.POLLIN | select.POLLHUP)
        return bool(waiting.poll(seconds * 1000))

    def _died(self, reason: str) -> None:
        self._stop()
        self._deaths += 1
        if self._deaths < TRIES:
            raise DecoderDied(reason)
        self._done()
        raise BadSound(f"{reason}, {TRIES} times")

    def _done(self) -> None:
        self._asked.popleft()
        self._deaths = 0
        if self._files >= MANY and not self._asked:
            self._stop()

    def _start(self) -> None:
        """Have a process that has begun. Raises OSError where none will: that is no file's fault."""
        if self._child is None:
            self._spawn()
            for path in self._asked:
                self._send(path)
        if not self._ready:
            if not self._waited(START) or os.read(self._pipe, len(READY)) != READY:
                self._stop()
                raise ChildProcessError(f"no decoding process: {sys.executable} -m {CHILD} does not start")
            self._ready = True

    def _spawn(self) -> None:
        self._pipe, theirs = os.pipe()
        with contextlib.suppress(AttributeError, OSError):  # a larger pipe is quicker, where there is one
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE)
        try:
            self._child = start(CHILD, theirs, str(self.memory), str(CPU_SECONDS), stdin=subprocess.PIPE)
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        self._ready, self._files = False, 0

    def _send(self, path: str) -> None:
        assert self._child is not None and self._child.stdin is not None
        self._files += 1
        with contextlib.suppress(BrokenPipeError):  # it is dead, which is found when something is read
            request = {"path": path, "mono": self.mono, "rate": self.rate}
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()

    def _stop(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()
        os.close(self._pipe)
        self._child = None
