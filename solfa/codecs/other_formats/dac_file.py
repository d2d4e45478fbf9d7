"""The `.dac` files of descript-audio-codec as they are on disk: read without executing anything, and written. Loads no torch.

    {"codes": uint16 [items, K, T], "metadata": {"input_db": float32 [recordings], "original_length", "sample_rate", "chunk_length",
     "channels": int, "padding": bool, "dac_version": "1.0.0"}}

as a pickle inside a .npy (see `dac_pickle`). Items are the channels of the recordings, one after the other. What the codes stand for, and
how they become sound, is `dac_sound`'s: the file does not say which model made it.
"""

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from solfa.codecs.header_fields import short_text
from solfa.codecs.other_formats.code_file import CodeFileError, read_whole
from solfa.codecs.other_formats.dac_pickle import array_of, read_object, write_object
from solfa.files import check_replaceable, write_whole

VERSIONS = ("1.0.0",)
_BOUNDS = {
    "chunk_length": (1, 1 << 40),
    "original_length": (1, 1 << 53),
    "sample_rate": (1_000, 384_000),
    "channels": (1, 64),
}
_FIELDS = {"input_db", "padding", "dac_version", *_BOUNDS}
MAX_CODEBOOKS = 128
LOUDEST = 200.0  # LUFS, beyond anything that is sound


@dataclass(frozen=True, eq=False)
class DacFile:
    """What a `.dac` file holds. Raises ValueError, with what is legal, for a field that is not.

    tokens: of every channel of every recording, as the file has them. chunk_length: frames that are decoded at a time. original_length:
    samples of a recording at sample_rate, its own rate, in Hz. padding: whether the codec's layers were padded: True in files of one
    chunk, False in those of several, whose codes overlap. input_db: loudness (LUFS) that each item gets back: one value for all, one a
    recording, or one an item.
    """

    tokens: np.ndarray  # [items, K, T] integers
    chunk_length: int
    original_length: int
    sample_rate: int
    channels: int
    padding: bool
    input_db: tuple[float, ...]
    dac_version: str = VERSIONS[-1]

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be an integer from {low} to {high}, not {short_text(value)}")
        if type(self.padding) is not bool:
            raise ValueError(f"padding must be True or False, not {short_text(self.padding)}")
        if self.dac_version not in VERSIONS:
            raise ValueError(f"dac_version {short_text(self.dac_version)} is not known; known: {', '.join(VERSIONS)}")
        _check_tokens(self.tokens, self.channels)
        if len(self.input_db) not in (1, self.recordings, self.items):
            raise ValueError(
                f"input_db has {len(self.input_db)} values for {self.recordings} recordings, {self.items} items"
            )
        if not all(math.isfinite(value) and abs(value) <= LOUDEST for value in self.input_db):
            raise ValueError(f"input_db must lie between {-LOUDEST:g} and {LOUDEST:g} LUFS")
        if not self.padding and self.frames % self.chunk_length:
            raise ValueError(f"{self.frames} frames are no whole number of chunks of {self.chunk_length}")

    @property
    def items(self) -> int:
        return self.tokens.shape[0]

    @property
    def recordings(self) -> int:
        return self.items // self.channels

    @property
    def codebooks(self) -> int:
        return self.tokens.shape[1]

    @property
    def frames(self) -> int:
        return self.tokens.shape[2]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.original_length / self.sample_rate

    @property
    def levels(self) -> tuple[float, ...]:
        """input_db of each item."""
        return tuple(self.input_db[i * len(self.input_db) // self.items] for i in range(self.items))


def read_dac(path: str | os.PathLike[str]) -> DacFile:
    """The contents of a `.dac` file. Raises CodeFileError naming the file and the reason, in memory that its size bounds."""
    try:
        return _from_record(read_object(read_whole(path)))
    except CodeFileError:
        raise
    except ValueError as error:
        raise CodeFileError(f"{os.fspath(path)}: {error}") from None


def write_dac(path: str | os.PathLike[str], file: DacFile) -> None:
    """Write a `.dac` file that descript-audio-codec reads. Raises ValueError where the target is no regular file."""
    metadata = {
        "input_db": np.array(file.input_db, np.float32),
        "original_length": file.original_length,
        "sample_rate": file.sample_rate,
        "chunk_length": file.chunk_length,
        "channels": file.channels,
        "padding": file.padding,
        "dac_version": file.dac_version,
    }
    check_replaceable(path)
    write_whole(path, write_object({"codes": file.tokens.astype(np.uint16), "metadata": metadata}))


def _from_record(record: Any) -> DacFile:
    if type(record) is not dict or record.keys() != {"codes", "metadata"}:
        raise ValueError("it must hold a dict of exactly codes and metadata")
    metadata = record["metadata"]
    if type(metadata) is not dict or metadata.keys() != _FIELDS:
        raise ValueError(f"its metadata must be a dict of exactly {', '.join(sorted(_FIELDS))}")
    tokens, levels = array_of(record["codes"]), array_of(metadata["input_db"])
    if tokens is None:
        raise ValueError("its codes are no array of numbers")
    if levels is None or levels.dtype.kind != "f" or levels.ndim > 1:
        raise ValueError("its input_db is no array of fractions")
    plain = {name: value for name, value in metadata.items() if name != "input_db"}
    return DacFile(tokens=tokens, input_db=tuple(levels.astype(float).reshape(-1).tolist()), **plain)


def _check_tokens(tokens: np.ndarray, channels: int) -> None:
    if tokens.dtype.kind not in "iu" or tokens.ndim != 3 or 0 in tokens.shape:
        raise ValueError(
            f"codes are {tokens.dtype} {list(tokens.shape)}: integers [items, K, T] are needed, none of them 0"
        )
    if tokens.shape[0] % channels:
        raise ValueError(f"codes of {tokens.shape[0]} items are no whole number of recordings of {channels} channels")
    if tokens.shape[1] > MAX_CODEBOOKS:
        raise ValueError(f"codes have {tokens.shape[1]} codebooks: 1 to {MAX_CODEBOOKS} are legal")
    if int(tokens.min()) < 0 or int(tokens.max()) > 0xFFFF:
        raise ValueError(f"codes lie between {tokens.min()} and {tokens.max()}: 0 to 65535 can be stored")
