"""Codebook metrics: examples worked out by hand, bounds and symmetries, streaming."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from solfa.eval.codebooks import (
    CodebookCounts,
    bitrate_efficiency,
    codebook_report,
    dead_codes,
    entropy,
    perplexity,
    usage,
)


@pytest.mark.parametrize(
    ("counts", "used", "dead", "bits", "codes"),
    [
        ([5, 5, 5, 5], 1.0, 0, 2.0, 4.0),
        ([8, 0, 0, 0], 0.25, 3, 0.0, 1.0),
        ([2, 1, 1, 0], 0.75, 1, 1.5, 2**1.5),
        ([1, 1, 0, 0], 0.5, 2, 1.0, 2.0),
        ([4, 2, 1, 1], 1.0, 0, 1.75, 2**1.75),
        ([0.5, 0.25, 0.25, 0.0], 0.75, 1, 1.5, 2**1.5),
    ],
)
def test_worked_examples(counts, used, dead, bits, codes):
    assert usage(counts) == used
    assert dead_codes(counts) == dead
    assert entropy(counts) == pytest.approx(bits, abs=1e-12)
    assert math.copysign(1, entropy(counts)) == 1
    assert perplexity(counts) == pytest.approx(codes)
    assert bitrate_efficiency(counts) == pytest.approx(bits / 2, abs=1e-12)


def test_a_worked_report():
    counts = CodebookCounts(2, 4)
    counts.add([[0, 1, 2, 3], [0, 0, 1, 1]])
    report = counts.report()
    assert (report.codebooks, report.codebook_size, report.frames) == (2, 4, 4)
    assert (report.usage, report.dead) == ((1.0, 0.5), (0, 2))
    assert report.entropy == pytest.approx((2.0, 1.0))
    assert report.perplexity == pytest.approx((4.0, 2.0))
    assert report.efficiency == pytest.approx((1.0, 0.5))
    assert (report.usage_total, report.dead_total, report.entropy_total) == (0.75, 2, pytest.approx(3.0))
    assert report.perplexity_mean == pytest.approx(8**0.5)
    assert report.efficiency_total == pytest.approx(0.75)


NUMBERS = hnp.arrays(np.int64, st.integers(2, 40), elements=st.integers(0, 10**6)).filter(
    lambda counts: counts.sum() > 0
)


@given(NUMBERS)
def test_bounds_and_the_reference(counts):
    size = len(counts)
    assert entropy(counts) == pytest.approx(stats.entropy(counts, base=2), abs=1e-9)
    assert -1e-12 <= entropy(counts) <= math.log2(size) + 1e-9
    assert 1 - 1e-9 <= perplexity(counts) <= (counts > 0).sum() + 1e-6
    assert -1e-12 <= bitrate_efficiency(counts) <= 1 + 1e-9
    assert round(usage(counts) * size) + dead_codes(counts) == size


@given(NUMBERS, st.integers(2, 9), st.randoms())
def test_order_and_scale_do_not_matter(counts, factor, random):
    shuffled = counts.copy()
    random.shuffle(shuffled)
    for metric in (usage, dead_codes, entropy, perplexity, bitrate_efficiency):
        assert metric(shuffled) == pytest.approx(metric(counts), abs=1e-9)
        assert metric(counts * factor) == pytest.approx(metric(counts), abs=1e-9)


@given(
    st.integers(1, 3),
    st.integers(2, 20),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), max_size=4),
    st.data(),
)
def test_streaming_counts_what_a_whole_count_does(books, size, shapes, data):
    pieces = [data.draw(hnp.arrays(np.int64, (b, books, t), elements=st.integers(0, size - 1))) for b, t in shapes]
    streamed = CodebookCounts(books, size)
    for piece in pieces:
        streamed.add(piece)
    for book in range(books):
        whole = [code for piece in pieces for code in piece[:, book].ravel().tolist()]
        assert streamed.counts[book].tolist() == [whole.count(code) for code in range(size)]


def test_axes_in_front_stay():
    counts = np.random.default_rng(0).integers(0, 9, (2, 3, 16))
    for metric in (usage, dead_codes, entropy, perplexity, bitrate_efficiency):
        assert metric(counts).shape == (2, 3)
        assert metric(counts)[1, 2] == metric(counts[1, 2])


def test_nothing_counted_is_nan_and_no_report():
    assert np.isnan(entropy([[0, 0], [1, 1]])).tolist() == [True, False]
    assert dead_codes([0, 0]) == 2
    with pytest.raises(ValueError, match="at least one frame"):
        CodebookCounts(2, 4).report()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: usage([]), "must be numbers"),
        (lambda: entropy([1, -1]), "0 or more"),
        (lambda: entropy([1, math.inf]), "finite"),
        (lambda: entropy([1, math.nan]), "0 or more, and finite"),
        (lambda: entropy(["a"]), "must be numbers"),
        (lambda: bitrate_efficiency([3]), "2 or more"),
        (lambda: codebook_report([1, 2]), r"\[2\]: must be \[K, N\]"),
        (lambda: codebook_report([[1, 2], [1, 1]]), r"\[3, 2\] codes counted"),
        (lambda: CodebookCounts(0, 4), "0 codebooks of 4 codes"),
        (lambda: CodebookCounts(2, 4).add([[0, 1]]), r"must be integers \[..., 2, T\]"),
        (lambda: CodebookCounts(2, 4).add([[0.0], [1.0]]), "must be integers"),
        (lambda: CodebookCounts(2, 4).add([[0], [4]]), "codes 0 to 4: must be 0 to 3"),
        (lambda: CodebookCounts(2, 4).add([[0], [-1]]), "codes -1 to 0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
