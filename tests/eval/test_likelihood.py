"""Perplexity of a model, from its nats."""

import numpy as np
import pytest

from solfa.eval.likelihood import model_perplexity


def test_a_model_that_knows_nothing_and_one_that_knows_all():
    found = model_perplexity([100 * np.log(1024), 0.0], [100, 50])
    assert found.codebooks == pytest.approx((1024, 1)) and found.counts == (100, 50)
    assert found.all == pytest.approx(1024 ** (2 / 3))


def test_it_is_exp_of_the_mean_cross_entropy():
    chances = np.random.default_rng(0).uniform(0.01, 1, (3, 40))
    found = model_perplexity(-np.log(chances).sum(1), np.full(3, 40))
    assert found.codebooks == pytest.approx([np.prod(row ** (-1 / 40)) for row in chances])
    assert found.all == pytest.approx(np.prod(found.codebooks) ** (1 / 3))


def test_nothing_counted_and_what_is_refused():
    found = model_perplexity([0.0, 2.0], [0, 2])
    assert np.isnan(found.codebooks[0]) and found.codebooks[1] == pytest.approx(np.e) == found.all
    assert np.isnan(model_perplexity([0.0], [0]).all)
    for nats, counts in (([1.0], [1, 2]), ([-1.0], [1]), ([1.0], [-1]), ([np.nan], [1]), ([1.0], [1.5]), ([], [])):
        with pytest.raises(ValueError, match="nats"):
            model_perplexity(nats, counts)
