"""Bags of codes: a table worked out by hand, the formulas as plain loops, and what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from solfa.eval.bag_of_codes import IDF, TF, cosine_similarity, idf_b, idf_e1, tf_idf, tf_o2, typical_codes

# Three documents of 4, 4 and 1 codes: one word is in all, one in two, one in one alone, one in none.
COUNTS = [[2, 1, 1, 0], [3, 1, 0, 0], [1, 0, 0, 0]]
LN = math.log
NOISE = [-(2 / 6 * LN(2 / 6) + 3 / 6 * LN(3 / 6) + 1 / 6 * LN(1 / 6)), LN(2), 0.0]

TABLE = {
    "tf_b": [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]],
    "tf_l1": [[LN(3), LN(2), LN(2), 0], [LN(4), LN(2), 0, 0], [LN(2), 0, 0, 0]],
    "tf_l2": [[1 + LN(2), 1, 1, 0], [1 + LN(3), 1, 0, 0], [1, 0, 0, 0]],
    # lengths 4, 4, 1 over their mean 3: 0.5 + 1.5 l / m = 2.5, 2.5, 1
    "tf_o1": [[2 / 4.5, 1 / 3.5, 1 / 3.5, 0], [3 / 5.5, 1 / 3.5, 0, 0], [1 / 2, 0, 0, 0]],
    # 1.2 (0.25 + 0.75 l / m) = 1.5, 1.5, 0.6
    "tf_o2": [[4.4 / 3.5, 2.2 / 2.5, 2.2 / 2.5, 0], [6.6 / 4.5, 2.2 / 2.5, 0, 0], [2.2 / 1.6, 0, 0, 0]],
    "idf_b": [0, LN(3 / 2), LN(3), 0],
    "idf_p": [0, 0, LN(2), 0],
    "idf_e1": [1 - NOISE[0] / LN(3), 1 - LN(2) / LN(3), 1, 0],
    "idf_e2": [0, NOISE[0] - NOISE[1], NOISE[0], 0],
    "idf_o": [0, 0, LN(2.5 / 1.5), 0],
}

BAGS = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=st.integers(0, 50) | st.just(0)
).filter(lambda counts: counts.sum() > 0)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_worked_out_by_hand(name):
    assert {**TF, **IDF}[name](COUNTS) == pytest.approx(np.array(TABLE[name]), abs=1e-12)


def test_all_ten_and_their_products():
    assert TABLE.keys() == {**TF, **IDF}.keys()
    for tf in TF:
        for idf in IDF:
            product = np.array(TABLE[tf]) * np.array(TABLE[idf])
            assert tf_idf(COUNTS, tf, idf) == pytest.approx(product, abs=1e-12)


def test_bm25_without_length_or_without_saturation():
    counts = np.array(COUNTS)
    assert tf_o2(counts, b=0) == pytest.approx(2.2 * counts / (counts + 1.2))
    assert tf_o2(counts, k1=1e9, b=0) == pytest.approx(counts, rel=1e-6)


@given(BAGS, st.randoms())
def test_order_of_documents_and_of_codes_does_not_matter(counts, random):
    documents, words = list(range(counts.shape[0])), list(range(counts.shape[1]))
    random.shuffle(documents)
    random.shuffle(words)
    for tf in TF:
        for idf in IDF:
            weights = tf_idf(counts, tf, idf)
            assert np.isfinite(weights).all() and (weights >= 0).all()
            assert tf_idf(counts[documents][:, words], tf, idf) == pytest.approx(weights[documents][:, words])


@given(BAGS)
def test_bounds(counts):
    weights = {name: weight(counts) for name, weight in {**TF, **IDF}.items()}
    present = counts > 0
    for name in TF:
        assert ((weights[name] > 0) == present).all()
    assert weights["tf_o1"].max() < 1 and weights["tf_o2"].max() < 2.2 and weights["idf_e1"].max() <= 1 + 1e-12
    assert (weights["idf_b"] >= weights["idf_p"] - 1e-12).all()
    everywhere = present.all(axis=0)
    for name in ("idf_b", "idf_p", "idf_o"):
        assert not weights[name][everywhere].any()


@given(BAGS)
def test_a_document_is_like_itself_and_likeness_is_mutual(counts):
    weights = tf_idf(counts, "tf_l2", "idf_b") + (counts > 0)
    alike = cosine_similarity(weights)
    assert np.array_equal(alike, alike.T, equal_nan=True)
    filled = counts.any(axis=1)
    assert np.diag(alike)[filled] == pytest.approx(1)
    assert np.isnan(alike[~filled]).all() and np.isnan(alike[:, ~filled]).all()
    assert cosine_similarity(weights * 7) == pytest.approx(alike, nan_ok=True)


def test_likeness_by_hand():
    assert cosine_similarity([[1, 1, 0], [1, 0, 0], [0, 0, 5]]) == pytest.approx(
        np.array([[1, 0.5**0.5, 0], [0.5**0.5, 1, 0], [0, 0, 1]])
    )


def test_one_document_tells_nothing_apart():
    for name in IDF:
        assert IDF[name]([[3, 1, 0]]).tolist() == [0, 0, 0]


def test_the_entropy_weight_tells_what_document_counts_cannot():
    counts = [[90, 10], [10, 10], [10, 10]]  # both words are everywhere, one mostly in the first
    assert not idf_b(counts).any()
    assert idf_e1(counts) == pytest.approx([1 - 0.6002 / LN(3), 0], abs=1e-3)


def test_typical_codes():
    weights = [[0.0, 2.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]]
    assert typical_codes(weights) == [[1, 3, 2], []]
    assert typical_codes(weights, 1) == [[1], []]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tf_idf(np.zeros((0, 4))), r"\[0, 4\]: must be numbers \[D, W\]"),
        (lambda: tf_idf([1, 2]), r"\[2\]: must be numbers \[D, W\]"),
        (lambda: tf_idf([[1, -1]]), "0 or more"),
        (lambda: tf_idf([[1, math.nan]]), "finite"),
        (lambda: tf_idf([["a"]]), "must be numbers"),
        (lambda: tf_idf(COUNTS, "tf_x"), "'tf_x': must be one of tf_b, tf_l1, tf_l2, tf_o1, tf_o2"),
        (lambda: tf_idf(COUNTS, "tf_b", "tf_b"), "'tf_b': must be one of idf_b"),
        (lambda: cosine_similarity(np.zeros((0, 3))), r"\[0, 3\]: must be \[D, W\]"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
