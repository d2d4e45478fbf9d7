"""The blocks of a token file, read: where each lies, what stands in it, and which of its planes can be trusted.

`PackedBlocks` are those of version 1, all of one length; `CodedBlocks` those of version 2, whose lengths stand in the index.
"""

import math
import os
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from solfa.codecs.bitpacking import packed_bytes, unpack
from solfa.codecs.entropy.planes import Coding, decode_blocks
from solfa.codecs.token_format import (
    CRC_BYTES,
    END,
    INDEX_BYTES,
    PLANE,
    SCALE,
    TRAILER,
    TokenFileError,
    TokenHeader,
    coded_crc,
    plane_crc,
)

_INDEX_AT_ONCE = 1 << 14
CRC_WRONG = "its checksum does not match"
READ_ON = 'solfa decode --on-damage zero (in Python on_damage="zero") reads'


class ByteFile:
    """A file's bytes by their place. Raises TokenFileError, as the file's `name` and the reason."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self.size = os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()

    def bytes_at(self, at: int, count: int) -> bytes:
        out = np.empty(count, np.uint8)
        self.into(at, out)
        return out.tobytes()

    def into(self, at: int, out: np.ndarray) -> None:
        """Fill `out` (contiguous) from the file's byte `at` on."""
        view = out.data.cast("B") if out.size else memoryview(b"")
        self._file.seek(at)
        while len(view):
            try:
                got = self._file.readinto(view)
            except OSError as error:
                raise TokenFileError(f"{self.name}: {error.strerror or error}") from None
            if not got:
                raise TokenFileError(f"{self.name}: it became shorter while it was read")
            view = view[got:]


@dataclass(frozen=True)
class BlockCodes:
    """Codes of some blocks of one length. bad: (row of the block, codebook) whose codes are zeros, and why."""

    codes: np.ndarray  # [n, k, F] int32
    bad: dict[tuple[int, int], str] = field(default_factory=dict)


class Blocks(ABC):
    """The blocks of a file whose header was read. start: the file's byte where they begin. crc: of the bytes before it."""

    def __init__(self, file: ByteFile, header: TokenHeader, start: int, crc: int) -> None:
        self.file, self.header, self.start = file, header, start
        self.whole = header.blocks  # how many are there, of a file cut short
        self.flaw = self._check(crc)  # what is wrong with the file's size, index or end mark, if anything

    @abstractmethod
    def _check(self, crc: int) -> str | None: ...

    @abstractmethod
    def read(self, first: int, last: int, books: int) -> BlockCodes:
        """The codes of the first `books` codebooks of blocks [first, last), which must all have the frames of the first.

        Every plane is checked. One that is damaged gives zeros and its reason in `bad`, and the others stand; TokenFileError only where
        the file itself cannot be read any more. Memory is bounded by the bytes of these blocks.
        """

    @abstractmethod
    def plane_bytes(self) -> np.ndarray:
        """The lengths of the planes of all whole blocks, as the file gives them: int64 [blocks, K]."""

    def _truncated(self, bytes_needed: str) -> str:
        seconds = self.header.start_of(self.whole) / self.header.frame_rate
        return (
            f"truncated: {self.file.size} bytes{bytes_needed}; {self.whole} of {self.header.blocks} blocks are whole "
            f"({seconds:.2f} s)"
            + (f", and {READ_ON} them" if self.whole else "")
        )

    def _index(self) -> Iterator[bytes]:
        """The index, which stands before the trailer, in pieces."""
        at = self.file.size - TRAILER.size - INDEX_BYTES * self.header.blocks
        for block in range(0, self.header.blocks, _INDEX_AT_ONCE):
            count = min(_INDEX_AT_ONCE, self.header.blocks - block)
            yield self.file.bytes_at(at + INDEX_BYTES * block, INDEX_BYTES * count)

    def _end_fits(self, crc: int) -> bool:
        return self.file.bytes_at(self.file.size - TRAILER.size, TRAILER.size) == TRAILER.pack(crc, END)


class PackedBlocks(Blocks):
    """Blocks of version 1: their places follow from the header."""

    def _check(self, crc: int) -> str | None:
        header, size = self.header, self.file.size
        full = header.bytes_of(header.block_frames)
        last = header.bytes_of(header.frames_in(header.blocks - 1)) if header.blocks else 0
        payload = (header.blocks - 1) * full + last if header.blocks else 0
        expected = self.start + payload + INDEX_BYTES * header.blocks + TRAILER.size
        if size < expected:
            present = size - self.start
            self.whole = header.blocks if present >= payload else present // full
            return self._truncated(f" of {expected}")
        if size > expected:
            return f"{size - expected} bytes too many: the file should be {expected} bytes"
        left = header.blocks
        for entries in self._index():
            crc = zlib.crc32(entries, crc)
            count = len(entries) // INDEX_BYTES
            left -= count
            lengths = struct.pack("<I", full) * count
            if not left:
                lengths = lengths[:-INDEX_BYTES] + struct.pack("<I", last)
            if entries != lengths:
                return "the index is damaged: it does not give the blocks' lengths"
        return (
            None if self._end_fits(crc) else "the end of the file is damaged: its checksum or end mark does not match"
        )

    def read(self, first: int, last: int, books: int) -> BlockCodes:
        """As `Blocks.read`: all planes by one read, the first few by one read a block; they are unpacked together."""
        header = self.header
        count, frames, total = last - first, header.frames_in(first), header.codebooks
        width, stride = header.bytes_of(frames, books), header.bytes_of(header.block_frames)
        raw = np.empty((count, width), np.uint8)
        if books == total:
            self.file.into(self.start + first * stride, raw)
        else:
            for row in range(count):
                self.file.into(self.start + (first + row) * stride, raw[row])
        table = np.ascontiguousarray(raw[:, : CRC_BYTES * total]).view("<u4").tolist()  # [n][K]
        planes = np.ascontiguousarray(raw[:, CRC_BYTES * total :])  # [n, books * bytes]
        codes = unpack(planes.reshape(count * books, -1), frames, header.bits).reshape(count, books, frames)
        bad = self._check_planes(planes, table, codes, first)
        for place in bad:
            codes[place] = 0
        return BlockCodes(codes, bad)

    def plane_bytes(self) -> np.ndarray:
        """As `Blocks.plane_bytes`: all planes of a block have one length."""
        header = self.header
        lengths = [packed_bytes(header.frames_in(block), header.bits) for block in range(self.whole)]
        return np.repeat(np.array(lengths, np.int64)[:, None], header.codebooks, 1)

    def _check_planes(
        self, planes: np.ndarray, table: list[list[int]], codes: np.ndarray, first: int
    ) -> dict[tuple[int, int], str]:
        count, books, frames = codes.shape
        header = self.header
        bad: dict[tuple[int, int], str] = {}
        view, width = planes.data.cast("B"), packed_bytes(frames, header.bits)
        for row in range(count):
            for book in range(books):
                at = (row * books + book) * width
                if plane_crc(view[at : at + width], first + row, book, header.codebooks) != table[row][book]:
                    bad[row, book] = CRC_WRONG
        if spare := frames * header.bits % 8:
            padding = planes.reshape(count, books, width)[:, :, -1] >> spare
            for row, book in np.argwhere(padding):
                bad.setdefault((int(row), int(book)), "its padding is not zero")
        if header.codebook_size < 1 << header.bits:
            for row, book in np.argwhere((codes >= header.codebook_size).any(2)):
                bad.setdefault((int(row), int(book)), f"a code is outside [0, {header.codebook_size})")
        return bad


class CodedBlocks(Blocks):
    """Blocks of version 2: each begins with its scale and the lengths of its planes, and its own length stands in the index.

    coding: how coded planes are decoded; it may be set later, before `read`. Without one, planes that are packed are read, and
    `check` looks at checksums only.
    """

    coding: Coding | None = None

    def _check(self, crc: int) -> str | None:
        header, size = self.header, self.file.size
        tail = INDEX_BYTES * header.blocks + TRAILER.size
        if size - self.start >= header.head_bytes * header.blocks + tail:
            lengths = []
            for entries in self._index():
                crc = zlib.crc32(entries, crc)
                lengths.append(np.frombuffer(entries, "<u4").astype(np.int64))
            places = np.concatenate([[self.start], *lengths]).cumsum()
            if self._end_fits(crc) and places[-1] == size - tail:
                self._places = places
                if (np.diff(places) < header.head_bytes).any():
                    return "the index is damaged: a block is shorter than its head"
                return None
        self._places = self._walk()
        self.whole = len(self._places) - 1
        if self.whole < header.blocks:
            return self._truncated("")
        expected = int(self._places[-1]) + tail
        if size < expected:
            return self._truncated(f" of {expected}")
        if size > expected:
            return f"{size - expected} bytes too many: the file should be {expected} bytes"
        return "the end of the file is damaged: the index, its checksum or the end mark does not match"

    def _walk(self) -> np.ndarray:
        """Where the blocks lie, by their heads, up to the first that is not whole."""
        header = self.header
        places = [self.start]
        for block in range(header.blocks):
            at = places[-1]
            if at + header.head_bytes > self.file.size:
                break
            least, most = header.plane_bounds(header.frames_in(block))
            lengths = [length for _, length in self._head(self.file.bytes_at(at, header.head_bytes))]
            end = at + header.head_bytes + sum(lengths)
            if end > self.file.size or not all(least <= length <= most for length in lengths):
                break
            places.append(end)
        return np.array(places, np.int64)

    def _head(self, data: bytes) -> list[tuple[int, int]]:
        """Checksum and length of each plane."""
        return list(PLANE.iter_unpack(data[SCALE.size * self.header.scaled : self.header.head_bytes]))

    def read(self, first: int, last: int, books: int) -> BlockCodes:
        """As `Blocks.read`; a plane that its coding cannot decode, or whose codes lie outside [0, N), is damaged too."""
        header, frames = self.header, self.header.frames_in(first)
        planes, bad = self._planes(first, last, books)
        codes, undecoded = decode_blocks(
            planes, frames, header.codebook_size, self.coding, header.plane_bounds(frames)[0]
        )
        return BlockCodes(codes, {**undecoded, **bad})

    def plane_bytes(self) -> np.ndarray:
        """As `Blocks.plane_bytes`: out of the blocks' heads."""
        head = self.header.head_bytes
        heads = [self._head(self.file.bytes_at(int(self._places[block]), head)) for block in range(self.whole)]
        lengths = [[length for _, length in entries] for entries in heads]
        return np.array(lengths, np.int64).reshape(self.whole, self.header.codebooks)

    def check(self, first: int, last: int, books: int) -> dict[tuple[int, int], str]:
        """(row of the block, codebook) of the first planes of blocks [first, last) whose checksums or lengths are wrong."""
        return self._planes(first, last, books)[1]

    def scales(self) -> np.ndarray:
        """The scale of each block, float32; 0 where no plane's checksum confirms it."""
        found = np.zeros(self.whole, np.float32)
        for block in range(self.whole):
            if any(plane is not None for plane in self._block(block, self.header.codebooks)[0]):
                found[block] = SCALE.unpack(self.file.bytes_at(int(self._places[block]), SCALE.size))[0]
        return found

    def _planes(self, first: int, last: int, books: int) -> tuple[list[list[bytes | None]], dict[tuple[int, int], str]]:
        """The planes [n][books] of blocks, None for one that is damaged, and the reasons."""
        planes: list[list[bytes | None]] = []
        bad: dict[tuple[int, int], str] = {}
        for block in range(first, last):
            found, reasons = self._block(block, books)
            planes.append(found)
            bad.update({(block - first, book): reason for book, reason in reasons.items()})
        return planes, bad

    def _block(self, block: int, books: int) -> tuple[list[bytes | None], dict[int, str]]:
        header = self.header
        at, end = int(self._places[block]), int(self._places[block + 1])
        head = self.file.bytes_at(at, header.head_bytes)
        scale, entries = head[: SCALE.size * header.scaled], self._head(head)[:books]
        least, most = header.plane_bounds(header.frames_in(block))
        legal = next((i for i, (_, length) in enumerate(entries) if not least <= length <= most), books)
        starts = [0, *accumulate(length for _, length in entries[:legal])]
        at += header.head_bytes
        data = self.file.bytes_at(at, max(0, min(starts[-1], end - at)))
        planes: list[bytes | None] = [None] * books
        bad = dict.fromkeys(range(legal, books), f"its length, or one below it, is not {least} to {most} bytes")
        for book, (crc, length) in enumerate(entries[:legal]):
            plane = data[starts[book] : starts[book] + length]
            if coded_crc(plane, scale, block, book, header.codebooks) != crc:
                bad[book] = CRC_WRONG
            else:
                planes[book] = plane
        if not bad and books == header.codebooks and at + starts[-1] != end:
            bad = dict.fromkeys(range(books), "its block is longer than its planes")
        if not bad and scale and not 0 <= SCALE.unpack(scale)[0] < math.inf:
            bad = dict.fromkeys(range(books), "its scale is not a finite number of at least 0")
        return [None if book in bad else plane for book, plane in enumerate(planes)], bad
