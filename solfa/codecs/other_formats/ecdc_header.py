"""What stands where in EnCodec's `.ecdc` files: the header and the arithmetic on it. Loads no torch.

    offset  bytes
    0       4       "ECDC"
    4       1       version, 0
    5       4       J, length of the JSON, big-endian
    9       J       {"m": model, "al": samples, "nc": codebooks, "lm": whether a language model compressed the codes}
    9+J             segments: at 48 kHz the scale (float32, big-endian), then the codes, filled up to a whole byte

A segment's codes go frame by frame, in a frame codebook by codebook, 10 bits each, packed from the lowest bit of the first byte up.
"""

import json
import math
import os
import struct
from dataclasses import dataclass
from typing import Any

from solfa import strict_json
from solfa.codecs.bitpacking import packed_bytes
from solfa.codecs.header_fields import short_text
from solfa.codecs.other_formats.arithmetic import least_bits
from solfa.codecs.other_formats.code_file import CodeFileError, read_whole

PRELUDE = struct.Struct("!4sBI")
SCALE = struct.Struct("!f")
MAGIC = b"ECDC"
MAX_JSON = 4096  # the reference writes about 60 bytes
BITS, CODEBOOK_SIZE, HOP = 10, 1024, 320
KEYS = {"m": str, "al": int, "nc": int, "lm": bool}


@dataclass(frozen=True)
class EcdcModel:
    """A model that a file can name: EnCodec knows these two. segment: samples and stride."""

    codec: str  # as solfa names it
    sample_rate: int
    channels: int
    codebooks: int  # at most
    segment: tuple[int, int] | None = None


MODELS = {
    "encodec_24khz": EcdcModel("encodec-24khz", 24_000, 1, 32),
    "encodec_48khz": EcdcModel("encodec-48khz", 48_000, 2, 16, (48_000, 47_520)),
}
BY_CODEC = {model.codec: name for name, model in MODELS.items()}


@dataclass(frozen=True)
class EcdcHeader:
    """Header of a `.ecdc` file. Raises ValueError, with what is legal, for a field that is not."""

    name: str  # of the model, as EnCodec calls it
    samples: int  # at the model's rate
    codebooks: int
    lm: bool

    def __post_init__(self) -> None:
        if self.name not in MODELS:
            raise ValueError(f"the model {short_text(self.name)} is not known; known: {', '.join(MODELS)}")
        if not 1 <= self.samples <= 1 << 53:
            raise ValueError(f"{short_text(self.samples)} samples: at least 1, at most 2^53")
        if not 1 <= self.codebooks <= self.model.codebooks:
            raise ValueError(f"{short_text(self.codebooks)} codebooks: {self.name} has 1 to {self.model.codebooks}")

    @property
    def model(self) -> EcdcModel:
        return MODELS[self.name]

    @property
    def codec(self) -> str:
        return self.model.codec

    @property
    def duration(self) -> float:
        """Seconds of sound."""
        return self.samples / self.model.sample_rate

    @property
    def segments(self) -> int:
        """How many there are."""
        return 1 if self.model.segment is None else -(-self.samples // self.model.segment[1])

    @property
    def frames(self) -> int:
        """Frames of all segments, the overlap of 1 % counted twice."""
        # All but the last two are surely whole: a segment is less than two strides long. (There may be too many to look at each.)
        whole = max(0, self.segments - 2)
        return whole * self.frames_of(0) + sum(self.frames_of(i) for i in range(whole, self.segments))

    def frames_of(self, segment: int) -> int:
        """Frames of segment number `segment`: ceil(its samples / 320)."""
        return -(-self._samples_of(segment) // HOP)

    def spare_frames(self, segment: int) -> int:
        """1 where the release 0.1.1 of encodec expects one frame more than there is, as it divides in floating point; else 0.

        It happens in the last segment only (not at 47521 to 48000 samples), so that a reader that knows better stops before it.
        """
        rate = self.model.sample_rate
        expected = math.ceil(self._samples_of(segment) / rate * (rate // HOP))
        return expected - self.frames_of(segment)

    def bytes_of(self, frames: int) -> int:
        """Bytes of a segment of so many frames, where no language model compressed it."""
        scale = SCALE.size if self.model.segment else 0
        return scale + packed_bytes(frames * self.codebooks, BITS)

    def check_size(self, size: int) -> None:
        """ValueError where `size` bytes after the header cannot hold what it promises: so nothing that it says costs memory."""
        if self.lm:
            if 8 * size < self.frames * self.codebooks * least_bits(CODEBOOK_SIZE) - 1 or size < self.segments:
                raise ValueError(f"truncated: {size} bytes cannot hold {self.samples} samples")
            return
        expected, longer = self._size(0), self._size(self.spare_frames(self.segments - 1))
        if size not in (expected, longer):
            what = "truncated" if size < expected else f"{size - expected} bytes too many"
            raise ValueError(f"{what}: {self.samples} samples take {expected} bytes, and there are {size}")

    def pack(self) -> bytes:
        """The bytes before the first segment, as EnCodec writes them."""
        text = json.dumps({"m": self.name, "al": self.samples, "nc": self.codebooks, "lm": self.lm}).encode()
        return PRELUDE.pack(MAGIC, 0, len(text)) + text

    def _size(self, spare: int) -> int:
        """Bytes of all segments, where no language model compressed them. All but the last two are alike (see `frames`)."""
        whole = max(0, self.segments - 2)
        ends = sum(self.bytes_of(self.frames_of(i)) for i in range(whole, self.segments - 1))
        last = self.bytes_of(self.frames_of(self.segments - 1) + spare)
        return whole * self.bytes_of(self.frames_of(0)) + ends + last

    def _samples_of(self, segment: int) -> int:
        if self.model.segment is None:
            return self.samples
        size, stride = self.model.segment
        return min(self.samples - segment * stride, size)


def parse_header(data: bytes) -> tuple[EcdcHeader, int]:
    """The header, and the byte after it, from a file's first PRELUDE.size + MAX_JSON bytes or more. Raises ValueError."""
    if data[:4] != MAGIC[: len(data)] or not data:
        raise ValueError(f"not a .ecdc file: it begins with {data[:4]!r}")
    if len(data) < PRELUDE.size:
        raise ValueError(f"truncated: {len(data)} bytes do not hold the {PRELUDE.size} that open a .ecdc file")
    _, version, length = PRELUDE.unpack_from(data)
    if version:
        raise ValueError(f"version {version} is not known; known: 0")
    if not 2 <= length <= MAX_JSON:
        raise ValueError(f"its header says that it is {length} bytes long; legal: 2 to {MAX_JSON}")
    end = PRELUDE.size + length
    if len(data) < end:
        raise ValueError(f"truncated: its header is {length} bytes, the file {len(data)}")
    try:
        record = strict_json.loads(data[PRELUDE.size : end].decode("utf-8"))
    except ValueError as error:  # bad UTF-8 and bad JSON are ValueErrors
        raise ValueError(f"bad header: {error}") from None
    _check_record(record)
    return EcdcHeader(record["m"], record["al"], record["nc"], record["lm"]), end


def read_ecdc_header(path: str | os.PathLike[str]) -> EcdcHeader:
    """The header of a file, whose size must fit it. Raises CodeFileError naming the file and the reason."""
    try:
        header, end = parse_header(read_whole(path, PRELUDE.size + MAX_JSON))
        header.check_size(os.path.getsize(path) - end)
    except CodeFileError:
        raise
    except ValueError as error:
        raise CodeFileError(f"{os.fspath(path)}: {error}") from None
    return header


def _check_record(record: Any) -> None:
    if not isinstance(record, dict) or record.keys() != KEYS.keys():
        raise ValueError(f"bad header: it must be an object of exactly the keys {', '.join(KEYS)}")
    for key, kind in KEYS.items():
        if type(record[key]) is not kind:
            raise ValueError(
                f"bad header: {key} is {short_text(record[key])}, which is not of the type {kind.__name__}"
            )
