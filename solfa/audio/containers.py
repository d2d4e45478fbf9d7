"""What a sound file's container says about itself, read without decoding: is it whole, how long is it, how many parts.

libsndfile reads a half-cut WAV, MP3 or Ogg to half its length without an error, an MP3 without a frame count to an
estimate, and a chained Ogg to its first link. These walks over the container's own marks find all of that.
Each takes a binary file and gives a frozen result whose `fault` is None or one clause that says what is wrong.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

MAX_HEADER = 1 << 20  # bytes before the samples of a streamed WAV
MAX_CHUNKS = 4096  # before the samples: more is an attack, not a recording


# Ogg's checksum is zlib's with the bits of every byte, and of the result, the other way round.
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Layout:
    """How a family of files made of chunks (a name, a length, that many bytes) is written."""

    header: int  # bytes before the first chunk
    name: int  # bytes of a chunk's name
    length: str  # of a chunk, as struct has it
    data: bytes  # how the name of the chunk with the samples begins
    unknown: tuple[int, ...] = ()  # lengths that say "written to a pipe: until the end of the file"
    align: int = 2
    counts_itself: bool = False  # whether a chunk's length includes its name and length


RIFF = Layout(12, 4, "<I", b"data", (0, 0xFFFFFFFF))
LAYOUTS = {  # by the first four bytes
    b"RIFF": RIFF,
    b"RF64": RIFF,
    b"RIFX": Layout(12, 4, ">I", b"data", (0, 0xFFFFFFFF)),
    b"FORM": Layout(12, 4, ">I", b"SSND"),  # AIFF
    b"caff": Layout(8, 4, ">q", b"data", (-1,), align=1),
    b"riff": Layout(40, 16, "<Q", b"data", align=8, counts_itself=True),  # Sony's W64
}


@dataclass(frozen=True)
class ChunkScan:
    data_start: int  # byte of the first sample
    streamed_header: bytes | None  # a header that libsndfile reads to the end, where the file's own says 0 bytes
    fault: str | None


@dataclass(frozen=True)
class OggScan:
    links: tuple[tuple[int, int], ...]  # byte ranges [start, end) of the logical files that were joined
    fault: str | None


def file_size(file: BinaryIO) -> int:
    """Bytes in an open file; leaves its position at the start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def scan_chunks(file: BinaryIO, layout: Layout) -> ChunkScan:
    """Walks the chunks of a WAV, AIFF, CAF or W64 file: its samples must not claim more bytes than the file holds."""
    size, position, long_size = file_size(file), layout.header, 0
    width = layout.name + struct.calcsize(layout.length)
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        header = file.read(width)
        if len(header) < width:
            return ChunkScan(0, None, "truncated: it ends before its samples")
        begin = position + width
        (length,) = struct.unpack(layout.length, header[layout.name :])
        length -= width if layout.counts_itself else 0
        if header.startswith(b"ds64"):
            sizes = file.read(16)
            long_size = struct.unpack("<Q", sizes[8:])[0] if len(sizes) == 16 else 0
        if header.startswith(layout.data):
            declared = long_size if length == 0xFFFFFFFF and long_size else length
            if declared == 0 in layout.unknown and begin <= MAX_HEADER and not _only_chunks(file, begin, size, layout):
                file.seek(0)
                return ChunkScan(begin, file.read(begin - 4) + b"\xff\xff\xff\xff", None)
            fault = f"truncated: its header promises {declared} bytes of samples and {size - begin} are there"
            whole = declared in layout.unknown or 0 <= declared <= size - begin
            return ChunkScan(begin, None, None if whole else fault)
        if length < 0:
            return ChunkScan(0, None, f"damaged: a chunk of {length} bytes at byte {position}")
        position = min(size, begin + -(-length // layout.align) * layout.align)
    return ChunkScan(0, None, f"no samples among its first {MAX_CHUNKS} chunks")


def au_fault(file: BinaryIO) -> str | None:
    """The same for a Sun AU file: its header gives the place and the length of its samples, 2^32 - 1 for unknown."""
    size = file_size(file)
    begin, declared = struct.unpack(">II", file.read(12)[4:].ljust(8, b"\0"))
    if declared == 0xFFFFFFFF or begin + declared <= size:
        return None
    return f"truncated: its header promises {declared} bytes of samples and {max(0, size - begin)} are there"


def _only_chunks(file: BinaryIO, position: int, size: int, layout: Layout) -> bool:
    # Whether nothing but further chunks follows: then a data chunk of 0 bytes is empty, else its length was unknown.
    for _ in range(MAX_CHUNKS):
        if position >= size:
            return True
        file.seek(position)
        header = file.read(8)
        if len(header) < 8 or not all(32 <= byte < 127 for byte in header[:4]):
            return False
        length = struct.unpack(layout.length, header[4:])[0]
        position += 8 + length + (length & 1)
        if position > size + 1:
            return False
    return False


def ogg_checksum(page: bytes) -> bytes:
    """The four checksum bytes of an Ogg page whose own are zero (polynomial 0x04C11DB7, start 0, RFC 3533)."""
    value = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value.to_bytes(4, "little").translate(REVERSED)[::-1]


def scan_ogg(file: BinaryIO) -> OggScan:
    """Walks the pages of an Ogg file (RFC 3533): every stream that begins must end, and no page may be missing.

    A beginning-of-stream page after other pages starts a new link of a chained file.
    """
    size = file_size(file)
    starts: list[int] = []
    position, in_headers = 0, False
    open_streams: dict[int, int] = {}  # serial number -> the next page's sequence number
    fault = None
    while position < size and fault is None:
        file.seek(position)
        header = file.read(27)
        if header[:4] != b"OggS":
            # Whatever follows the last end of stream is no part of the recording.
            fault = f"damaged: no Ogg page at byte {position}" if open_streams or not starts else None
            break
        if len(header) < 27 or len(table := file.read(header[26])) < header[26]:
            fault = "truncated: it ends inside an Ogg page"
            break
        if (end := position + 27 + header[26] + sum(table)) > size:
            fault = "truncated: it ends inside an Ogg page"
            break
        if ogg_checksum(header[:22] + bytes(4) + header[26:] + table + file.read(sum(table))) != header[22:26]:
            fault = f"damaged: the Ogg page at byte {position} does not match its checksum"
            break
        flags, serial, sequence = header[5], *struct.unpack("<II", header[14:22])
        if flags & 2:
            if not in_headers:
                starts.append(position)
            in_headers, open_streams[serial] = True, sequence
        else:
            in_headers = False
        if serial not in open_streams:
            fault = f"damaged: an Ogg page at byte {position} belongs to no stream"
        elif open_streams[serial] != sequence:
            fault = f"damaged: Ogg page {open_streams[serial]} is missing before byte {position}"
        else:
            open_streams[serial] = sequence + 1
        if flags & 4:
            open_streams.pop(serial, None)
        position = end
    if fault is None and open_streams:
        fault = "truncated: its last Ogg page does not end the stream"
    ends = [*starts[1:], min(position, size)]
    return OggScan(tuple(zip(starts, ends, strict=False)), fault)
