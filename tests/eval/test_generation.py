"""Adherence and Fréchet distance: against scipy, and on cases that can be told by hand."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from solfa.eval.generation import (
    ATTRIBUTES,
    adherence,
    agreement,
    chance,
    frechet_distance,
    halves,
    log_mel_embedding,
)
from solfa.eval.music import Facts

RNG = np.random.default_rng(0)
WALTZ = Facts("piano", 120.0, 7, "major", "3/4")


def by_sqrtm(a, b):
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    return gap @ gap + np.trace(first + second - 2 * sqrtm(first @ second).real)


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
    one, two = RNG.standard_normal((50, 1)), 3 * RNG.standard_normal((50, 1)) + 1  # one dimension: a closed form
    exact = (one.mean() - two.mean()) ** 2 + (one.std(ddof=1) - two.std(ddof=1)) ** 2
    assert frechet_distance(one, two) == pytest.approx(exact, rel=1e-9)


def test_frechet_of_fewer_rows_than_dimensions_is_real_and_not_negative():
    a, b = RNG.standard_normal((5, 64)), RNG.standard_normal((7, 64))
    assert frechet_distance(a, b) > 0 and frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), np.zeros((4, 2)), np.zeros(3), np.full((4, 3), np.nan)])
def test_embeddings_that_make_no_gaussian_are_refused(wrong):
    with pytest.raises(ValueError, match="embeddings"):
        frechet_distance(wrong, np.zeros((4, 3)))


def test_agreement_of_each_attribute():
    assert all(agreement(WALTZ, WALTZ).values())
    heard = agreement(WALTZ, Facts("organ", 61.0, 7, "minor", "4/4"))
    assert heard == {
        "family": False, "tempo": False, "tempo or octave": True, "tonic": True, "mode": False, "key": False, "metre": False,
    }  # fmt: skip
    assert agreement(WALTZ, Facts(tempo=129.0))["tempo"] and not agreement(WALTZ, Facts(tempo=130.0))["tempo"]
    assert agreement(WALTZ, Facts(tempo=244.0))["tempo or octave"]
    assert not any(agreement(WALTZ, Facts()).values())  # silence is not what was asked for
    assert set(agreement(Facts(), WALTZ).values()) == {None}
    assert tuple(agreement(Facts(), WALTZ)) == ATTRIBUTES


def test_shares_intervals_and_chance():
    families = ["piano", "organ", "strings", "pipe"] * 16
    wanted = [Facts(family=name, tempo=100.0) for name in families]
    heard = [Facts(family=name if i % 8 else "none", tempo=100.0) for i, name in enumerate(families)]
    found = adherence(wanted, heard)
    assert found["family"].share == 0.875 and found["family"].n == 64 and found["tempo"].share == 1.0
    assert 0.77 < found["family"].low < 0.85 and 0.9 < found["family"].high < 0.97
    assert np.isnan(found["metre"].share) and found["metre"].n == 0
    by_chance = chance(wanted, heard)
    exact = np.mean([[a.family == b.family for b in heard] for a in wanted])
    assert by_chance["family"].share == pytest.approx(exact, abs=0.006) and by_chance["tempo"].share == 1.0
    assert by_chance["family"].low < exact < by_chance["family"].high < found["family"].low
    assert (
        adherence(wanted, heard)["family"] == found["family"] and chance(wanted, heard)["family"] == by_chance["family"]
    )
    with pytest.raises(ValueError, match="as many"):
        chance(wanted, heard[1:])


def test_log_mel_rows_are_seconds_whatever_the_level():
    sound = RNG.standard_normal(24000 * 3 + 500).astype(np.float32) * 0.1
    rows = log_mel_embedding(sound, 24000)
    assert rows.shape == (3, 64) and np.isfinite(rows).all()
    assert np.allclose(log_mel_embedding(sound * 0.1, 24000), rows, atol=1e-3)
    for short in (np.zeros(24000, np.float32), np.ones(1, np.float32)):
        assert log_mel_embedding(short, 24000).shape == (1, 64)
    one, other = halves([np.full((2, 3), i) for i in range(5)])
    assert sorted([*one[::2, 0], *other[::2, 0]]) == [0, 1, 2, 3, 4] and len(one) == 4
    with pytest.raises(ValueError, match="two halves"):
        halves([rows])
