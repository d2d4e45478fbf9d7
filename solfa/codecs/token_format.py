"""What stands where in a `.solfa` token file: the header, the geometry of blocks and planes, and the one error.

docs/token-file.md draws the format byte by byte; `token_writer` writes it and `token_file` reads it. Everything here
is arithmetic on a header: nothing touches a file.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from solfa import strict_json
from solfa.codecs.bitpacking import MAX_BITS, bits_for, packed_bytes
from solfa.codecs.header_fields import check_fields, short_text

# A high bit (lost by 7-bit transports) and CR LF (changed by text-mode copies), as in PNG's signature.
MAGIC = b"\x89SOLFA\r\n"
VERSIONS = (1, 2)
CODINGS = ("packed", "adaptive", "lm")
BLOCK_FRAMES = {"packed": 256, "adaptive": 4096, "lm": 1024}  # unless chosen: a coded block begins knowing nothing
END = b"DONE"
MAX_HEADER = 1 << 16
MAX_COUNT = 1 << 53  # frames and samples: every JSON reader keeps integers up to here exact

PRELUDE = struct.Struct("<8sHHII")  # magic, version, zero, JSON length, CRC-32 of all that and the JSON
TRAILER = struct.Struct("<I4s")  # CRC-32 of the index, end mark
CRC_BYTES = 4
INDEX_BYTES = 4
PLANE = struct.Struct("<IH")  # of a coded plane, in the head of its block: CRC-32 and length
SCALE = struct.Struct("<f")
MAX_CODED_SIZE = 1 << 14  # codes of a codebook that an entropy coding is for

_BOUNDS = {
    "sample_rate": (1, 10_000_000),
    "channels": (1, 256),
    "hop": (1, 1 << 24),
    "codebooks": (1, 128),
    "codebook_size": (2, 1 << MAX_BITS),
    "block_frames": (1, 1 << 14),
    "frames": (0, MAX_COUNT),
    "samples": (0, MAX_COUNT),
    "segment_samples": (0, 1 << 38),  # block_frames of the longest hop
    "segment_stride": (0, 1 << 38),
}
_MAX_TEXT = {"codec": 256, "weights_hash": 128, "precision": 32, "coding": 32, "lm": 128}
_NEW = ("segment_samples", "segment_stride", "scaled", "lm")  # fields of version 2


class TokenFileError(ValueError):
    """A token file that cannot be read: the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class TokenHeader:
    """Whose codes these are and how they lie in the file.

    codec, weights_hash: the codec's name and the hash of its weights (may be empty where the codec has none).
    sample_rate (Hz), channels, hop (samples a frame), codebooks K, codebook_size N: the codec's geometry. frames,
    samples: the length; `frames` is always ceil(samples / hop), or with segments the sum of that over them. Zero until a
    writer is closed. precision: the arithmetic that the encoder ran in, such as "float32". coding: how a plane is stored:
    "packed" in whole bits, "adaptive" by a model that learns from each plane, "lm" by a language model, whose hash `lm`
    then is. block_frames: frames a block; with segments, of a whole one. metadata: free text, at most 64 KiB with all the
    rest. segment_samples, segment_stride: length of the codec's segments and how far they begin apart, 0 where it has
    none; overlaps are at most half a segment. A block is then one segment. scaled: whether each has a scale.

    Raises ValueError naming a field that is out of its range.
    """

    codec: str
    weights_hash: str
    sample_rate: int
    channels: int
    hop: int
    codebooks: int
    codebook_size: int
    precision: str = "float32"
    coding: str = "packed"
    block_frames: int = 256
    frames: int = 0
    samples: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    segment_samples: int = 0
    segment_stride: int = 0
    scaled: bool = False
    lm: str = ""

    def __post_init__(self) -> None:
        check_fields(self, _BOUNDS, _MAX_TEXT)
        if not self.codec:
            raise ValueError("codec must not be empty")
        if self.coding not in CODINGS:
            raise ValueError(f"coding {self.coding!r} is not known; known: {', '.join(CODINGS)}")
        if self.coding != "packed" and self.codebook_size > MAX_CODED_SIZE:
            raise ValueError(
                f"coding {self.coding!r} is for a codebook_size up to {MAX_CODED_SIZE}, not {self.codebook_size}"
            )
        if (self.coding == "lm") != bool(self.lm):
            raise ValueError(
                f"lm must be a model's hash with coding 'lm' and empty with others, not {short_text(self.lm)}"
            )
        self._check_segments()
        if self.frames != self._frames_of_samples:
            what = "the frames of its segments" if self.segment_samples else "ceil(samples / hop)"
            raise ValueError(
                f"frames must be {what} = {self._frames_of_samples} "
                f"for {self.samples} samples at hop {self.hop}, not {self.frames}"
            )
        _check_metadata(self.metadata)

    def _check_segments(self) -> None:
        size, stride = self.segment_samples, self.segment_stride
        if type(self.scaled) is not bool or (self.scaled and not size):
            raise ValueError(f"scaled must be true or false, and false without segments, not {short_text(self.scaled)}")
        if not size and not stride:
            return
        if not -(-size // 2) <= stride <= size:
            raise ValueError(f"segment_stride must lie between half and all of segment_samples {size}, not be {stride}")
        if self.block_frames != -(-size // self.hop):
            raise ValueError(
                f"block_frames must be those of a segment, {-(-size // self.hop)}, not {self.block_frames}"
            )

    @property
    def version(self) -> int:
        """The version of the format that it takes: 1 where that will do."""
        return 1 if self.coding == "packed" and not self.segment_samples else 2

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop

    @property
    def duration(self) -> float:
        """Seconds of sound."""
        return self.samples / self.sample_rate

    @property
    def bits(self) -> int:
        """Bits a code: ceil(log2 N)."""
        return bits_for(self.codebook_size)

    @property
    def bitrate(self) -> float:
        """Bits a second of all the codebooks' codes, packed, without header and checksums."""
        return self.bits * self.codebooks * self.frame_rate

    @property
    def blocks(self) -> int:
        """Number of blocks; the last one, with segments the last two, may be short."""
        if self.segment_samples:
            return -(-self.samples // self.segment_stride)
        return -(-self.frames // self.block_frames)

    @property
    def full_blocks(self) -> int:
        """How many of the first blocks have `block_frames` frames, for all that their samples tell."""
        if not self.segment_samples:
            return self.frames // self.block_frames
        beyond = self.samples - self.segment_samples
        return beyond // self.segment_stride + 1 if beyond >= 0 else 0

    def frames_in(self, block: int) -> int:
        """Frames of block number `block`."""
        if not self.segment_samples:
            return min(self.block_frames, self.frames - block * self.block_frames)
        return -(-min(self.samples - block * self.segment_stride, self.segment_samples) // self.hop)

    def start_of(self, block: int) -> int:
        """Frames before block number `block`, which may be the number of blocks."""
        if not self.segment_samples:
            return min(block * self.block_frames, self.frames)
        full = min(block, self.full_blocks)
        return full * self.block_frames + sum(self.frames_in(short) for short in range(full, block))

    def block_at(self, frame: int) -> int:
        """The block that a frame is in; for `frames` itself, the number of blocks."""
        block = min(frame // self.block_frames, self.full_blocks)
        while block < self.blocks and self.start_of(block + 1) <= frame:
            block += 1
        return block

    @property
    def _frames_of_samples(self) -> int:
        return self.start_of(self.blocks) if self.segment_samples else -(-self.samples // self.hop)

    def bytes_of(self, frames: int, codebooks: int | None = None) -> int:
        """Version 1: bytes from the start of a block of `frames` frames to the end of its first `codebooks` planes (all)."""
        planes = self.codebooks if codebooks is None else codebooks
        return CRC_BYTES * self.codebooks + planes * packed_bytes(frames, self.bits)

    @property
    def head_bytes(self) -> int:
        """Version 2: bytes of a block before its planes."""
        return SCALE.size * self.scaled + PLANE.size * self.codebooks

    def plane_bounds(self, frames: int) -> tuple[int, int]:
        """Version 2: least and most bytes of a plane of so many frames; at the most it is packed.

        The least keeps what a file can unfold to in bounds: 16 codes a byte.
        """
        most = packed_bytes(frames, self.bits)
        return (most if self.coding == "packed" else -(-frames // 16)), most

    def to_json(self) -> bytes:
        """The JSON of the file, in the order of the fields.

        It is padded with spaces to the length that the longest `frames` and `samples` would need, so that a writer
        that learns them last can put them in place.
        """
        record = asdict(self) | {"metadata": dict(self.metadata)}
        if self.version == 1:
            record = {name: value for name, value in record.items() if name not in _NEW}
        longest = len(_dump(record | {"frames": MAX_COUNT, "samples": MAX_COUNT}))
        if longest > MAX_HEADER:
            raise ValueError(f"the header is {longest} bytes; at most {MAX_HEADER}: shorten the metadata")
        return _dump(record).ljust(longest)


def pack_head(header: TokenHeader) -> bytes:
    """The bytes of a file before its first block."""
    text = header.to_json()
    crc = zlib.crc32(text, zlib.crc32(MAGIC + struct.pack("<HHI", header.version, 0, len(text))))
    return PRELUDE.pack(MAGIC, header.version, 0, len(text), crc) + text


def parse_prelude(data: bytes) -> tuple[int, int]:
    """Length of the JSON and the checksum from the first PRELUDE.size bytes. Raises TokenFileError."""
    if data[:8] != MAGIC[: len(data)] or not data:
        raise TokenFileError(f"not a .solfa token file: it begins with {bytes(data[:8])!r}")
    if len(data) < PRELUDE.size:
        raise TokenFileError(f"truncated: {len(data)} bytes do not hold the {PRELUDE.size} that open a token file")
    _, version, zero, length, crc = PRELUDE.unpack(data)
    if version not in VERSIONS:
        raise TokenFileError(
            f"token file version {version} is not known; this solfa reads versions {' and '.join(map(str, VERSIONS))}"
        )
    if zero:
        raise TokenFileError(f"bytes 10 and 11 must be zero, not {zero}")
    if not 2 <= length <= MAX_HEADER:
        raise TokenFileError(f"the header says it is {length} bytes long; legal: 2 to {MAX_HEADER}")
    return length, crc


def parse_json(prelude: bytes, text: bytes, crc: int) -> TokenHeader:
    """The header from its JSON; checks its checksum, field names and ranges. Raises TokenFileError."""
    if zlib.crc32(text, zlib.crc32(prelude[: PRELUDE.size - CRC_BYTES])) != crc:
        raise TokenFileError("the header is damaged: its checksum does not match")
    try:
        record = strict_json.loads(text.decode("utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is not a JSON object")
        version = struct.unpack_from("<H", prelude, len(MAGIC))[0]
        names = [item.name for item in fields(TokenHeader) if version > 1 or item.name not in _NEW]
        if missing := [name for name in names if name not in record]:
            raise ValueError(f"fields are missing: {', '.join(missing)}")
        if unknown := [name for name in record if name not in names]:
            raise ValueError(f"field {short_text(unknown[0])} is not known; known: {', '.join(names)}")
        header = TokenHeader(**record)
        if header.version != version:
            raise ValueError(f"what it describes is of version {header.version}, the file says {version}")
        header.to_json()
    except ValueError as error:  # bad UTF-8 and bad JSON are ValueErrors
        raise TokenFileError(f"bad header: {error}") from None
    return header


def plane_crc(plane: Any, block: int, codebook: int, codebooks: int) -> int:
    """CRC-32 of one codebook's bytes in one block, started from the plane's number in the file: CRC-32 is a bijection
    of its start value, so a whole plane in the wrong place is always found."""
    return zlib.crc32(plane, (block * codebooks + codebook) & 0xFFFFFFFF)


def coded_crc(plane: bytes, scale: bytes, block: int, codebook: int, codebooks: int) -> int:
    """CRC-32 of a plane of version 2: of its block's scale, its length and its bytes, started from its number."""
    start = plane_crc(scale + struct.pack("<H", len(plane)), block, codebook, codebooks)
    return zlib.crc32(plane, start)


def _dump(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, Mapping):
        raise ValueError(f"metadata must map text to text, not {short_text(metadata)}")
    for item in (text for pair in metadata.items() for text in pair):
        if not isinstance(item, str) or any("\ud800" <= letter <= "\udfff" for letter in item):
            raise ValueError(f"metadata must map text to text; {short_text(item)} is none")
