"""Writing `.solfa` token files: block by block in bounded memory, whole or not at all."""

import contextlib
import math
import os
import struct
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from solfa.codecs.entropy.codings import make_coding
from solfa.codecs.entropy.planes import encode_blocks
from solfa.codecs.token_format import (
    BLOCK_FRAMES,
    END,
    MAX_CODED_SIZE,
    PLANE,
    SCALE,
    TRAILER,
    TokenHeader,
    coded_crc,
    pack_head,
    plane_crc,
)
from solfa.files import WholeFile, check_replaceable

if TYPE_CHECKING:  # a token file is written and read without torch
    from solfa.codecs.codec import Codes
    from solfa.codecs.entropy.integer_lm import IntegerLM

_CODES_AT_ONCE = 1 << 18  # codes coded in one go: bounds the memory of a long `write`


class TokenWriter:
    """Writes the codes of one recording as they come; their number need not be known before the end.

        with TokenWriter("take.solfa", header) as writer:
            for codes in chunks:            # [K, n], any n
                writer.write(codes)
            writer.close(samples=441_000)

    The bytes depend on the codes and the header only, never on how the codes were cut into chunks. They go to a
    temporary file beside the target, which takes its name in one step at `close`; an exception inside the `with`
    removes it and leaves an older file of that name as it was.

    header: `frames` and `samples` in it are not looked at. With segments, each `write` is one of them. lm: the language
    model whose hash the header names; by default one that ships with the package. Raises ValueError where the target is no
    regular file, the model is not there, or codes have the wrong shape or lie outside [0, N); OSError where the disk says so.
    """

    def __init__(self, path: str | os.PathLike[str], header: TokenHeader, lm: "IntegerLM | None" = None) -> None:
        self.header = replace(header, frames=0, samples=0)
        self._coding = make_coding(header, lm)
        self.frames = 0
        check_replaceable(path)
        self._pending = np.empty((header.codebooks, header.block_frames), np.int32)  # [K, F], filled to self._filled
        self._filled = 0
        self._lengths = array("I")  # of the blocks, in bytes
        self._segments = array("I")  # frames of each
        head = pack_head(self.header)
        self._whole = WholeFile(path)
        self._file = open(self._whole.temporary, "xb")  # noqa: SIM115 - closed by close() or abort()
        try:
            # Zeros until the end: a temporary file left by a kill is never taken for a token file.
            self._write(bytes(len(head)))
        except BaseException:
            self.abort()
            raise

    def write(self, codes: Any, scale: float | None = None) -> None:
        """Append frames. codes: integers [K, n] (NumPy or torch), every one in [0, N). scale: of the segment, where they have one."""
        if self._file.closed:
            raise ValueError(f"the writer of {self._whole.target} is closed")
        tokens = checked_codes(codes, self.header)
        if self.header.segment_samples:
            self._write_segment(tokens, scale)
            return
        if scale is not None:
            raise ValueError(f"scale is {scale}: the header says that there are none")
        self.frames += tokens.shape[1]
        size = self.header.block_frames
        start = 0
        if self._filled:
            start = min(size - self._filled, tokens.shape[1])
            self._hold(tokens[:, :start])
            if self._filled < size:
                return
            self._write_blocks(self._pending)
            self._filled = 0
        step = size * max(1, _CODES_AT_ONCE // (size * self.header.codebooks))
        whole = start + (tokens.shape[1] - start) // size * size
        for at in range(start, whole, step):
            self._write_blocks(tokens[:, at : min(at + step, whole)])
        self._hold(tokens[:, whole:])

    def _write_segment(self, codes: np.ndarray, scale: float | None) -> None:
        if (scale is not None) != self.header.scaled:
            raise ValueError(
                f"scale is {scale}: the header says that segments have {'one' if self.header.scaled else 'none'}"
            )
        if scale is not None and not 0 <= scale < math.inf:
            raise ValueError(f"scale is {scale}: it must be finite and not negative")
        if not 1 <= codes.shape[1] <= self.header.block_frames:
            raise ValueError(f"a segment has 1 to {self.header.block_frames} frames, not {codes.shape[1]}")
        self.frames += codes.shape[1]
        self._segments.append(codes.shape[1])
        self._write_blocks(codes, b"" if scale is None else SCALE.pack(scale))

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
            self.header = self._finished(samples)
            head = pack_head(self.header)
            self._write_index(zlib.crc32(head))
            self._file.seek(0)
            self._write(head)
            self._file.close()
            self._whole.commit()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Give up: nothing is left behind, and a file that bore the name before is untouched."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._whole.discard()

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

    def _finished(self, samples: int | None) -> TokenHeader:
        """The header of a recording of that length, once it is known to fit what was written."""
        if samples is None and self.header.segment_samples:
            raise ValueError("samples must be given: the frames of segments do not tell them")
        length = self.frames * self.header.hop if samples is None else samples
        header = replace(self.header, frames=self.frames, samples=length)
        expected = [header.frames_in(block) for block in range(header.blocks)] if header.segment_samples else []
        if self._segments.tolist() != expected:
            found = self._segments.tolist()[-3:]
            raise ValueError(f"the last segments have {found} frames: those of {length} samples have {expected[-3:]}")
        return header

    def _write_blocks(self, codes: np.ndarray, scale: bytes = b"") -> None:
        """codes: [K, n], n a multiple of the block's frames, or less than one block (the last, or a segment)."""
        books, header = codes.shape[0], self.header
        size = min(header.block_frames, codes.shape[1])
        blocks = codes.reshape(books, -1, size).transpose(1, 0, 2)  # [blocks, K, F]
        least, _ = header.plane_bounds(size)
        for planes in encode_blocks(blocks, header.codebook_size, self._coding, least):
            number = len(self._lengths)
            if header.version == 1:
                heads = [struct.pack("<I", plane_crc(plane, number, k, books)) for k, plane in enumerate(planes)]
            else:
                crcs = [coded_crc(plane, scale, number, k, books) for k, plane in enumerate(planes)]
                heads = [scale, *(PLANE.pack(crc, len(plane)) for crc, plane in zip(crcs, planes, strict=True))]
            block = b"".join([*heads, *planes])
            self._write(block)
            self._lengths.append(len(block))

    def _write_index(self, crc: int) -> None:
        lengths = np.array(self._lengths, "<u4").tobytes()
        self._write(lengths)
        self._write(TRAILER.pack(zlib.crc32(lengths, crc), END))

    def _write(self, data: Any) -> None:
        self._file.write(data)


def write_tokens(
    path: str | os.PathLike[str],
    codes: "Codes",
    *,
    item: int | None = None,
    precision: str = "float32",
    coding: str | None = None,
    block_frames: int | None = None,
    metadata: Mapping[str, str] | None = None,
    lm: "IntegerLM | None" = None,
) -> TokenHeader:
    """Write the codes of one recording, and return the header that stands in the file.

    item: which of a batch; may be left out where there is one. coding: "packed", "adaptive" or "lm"; by default "lm" where
    an lm is given, else "adaptive", but "packed" for codebooks that are too large for it. block_frames: 256 packed, 4096
    adaptive, 1024 with an lm unless given; of segments, always one. The rest goes into the header: see `TokenHeader`.
    Raises as `TokenWriter` does.
    """
    chosen = codes.chosen(item)
    if coding is None:
        coding = "lm" if lm else "adaptive" if codes.codebook_size <= MAX_CODED_SIZE else "packed"
    size, stride = codes.segment or (0, 0)
    if size and block_frames is not None:
        raise ValueError(f"block_frames is {block_frames}: the blocks of these codes are their segments")
    header = TokenHeader(
        codec=codes.codec,
        weights_hash=codes.weights_hash,
        sample_rate=codes.sample_rate,
        channels=codes.channels,
        hop=codes.hop,
        codebooks=codes.codebooks,
        codebook_size=codes.codebook_size,
        precision=precision,
        coding=coding,
        block_frames=-(-size // codes.hop) if size else block_frames or BLOCK_FRAMES.get(coding, 1),
        metadata=metadata or {},
        segment_samples=size,
        segment_stride=stride,
        scaled=codes.scales is not None,
        lm=lm.hash if lm else "",
    )
    tokens, samples = codes.tokens[chosen, :, : codes.lengths[chosen]], codes.samples[chosen]
    with TokenWriter(path, header, lm) as writer:
        if size:
            sized = replace(header, frames=codes.lengths[chosen], samples=samples)
            for block in range(sized.blocks):
                scale = None if codes.scales is None else float(codes.scales[chosen, block])
                writer.write(tokens[:, sized.start_of(block) : sized.start_of(block + 1)], scale)
        else:
            writer.write(tokens)
        writer.close(samples=samples)
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
