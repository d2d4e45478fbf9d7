"""Distances of sets: against scipy, torchmetrics and plain loops, and on sets whose distance can be told by hand."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import pdist
from torchmetrics.image.kid import poly_mmd

from solfa.eval import distances
from solfa.eval.distances import (
    compare_sets,
    frechet_distance,
    frechet_extrapolated,
    gaussian_distance,
    halves,
    kernel_distance,
    median_distance,
)

RNG = np.random.default_rng(0)


def by_sqrtm(a, b):
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    return gap @ gap + np.trace(first + second - 2 * sqrtm(first @ second).real)


def recordings(count, width, shift=0.0, seed=0, rows=4):
    """Recordings whose rows hang together."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((1, width)) + rng.standard_normal((rows, width)) + shift for _ in range(count)]


@pytest.mark.parametrize("width", [2, 8, 40])
def test_frechet_is_that_of_scipys_root(width):
    a = RNG.standard_normal((200, width)) @ RNG.standard_normal((width, width))
    b = RNG.standard_normal((150, width)) * 2 + 0.3
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_frechet_of_known_gaussians():
    a = RNG.standard_normal((500, 3))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + np.array([3.0, 4.0, 0.0])) == pytest.approx(25, rel=1e-9)
    turn = np.linalg.qr(RNG.standard_normal((3, 3)))[0]
    b = 2 * RNG.standard_normal((400, 3)) + 1
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b), rel=1e-9)
    assert frechet_distance(RNG.permutation(a), b) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    one, two = RNG.standard_normal((50, 1)), 3 * RNG.standard_normal((50, 1)) + 1  # one dimension: a closed form
    exact = (one.mean() - two.mean()) ** 2 + (one.std(ddof=1) - two.std(ddof=1)) ** 2
    assert frechet_distance(one, two) == pytest.approx(exact, rel=1e-9)


def test_frechet_of_fewer_rows_than_dimensions_is_real_and_not_negative():
    a, b = RNG.standard_normal((5, 64)), RNG.standard_normal((7, 64))
    assert frechet_distance(a, b) > 0 and frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, gaussian_distance])
@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), np.zeros((4, 2)), np.zeros(3), np.full((4, 3), np.nan)])
def test_embeddings_that_make_no_set_are_refused(measure, wrong):
    with pytest.raises(ValueError, match="embeddings"):
        measure(wrong, np.zeros((4, 3)))


def by_loops(x, y, kernel):
    within = [np.mean([kernel(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)]
    return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_kernel_distances_are_those_of_a_plain_double_loop(monkeypatch):
    x, y = RNG.standard_normal((13, 5)), 1.3 * RNG.standard_normal((9, 5)) + 0.4
    polynomial = by_loops(x, y, lambda a, b: (a @ b / 5 + 1) ** 3)
    width = np.median(pdist(x))
    gaussian = 100 * by_loops(x, y, lambda a, b: np.exp(-((a - b) @ (a - b)) / (2 * width**2)))
    for block in (1024, 4):
        monkeypatch.setattr(distances, "BLOCK", block)
        assert kernel_distance(x, y) == pytest.approx(polynomial, rel=1e-10)
        assert gaussian_distance(x, y) == pytest.approx(gaussian, rel=1e-10)
    assert gaussian_distance(x, y, 2.0) != pytest.approx(gaussian, rel=0.01)
    assert median_distance(x) == pytest.approx(width, rel=1e-12)
    monkeypatch.setattr(distances, "MEDIAN_OF", 6)
    assert median_distance(x) == pytest.approx(np.median(pdist(x[[0, 2, 4, 6, 8, 10]])), rel=1e-12)


def test_the_kernel_distance_is_torchmetrics():
    x, y = RNG.standard_normal((60, 16)), RNG.standard_normal((60, 16)) + 0.2
    theirs = float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))
    assert kernel_distance(x, y) == pytest.approx(theirs, rel=1e-9)


def test_kernel_distances_have_no_bias_and_grow_with_the_gap():
    for measure in (kernel_distance, gaussian_distance):
        same = [measure(*(np.random.default_rng((s, i)).standard_normal((20, 4)) for i in (0, 1))) for s in range(200)]
        assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(200) and min(same) < 0
        a, b = RNG.standard_normal((50, 4)), RNG.standard_normal((50, 4))
        assert measure(a, b) < measure(a, b + 0.5) < measure(a, b + 1)
        assert measure(RNG.permutation(a), RNG.permutation(b)) == pytest.approx(measure(a, b), rel=1e-9)
    far = RNG.standard_normal((40, 4)) + 1e4
    assert gaussian_distance(a, far) > 50 and gaussian_distance(7 * a, 7 * b) == pytest.approx(gaussian_distance(a, b))
    with pytest.raises(ValueError, match="bandwidth"):
        gaussian_distance(np.ones((4, 2)), np.ones((4, 2)))


def test_the_extrapolation_takes_most_of_the_bias_off():
    """Sets of one kind have no distance, however few there are; with a shift theirs is its square."""
    for shift in (0.0, 0.5):
        plain, line = [], []
        for seed in range(12):
            x, y = recordings(40, 6, seed=seed), recordings(40, 6, shift, seed=seed + 100)
            plain.append(frechet_distance(np.concatenate(x), np.concatenate(y)) - 6 * shift**2)
            line.append(frechet_extrapolated(x, y).value - 6 * shift**2)
        assert np.mean(plain) > 0.4 and abs(np.mean(line)) < np.mean(plain) / 2


def test_the_extrapolation_is_a_line_over_the_shares():
    x, y = recordings(32, 3, seed=1), recordings(24, 3, 1.0, seed=2)
    found = frechet_extrapolated(x, y)
    assert found == frechet_extrapolated(x, y) and found != frechet_extrapolated(x, y, seed=1)
    assert len(found.shares) == 12 and found.shares[0] == 0.25 and found.shares[-1] == 1.0
    whole = frechet_distance(np.concatenate(x), np.concatenate(y))
    assert found.values[-1] == pytest.approx(whole, rel=1e-9)
    slope, value = np.polyfit(1 / np.array(found.shares), found.values, 1)
    assert (found.slope, found.value) == pytest.approx((slope, value)) and slope > 0 and value < whole
    fit = value + slope / np.array(found.shares)
    left = np.square(np.array(found.values) - fit).sum() / np.square(found.values - np.mean(found.values)).sum()
    assert found.r2 == pytest.approx(1 - left)


def test_too_few_to_extrapolate_from():
    with pytest.raises(ValueError, match="too few to extrapolate"):
        frechet_extrapolated(recordings(10, 30), recordings(10, 30))
    with pytest.raises(ValueError, match="too few to extrapolate"):
        frechet_extrapolated(recordings(3, 2, rows=50), recordings(30, 2))
    found = compare_sets("few", recordings(10, 30), recordings(10, 30, seed=1))
    assert np.isnan(found.extrapolated) and np.isnan(found.r2) and found.frechet > 0 and found.floor > 0


def test_every_distance_of_two_sets():
    x, y = recordings(30, 4), recordings(20, 4, 0.3, seed=5)
    found = compare_sets("log-mel", x, y)
    assert (found.recordings, found.rows, found.width, found.embedding) == ((30, 20), (120, 80), 4, "log-mel")
    a, b = np.concatenate(x), np.concatenate(y)
    assert (found.frechet, found.kernel) == (frechet_distance(a, b), kernel_distance(a, b))
    assert (found.gaussian, found.floor) == (gaussian_distance(a, b), frechet_distance(*halves(x)))
    assert found.extrapolated == frechet_extrapolated(x, y).value < found.frechet
    same = compare_sets("log-mel", x, x)
    assert same.frechet == pytest.approx(0, abs=1e-9) and same.kernel < 0 and same.gaussian < 0
    with pytest.raises(ValueError, match="no recordings"):
        compare_sets("log-mel", x, [])


def test_what_one_distance_does_not_allow_costs_no_other():
    rng = np.random.default_rng(0)
    other = [rng.normal(size=(3, 2)) for _ in range(4)]
    alike = compare_sets("equal rows", [np.ones((3, 2))] * 4, other)  # of no width
    assert np.isnan(alike.gaussian) and np.isfinite([alike.frechet, alike.kernel, alike.floor]).all()
    short = [rng.normal(size=(1, 2)), rng.normal(size=(4, 2))]
    halved = compare_sets("a half of one row", short, other)
    assert np.isnan([halved.floor, halved.extrapolated]).all()
    assert np.isfinite([halved.frechet, halved.kernel, halved.gaussian]).all()
    for broken in ([np.full((3, 2), np.nan)] * 2, [np.ones((1, 2))], [np.ones((3, 3))] * 2):
        with pytest.raises(ValueError, match="embeddings"):
            compare_sets("broken", broken, other)


def test_halves_never_divide_a_recording():
    one, other = halves([np.full((2, 3), i) for i in range(5)])
    assert sorted([*one[::2, 0], *other[::2, 0]]) == [0, 1, 2, 3, 4] and len(one) == 4
    with pytest.raises(ValueError, match="two halves"):
        halves([np.zeros((2, 3))])
