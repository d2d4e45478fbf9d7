import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.codecs.bitpacking import MAX_BITS, bits_for, pack, packed_bytes, unpack


def naive_pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """The definition: a row is one long integer, code t shifted up by t * bits, written lowest byte first."""
    rows = []
    for row in codes.tolist():
        number = sum(code << (t * bits) for t, code in enumerate(row))
        rows.append(list(number.to_bytes(-(-len(row) * bits // 8), "little")))
    return np.array(rows, np.uint8).reshape(len(rows), packed_bytes(codes.shape[1], bits))


@pytest.mark.parametrize("bits", range(1, MAX_BITS + 1))
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 31, 256])
def test_packing_follows_the_definition_and_comes_back(bits: int, count: int) -> None:
    codes = np.random.default_rng(bits * 1000 + count).integers(0, 1 << bits, (3, count))
    codes[:1] = (1 << bits) - 1
    packed = pack(codes, bits)
    assert packed.shape == (3, packed_bytes(count, bits))
    np.testing.assert_array_equal(packed, naive_pack(codes, bits))
    np.testing.assert_array_equal(unpack(packed, count, bits), codes)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, MAX_BITS), st.integers(1, 40), st.integers(1, 5000), st.sampled_from(["<i8", "<u2", "<i4"]))
def test_long_rows_and_many_rows_are_cut_without_a_seam(bits: int, rows: int, count: int, dtype: str) -> None:
    top = min((1 << bits) - 1, np.iinfo(dtype).max)
    codes = np.random.default_rng(count).integers(0, top, (rows, count), endpoint=True).astype(dtype)
    np.testing.assert_array_equal(unpack(pack(codes, bits), count, bits), codes)


def test_check_value_of_encodec_bit_order() -> None:
    # 10-bit codes, lowest bits first, as in `.ecdc`: 1 + 2 * 2**10 + 3 * 2**20 + 4 * 2**30.
    assert pack(np.array([[1, 2, 3, 4]]), 10).tobytes() == bytes([0x01, 0x08, 0x30, 0x00, 0x01])


@pytest.mark.parametrize(("size", "bits"), [(2, 1), (3, 2), (1000, 10), (1024, 10), (1025, 11), (1 << 24, 24)])
def test_bits_hold_the_largest_code(size: int, bits: int) -> None:
    assert bits_for(size) == bits
