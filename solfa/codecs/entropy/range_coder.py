"""A range coder for many rows of symbols in lockstep, with integers only.

Each row has an interval of its own, `width` wide from `low` on, seen through a window of 48 bits; a symbol keeps the share
[start, start + size) / total of it (Martin, 1979: Range encoding, an algorithm for removing redundancy from a digitised message). As
soon as the interval is narrower than 2^32 its 16 leading bits are written as a digit. A carry into digits that are written already is
not waited for: digits are kept wider than 16 bits, and the carries are added at the end.

The bytes of a row are the digits, most significant byte first, of the shortest number inside its interval; the zero bytes at its end are
left out, so no two byte strings (but for zeros behind them) stand for the same symbols, and `RangeDecoder.ended` knows the one.
"""

from collections.abc import Sequence

import numpy as np

MAX_TOTAL = 1 << 32
_DIGIT = 16
_LEAST = 1 << 32  # an interval is widened until it is at least so wide
_WINDOW = 48
_LOW = _LEAST - 1  # mask of what is left of `low` below a digit


class RangeEncoder:
    """Symbols of R rows to bytes: `push` their shares, then `finish`."""

    def __init__(self, rows: int) -> None:
        self._low = np.zeros(rows, np.int64)
        self._width = np.full(rows, 1 << _WINDOW, np.int64)
        self._digits = np.zeros((rows, 64), np.int64)
        self._count = np.zeros(rows, np.int64)

    def push(self, start: np.ndarray, size: np.ndarray, total: np.ndarray) -> None:
        """One symbol a row. start, size, total: int64 [R], 0 <= start < start + size <= total <= 2^32."""
        unit = self._width // total
        self._low += unit * start
        self._width = unit * size
        while (narrow := self._width < _LEAST).any():
            (rows,) = np.nonzero(narrow)
            self._emit(rows, self._low[rows] >> 32)
            self._low[rows] = (self._low[rows] & _LOW) << _DIGIT
            self._width[rows] <<= _DIGIT

    def finish(self) -> list[bytes]:
        """The bytes of each row."""
        rows = np.arange(len(self._low))
        self._emit(rows, (self._low + _LOW) >> 32)  # a multiple of 2^32 lies in any interval so wide
        digits = self._digits
        while (over := digits >> _DIGIT).any():
            digits &= 0xFFFF
            digits[:, :-1] += over[:, 1:]
        data = digits.astype(">u2")
        return [data[row, : self._count[row]].tobytes().rstrip(b"\0") for row in rows]

    def _emit(self, rows: np.ndarray, digits: np.ndarray) -> None:
        if self._count.max(initial=0) >= self._digits.shape[1]:
            self._digits = np.concatenate([self._digits, np.zeros_like(self._digits)], 1)
        self._digits[rows, self._count[rows]] = digits
        self._count[rows] += 1


class RangeDecoder:
    """Bytes of R rows to symbols: `target` says where each row points, the caller finds the symbols there, and `take` goes on.

    Any bytes give symbols; only those of an encoder that pushed the same shares make `ended` true.
    """

    def __init__(self, data: Sequence[bytes]) -> None:
        rows, longest = len(data), max(map(len, data), default=0) // 2 + 1
        digits = np.zeros((rows, 2 * (longest + 4)), np.uint8)  # behind the end there are zeros
        for row, item in zip(digits, data, strict=True):
            row[: len(item)] = np.frombuffer(item, np.uint8)
        self._digits = digits.view(">u2").astype(np.int64)
        self._last = self._digits.shape[1] - 1
        self._lengths = np.array([len(item.rstrip(b"\0")) for item in data], np.int64)
        first = self._digits[:, :3]
        self._value = first[:, 0] << 32 | first[:, 1] << 16 | first[:, 2]  # what was read, less `low`
        self._width = np.full(rows, 1 << _WINDOW, np.int64)
        self._unit = self._width
        self._read = np.full(rows, 3, np.int64)
        self._bad = np.zeros(rows, bool)

    def target(self, total: np.ndarray) -> np.ndarray:
        """Where each row's symbol lies, in [0, total); int64 [R]."""
        self._unit = self._width // total
        found = self._value // self._unit
        self._bad |= found >= total  # what rounding leaves over at the end of an interval
        return np.minimum(found, total - 1)

    def take(self, start: np.ndarray, size: np.ndarray) -> None:
        """The share that the symbol had."""
        self._width = self._unit * size
        self._value = np.minimum(self._value - self._unit * start, self._width - 1)
        while (narrow := self._width < _LEAST).any():
            (rows,) = np.nonzero(narrow)
            digit = self._digits[rows, np.minimum(self._read[rows], self._last)]
            self._value[rows] = self._value[rows] << _DIGIT | digit
            self._width[rows] <<= _DIGIT
            self._read[rows] += 1

    def ended(self) -> np.ndarray:
        """Whether each row's bytes are what an encoder makes of the symbols taken; bool [R]."""
        return ~self._bad & (self._value < _LEAST) & (self._lengths <= 2 * (self._read - 2))
