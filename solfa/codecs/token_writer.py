"""Writing `.solfa` token files: block by block in bounded memory, whole or not at all."""

import contextlib
import os
import secrets
import stat
import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from solfa.codecs.bitpacking import pack
from solfa.codecs.token_format import CRC_BYTES, END, INDEX_BYTES, TRAILER, TokenHeader, pack_head, plane_crc

if TYPE_CHECKING:  # a token file is written and read without torch
    from solfa.codecs.codec import Codes

_CODES_AT_ONCE = 1 << 20  # codes packed in one go: bounds the memory of a long `write`


class TokenWriter:
    """Writes the codes of one recording as they come; their number need not be known before the end.

        with TokenWriter("take.solfa", header) as writer:
            for codes in chunks:            # [K, n], any n
                writer.write(codes)
            writer.close(samples=441_000)

    The bytes depend on the codes and the header only, never on how the codes were cut into chunks. They go to a
    temporary file beside the target, which takes its name in one step at `close`; an exception inside the `with`
    removes it and leaves an older file of that name as it was.

    header: `frames` and `samples` in it are not looked at. Raises ValueError where the target is no regular file, or
    codes have the wrong shape or lie outside [0, N); OSError where the disk says so.
    """

    def __init__(self, path: str | os.PathLike[str], header: TokenHeader) -> None:
        self.header = replace(header, frames=0, samples=0)
        self.frames = 0
        self._target = Path(os.path.realpath(path))  # a link keeps pointing where it pointed
        if self._target.exists() and not stat.S_ISREG(self._target.stat().st_mode):
            raise ValueError(f"{path} is not a regular file: a token file cannot take its place")
        self._pending = np.empty((header.codebooks, header.block_frames), np.int32)  # [K, F], filled to self._filled
        self._filled = 0
        self._blocks = 0
        head = pack_head(self.header)
        self._temporary = self._target.with_name(f".solfa-{secrets.token_hex(8)}.tmp")
        self._file = open(self._temporary, "xb")  # noqa: SIM115 - closed by close() or abort()
        try:
            # Zeros until the end: a temporary file left by a kill is never taken for a token file.
            self._write(bytes(len(head)))
        except BaseException:
            self.abort()
            raise

    def write(self, codes: Any) -> None:
        """Append frames. codes: integers [K, n] (NumPy or torch), every one in [0, N)."""
        if self._file.closed:
            raise ValueError(f"the writer of {self._target} is closed")
        array = checked_codes(codes, self.header)
        self.frames += array.shape[1]
        size = self.header.block_frames
        start = 0
        if self._filled:
            start = min(size - self._filled, array.shape[1])
            self._hold(array[:, :start])
            if self._filled < size:
                return
            self._write_blocks(self._pending)
            self._filled = 0
        step = size * max(1, _CODES_AT_ONCE // (size * self.header.codebooks))
        whole = start + (array.shape[1] - start) // size * size
        for at in range(start, whole, step):
            self._write_blocks(array[:, at : min(at + step, whole)])
        self._hold(array[:, whole:])

    def close(self, samples: int | None = None) -> None:
        """Finish the file and give it its name.

        samples: true length of the recording at the header's sample rate; every frame counts in full where it is
        None. Raises ValueError (and leaves no file) where it does not fit the frames written. A second call does
        nothing.
        """
        if self._file.closed:
            return
        try:
            if self._filled:
                self._write_blocks(self._pending[:, : self._filled])
            length = self.frames * self.header.hop if samples is None else samples
            self.header = replace(self.header, frames=self.frames, samples=length)
            head = pack_head(self.header)
            self._write_index(zlib.crc32(head))
            self._file.seek(0)
            self._write(head)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self._target)
            _sync_folder(self._target.parent)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Give up: nothing is left behind, and a file that bore the name before is untouched."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _hold(self, codes: np.ndarray) -> None:
        count = codes.shape[1]
        self._pending[:, self._filled : self._filled + count] = codes
        self._filled += count

    def _write_blocks(self, codes: np.ndarray) -> None:
        """codes: [K, n], n a multiple of the block's frames, or less than one block (the last)."""
        books = codes.shape[0]
        size = min(self.header.block_frames, codes.shape[1])
        planes = codes.reshape(books, -1, size).transpose(1, 0, 2)  # [blocks, K, F]
        count = planes.shape[0]
        packed = pack(planes.reshape(count * books, size), self.header.bits)  # [blocks * K, bytes]
        rows = np.ascontiguousarray(packed).data.cast("B")
        width = packed.shape[1]
        crcs = np.empty(count * books, "<u4")
        for row in range(count * books):
            plane = rows[row * width : (row + 1) * width]
            crcs[row] = plane_crc(plane, self._blocks + row // books, row % books, books)
        out = np.empty((count, books * (CRC_BYTES + width)), np.uint8)
        out[:, : books * CRC_BYTES] = crcs.view(np.uint8).reshape(count, -1)
        out[:, books * CRC_BYTES :] = packed.reshape(count, -1)
        self._write(out.data)
        self._blocks += count

    def _write_index(self, crc: int) -> None:
        full = struct.pack("<I", self.header.block_bytes)
        for block in range(0, self._blocks, 4096):
            count = min(4096, self._blocks - block)
            lengths = full * count
            if block + count == self._blocks:
                last = self.header.bytes_of(self.header.frames_in(self._blocks - 1))
                lengths = lengths[:-INDEX_BYTES] + struct.pack("<I", last)
            crc = zlib.crc32(lengths, crc)
            self._write(lengths)
        self._write(TRAILER.pack(crc, END))

    def _write(self, data: Any) -> None:
        self._file.write(data)


def write_tokens(
    path: str | os.PathLike[str],
    codes: "Codes",
    *,
    item: int | None = None,
    precision: str = "float32",
    block_frames: int = 256,
    metadata: Mapping[str, str] | None = None,
) -> TokenHeader:
    """Write the codes of one recording, and return the header that stands in the file.

    item: which of a batch; may be left out where there is one. The rest goes into the header: see `TokenHeader`.
    Raises as `TokenWriter` does.
    """
    batch = codes.tokens.shape[0]
    if item is None and batch != 1:
        raise ValueError(f"a token file holds one recording: choose an item, 0 to {batch - 1}")
    chosen = 0 if item is None else item
    if not 0 <= chosen < batch:
        raise ValueError(f"item must be 0 to {batch - 1}, not {item}")
    header = TokenHeader(
        codec=codes.codec,
        weights_hash=codes.weights_hash,
        sample_rate=codes.sample_rate,
        channels=codes.channels,
        hop=codes.hop,
        codebooks=codes.codebooks,
        codebook_size=codes.codebook_size,
        precision=precision,
        block_frames=block_frames,
        metadata=metadata or {},
    )
    with TokenWriter(path, header) as writer:
        writer.write(codes.tokens[chosen, :, : codes.lengths[chosen]])
        writer.close(samples=codes.samples[chosen])
        return writer.header


def checked_codes(codes: Any, header: TokenHeader) -> np.ndarray:
    """codes as a NumPy array [K, n], or ValueError: wrong shape, no integers, or a code outside [0, N)."""
    array = np.asarray(codes.cpu() if hasattr(codes, "cpu") else codes)
    if array.ndim != 2 or array.shape[0] != header.codebooks:
        raise ValueError(f"codes must be [{header.codebooks}, frames], not {list(array.shape)}")
    if array.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, not {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= header.codebook_size):
        book, frame = np.argwhere((array < 0) | (array >= header.codebook_size))[0]
        raise ValueError(
            f"code {array[book, frame]} at codebook {book}, frame {frame} of this piece is outside "
            f"[0, {header.codebook_size})"
        )
    return array


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system can (not on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
