"""EnCodec's arithmetic coder: the reference's bytes, and back."""

from itertools import accumulate

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solfa.codecs.other_formats.arithmetic import ArithmeticDecoder, ArithmeticEncoder, least_bits, quantized_cdf

# What encodec 0.1.1's coder writes for the symbols and shares of `golden`.
BYTES = bytes.fromhex("5286bbb075bebedd950b439f783d57f3bc2544bbe23b1efcb7a97faa7946")


def cdf_of(weights: list[int]) -> list[int]:
    total, size = sum(weights), len(weights)
    return list(accumulate(weight * ((1 << 24) - 2 * size) // total + 2 for weight in weights))


def golden() -> tuple[list[int], list[list[int]]]:
    state, cdfs = 12345, []
    for step in range(60):
        weights = []
        for _ in range(9):
            state = (1103515245 * state + 12345) % 2**31
            weights.append(1 + (state >> 8) % 997 ** (1 + step % 2))
        cdfs.append(cdf_of(weights))
    return [(step * step + 3) % 9 for step in range(60)], cdfs


def encoded(symbols: list[int], cdfs: list[list[int]]) -> bytes:
    coder = ArithmeticEncoder()
    for symbol, cdf in zip(symbols, cdfs, strict=True):
        coder.push(symbol, cdf)
    return coder.finish()


def test_the_bytes_of_the_reference() -> None:
    symbols, cdfs = golden()
    assert encoded(symbols, cdfs) == BYTES
    coder = ArithmeticDecoder(b"xyz" + BYTES + b"more", start=3)
    assert [coder.pull(cdf) for cdf in cdfs] == symbols
    assert coder.end == 3 + len(BYTES)


def test_the_shares_of_the_reference() -> None:
    probabilities = torch.tensor([[0.5, 0.1], [0.25, 0.0], [0.25, 0.9]])
    assert quantized_cdf(probabilities) == [[8388607, 12582911, 16777215], [1677723, 1677725, 16777216]]


@given(
    data=st.lists(st.tuples(st.lists(st.integers(0, 10**6), min_size=2, max_size=6), st.integers(0, 5)), max_size=60)
)
def test_any_symbols_come_back(data: list[tuple[list[int], int]]) -> None:
    cdfs = [cdf_of([weight + 1 for weight in weights]) for weights, _ in data]
    symbols = [symbol % len(cdf) for (_, symbol), cdf in zip(data, cdfs, strict=True)]
    packed = encoded(symbols, cdfs)
    coder = ArithmeticDecoder(packed)
    assert [coder.pull(cdf) for cdf in cdfs] == symbols
    assert coder.end == len(packed)


def test_sure_symbols_cost_no_less_than_the_bound() -> None:
    sure = cdf_of([10**9, *[0] * 1023])
    packed = encoded([0] * 3000, [sure] * 3000)
    assert least_bits(1024) * 3000 <= 8 * len(packed) <= 32


def test_bits_that_no_encoder_wrote_are_refused() -> None:
    symbols, cdfs = golden()
    with pytest.raises(ValueError, match="ends before"):
        coder = ArithmeticDecoder(BYTES[:-1])
        [coder.pull(cdf) for cdf in cdfs]
    # The shares are rounded down: what they leave over belongs to no symbol.
    spare = [1000, 2000]
    with pytest.raises(ValueError, match="no symbol's"):
        ArithmeticDecoder(b"\xff" * 10).pull(spare)
    coder = ArithmeticDecoder(BYTES)
    assert [coder.pull(cdf) for cdf in cdfs[:30]] == symbols[:30]
    assert coder.end is None
