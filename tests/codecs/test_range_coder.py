from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.codecs.entropy.range_coder import MAX_TOTAL, RangeDecoder, RangeEncoder


@dataclass
class Naive:
    """The same coder with numbers as long as need be: no window, no carries."""

    low: int = 0
    width: int = 1 << 48
    digits: int = 0
    shares: list[Fraction] = field(default_factory=list)

    def push(self, start: int, size: int, total: int) -> None:
        unit = self.width // total
        self.low, self.width = self.low + unit * start, unit * size
        while self.width < 1 << 32:
            self.low, self.width, self.digits = self.low << 16, self.width << 16, self.digits + 1

    def finish(self) -> bytes:
        number = -(-self.low >> 32)  # 32 bits fewer than low: the window less one digit
        return number.to_bytes(2 * (self.digits + 1), "big").rstrip(b"\0")


SYMBOL = st.integers(1, MAX_TOTAL).flatmap(
    lambda total: st.integers(0, total - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(1, total - start), st.just(total))
    )
)


def coded(symbols: np.ndarray) -> list[bytes]:
    """symbols: [F, R, 3]."""
    coder = RangeEncoder(symbols.shape[1])
    for frame in symbols:
        coder.push(*frame.T)
    return coder.finish()


def check(symbols: np.ndarray) -> list[bytes]:
    data = coded(symbols)
    decoder = RangeDecoder(data)
    for frame in symbols:
        start, size, total = frame.T
        place = decoder.target(total)
        assert ((place >= start) & (place < start + size)).all()
        decoder.take(start, size)
    assert decoder.ended().all()
    for row in range(symbols.shape[1]):
        naive = Naive()
        for start, size, total in symbols[:, row].tolist():
            naive.push(start, size, total)
        assert data[row] == naive.finish()
    return data


@settings(max_examples=150, deadline=None)
@given(data=st.data(), rows=st.integers(1, 4), frames=st.integers(0, 60))
def test_any_shares_come_back_and_bytes_are_the_naive_coders(data: st.DataObject, rows: int, frames: int) -> None:
    few = data.draw(st.lists(SYMBOL, min_size=1, max_size=12))  # drawn once, used often
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    check(np.array(few, np.int64)[rng.integers(0, len(few), (frames, rows))].reshape(frames, rows, 3))


@pytest.mark.parametrize("share", [(0, 1), ((1 << 20) - 1, 1), (1, (1 << 20) - 2), (0, 1 << 20)])
def test_long_runs_of_the_ends_of_the_interval(share: tuple[int, int]) -> None:
    # The last share again and again writes digits of ones, through which a carry must run.
    symbols = np.tile(np.array([*share, 1 << 20], np.int64), (300, 2, 1))
    symbols[150, 1] = (3, 1 << 19, 1 << 20)
    check(symbols)


def test_a_carry_runs_through_all_digits() -> None:
    # low = 0.1111...1 (48 bits and 40 digits), and then a symbol that pushes it over
    near = [(0, 1, 2)] + [((1 << 16) - 1, 1, 1 << 16)] * 40
    for last in ([(1, 1, 2)], [(0, 1, 2)], [((1 << 32) - 1, 1, 1 << 32)]):
        check(np.array(near + last, np.int64)[:, None])


def test_the_length_is_that_of_the_information() -> None:
    rng = np.random.default_rng(0)
    total = np.full((4000, 3), 5000)
    start = rng.integers(0, 4000, (4000, 3))
    size = rng.integers(1, 1000, (4000, 3))
    data = check(np.stack([start, size, total], 2))
    ideal = -np.log2(size / total).sum(0) / 8
    assert all(best - 1 <= len(item) <= best + 3 for item, best in zip(data, ideal, strict=True))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=40), seed=st.integers(0, 99))
def test_bytes_that_end_well_are_the_encoders(data: bytes, seed: int) -> None:
    """Two byte strings never stand for the same symbols."""
    rng = np.random.default_rng(seed)
    decoder, symbols = RangeDecoder([data]), []
    for _ in range(8 * len(data) // 6 + 1):
        cuts = np.unique(np.concatenate([[0, 64], rng.integers(1, 64, 3)]))
        place = int(decoder.target(np.array([64]))[0])
        assert 0 <= place < 64
        i = int(np.searchsorted(cuts, place, "right")) - 1
        decoder.take(cuts[i : i + 1], np.diff(cuts[i : i + 2]))
        symbols.append((int(cuts[i]), int(cuts[i + 1] - cuts[i]), 64))
    again = coded(np.array(symbols, np.int64)[:, None])
    assert bool(decoder.ended()[0]) == (again == [data.rstrip(b"\0")])
