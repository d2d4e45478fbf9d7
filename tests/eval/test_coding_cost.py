"""What codings cost, by hand: pooled and of each recording, whatever their order, and what an evaluation shows of it."""

import math
from dataclasses import replace

import pytest

from solfa.eval.coding_cost import MEASURES, CodingCost, CodingCosts, bits_per_code, kbps, measures_of, saved
from solfa.eval.evaluation import Evaluation, Item, document

LONG = CodingCost("adaptive", 4096, planes=(1600, 3200), file=8000, frames=400, seconds=8.0)
SHORT = CodingCost("adaptive", 4096, planes=(800, 1000), file=3000, frames=100, seconds=2.0)
PACKED = [
    replace(cost, coding="packed", planes=(10 * cost.frames,) * 2, file=20 * cost.frames + 1200)
    for cost in (LONG, SHORT)
]


def test_by_hand():
    assert bits_per_code([LONG]).tolist() == [4, 8] and bits_per_code([SHORT]).tolist() == [8, 10]
    assert bits_per_code([LONG, SHORT]).tolist() == [2400 / 500, 4200 / 500]  # long ones weigh more
    assert saved([LONG], 1024) == pytest.approx(0.4) and saved([LONG], 1023) == saved([LONG], 1024)
    assert saved(PACKED, 1024) == 0 and saved(PACKED, 513) == 0 and saved(PACKED, 512) < 0
    assert kbps([LONG]) == 1 and kbps([LONG, SHORT]) == pytest.approx(1.1)
    assert math.isnan(kbps([replace(LONG, seconds=0.0)]))
    with pytest.raises(ValueError, match="at least one frame"):
        bits_per_code([replace(LONG, frames=0, planes=(0, 0))])


def test_the_order_of_recordings_and_how_they_are_cut_do_not_matter():
    assert bits_per_code([SHORT, LONG]).tolist() == bits_per_code([LONG, SHORT]).tolist()
    together = CodingCost("adaptive", 4096, (2400, 4200), 11000, 500, 10.0)
    assert bits_per_code([together]).tolist() == bits_per_code([LONG, SHORT]).tolist()
    assert (saved([together], 1024), kbps([together])) == (saved([LONG, SHORT], 1024), kbps([LONG, SHORT]))


def test_an_evaluation_tells_them():
    costs = CodingCosts(1024)
    for packed, adaptive in zip(PACKED, (LONG, SHORT), strict=True):
        costs.add([packed, adaptive])
    before = Evaluation(
        "codebooks",
        {"codec": "toy", "in_tables": {"dead": "x"}},
        (),
        [Item("a", {"usage": 1}), Item("b", {})],
        {"t": []},
    )
    found = costs.told(before)
    assert [m.name for m in found.measures] == ["packed kbps", "adaptive bits", "adaptive saved", "adaptive kbps"]
    first = {
        "usage": 1,
        "packed kbps": 1.15,
        "adaptive bits": 6,
        "adaptive saved": pytest.approx(0.4),
        "adaptive kbps": 1,
    }
    assert found.items[0].values == first
    packed, adaptive = found.tables["codings"]
    assert (packed["coding"], packed["bits"], packed["saved"], packed["n"]) == ("packed", 10, 0, 2)
    assert (adaptive["block"], adaptive["bits"], adaptive["0"], adaptive["1"]) == (4096, 6.6, 4.8, 8.4)
    assert adaptive["saved"] == pytest.approx(0.34) and adaptive["kbps"] == pytest.approx(1.1)
    told = document(found)
    assert told["summary"]["adaptive bits"]["value"] == 7.5 and told["summary"]["adaptive bits"]["n"] == 2
    assert {"dead", "block", "n"} <= told["settings"]["in_tables"].keys() and "t" in told
    assert told["definitions"]["adaptive bits"]["definition"] == MEASURES[0].definition


def test_each_measure_is_named_by_its_coding():
    assert [measure.name for measure in measures_of("lm")] == ["lm bits", "lm saved", "lm kbps"]
    assert [measure.better for measure in MEASURES] == ["lower", "higher", "lower"]
