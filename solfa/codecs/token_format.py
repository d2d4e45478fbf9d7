"""What stands where in a `.solfa` token file: the header, the geometry of blocks and planes, and the one error.

docs/token-file.md draws the format byte by byte; `token_writer` writes it and `token_file` reads it. Everything here
is arithmetic on a header: nothing touches a file.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NoReturn

from solfa.codecs.bitpacking import MAX_BITS, bits_for, packed_bytes

# A high bit (lost by 7-bit transports) and CR LF (changed by text-mode copies), as in PNG's signature.
MAGIC = b"\x89SOLFA\r\n"
VERSION = 1
CODINGS = ("packed",)
END = b"DONE"
MAX_HEADER = 1 << 16
MAX_COUNT = 1 << 53  # frames and samples: every JSON reader keeps integers up to here exact

PRELUDE = struct.Struct("<8sHHII")  # magic, version, zero, JSON length, CRC-32 of all that and the JSON
TRAILER = struct.Struct("<I4s")  # CRC-32 of the index, end mark
CRC_BYTES = 4
INDEX_BYTES = 4

_BOUNDS = {
    "sample_rate": (1, 10_000_000),
    "channels": (1, 256),
    "hop": (1, 1 << 24),
    "codebooks": (1, 128),
    "codebook_size": (2, 1 << MAX_BITS),
    "block_frames": (1, 1 << 14),
    "frames": (0, MAX_COUNT),
    "samples": (0, MAX_COUNT),
}
_MAX_TEXT = {"codec": 256, "weights_hash": 128, "precision": 32, "coding": 32}


class TokenFileError(ValueError):
    """A token file that cannot be read: the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class TokenHeader:
    """Whose codes these are and how they lie in the file.

    codec, weights_hash: the codec's name and the hash of its weights (may be empty where the codec has none).
    sample_rate (Hz), channels, hop (samples a frame), codebooks K, codebook_size N: the codec's geometry. frames,
    samples: the length; `frames` is always ceil(samples / hop). Zero until a writer is closed. precision: the
    arithmetic that the encoder ran in, such as "float32". coding: how a plane is stored; "packed" only. block_frames:
    frames a block. metadata: free text, at most 64 KiB with all the rest.

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

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be an integer from {low} to {high}, not {_short(value)}")
        for name, longest in _MAX_TEXT.items():
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > longest or not value.isprintable():
                raise ValueError(f"{name} must be printable text of at most {longest} letters, not {_short(value)}")
        if not self.codec:
            raise ValueError("codec must not be empty")
        if self.coding not in CODINGS:
            raise ValueError(f"coding {self.coding!r} is not known; known: {', '.join(CODINGS)}")
        if self.frames != -(-self.samples // self.hop):
            raise ValueError(
                f"frames must be ceil(samples / hop) = {-(-self.samples // self.hop)} "
                f"for {self.samples} samples at hop {self.hop}, not {self.frames}"
            )
        _check_metadata(self.metadata)

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
        """Bits a second of all the codebooks' codes, without header and checksums."""
        return self.bits * self.codebooks * self.frame_rate

    @property
    def blocks(self) -> int:
        """Number of blocks; the last one may be short."""
        return -(-self.frames // self.block_frames)

    @property
    def block_bytes(self) -> int:
        """Bytes of a full block."""
        return self.bytes_of(self.block_frames)

    def frames_in(self, block: int) -> int:
        """Frames of block number `block`."""
        return min(self.block_frames, self.frames - block * self.block_frames)

    def bytes_of(self, frames: int, codebooks: int | None = None) -> int:
        """Bytes from the start of a block of `frames` frames to the end of its first `codebooks` planes (all)."""
        planes = self.codebooks if codebooks is None else codebooks
        return CRC_BYTES * self.codebooks + planes * packed_bytes(frames, self.bits)

    @property
    def payload_bytes(self) -> int:
        """Bytes of all the blocks."""
        if not self.frames:
            return 0
        return (self.blocks - 1) * self.block_bytes + self.bytes_of(self.frames_in(self.blocks - 1))

    def to_json(self) -> bytes:
        """The JSON of the file, in the order of the fields.

        It is padded with spaces to the length that the longest `frames` and `samples` would need, so that a writer
        that learns them last can put them in place.
        """
        record = asdict(self) | {"metadata": dict(self.metadata)}
        longest = len(_dump(record | {"frames": MAX_COUNT, "samples": MAX_COUNT}))
        if longest > MAX_HEADER:
            raise ValueError(f"the header is {longest} bytes; at most {MAX_HEADER}: shorten the metadata")
        return _dump(record).ljust(longest)


def pack_head(header: TokenHeader) -> bytes:
    """The bytes of a file before its first block."""
    text = header.to_json()
    crc = zlib.crc32(text, zlib.crc32(MAGIC + struct.pack("<HHI", VERSION, 0, len(text))))
    return PRELUDE.pack(MAGIC, VERSION, 0, len(text), crc) + text


def parse_prelude(data: bytes) -> tuple[int, int]:
    """Length of the JSON and the checksum from the first PRELUDE.size bytes. Raises TokenFileError."""
    if data[:8] != MAGIC[: len(data)] or not data:
        raise TokenFileError(f"not a .solfa token file: it begins with {bytes(data[:8])!r}")
    if len(data) < PRELUDE.size:
        raise TokenFileError(f"truncated: {len(data)} bytes do not hold the {PRELUDE.size} that open a token file")
    _, version, zero, length, crc = PRELUDE.unpack(data)
    if version != VERSION:
        raise TokenFileError(f"token file version {version} is not known; this solfa reads version {VERSION}")
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
        record = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        if not isinstance(record, dict):
            raise ValueError("it is not a JSON object")
        names = [item.name for item in fields(TokenHeader)]
        if missing := [name for name in names if name not in record]:
            raise ValueError(f"fields are missing: {', '.join(missing)}")
        if unknown := [name for name in record if name not in names]:
            raise ValueError(f"field {_short(unknown[0])} is not known; known: {', '.join(names)}")
        header = TokenHeader(**record)
        header.to_json()
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise TokenFileError(f"bad header: {reason}") from None
    return header


def plane_crc(plane: Any, block: int, codebook: int, codebooks: int) -> int:
    """CRC-32 of one codebook's bytes in one block, started from the plane's number in the file: CRC-32 is a bijection
    of its start value, so a whole plane in the wrong place is always found."""
    return zlib.crc32(plane, (block * codebooks + codebook) & 0xFFFFFFFF)


def _dump(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, Mapping):
        raise ValueError(f"metadata must map text to text, not {_short(metadata)}")
    for item in (text for pair in metadata.items() for text in pair):
        if not isinstance(item, str) or any("\ud800" <= letter <= "\udfff" for letter in item):
            raise ValueError(f"metadata must map text to text; {_short(item)} is none")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a field stands in it twice")
    return record


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"the number {_short(text)} is not an integer")


def _short(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value) if isinstance(value, str | int | float) or value is None else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
