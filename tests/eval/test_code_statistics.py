"""Run lengths and mutual information: plain loops and sums, scipy and scikit-learn, known truths, and what must not matter."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from solfa.eval import code_statistics as module
from solfa.eval.code_statistics import (
    MEASURES,
    PairCounts,
    RunCounts,
    chao_shen,
    chosen_pairs,
    conditional_entropy,
    mutual_information,
    run_lengths,
)
from solfa.eval.codebooks import entropy

CODES = hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 3))
JOINT = hnp.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 30)).filter(
    lambda counts: counts.sum() > 0
)


@given(CODES)
def test_runs_are_those_of_itertools(codes):
    assert run_lengths(codes).tolist() == [len(list(run)) for _, run in itertools.groupby(codes.tolist())]


def test_runs_by_hand():
    assert run_lengths([5]).tolist() == [1]
    assert run_lengths([5, 5, 5]).tolist() == [3]
    assert run_lengths([1, 1, 2, 1]).tolist() == [2, 1, 1]
    assert run_lengths([]).tolist() == []


def test_the_order_of_frames_matters_to_runs():
    assert run_lengths([0, 0, 1, 1]).mean() == 2 and run_lengths([0, 1, 0, 1]).mean() == 1


@given(CODES, st.permutations(range(4)))
def test_the_names_of_codes_do_not_matter_to_runs(codes, names):
    assert run_lengths(np.array(names)[codes]).tolist() == run_lengths(codes).tolist()
    assert run_lengths(codes[::-1]).tolist() == run_lengths(codes).tolist()[::-1]


def test_runs_are_binned_by_length_and_end_with_the_recording():
    runs = RunCounts(2)
    lengths = [1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 100]
    long = np.repeat(np.arange(len(lengths)), lengths)
    assert runs.add(np.stack([long, np.arange(len(long))])).tolist() == [np.mean(lengths), 1]
    assert runs.runs.tolist() == [[1, 1, 2, 2, 2, 2, 2], [len(long), 0, 0, 0, 0, 0, 0]]
    assert runs.longest.tolist() == [100, 1]
    runs.add(np.full((2, 3), 11))  # goes on with the code that the first ended with
    assert runs.runs[:, 2].tolist() == [3, 1] and runs.longest.tolist() == [100, 3]
    assert runs.mean().tolist() == [(sum(lengths) + 3) / 13, (len(long) + 3) / (len(long) + 1)]


def plain_information(joint):
    """The definition, as a double sum."""
    total = joint.sum()
    found = 0.0
    for i, j in itertools.product(range(joint.shape[0]), range(joint.shape[1])):
        if joint[i, j]:
            share = joint[i, j] / total
            found += share * math.log2(share * total * total / (joint[i].sum() * joint[:, j].sum()))
    return found


@given(JOINT, st.randoms())
def test_mutual_information_is_the_double_sum_and_symmetric(joint, random):
    found = mutual_information(joint)
    assert found.bits == pytest.approx(plain_information(joint), abs=1e-9)
    assert mutual_information(joint.T).bits == pytest.approx(found.bits, abs=1e-9)
    assert mutual_information(joint.T).corrected == pytest.approx(found.corrected, abs=1e-9)
    assert found.bits <= min(entropy(joint.sum(0)), entropy(joint.sum(1))) + 1e-9
    assert (found.frames, found.pairs) == (joint.sum(), (joint > 0).sum())
    rows, columns = list(range(joint.shape[0])), list(range(joint.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    renamed = mutual_information(joint[rows][:, columns])
    assert (renamed.bits, renamed.corrected) == pytest.approx((found.bits, found.corrected), abs=1e-9)


def test_mutual_information_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    a = rng.integers(0, 16, 500)
    b = (a + rng.integers(0, 4, 500)) % 16
    joint = np.zeros((16, 16), np.int64)
    np.add.at(joint, (a, b), 1)
    assert mutual_information(joint).bits == pytest.approx(metrics.mutual_info_score(a, b) / math.log(2), abs=1e-12)


def test_a_code_tells_itself_and_a_constant_tells_nothing():
    own = mutual_information(np.diag([100, 200, 300]))
    assert own.bits == pytest.approx(stats.entropy([100, 200, 300], base=2))
    assert own.share == pytest.approx(1)
    constant = mutual_information([[5, 6, 7]])
    assert (constant.bits, constant.corrected) == pytest.approx((0, 0)) and math.isnan(constant.share)
    nothing = mutual_information(np.zeros((3, 3), int))
    assert math.isnan(nothing.bits) and math.isnan(nothing.share) and (nothing.frames, nothing.pairs) == (0, 0)
    single = mutual_information([[0, 1], [0, 0]])
    assert (single.bits, single.corrected, single.frames, single.pairs) == (0, 0, 1, 1)


@pytest.mark.parametrize("shared", [0, 2, 4])
def test_the_correction_finds_the_truth_where_the_plain_sum_is_far_off(shared):
    """Two codes of 8 bits with some of them in common, in far fewer frames than there are pairs: 65,536."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 4000))
    b = (a >> (8 - shared) << (8 - shared)) | (b & ((1 << (8 - shared)) - 1))
    counts = PairCounts([(0, 1)], 256)
    codes = np.stack([a, b])
    counts.add(codes, codes)
    found = mutual_information(counts.joint(0))
    assert found.bits > shared + 0.7
    assert found.corrected == pytest.approx(shared, abs=0.3)
    assert found.share == pytest.approx(shared / 8, abs=0.04)
    assert abs(found.chance) < 0.3


def test_chance_is_what_codes_so_frequent_come_to(monkeypatch):
    rng = np.random.default_rng(0)
    a = np.minimum(rng.geometric(0.1, 2000) - 1, 63)
    joint = np.zeros((64, 64), np.int64)
    np.add.at(joint, (a, a), 1)
    shuffled = np.zeros((64, 64), np.int64)
    np.add.at(shuffled, (a, rng.permutation(a)), 1)
    found = mutual_information(joint)
    assert found.chance == pytest.approx(mutual_information(shuffled).corrected, abs=0.1)
    assert found.corrected > 10 * abs(found.chance)
    monkeypatch.setattr(module, "SHUFFLED", 1999)
    assert math.isnan(mutual_information(joint).chance)


def plain_chao_shen(counts):
    """As Chao and Shen write it."""
    counts = [count for count in counts if count]
    draws, once = sum(counts), counts.count(1)
    coverage = 1 - (once - (once == draws)) / draws
    shares = [coverage * count / draws for count in counts]
    return -sum(share * math.log2(share) / (1 - (1 - share) ** draws) for share in shares if share)


@given(hnp.arrays(np.int64, st.integers(1, 20), elements=st.integers(0, 9)).filter(lambda counts: counts.sum() > 0))
def test_chao_shen_is_its_formula(counts):
    assert chao_shen(counts) == pytest.approx(plain_chao_shen(counts.tolist()), rel=1e-9, abs=1e-12)
    assert chao_shen(counts * 10**6) == pytest.approx(entropy(counts), abs=1e-6)


def test_chao_shen_comes_nearer_with_few_draws():
    draws = np.random.default_rng(0).integers(0, 1000, 300)
    counts = np.bincount(draws, minlength=1000)
    assert entropy(counts) < 8.1  # of 300 frames at most log2 300
    assert chao_shen(counts) == pytest.approx(math.log2(1000), abs=0.3)
    assert chao_shen([[7, 0], [0, 0]])[0] == 0 and np.isnan(chao_shen([[7, 0], [0, 0]])[1])


@given(JOINT)
def test_conditional_entropy_is_the_mean_over_what_came_before(joint):
    rows = [row for row in joint if row.sum()]
    mean = sum(row.sum() / joint.sum() * stats.entropy(row, base=2) for row in rows)
    assert conditional_entropy(joint, corrected=False) == pytest.approx(mean, abs=1e-9)
    assert conditional_entropy(joint) >= 0


def test_conditional_entropy_by_hand():
    assert conditional_entropy(np.roll(np.eye(4) * 50, 1, axis=1)) == pytest.approx(0, abs=1e-9)
    assert conditional_entropy(np.full((4, 4), 1000)) == pytest.approx(2, abs=1e-6)
    assert math.isnan(conditional_entropy(np.zeros((2, 2))))
    # Six frames of eight codes: corrected for few, they would have 3.27 bits.
    few = np.zeros((8, 8), int)
    few[[0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 4, 5]] = 1
    assert conditional_entropy(few) <= 3


@given(st.lists(st.integers(0, 9), max_size=3), st.integers(0, 99))
def test_pairs_are_counted_frame_by_frame(lengths, seed):
    rng = np.random.default_rng(seed)
    counts = PairCounts([(0, 2), (1, 1)], 5)
    expected: Counter = Counter()
    for frames in lengths:
        first, second = rng.integers(0, 5, (2, 3, frames)).astype(np.int16)
        counts.add(first, second)
        for pair, (a, b) in enumerate(counts.pairs):
            expected.update((pair, int(i), int(j)) for i, j in zip(first[a], second[b], strict=True))
    for pair in range(2):
        for i, j in itertools.product(range(5), range(5)):
            assert counts.joint(pair)[i, j] == expected[pair, i, j]


def test_pairs_are_bounded(monkeypatch):
    assert chosen_pairs(3, 16) == [(0, 1), (0, 2), (1, 2)] and chosen_pairs(1, 16) == []
    assert len(chosen_pairs(8, 1024)) == 28
    assert chosen_pairs(32, 1024) == [(book, book + 1) for book in range(31)]
    assert chosen_pairs(8, 1 << 14) == []
    with pytest.raises(ValueError, match="2 pairs of codebooks of 8192 codes make 134217728 cells: at most 67108864"):
        PairCounts([(0, 1), (1, 2)], 8192)
    monkeypatch.setattr(module, "_MOST", 3)
    with pytest.raises(ValueError, match="4 frames: at most 3"):
        PairCounts([(0, 0)], 2).add(np.zeros((1, 4), int), np.zeros((1, 4), int))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: run_lengths([[1, 2]]), r"\[1, 2\]: must be \[T\]"),
        (lambda: mutual_information([1, 2]), r"\[2\]: must be \[N, M\]"),
        (lambda: mutual_information([[1, -2]]), "0 or more"),
        (lambda: mutual_information([[0.5, 0.5]]), "whole numbers"),
        (lambda: conditional_entropy([1, 2]), r"must be \[N, M\]"),
        (lambda: chao_shen([0.5, 1.0]), "whole numbers"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_every_measure_says_what_it_is():
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    assert all(measure.definition.endswith(".") and measure.low < measure.high for measure in MEASURES)
