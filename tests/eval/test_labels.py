"""KL of label probabilities: against scipy and torch, and by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from solfa.eval.labels import EPSILON, MEASURES, label_divergence, mean_label_divergence

RNG = np.random.default_rng(0)


def test_it_is_scipys_entropy_and_torchs_divergence():
    p, q = RNG.dirichlet(np.ones(16), 40), RNG.dirichlet(np.ones(16), 40)
    assert label_divergence(p, q, 0.0) == pytest.approx(entropy(p, q, axis=1), rel=1e-12)
    p[:, 3], p[:, 4] = 0.0, p[:, 3] + p[:, 4]  # a label that never comes adds nothing
    theirs = torch.nn.functional.kl_div((torch.from_numpy(q) + 1e-6).log(), torch.from_numpy(p), reduction="none").sum(
        -1
    )
    assert label_divergence(p, q) == pytest.approx(theirs.numpy(), rel=1e-9)
    assert mean_label_divergence(p, q, 0.0) == pytest.approx(entropy(p.mean(0), q.mean(0)), rel=1e-9)


def test_direction_limits_and_identity():
    sure, half = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    assert (
        label_divergence(sure, half, 0.0) == pytest.approx(np.log(2)) and label_divergence(half, sure, 0.0)[0] == np.inf
    )
    assert label_divergence(sure, sure[:, ::-1])[0] == pytest.approx(-np.log(EPSILON)) == MEASURES[0].high
    p = RNG.dirichlet(np.ones(9), 20)
    assert (
        label_divergence(p, p, 0.0) == pytest.approx(0, abs=1e-12) and -9 * EPSILON < label_divergence(p, p).min() <= 0
    )


def test_the_mean_distribution_cannot_be_farther_than_the_pairs():
    p, q = RNG.dirichlet(np.ones(5), 30), RNG.dirichlet(np.ones(5), 30)
    whole = mean_label_divergence(p, q)
    assert whole < label_divergence(p, q).mean() and whole == pytest.approx(mean_label_divergence(p[::-1], q), rel=1e-9)
    assert abs(mean_label_divergence(p, p[::-1])) < 1e-5 and label_divergence(p, p[::-1]).mean() > 0.1
    assert mean_label_divergence(p, q[:7]) > 0  # sets need not be as large


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(np.ones((3, 2)), "no probabilities"), (np.array([[1.5, -0.5]]), "no probabilities"), (np.array([[np.nan, 1]]), "no prob"),
     (np.ones(2), "shape"), (np.zeros((0, 2)), "shape"), (np.full((1, 3), 1 / 3), "as many")],
)  # fmt: skip
def test_what_is_no_distribution_is_refused(wrong, said):
    for measure in (label_divergence, mean_label_divergence):
        with pytest.raises(ValueError, match=said):
            measure(wrong, np.array([[0.5, 0.5]]))
    with pytest.raises(ValueError, match="epsilon"):
        label_divergence([[1.0]], [[1.0]], -1)
