"""Reading `.solfa` token files: any stretch of time, the first codebooks only, bad blocks told apart from good ones.

`TokenFile` reads lazily; `read_tokens` reads all. Writing is `token_writer`'s (`write_tokens` and `TokenWriter` stand
here too, so that both directions import from one place), and docs/token-file.md describes the bytes.
"""

import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

import numpy as np

from solfa.codecs.entropy.codings import make_coding
from solfa.codecs.token_blocks import READ_ON, ByteFile, CodedBlocks, PackedBlocks
from solfa.codecs.token_format import PRELUDE, TokenFileError, TokenHeader, parse_json, parse_prelude
from solfa.codecs.token_writer import TokenWriter, write_tokens

if TYPE_CHECKING:
    from solfa.codecs.codec import Codes
    from solfa.codecs.entropy.integer_lm import IntegerLM

__all__ = ["Damage", "TokenFile", "TokenFileError", "TokenHeader", "TokenWriter", "read_tokens", "write_tokens"]

_POLICIES = ("error", "zero")
_CODES_AT_ONCE = 1 << 20  # bounds the memory of a read beyond its result


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

    lm: the language model of a file coded by one; by default one that ships with the package. It is looked for when codes are
    read: the rest of such a file can be read without it.

    Raises TokenFileError naming the file and the reason.
    """

    def __init__(self, path: str | os.PathLike[str], on_damage: str = "error", lm: "IntegerLM | None" = None) -> None:
        if on_damage not in _POLICIES:
            raise ValueError(f"on_damage must be one of {', '.join(_POLICIES)}, not {on_damage!r}")
        self.path = os.fspath(path)
        self.on_damage = on_damage
        self.flaws: tuple[str, ...] = ()
        self._lm = lm
        self._file: ByteFile | None = None
        try:
            # Before opening: a pipe would wait for a writer for ever.
            if not stat.S_ISREG(os.stat(path).st_mode):
                self._fail("not a regular file")
            self._open()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) or type(error) is ValueError:  # a NUL in the name
                self._fail(getattr(error, "strerror", None) or str(error))
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
        out = np.empty((books, stop - start), np.int32)  # [k, T]; no more than 64 times the bytes that are there
        if start == stop:
            return out
        self._ready()
        for first, last in self._runs(self.header.block_at(start), self.header.block_at(stop - 1) + 1):
            codes, damage = self._read_blocks(first, last, books)  # [k, n]
            if damage and self.on_damage == "error":
                self._fail(f"{damage[0]}; {READ_ON} the rest")
            offset = self.header.start_of(first)
            low, high = max(start, offset), min(stop, offset + codes.shape[1])
            out[:, low - start : high - start] = codes[:, low - offset : high - offset]
        return out

    def codes(self, start: int = 0, stop: int | None = None, codebooks: int | None = None) -> "Codes":
        """The same as `Codes` of one item, for a codec to decode: its samples end where the recording does.

        Of segments there is no part that is a recording: ValueError, unless all frames are asked for and there.
        """
        import torch

        from solfa.codecs.codec import Codes

        tokens = torch.from_numpy(self.read(start, stop, codebooks)).long()[None]  # [1, k, T]
        header = self.header
        samples = max(0, min(tokens.shape[2] * header.hop, header.samples - start * header.hop))
        if header.segment_samples:
            if tokens.shape[2] != header.frames:
                raise ValueError(
                    f"{self.path}: {tokens.shape[2]} of {header.frames} frames of segments are no recording"
                )
            samples = header.samples
        scales = self.scales
        return Codes(
            tokens=tokens,
            codec=header.codec,
            weights_hash=header.weights_hash,
            sample_rate=header.sample_rate,
            channels=header.channels,
            hop=header.hop,
            codebook_size=header.codebook_size,
            samples=(samples,),
            scales=None if scales is None else torch.from_numpy(scales)[None],
            segment=(header.segment_samples, header.segment_stride) if header.segment_samples else None,
        )

    @property
    def scales(self) -> np.ndarray | None:
        """Scales of the segments, float32 [segments], those that are there; None where the file has none.

        Raises TokenFileError for a damaged one, or with on_damage "zero" gives 0, which is silence.
        """
        blocks = self._blocks
        if not self.header.scaled or not isinstance(blocks, CodedBlocks):
            return None
        if self.on_damage == "error" and (damage := self._damage(0, blocks.check(0, blocks.whole, 1))):
            self._fail(str(damage[0]))
        return blocks.scales()

    def chunks(self, frames: int = 1 << 12, codebooks: int | None = None) -> Iterator[np.ndarray]:
        """The whole file as pieces [k, n] of at most `frames` frames, in order and in bounded memory."""
        if frames < 1:
            raise ValueError(f"frames must be at least 1, not {frames}")
        for start in range(0, self.frames, frames):
            yield self.read(start, min(start + frames, self.frames), codebooks)

    @cached_property
    def damaged(self) -> tuple[Damage, ...]:
        """Every damaged plane of the file, one item a block; the first look reads the whole file once.

        Where its language model is not here, checksums alone are looked at.
        """
        found: list[Damage] = []
        try:
            self._ready()
        except TokenFileError:
            assert isinstance(self._blocks, CodedBlocks)
            return tuple(self._damage(0, self._blocks.check(0, self._blocks.whole, self.header.codebooks)))
        for first, last in self._runs(0, self._blocks.whole):
            found += self._read_blocks(first, last, self.header.codebooks)[1]
        return tuple(found)

    def plane_bytes(self) -> np.ndarray:
        """Bytes of the codes of each codebook in each whole block, without heads and checksums: int64 [blocks, K]."""
        return self._blocks.plane_bytes()

    def close(self) -> None:
        """Close the file; what was read stays."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        self._file = ByteFile(self.path)
        size = self.size = self._file.size
        prelude = self._file.bytes_at(0, min(PRELUDE.size, size))
        try:
            length, crc = parse_prelude(prelude)
            if PRELUDE.size + length > size:
                raise TokenFileError(f"truncated: the header is {length} bytes, the file {size}")
            text = self._file.bytes_at(PRELUDE.size, length)
            self.header = parse_json(prelude, text, crc)
        except TokenFileError as error:
            self._fail(str(error).removeprefix(f"{self.path}: "))
        kind = PackedBlocks if self.header.version == 1 else CodedBlocks
        self._blocks = kind(self._file, self.header, PRELUDE.size + length, zlib.crc32(prelude + text))
        if self._blocks.flaw and self.on_damage == "error":
            self._fail(self._blocks.flaw)
        if self._blocks.flaw:
            self.flaws = (self._blocks.flaw,)
        self.frames = self.header.start_of(self._blocks.whole)

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Cut blocks [first, last) into runs of one length of block, few enough to read at once."""
        step = max(1, _CODES_AT_ONCE // (self.header.block_frames * self.header.codebooks))
        full = min(max(first, self.header.full_blocks), last)
        for block in range(first, full, step):
            yield block, min(block + step, full)
        for block in range(full, last):
            yield block, block + 1

    def _read_blocks(self, first: int, last: int, books: int) -> tuple[np.ndarray, list[Damage]]:
        """The first `books` codebooks of blocks [first, last), all of one length: codes [books, n] and what is bad."""
        found = self._blocks.read(first, last, books)
        count, _, frames = found.codes.shape
        return found.codes.transpose(1, 0, 2).reshape(books, count * frames), self._damage(first, found.bad)

    def _damage(self, first: int, bad: dict[tuple[int, int], str]) -> list[Damage]:
        """bad: (block after `first`, codebook) and the reason; one item a block, with the reason of its first codebook."""
        found, rate = [], self.header.frame_rate
        for row in sorted({row for row, _ in bad}):
            books = tuple(sorted(book for at, book in bad if at == row))
            start = self.header.start_of(first + row)
            stop = start + self.header.frames_in(first + row)
            found.append(Damage(first + row, books, start, stop, start / rate, stop / rate, bad[row, books[0]]))
        return found

    def _ready(self) -> None:
        """Have what decodes the planes."""
        if isinstance(self._blocks, CodedBlocks) and self._blocks.coding is None:
            try:
                self._blocks.coding = make_coding(self.header, self._lm)
            except ValueError as error:
                self._fail(str(error))

    def _fail(self, reason: str) -> NoReturn:
        raise TokenFileError(f"{self.path}: {reason}")


def read_tokens(
    path: str | os.PathLike[str],
    codebooks: int | None = None,
    on_damage: str = "error",
    lm: "IntegerLM | None" = None,
) -> "Codes":
    """All codes of a token file, of the first `codebooks` codebooks. See `TokenFile`."""
    with TokenFile(path, on_damage, lm) as file:
        return file.codes(codebooks=codebooks)
