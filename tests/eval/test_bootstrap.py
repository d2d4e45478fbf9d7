"""Intervals and the paired test: equal to scipy's, and what must hold of them whatever the numbers."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from solfa.eval import bootstrap
from solfa.eval.bootstrap import (
    Difference,
    Estimate,
    central,
    group_means,
    mean_estimate,
    paired_difference,
    resampled_means,
)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 3.0, count)


@pytest.mark.parametrize("count", [2, 7, 40])
def test_the_interval_is_scipys(count: int):
    values = drawn(count)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=1000, method="percentile", vectorized=True, rng=np.random.default_rng(5)
    )
    ours = mean_estimate(values, np.random.default_rng(5))
    # One stream of draws, so that nothing is left to chance; sums may be added up in another order.
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-12)
    assert ours.value == pytest.approx(values.mean(), rel=1e-12) and ours.n == count


def scipys_p(gaps: np.ndarray, draws: float = np.inf) -> float:
    rng = np.random.default_rng(1)
    kind = {"permutation_type": "samples", "vectorized": True, "n_resamples": draws, "rng": rng}
    return float(stats.permutation_test((gaps,), lambda x, axis: np.mean(x, axis=axis), **kind).pvalue)


@pytest.mark.parametrize("count", [2, 5, 12])
@pytest.mark.parametrize("seed", range(3))
def test_p_is_scipys_exactly_where_every_sign_is_tried(count: int, seed: int):
    gaps = np.random.default_rng(seed).normal(0.5, 1.0, count)
    assert paired_difference(gaps, np.zeros(count)).p == pytest.approx(scipys_p(gaps), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.6])
def test_p_is_scipys_but_for_chance_where_signs_are_drawn(shift: float):
    gaps = np.random.default_rng(3).normal(shift, 1.0, 25)
    ours, theirs = paired_difference(gaps, np.zeros(25)).p, scipys_p(gaps, 9999)
    # Each is a share of 10,000 draws: the difference of two has a deviation of sqrt(2 p (1 - p) / 10,000).
    assert ours == pytest.approx(theirs, abs=5 * np.sqrt(2 * max(theirs, 1e-4) / 10_000))


def test_p_goes_over_from_all_signs_to_drawn_ones_without_a_step(monkeypatch):
    gaps = np.random.default_rng(2).normal(0.4, 1.0, 12)
    exact = paired_difference(gaps, np.zeros(12)).p
    monkeypatch.setattr(bootstrap, "EXACT", 0)
    assert paired_difference(gaps, np.zeros(12)).p == pytest.approx(exact, abs=5 * np.sqrt(exact / 10_000))


def test_ties_count_whatever_the_order_of_adding_up():
    # Whole numbers add up exactly, tenths do not: -0.3 + 0.1 - 0.5 + 0.5 + 0.2 is not 0.
    rng = np.random.default_rng(0)
    for whole in ([-3, 1, 0, -5, 5, 2], [-2, 1, 5, 3, -2, -5], *(rng.integers(-5, 6, 6) for _ in range(50))):
        whole = np.array(whole, np.float64)
        zeros = np.zeros(len(whole))
        assert (
            paired_difference(whole / 10, zeros).p
            == paired_difference(whole, zeros).p
            == pytest.approx(scipys_p(whole))
        )


def test_no_draw_gives_a_p_of_nothing():
    assert paired_difference(np.ones(40), np.zeros(40)).p == pytest.approx(1 / 10_001)


NUMBERS = arrays(np.float64, st.integers(2, 20), elements=st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))


@given(NUMBERS, st.sampled_from([0.25, 2.0, 1024.0]), st.integers(-5, 5))
def test_scaled_and_shifted_values_have_a_scaled_and_shifted_interval(values: np.ndarray, gain: float, shift: int):
    before, after = mean_estimate(values), mean_estimate(gain * values + shift)
    expected = [gain * x + shift for x in (before.value, before.low, before.high)]
    assert [after.value, after.low, after.high] == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(NUMBERS, st.randoms())
def test_the_order_of_items_leaves_the_mean_and_n(values: np.ndarray, random):
    mixed = values.copy()
    random.shuffle(mixed)
    before, after = mean_estimate(values), mean_estimate(mixed)
    assert after.value == pytest.approx(before.value, rel=1e-9, abs=1e-9) and after.n == before.n
    assert values.min() - 1e-9 <= after.low <= after.high <= values.max() + 1e-9


@given(NUMBERS, st.integers(0, 3))
def test_swapped_systems_differ_the_other_way_with_the_same_p(values: np.ndarray, seed: int):
    other = np.random.default_rng(seed).normal(0, 10, len(values))
    one, two = paired_difference(values, other), paired_difference(other, values)
    assert two.value == -one.value and two.n == one.n == len(values)
    assert (two.low, two.high) == pytest.approx((-one.high, -one.low), rel=1e-9, abs=1e-9)
    assert two.p == one.p


def test_equal_values_have_an_interval_of_no_width_and_no_difference():
    estimate = mean_estimate(np.full(9, 2.5))
    assert (estimate.value, estimate.low, estimate.high) == (2.5, 2.5, 2.5)
    assert paired_difference(np.full(20, 2.5), np.full(20, 2.5)) == Difference(0.0, 0.0, 0.0, 1.0, 20)


def test_what_is_no_number_is_left_out_and_not_counted():
    assert mean_estimate([1.0, np.nan, 4.0, 2.0]) == mean_estimate([1.0, 4.0, 2.0])
    assert mean_estimate([1.0, np.nan, 4.0, 2.0]).n == 3
    some = paired_difference([1.0, np.nan, 4.0, 2.0], [0.5, 1.0, np.nan, 1.0])
    assert some == paired_difference([1.0, 2.0], [0.5, 1.0]) and some.n == 2


def test_none_and_one():
    for nothing in (mean_estimate([]), mean_estimate([np.nan]), paired_difference([], [])):
        assert nothing.n == 0 and np.isnan([nothing.value, nothing.low, nothing.high]).all()
    assert np.isnan(paired_difference([np.nan], [1.0]).p)
    one = mean_estimate([3.0])
    gap = paired_difference([3.0], [1.0])
    assert (one.value, one.n, str(one)) == (3.0, 1, "3.000") and (gap.value, gap.p, gap.n) == (2.0, 1.0, 1)
    assert np.isnan([one.low, one.high, gap.low, gap.high]).all()  # one item does not say how sure it is


def test_infinite_values_are_said_without_a_warning():
    with warnings.catch_warnings(action="error"):
        exact = mean_estimate([np.inf, 20.0, 22.0, 24.0])
        assert exact.value == exact.high == np.inf and 20 <= exact.low < np.inf and exact.n == 4
        assert np.isnan(mean_estimate([np.inf, -np.inf]).value)
        both = paired_difference(
            [np.inf, 20.0], [np.inf, 19.0]
        )  # two systems that are exact on an item differ by nothing there
        assert (both.value, both.n, both.p) == (0.5, 2, 1.0)
        one = paired_difference([np.inf, 20.0], [18.0, 19.0])
        assert one.value == np.inf and np.isnan(one.p)


def test_an_estimate_as_text():
    assert str(Estimate(0.86543, 0.8, 0.92, 5)) == "0.865 [0.800, 0.920]" and str(mean_estimate([])) == "-"
    assert str(Estimate(24.25, -5.0, 31.0, 5)) == "24.25 [-5, 31]"


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match="3 and 2 values"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(11)
    trials = [mean_estimate(rng.normal(1.0, 2.0, 40), rng) for _ in range(400)]
    # 95 % of 400 is 380, with a deviation of 4.4; a percentile interval of 40 items is a little narrow (about 94 %).
    assert 360 <= sum(trial.low <= 1.0 <= trial.high for trial in trials) <= 395


def test_where_systems_are_alike_p_is_low_as_seldom_as_it_says():
    rng = np.random.default_rng(12)
    few = [paired_difference(rng.normal(size=9), rng.normal(size=9)).p for _ in range(400)]
    assert 5 <= sum(p <= 0.05 for p in few) <= 35  # 20 expected, deviation 4.4


def test_many_items_are_drawn_in_parts_with_the_same_result(monkeypatch):
    values, other = drawn(50), drawn(50, seed=1)
    whole = mean_estimate(values), paired_difference(values, other)
    sizes = []
    monkeypatch.setattr(bootstrap, "BLOCK", 64)
    blocks = bootstrap._blocks
    monkeypatch.setattr(bootstrap, "_blocks", lambda *a: sizes.append(blocks(*a)) or sizes[-1])
    parts = mean_estimate(values), paired_difference(values, other)
    assert parts[0] == whole[0] and (parts[1].low, parts[1].high) == (whole[1].low, whole[1].high)
    assert parts[1].p == pytest.approx(whole[1].p, abs=0.02)
    assert [sum(size) for size in sizes] == [1000, 1000, 10_000] and max(map(max, sizes)) == 1


def test_same_seed_same_numbers():
    values, other = drawn(30), drawn(30, seed=1)
    assert mean_estimate(values) == mean_estimate(values)
    assert paired_difference(values, other) == paired_difference(values, other)
    assert paired_difference(values, other, seed=1).low != paired_difference(values, other).low
    means = resampled_means(values, np.random.default_rng(0))
    assert means.shape == (1000,) and central(means) == (mean_estimate(values).low, mean_estimate(values).high)


def test_what_rounding_leaves_is_no_difference():
    # 2/3 by two ways: the last bit has the same sign each time, and six of one sign would be p = 0.03.
    first, second = [2 * 0.5 * 1.0 / 1.5] * 6, [np.nextafter(2 / 3, 1)] * 6
    assert first != second and paired_difference(first, second) == Difference(0.0, 0.0, 0.0, 1.0, 6)
    small = paired_difference(np.array(first) * 1e-9, np.array(second) * 1e-9)
    assert small.p == 1.0 and small.value == 0  # relative to what is compared
    assert paired_difference([1e-16] * 6, [0.0] * 6).p == 2 / 2**6  # beside nothing it is something
    real = np.array(first) * (1 + 1e-11)
    assert paired_difference(real, second).p == 2 / 2**6
    infinite = paired_difference([np.inf, 1.0], [18.0, np.inf])
    assert np.isnan(infinite.value) or np.isinf(infinite.value)


def test_the_values_of_a_group_are_one():
    assert group_means([1.0, np.nan, 4.0, 0.1], ["a", "b", "a", "c"]) == {
        "a": 2.5,
        "b": pytest.approx(np.nan, nan_ok=True),
        "c": 0.1,
    }
    assert list(group_means([3.0, np.inf], [2, 1]).items()) == [(2, 3.0), (1, np.inf)]
    with pytest.raises(ValueError, match="2 values in 1 groups"):
        group_means([1.0, 2.0], ["a"])
