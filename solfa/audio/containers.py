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

# A program that writes a WAV to a pipe does not know its length; these sizes say so (0xFFFFFFFF also by RF64).
STREAMED_SIZES = (0, 0xFFFFFFFF)
MAX_HEADER = 1 << 20  # bytes before the samples of a streamed WAV
MAX_CHUNKS = 4096  # of a RIFF file before its data: more is an attack, not a recording


# Ogg's checksum is zlib's with the bits of every byte, and of the result, the other way round.
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class WavScan:
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


def scan_wav(file: BinaryIO) -> WavScan:
    """Walks the chunks of a RIFF, RIFX or RF64 file: its data chunk must not claim more bytes than the file holds."""
    size = file_size(file)
    order = ">" if file.read(12)[:4] == b"RIFX" else "<"
    long_size = 0
    for _ in range(MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return WavScan(0, None, "truncated: it ends before its data chunk")
        name, length = struct.unpack(order + "4sI", header)
        begin = file.tell()
        if name == b"ds64":
            sizes = file.read(16)
            long_size = struct.unpack("<Q", sizes[8:])[0] if len(sizes) == 16 else 0
        if name == b"data":
            declared = long_size if length == 0xFFFFFFFF and long_size else length
            if declared == 0 and begin <= MAX_HEADER and not _only_chunks(file, begin, size, order):
                file.seek(0)
                return WavScan(begin, file.read(begin - 4) + b"\xff\xff\xff\xff", None)
            fault = f"truncated: its header promises {declared} bytes of samples and {size - begin} are there"
            return WavScan(begin, None, None if declared in STREAMED_SIZES or declared <= size - begin else fault)
        file.seek(begin + length + (length & 1))
    return WavScan(0, None, f"no data chunk among its first {MAX_CHUNKS}")


def _only_chunks(file: BinaryIO, position: int, size: int, order: str) -> bool:
    # Whether nothing but further chunks follows: then a data chunk of 0 bytes is empty, else its length was unknown.
    for _ in range(MAX_CHUNKS):
        if position >= size:
            return True
        file.seek(position)
        header = file.read(8)
        if len(header) < 8 or not all(32 <= byte < 127 for byte in header[:4]):
            return False
        length = struct.unpack(order + "I", header[4:])[0]
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
