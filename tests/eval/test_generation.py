"""Adherence to what was asked for: cases that can be told by hand."""

import numpy as np
import pytest

from solfa.eval.bootstrap import Estimate
from solfa.eval.generation import ATTRIBUTES, MEASURES, adherence, agreement, beats_chance, chance
from solfa.eval.music import Facts

WALTZ = Facts("piano", 120.0, 7, "major", "3/4", "medium", 4.0)


def test_agreement_of_each_attribute():
    assert all(agreement(WALTZ, WALTZ).values())
    heard = agreement(WALTZ, Facts("organ", 61.0, 7, "minor", "4/4", "medium", 7.0))
    assert heard == {
        "family": 0.0, "tempo": 0.0, "tempo or octave": 1.0, "tonic": 1.0, "mode": 0.0, "key": 0.0, "metre": 0.0, "density": 1.0,
        "onset rate": 0.0,
    }  # fmt: skip
    assert agreement(WALTZ, Facts(tempo=129.0))["tempo"] and not agreement(WALTZ, Facts(tempo=130.0))["tempo"]
    assert agreement(WALTZ, Facts(tempo=244.0))["tempo or octave"]
    assert (
        agreement(WALTZ, Facts(onset_rate=4.9))["onset rate"] and agreement(WALTZ, Facts(onset_rate=3.1))["onset rate"]
    )
    assert not agreement(WALTZ, Facts(onset_rate=5.1))["onset rate"]
    assert not any(agreement(WALTZ, Facts()).values())  # silence is not what was asked for
    assert np.isnan(list(agreement(Facts(), WALTZ).values())).all()
    assert np.isnan(agreement(Facts(tonic=7), WALTZ)["key"]) and agreement(Facts(tonic=7), WALTZ)["tonic"]
    assert tuple(agreement(Facts(), WALTZ)) == ATTRIBUTES == tuple(measure.name for measure in MEASURES)


def test_shares_intervals_and_chance():
    families = ["piano", "organ", "strings", "pipe"] * 16
    wanted = [Facts(family=name, tempo=100.0) for name in families]
    heard = [Facts(family=name if i % 8 else "none", tempo=100.0) for i, name in enumerate(families)]
    found = adherence(wanted, heard)
    assert found["family"].value == 0.875 and found["family"].n == 64 and found["tempo"].value == 1.0
    assert 0.77 < found["family"].low < 0.85 and 0.9 < found["family"].high < 0.97
    assert np.isnan(found["metre"].value) and found["metre"].n == 0
    by_chance = chance(wanted, heard)
    exact = np.mean([[a.family == b.family for b in heard] for a in wanted])
    assert by_chance["family"].value == pytest.approx(exact, abs=0.006) and by_chance["tempo"].value == 1.0
    assert by_chance["family"].low < exact < by_chance["family"].high < found["family"].low
    assert (
        adherence(wanted, heard)["family"] == found["family"] and chance(wanted, heard)["family"] == by_chance["family"]
    )
    with pytest.raises(ValueError, match="as many"):
        chance(wanted, heard[1:])


def test_published_numbers_stay():
    """One generator goes through the attributes in order, so those that came later change none of those before."""
    wanted = [
        Facts(
            ("piano", "organ", "reed")[i % 3],
            100.0 if i % 4 else None,
            i * 5 % 12,
            "minor" if i % 2 else "major",
            metre,
        )
        for i, metre in enumerate(["3/4", "4/4", "4/4"] * 13 + ["3/4"])
    ]
    heard = [
        Facts(("piano", "organ", "reed")[i % 5 % 3], 50.0 if i % 7 > 3 else 100.0, i * 5 % 12 * (i % 3 > 0),
              "minor" if i % 9 % 2 else "major", "4/4" if i % 5 > 2 else "3/4")
        for i in range(40)
    ]  # fmt: skip
    found, dealt = adherence(wanted, heard), chance(wanted, heard)
    assert found["tempo"] == Estimate(0.6, 13 / 30, 23 / 30, 30) and found["metre"] == Estimate(0.45, 0.3, 0.6, 40)
    assert found["tonic"] == Estimate(0.75, 0.6, 0.875, 40) and found["key"] == Estimate(0.425, 0.275, 0.575, 40)
    assert dealt["family"] == Estimate(pytest.approx(0.33365), 0.175, 0.475, 40)
    assert dealt["tonic"] == Estimate(pytest.approx(0.0873), pytest.approx(0.024375), 0.2, 40)


def test_what_chance_reaches():
    tonics = [Facts(tonic=i % 12) for i in range(24)]
    assert beats_chance(tonics, tonics)["tonic"] == 1 / 1001 and np.isnan(beats_chance(tonics, tonics)["mode"])
    assert beats_chance(tonics, tonics[1:] + tonics[:1])["tonic"] > 0.9  # never right
    assert (
        beats_chance([Facts(mode="major")] * 4, [Facts(mode="major")] * 4)["mode"] == 1.0
    )  # always right, whoever is asked


def test_further_takes_of_a_prompt_that_sound_alike_say_nothing_new():
    """Eight seeds of one prompt that all sound the same are one draw: no number is surer for them."""
    rng = np.random.default_rng(4)
    wanted = [Facts(tonic=int(k), mode="major" if k % 2 else None) for k in rng.integers(12, size=20)]
    heard = [Facts(tonic=int(k), mode="minor" if k % 3 else "major") for k in rng.integers(4, size=20)]
    once = (adherence(wanted, heard), chance(wanted, heard), beats_chance(wanted, heard))
    prompts = [name for name in range(20) for _ in range(8)]
    many = [[facts for facts in side for _ in range(8)] for side in (wanted, heard)]
    assert repr((adherence(*many, 0, prompts), chance(*many, 0, prompts), beats_chance(*many, 0, prompts))) == repr(
        once
    )
    assert once[0]["tonic"].n == once[1]["tonic"].n == 20
    alone = (adherence(*many), chance(*many), beats_chance(*many))
    assert alone[0]["tonic"].n == 160 and alone[2]["tonic"] < once[2]["tonic"]  # as if they were independent
    named = [f"p{i}" for i in range(20)]
    assert repr((adherence(wanted, heard, 0, named), chance(wanted, heard, 0, named))) == repr(once[:2])
    with pytest.raises(ValueError, match="20 prompts, 19 of them named, and 20 sounds"):
        chance(wanted, heard, 0, named[1:])


def test_prompts_weigh_the_same_whatever_their_takes_and_are_dealt_whole():
    wanted = [Facts(tonic=0), Facts(tonic=0), Facts(tonic=0), Facts(tonic=5), Facts(mode="major")]
    heard = [Facts(tonic=0), Facts(tonic=0), Facts(tonic=5), Facts(tonic=5), Facts(tonic=7)]
    prompts = ["a", "a", "a", "b", "c"]
    found = adherence(wanted, heard, 0, prompts)["tonic"]
    assert found.value == pytest.approx((2 / 3 + 1) / 2) and found.n == 2
    # Of the prompts' six orders: abc 5/6, acb 1/3, bac 1/6, bca 0, cab 1/6, cba 1/3. The last prompt asks for no tonic.
    by_chance = chance(wanted, heard, 0, prompts)["tonic"]
    assert by_chance.value == pytest.approx((5 / 6 + 1 / 3 + 1 / 6 + 0 + 1 / 6 + 1 / 3) / 6, abs=0.03)
    assert (by_chance.low, by_chance.high, by_chance.n) == (0.0, pytest.approx(5 / 6), 2)
    assert beats_chance(wanted, heard, 0, prompts)["tonic"] == pytest.approx(1 / 6, abs=0.04)
