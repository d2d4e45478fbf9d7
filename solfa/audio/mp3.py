"""MPEG audio frames, counted by walking their headers: libsndfile trusts a Xing header, or guesses from the bitrate.

Layout: ISO/IEC 11172-3 section 2.4.1.3 (header), 13818-3 (half rates); the Xing, Info and VBRI tags of encoders.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from solfa.audio.containers import file_size

RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version bits
KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),  # (MPEG-1?, layer)
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (0, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SEARCH = 1 << 20  # bytes looked through for the first frame
CHUNK = 1 << 20  # bytes held at a time


@dataclass(frozen=True)
class Mp3Frame:
    header: bytes  # its first four bytes
    length: int  # bytes
    samples: int  # per channel
    sample_rate: int
    layer: int
    side: int  # bytes of side information after the header (layer 3)


@dataclass(frozen=True)
class Mp3Scan:
    start: int  # byte of the first frame
    frames: int  # frames of sound, the tag's own frame not among them
    declared: int | None  # frames that a Xing, Info or VBRI tag promises
    first: Mp3Frame | None
    fault: str | None
    tag_length: int  # bytes of the frame that carries the tag, 0 when there is none


def parse_header(data: bytes | bytearray) -> Mp3Frame | None:
    """The frame that these four bytes begin, or None (no sync, reserved values, or a free-format bitrate)."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    rate_index, bitrate_index = data[2] >> 2 & 3, data[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or bitrate_index in (0, 15):
        return None
    full, rate = int(version == 3), RATES[version][rate_index]
    bits = KBPS[full, layer][bitrate_index - 1] * 1000
    padding = data[2] >> 1 & 1
    mono = data[3] >> 6 == 3
    samples = 384 if layer == 1 else 576 if layer == 3 and not full else 1152
    length = (12 * bits // rate + padding) * 4 if layer == 1 else samples // 8 * bits // rate + padding
    side = (17 if mono else 32) if full else (9 if mono else 17)
    return Mp3Frame(bytes(data[:4]), length, samples, rate, layer, side)


def _xing_place(frame: Mp3Frame, body: bytes) -> int | None:
    """Where a Xing or Info tag begins in its frame."""
    places = (4 + frame.side + (0 if frame.header[1] & 1 else 2), 4 + frame.side)
    return next((place for place in places if body[place : place + 4] in (b"Xing", b"Info")), None)


def _promised_frames(frame: Mp3Frame, body: bytes) -> int | None:
    # -1 stands for a tag without a frame count.
    place = _xing_place(frame, body)
    if place is not None and len(body) >= place + 12:
        flags, count = struct.unpack(">II", body[place + 4 : place + 12])
        return count if flags & 1 else -1
    if body[36:40] == b"VBRI" and len(body) >= 54:
        return struct.unpack(">I", body[50:54])[0]
    return None


def recounted(tag: bytes, scan: Mp3Scan, size: int) -> bytes | None:
    """The frame that carries a file's Xing or Info tag, with the frames and bytes (`size`, its own among them) that are there as its
    counts; None where it counts no frames.

    Behind the fields that its flags name the tag may say how many samples the encoder put before the sound and after it (LAME's, 12 bits
    each, 21 bytes into its part). The former stays. The latter end with the last frame that was promised: of fewer frames they are fewer,
    and where more follow the sound goes on behind them.
    """
    assert scan.first is not None
    place = _xing_place(scan.first, tag)
    if place is None or scan.declared is None or len(tag) < place + 12:
        return None
    patched, flags = bytearray(tag), tag[place + 7]
    struct.pack_into(">I", patched, place + 8, scan.frames)
    if flags & 2 and len(tag) >= place + 16:
        struct.pack_into(">I", patched, place + 12, min(size, 0xFFFFFFFF))
    lame = place + 12 + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if len(tag) >= lame + 24:
        missing = scan.declared - scan.frames
        after = (tag[lame + 22] & 0x0F) << 8 | tag[lame + 23]
        after = max(0, after - missing * scan.first.samples) if missing > 0 else 0
        patched[lame + 22] = tag[lame + 22] & 0xF0 | after >> 8
        patched[lame + 23] = after & 0xFF
    return bytes(patched)


def info_frame(like: Mp3Frame, frames: int) -> bytes:
    """A silent layer 3 frame of the same kind whose Info tag says that `frames` frames follow it."""
    header = bytearray(like.header)
    header[1] |= 1  # no checksum
    header[2] = header[2] & 0x0D | 0x90  # a bitrate large enough for the tag; no padding
    frame = parse_header(header)
    assert frame is not None
    body = bytes(frame.side) + b"Info" + struct.pack(">II", 1, frames)
    return bytes(header) + body + bytes(frame.length - 4 - len(body))


def tag_length(data: bytes) -> int:
    """Bytes of the ID3v2 tag that `data` begins with, 0 when there is none."""
    if len(data) < 10 or data[:3] != b"ID3":
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if data[5] & 0x10 else 0)


def _trailing_tag_length(data: bytes) -> int:
    # ID3v1 is 128 bytes; an APE tag gives its size without its 32-byte header.
    if data[:3] == b"TAG":
        return 128
    return 32 + struct.unpack("<I", data[12:16])[0] if data[:8] == b"APETAGEX" and len(data) == 16 else 0


class _Reader:
    """Bytes of a file at any position, read forwards in chunks."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size = file, file_size(file)
        self.origin, self.data = 0, b""

    def at(self, position: int, count: int) -> bytes:
        offset = position - self.origin
        if offset < 0 or offset + count > len(self.data):
            self.file.seek(position)
            self.data, self.origin, offset = self.file.read(max(CHUNK, count)), position, 0
        return self.data[offset : offset + count]


def _first_frame(reader: _Reader, start: int) -> tuple[int, Mp3Frame] | None:
    # A real frame is followed by another of the same kind; four bytes alone may look like a header by chance.
    data = reader.at(start, min(SEARCH, max(0, reader.size - start)))
    at = data.find(b"\xff")
    while at >= 0:
        frame = parse_header(data[at : at + 4])
        if frame is not None:
            end = start + at + frame.length
            following = parse_header(reader.at(end, 4))
            if end >= reader.size or (following is not None and _kind(following) == _kind(frame)):
                return start + at, frame
        at = data.find(b"\xff", at + 1)
    return None


def _kind(frame: Mp3Frame) -> tuple[int, int]:
    return frame.header[1] >> 1 & 0x0F, frame.sample_rate


def scan_mp3(file: BinaryIO) -> Mp3Scan:
    """Counts the frames of an MPEG audio file and compares them with what its tag promises. Reads 1 MiB at a time."""
    reader = _Reader(file)
    position = 0
    while length := tag_length(reader.at(position, 10)):
        position += length
    found = _first_frame(reader, position)
    if found is None:
        return Mp3Scan(position, 0, None, None, "no MPEG frame that can be counted", 0)
    start, first = found
    declared = _promised_frames(first, reader.at(start, min(first.length, 512)))
    frames, fault = _walk(reader, start, first)
    if declared is not None:
        frames -= 1
    if fault is None and declared is not None and declared > frames + 1:
        fault = f"truncated: its header promises {declared} MPEG frames and {frames} are there"
    known = declared if declared is not None and declared >= 0 else None
    return Mp3Scan(start, frames, known, first, fault, first.length if declared is not None else 0)


def _walk(reader: _Reader, position: int, first: Mp3Frame) -> tuple[int, str | None]:
    frames, kind, size = 0, _kind(first), reader.size
    while position < size:
        head = reader.at(position, 10)
        frame = parse_header(head)
        if frame is not None and _kind(frame) == kind:
            if position + frame.length > size:
                return frames, "truncated: it ends inside an MPEG frame"
            position += frame.length
            frames += 1
        elif length := tag_length(head) or _trailing_tag_length(reader.at(position, 16)):
            position += length  # files that were joined keep the tags between them
        elif _only_padding(reader, position):
            break
        else:
            return frames, f"damaged: no MPEG frame at byte {position}, where one must start"
    return frames, None


def _only_padding(reader: _Reader, position: int) -> bool:
    # Up to 64 KiB without another frame are a trailer (zeros, an unknown tag); more is lost sound.
    rest = reader.size - position
    return rest <= 1 << 16 and _first_frame(reader, position) is None
