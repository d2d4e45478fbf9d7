"""The arithmetic coder of EnCodec's compressed files (arXiv 2210.13438, section 3.3), bit for bit.

The open interval [low, high] holds `open` bits that are not decided yet. Before each symbol it is doubled, at the price of one bit each
time, until it is at least 2^24 wide; the symbol then takes its share of it, and the leading bits that low and high have in common are
decided. Bits fill bytes from the lowest up.

The reference computes shares in float64. Its interval is never wider than 2^25, so its products have fewer than 53 bits and are exact:
integers give the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TOTAL_BITS = 24
ROUNDOFF = 1e-8  # probabilities are floored to multiples of it, so that small differences between machines often vanish
MIN_RANGE = 2  # the least share of a symbol, of 2^24


def least_bits(codebook_size: int) -> float:
    """Bits that the likeliest symbol costs at least: what bounds the symbols that a number of bytes can hold."""
    return -math.log2(1 - MIN_RANGE * (codebook_size - 1) / (1 << TOTAL_BITS))


def quantized_cdf(probabilities: Tensor) -> list[list[int]]:
    """Shares of 2^24, summed up, for each codebook: probabilities [N, K] float32 -> K lists of N integers.

    The operations and their order are the reference's: another order would round in another way, and another share is another file.
    """
    total = 1 << TOTAL_BITS
    floored = (probabilities.detach() / ROUNDOFF).floor() * ROUNDOFF
    spare = MIN_RANGE * len(probabilities) / total
    shares = (((1 - spare) * total) * floored).floor().long() + MIN_RANGE
    return shares.cumsum(0).T.tolist()


class _Interval:
    def __init__(self) -> None:
        self.low = self.high = self.open = 0

    @property
    def width(self) -> int:
        return self.high - self.low + 1

    def missing(self) -> int:
        """How often it has to be doubled."""
        return max(0, TOTAL_BITS + 1 - self.width.bit_length())

    def double(self, times: int) -> None:
        self.low <<= times
        self.high = (self.high + 1 << times) - 1
        self.open += times

    def narrow(self, start: int, stop: int) -> tuple[int, int]:
        """Keep the share [start, stop) of 2^24. Gives the bits that this decides: their number and their value."""
        low, width = self.low, self.width
        self.low, self.high = low - (-start * width >> TOTAL_BITS), low + ((stop - 1) * width >> TOTAL_BITS)
        left = (self.low ^ self.high).bit_length()
        decided = self.open - left, self.low >> left
        self.low, self.high, self.open = self.low & (1 << left) - 1, self.high & (1 << left) - 1, left
        return decided


class ArithmeticEncoder:
    """Symbols to bytes: `push` each with its shares, then `finish`."""

    def __init__(self) -> None:
        self._interval = _Interval()
        self._bytes = bytearray()
        self._bits = 0

    def push(self, symbol: int, cdf: Sequence[int]) -> None:
        """cdf: what `quantized_cdf` gives for the symbol's codebook."""
        self._interval.double(self._interval.missing())
        self._put(*self._interval.narrow(cdf[symbol - 1] if symbol else 0, cdf[symbol]))

    def finish(self) -> bytes:
        """The bytes of all that was pushed, filled up with zero bits."""
        self._put(self._interval.open, self._interval.low)
        return bytes(self._bytes)

    def _put(self, count: int, value: int) -> None:
        for place in reversed(range(count)):
            if self._bits % 8 == 0:
                self._bytes.append(0)
            self._bytes[-1] |= (value >> place & 1) << self._bits % 8
            self._bits += 1


class ArithmeticDecoder:
    """Bytes to symbols, from byte `start` of `data` on; the shares must be exactly those of the encoder.

    `pull` raises ValueError where no encoder can have written these bytes with these shares.
    """

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._interval = _Interval()
        self._current = 0  # what was read, less what is decided: in [low, high]
        self._data, self._at = data, 8 * start

    def pull(self, cdf: Sequence[int]) -> int:
        """The next symbol."""
        interval = self._interval
        for _ in range(interval.missing()):
            interval.double(1)
            self._current = self._current << 1 | self._bit()
        place, width = self._current - interval.low, interval.width
        symbol = bisect_left(cdf, place, key=lambda end: (end - 1) * width >> TOTAL_BITS)
        if symbol == len(cdf) or place < -(-(cdf[symbol - 1] if symbol else 0) * width >> TOTAL_BITS):
            raise ValueError("its bits are no symbol's")
        interval.narrow(cdf[symbol - 1] if symbol else 0, cdf[symbol])
        self._current &= (1 << interval.open) - 1
        return symbol

    @property
    def end(self) -> int | None:
        """The byte after the last one, if the encoder can have ended here: with the lowest value of its interval, and zero bits."""
        rest = self._at % 8 and self._data[self._at // 8] >> self._at % 8
        return None if rest or self._current != self._interval.low else -(-self._at // 8)

    def _bit(self) -> int:
        if self._at >= 8 * len(self._data):
            raise ValueError("it ends before its symbols do")
        bit = self._data[self._at // 8] >> self._at % 8 & 1
        self._at += 1
        return bit
