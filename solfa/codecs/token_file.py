"""Reading `.solfa` token files: any stretch of time, the first codebooks only, bad blocks told apart from good ones.

`TokenFile` reads lazily; `read_tokens` reads all. Writing is `token_writer`'s (`write_tokens` and `TokenWriter` stand
here too, so that both directions import from one place), and docs/token-file.md describes the bytes.
"""

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

import numpy as np

from solfa.codecs.bitpacking import packed_bytes, unpack
from solfa.codecs.token_format import (
    CRC_BYTES,
    END,
    INDEX_BYTES,
    PRELUDE,
    TRAILER,
    TokenFileError,
    TokenHeader,
    parse_json,
    parse_prelude,
    plane_crc,
)
from solfa.codecs.token_writer import TokenWriter, write_tokens

if TYPE_CHECKING:
    from solfa.codecs.codec import Codes

__all__ = ["Damage", "TokenFile", "TokenFileError", "TokenHeader", "TokenWriter", "read_tokens", "write_tokens"]

_POLICIES = ("error", "zero")
_CODES_AT_ONCE = 1 << 20  # bounds the memory of a read beyond its result
_INDEX_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Damage:
    """Codes of one block that cannot be trusted."""

    block: int
    codebooks: tuple[int, ...]  # counted from 0
    start_frame: int
    stop_frame: int
    start: float  # seconds
    stop: float  # seconds
    reason: str

    def __str__(self) -> str:
        books = ", ".join(str(book) for book in self.codebooks)
        return f"block {self.block} ({self.start:.2f} to {self.stop:.2f} s), codebook {books}: {self.reason}"


class TokenFile:
    """A `.solfa` file, open for reading; close it, or use it in a `with`.

    Opening reads the header and the index only. Every plane of codes is checked as it is read. Memory is bounded by
    what the file really holds, whatever it says.

    on_damage: "error" refuses, on opening, a file that is truncated or overlong or has a damaged index, and, on
    reading, the blocks that are damaged; other blocks read well. "zero" puts code 0 where a plane is damaged and, in
    a truncated file, ends at the last whole block: `frames` says how many there are, `flaws` what was wrong with the
    file's shape and `damaged` which planes are bad.

    Raises TokenFileError naming the file and the reason.
    """

    def __init__(self, path: str | os.PathLike[str], on_damage: str = "error") -> None:
        if on_damage not in _POLICIES:
            raise ValueError(f"on_damage must be one of {', '.join(_POLICIES)}, not {on_damage!r}")
        self.path = os.fspath(path)
        self.on_damage = on_damage
        self.flaws: tuple[str, ...] = ()
        try:
            # Before opening: a pipe would wait for a writer for ever.
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise TokenFileError(f"{self.path}: not a regular file")
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name, or ours
            if isinstance(error, TokenFileError):
                raise
            raise TokenFileError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def read(self, start: int = 0, stop: int | None = None, codebooks: int | None = None) -> np.ndarray:
        """Codes of the frames [start, stop), of the first `codebooks` codebooks (all): int32 [k, stop - start].

        Only the bytes of those blocks and codebooks are read, and all of them are checked.
        Raises ValueError for a range outside the file, TokenFileError naming block and time where one is damaged.
        """
        stop = self.frames if stop is None else stop
        books = self.header.codebooks if codebooks is None else codebooks
        if not 0 <= start <= stop <= self.frames:
            raise ValueError(f"frames must be a range within [0, {self.frames}], not [{start}, {stop}]")
        if not 1 <= books <= self.header.codebooks:
            raise ValueError(f"codebooks must be 1 to {self.header.codebooks}, not {codebooks}")
        out = np.empty((books, stop - start), np.int32)  # [k, T]; no more than 32 times the bytes that are there
        size = self.header.block_frames
        for first, last in self._runs(start // size, -(-stop // size) if stop > start else start // size):
            codes, damage = self._read_blocks(first, last, books)  # [k, n]
            if damage and self.on_damage == "error":
                self._fail(str(damage[0]))
            offset = first * size
            low, high = max(start, offset), min(stop, offset + codes.shape[1])
            out[:, low - start : high - start] = codes[:, low - offset : high - offset]
        return out

    def codes(self, start: int = 0, stop: int | None = None, codebooks: int | None = None) -> "Codes":
        """The same as `Codes` of one item, for a codec to decode: its samples end where the recording does."""
        import torch

        from solfa.codecs.codec import Codes

        tokens = torch.from_numpy(self.read(start, stop, codebooks)).long()[None]  # [1, k, T]
        header = self.header
        return Codes(
            tokens=tokens,
            codec=header.codec,
            weights_hash=header.weights_hash,
            sample_rate=header.sample_rate,
            channels=header.channels,
            hop=header.hop,
            codebook_size=header.codebook_size,
            samples=(max(0, min(tokens.shape[2] * header.hop, header.samples - start * header.hop)),),
        )

    def chunks(self, frames: int = 1 << 12, codebooks: int | None = None) -> Iterator[np.ndarray]:
        """The whole file as pieces [k, n] of at most `frames` frames, in order and in bounded memory."""
        if frames < 1:
            raise ValueError(f"frames must be at least 1, not {frames}")
        for start in range(0, self.frames, frames):
            yield self.read(start, min(start + frames, self.frames), codebooks)

    @cached_property
    def damaged(self) -> tuple[Damage, ...]:
        """Every damaged plane of the file, one item a block; the first look reads the whole file once."""
        found: list[Damage] = []
        for first, last in self._runs(0, -(-self.frames // self.header.block_frames)):
            found += self._read_blocks(first, last, self.header.codebooks)[1]
        return tuple(found)

    def close(self) -> None:
        """Close the file; what was read stays."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        self.size = os.fstat(self._file.fileno()).st_size
        try:
            prelude = self._bytes(0, min(PRELUDE.size, self.size))
            length, crc = parse_prelude(prelude)
            if PRELUDE.size + length > self.size:
                raise TokenFileError(f"truncated: the header is {length} bytes, the file {self.size}")
            text = self._bytes(PRELUDE.size, length)
            self.header = parse_json(prelude, text, crc)
        except TokenFileError as error:
            self._fail(str(error).removeprefix(f"{self.path}: "))
        self._data = PRELUDE.size + length
        self.frames = self.header.frames
        flaw = self._check_shape(zlib.crc32(prelude + text))
        if flaw and self.on_damage == "error":
            self._fail(flaw)
        if flaw:
            self.flaws = (flaw,)

    def _check_shape(self, crc: int) -> str | None:
        """What is wrong with the file's size, index or end mark, if anything; cuts `frames` to what is there."""
        header = self.header
        expected = self._data + header.payload_bytes + INDEX_BYTES * header.blocks + TRAILER.size
        if self.size < expected:
            present = self.size - self._data
            whole = header.blocks if present >= header.payload_bytes else present // header.block_bytes
            self.frames = min(header.frames, whole * header.block_frames)
            return (
                f"truncated: {self.size} bytes of {expected}; {whole} of {header.blocks} blocks are whole "
                f'({self.frames / header.frame_rate:.2f} s), and on_damage="zero" reads them'
            )
        if self.size > expected:
            return f"{self.size - expected} bytes too many: the file should be {expected} bytes"
        at = self._data + header.payload_bytes
        for block in range(0, header.blocks, _INDEX_AT_ONCE):
            count = min(_INDEX_AT_ONCE, header.blocks - block)
            entries = self._bytes(at + INDEX_BYTES * block, INDEX_BYTES * count)
            crc = zlib.crc32(entries, crc)
            lengths = struct.pack("<I", header.block_bytes) * count
            if block + count == header.blocks:
                last = header.bytes_of(header.frames_in(header.blocks - 1))
                lengths = lengths[:-INDEX_BYTES] + struct.pack("<I", last)
            if entries != lengths:
                return "the index is damaged: it does not give the blocks' lengths"
        if self._bytes(self.size - TRAILER.size, TRAILER.size) != TRAILER.pack(crc, END):
            return "the end of the file is damaged: its checksum or end mark does not match"
        return None

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Cut blocks [first, last) into runs of one length of block, few enough to read at once."""
        step = max(1, _CODES_AT_ONCE // (self.header.block_frames * self.header.codebooks))
        full = self.frames // self.header.block_frames
        for block in range(first, min(last, full), step):
            yield block, min(block + step, last, full)
        if last > full:
            yield full, last

    def _read_blocks(self, first: int, last: int, books: int) -> tuple[np.ndarray, list[Damage]]:
        """The first `books` codebooks of blocks [first, last), all of one length: codes [books, n] and what is bad."""
        header = self.header
        count, frames, total = last - first, header.frames_in(first), header.codebooks
        width = header.bytes_of(frames, books)
        raw = np.empty((count, width), np.uint8)
        if books == total:
            self._into(self._data + first * header.block_bytes, raw)
        else:
            for row in range(count):
                self._into(self._data + (first + row) * header.block_bytes, raw[row])
        table = np.ascontiguousarray(raw[:, : CRC_BYTES * total]).view("<u4").tolist()  # [n][K]
        planes = np.ascontiguousarray(raw[:, CRC_BYTES * total :])  # [n, books * bytes]
        codes = unpack(planes.reshape(count * books, -1), frames, header.bits).reshape(count, books, frames)
        bad = self._check_planes(planes, table, codes, first)
        for row, book in bad:
            codes[row, book] = 0
        damage = [self._damage(first + row, bad, row) for row in sorted({row for row, _ in bad})]
        return codes.transpose(1, 0, 2).reshape(books, count * frames), damage

    def _check_planes(
        self, planes: np.ndarray, table: list[list[int]], codes: np.ndarray, first: int
    ) -> dict[tuple[int, int], str]:
        """(row, codebook) -> reason of each plane whose checksum, padding or codes are wrong."""
        count, books, frames = codes.shape
        header = self.header
        bad: dict[tuple[int, int], str] = {}
        view, width = planes.data.cast("B"), packed_bytes(frames, header.bits)
        for row in range(count):
            for book in range(books):
                at = (row * books + book) * width
                if plane_crc(view[at : at + width], first + row, book, header.codebooks) != table[row][book]:
                    bad[row, book] = "its checksum does not match"
        if spare := frames * header.bits % 8:
            padding = planes.reshape(count, books, width)[:, :, -1] >> spare
            for row, book in np.argwhere(padding):
                bad.setdefault((int(row), int(book)), "its padding is not zero")
        if header.codebook_size < 1 << header.bits:
            for row, book in np.argwhere((codes >= header.codebook_size).any(2)):
                bad.setdefault((int(row), int(book)), f"a code is outside [0, {header.codebook_size})")
        return bad

    def _damage(self, block: int, bad: dict[tuple[int, int], str], row: int) -> Damage:
        books = tuple(sorted(book for at, book in bad if at == row))
        start = block * self.header.block_frames
        stop = start + self.header.frames_in(block)
        rate = self.header.frame_rate
        return Damage(block, books, start, stop, start / rate, stop / rate, bad[row, books[0]])

    def _bytes(self, at: int, count: int) -> bytes:
        out = np.empty(count, np.uint8)
        self._into(at, out)
        return out.tobytes()

    def _into(self, at: int, out: np.ndarray) -> None:
        """Fill `out` (contiguous) from the file's byte `at` on."""
        view = out.data.cast("B") if out.size else memoryview(b"")
        self._file.seek(at)
        while len(view):
            try:
                got = self._file.readinto(view)
            except OSError as error:
                self._fail(error.strerror or str(error))
            if not got:
                self._fail("it became shorter while it was read")
            view = view[got:]

    def _fail(self, reason: str) -> NoReturn:
        raise TokenFileError(f"{self.path}: {reason}")


def read_tokens(path: str | os.PathLike[str], codebooks: int | None = None, on_damage: str = "error") -> "Codes":
    """All codes of a token file, of the first `codebooks` codebooks. See `TokenFile`."""
    with TokenFile(path, on_damage) as file:
        return file.codes(codebooks=codebooks)
