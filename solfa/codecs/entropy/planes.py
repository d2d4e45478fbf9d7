"""Planes of codes to the bytes that stand in a token file, and back.

A plane is one codebook's codes of one block. Coded, it is never longer than packed: whatever would not be shorter is packed, and its
length says so. Zero bytes fill a coded one up to the least length that the file allows.
"""

from typing import Protocol

import numpy as np

from solfa.codecs.bitpacking import bits_for, pack, packed_bytes, unpack
from solfa.codecs.entropy.adaptive import decode_planes, encode_planes

NO_CODES = "its bytes are those of no codes"
BELOW = "a codebook below it is damaged, without which it cannot be decoded"


class Coding(Protocol):
    """A way to code planes. chained: a plane cannot be decoded without those below it in its block."""

    chained: bool

    def encode(self, blocks: np.ndarray) -> list[bytes]:
        """Codes [B, K, F] to the bytes of each plane, block by block."""
        ...

    def decode(self, planes: list[list[bytes]], todo: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Decode the planes [B][K] where `todo` [B, K] is true into codes [B, K, F], which holds the other planes' codes.

        Gives true where an encoder gives these bytes for these codes, bool [B, K]; what stands where `todo` is false means nothing.
        """
        ...


class Adaptive:
    """Each plane by itself, by a model that learns from it. size: N."""

    chained = False

    def __init__(self, size: int) -> None:
        self.size = size

    def encode(self, blocks: np.ndarray) -> list[bytes]:
        return encode_planes(blocks.reshape(-1, blocks.shape[2]), self.size)

    def decode(self, planes: list[list[bytes]], todo: np.ndarray, codes: np.ndarray) -> np.ndarray:
        good = np.zeros_like(todo)
        data = [planes[block][book] for block, book in np.argwhere(todo)]
        codes[todo], good[todo] = decode_planes(data, codes.shape[2], self.size)
        return good


def encode_blocks(blocks: np.ndarray, size: int, coding: Coding | None, least: int) -> list[list[bytes]]:
    """Codes [B, K, F] in [0, size) to the bytes of each plane [B][K], packed where there is no coding."""
    count, books, frames = blocks.shape
    rows = pack(blocks.reshape(count * books, frames), bits_for(size))
    planes = [row.tobytes() for row in rows]
    if coding is not None and frames:
        coded = (data.ljust(least, b"\0") for data in coding.encode(blocks))
        planes = [short if len(short) < len(plain) else plain for short, plain in zip(coded, planes, strict=True)]
    return [planes[i : i + books] for i in range(0, len(planes), books)]


def decode_blocks(
    planes: list[list[bytes | None]], frames: int, size: int, coding: Coding | None, least: int
) -> tuple[np.ndarray, dict[tuple[int, int], str]]:
    """Planes [B][k], of F frames each and of legal lengths, to codes int32 [B, k, F]; and (block, codebook) of those that have none, with
    the reason. None is a plane that is lost. Where there are no codes there are zeros.
    """
    most = packed_bytes(frames, bits_for(size))
    lengths = np.array([[-1 if plane is None else len(plane) for plane in block] for block in planes])
    codes = np.zeros((*lengths.shape, frames), np.int32)
    bad = _unpack(planes, lengths == most, size, codes)
    todo = (lengths >= 0) & (lengths < most)
    if not todo.any():
        return codes, bad
    assert coding is not None
    good = coding.decode([[plane or b"" for plane in block] for block in planes], todo, codes)
    for block, book in np.argwhere(todo).tolist():  # lower codebooks first
        data = planes[block][book] or b""
        if coding.chained and any(planes[block][k] is None or (block, k) in bad for k in range(book)):
            bad[block, book] = BELOW
        elif not good[block, book] or (len(data) > least and not data[-1]):
            bad[block, book] = NO_CODES
    for place in bad:
        codes[place] = 0
    return codes, bad


def _unpack(
    planes: list[list[bytes | None]], todo: np.ndarray, size: int, codes: np.ndarray
) -> dict[tuple[int, int], str]:
    """The codes of packed planes; gives the reason for those that are none."""
    frames, bits = codes.shape[2], bits_for(size)
    bad: dict[tuple[int, int], str] = {}
    places = [(block, book) for block, book in np.argwhere(todo).tolist()]
    if not places or not frames:
        return bad
    rows = np.frombuffer(b"".join(planes[block][book] or b"" for block, book in places), np.uint8)
    rows = rows.reshape(len(places), -1)
    codes[todo] = unpack(rows, frames, bits)
    if spare := frames * bits % 8:
        bad = {places[i]: "its padding is not zero" for i in np.flatnonzero(rows[:, -1] >> spare)}
    if size < 1 << bits:
        for block, book in np.argwhere((codes >= size).any(2)).tolist():
            bad.setdefault((block, book), f"a code is outside [0, {size})")
    for place in bad:
        codes[place] = 0
    return bad
