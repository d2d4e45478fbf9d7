"""The codes of a shard: a safetensors file of two flat tensors, read by memory map.

    8 bytes          length of the header
    header           JSON, padded with spaces: {"offsets": I64 [items + 1], "codes": I16 or I32 [sum T, K]}
    offsets          first frame of each item, and the number of all frames
    codes            frame after frame, the K codes of a frame side by side: a crop is one run of bytes

Any reader of safetensors reads it. safetensors has no checksum: the manifest's hashes are the integrity.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from solfa.tokenize_audio.store.format import MAX_FRAMES, StoreHead, TokenStoreError
from solfa.tokenize_audio.store.records import check_regular

MAX_HEADER = 4096  # bytes
_LENGTH = struct.Struct("<Q")
_CODES_AT_ONCE = 1 << 22
_NAMES = {"<i2": "I16", "<i4": "I32"}


def codes_header(head: StoreHead, items: int, frames: int) -> bytes:
    """The bytes before the offsets: their number is a multiple of 8, so that readers may view the tensors in place."""
    offsets, codes = 8 * (items + 1), frames * head.codebooks * head.dtype.itemsize
    tensors = {
        "offsets": {"dtype": "I64", "shape": [items + 1], "data_offsets": [0, offsets]},
        "codes": {
            "dtype": _NAMES[head.dtype.str],
            "shape": [frames, head.codebooks],
            "data_offsets": [offsets, offsets + codes],
        },
    }
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return _LENGTH.pack(len(text)) + text


def write_codes(path: Path, head: StoreHead, offsets: Sequence[int], body: BinaryIO) -> None:
    """Write the file of codes. body: the codes as they lie in the file, from its start."""
    body.seek(0)
    with open(path, "xb") as file:
        file.write(codes_header(head, len(offsets) - 1, offsets[-1]))
        file.write(np.array(offsets, "<i8").tobytes())
        shutil.copyfileobj(body, file, 1 << 20)


class CodesFile:
    """The codes of a shard with so many items and frames, mapped. Opening reads the header and the offsets, and checks both.

    Raises TokenStoreError for a file that is not the codes of such a shard.
    """

    def __init__(self, path: Path, head: StoreHead, items: int, frames: int) -> None:
        self.path, self._size = path, head.codebook_size
        expected = codes_header(head, items, frames)
        start = len(expected)
        size = start + 8 * (items + 1) + frames * head.codebooks * head.dtype.itemsize
        # Before anything is taken: the file is as large as the shard's items and frames make it.
        if frames > MAX_FRAMES or (found := check_regular(path)) != size:
            raise TokenStoreError(f"{path}: {found} bytes; {items} items of {frames} frames in all make {size}")
        try:
            with open(path, "rb") as file:
                if (header := file.read(start)) != expected:
                    raise TokenStoreError(f"{path}: {_difference(header, expected)}")
                self.offsets = np.frombuffer(file.read(8 * (items + 1)), "<i8")  # [items + 1]
            table = _mapped(path, size, head.dtype)
        except (OSError, RuntimeError) as error:
            raise TokenStoreError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        if len(self.offsets) != items + 1 or self.offsets[0] != 0 or self.offsets[-1] != frames:
            raise TokenStoreError(f"{path}: the offsets must go from 0 to {frames}")
        if (self.offsets[1:] < self.offsets[:-1]).any():
            raise TokenStoreError(f"{path}: the offsets must not fall")
        self._unchecked = table[len(table) - frames * head.codebooks :].reshape(frames, head.codebooks)

    @cached_property
    def codes(self) -> np.ndarray:
        """The codes [sum T, K], a view of the map. The first look reads them all: TokenStoreError where one is not below N."""
        table = self._unchecked
        unsigned = table.view(f"u{table.dtype.itemsize}")  # what is negative is too large, too
        step = max(1, _CODES_AT_ONCE // table.shape[1])
        for start in range(0, len(table), step):
            highest = int(unsigned[start : start + step].max())
            if highest >= self._size:
                frame = start + int((unsigned[start : start + step] >= self._size).any(1).argmax())
                raise TokenStoreError(
                    f"{self.path}: damaged, a code of frame {frame} is not from 0 to {self._size - 1}"
                )
        return table


def _mapped(path: Path, size: int, dtype: np.dtype) -> np.ndarray:
    """The whole file as numbers. By torch, whose map keeps no file open: a store may have more shards than a process may open files."""
    import torch

    kind = torch.int16 if dtype.itemsize == 2 else torch.int32
    table = torch.from_file(str(path), shared=False, size=size // dtype.itemsize, dtype=kind).numpy()
    table.flags.writeable = False
    return table


def _difference(header: bytes, expected: bytes) -> str:
    length = int.from_bytes(header[:8], "little")
    if length > MAX_HEADER:
        return f"not a safetensors file of codes (its header says that it has {length} bytes)"
    return (
        f"its header is {header[8:200]!r}, where the store and the shard's manifest make it {expected[8:].rstrip()!r}"
    )
