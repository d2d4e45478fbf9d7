"""What an evaluation says of itself: means, differences by name, and a document that JSON can hold."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import solfa
from solfa.cli.report import plain, print_json
from solfa.eval.bootstrap import mean_estimate, paired_difference
from solfa.eval.evaluation import Evaluation, Item, Measure, differences, document, summary, versions, worst_first

UP = Measure("si_sdr", "Scale-invariant ratio.", "dB", -np.inf, np.inf, "higher")
DOWN = Measure("l1", "Mean absolute difference.", "", 0.0, np.inf, "lower")
ZERO = Measure("loudness", "Loudness difference.", "LU", -np.inf, np.inf, "zero")


def made(values: dict[str, tuple[float, ...]], **fields) -> Evaluation:
    items = [
        Item(
            name, dict(zip(("si_sdr", "l1", "loudness"), row, strict=False)), {"reference": Path(f"/tmp/{name} é.wav")}
        )
        for name, row in values.items()
    ]
    return Evaluation("codec", {"reference": Path("in"), "rates": (6, 8)}, (UP, DOWN, ZERO), items, **fields)


FIRST = made({"a": (10.0, 0.5, -3.0), "b": (12.0, np.nan, 1.0), "c": (np.inf, 0.1), "d": (11.0, 0.2, 2.0)})
SECOND = made({"d": (9.0, 0.3, 0.0), "x": (1.0, 1.0, 1.0), "a": (10.5, 0.4, 0.5), "b": (8.0, 0.2, np.nan)})


def test_the_summary_is_of_each_measure_over_the_items_that_have_it():
    found = summary(FIRST)
    assert list(found) == ["si_sdr", "l1", "loudness"]
    assert found["l1"] == mean_estimate([0.5, 0.1, 0.2]) and found["l1"].n == 3
    assert found["loudness"].n == 3 and found["si_sdr"].value == np.inf


def test_items_belong_together_by_name_and_not_by_place():
    found = differences(FIRST, SECOND)
    assert found["si_sdr"] == paired_difference([10.0, 12.0, 11.0], [10.5, 8.0, 9.0])
    assert found["l1"].n == 2 and found["l1"].value == pytest.approx((0.1 - 0.1) / 2)
    backwards = replace(SECOND, items=SECOND.items[::-1])
    assert differences(FIRST, backwards) == found
    assert differences(SECOND, FIRST)["si_sdr"].value == -found["si_sdr"].value


def test_a_measure_that_the_other_system_lacks_has_no_difference():
    poor = replace(SECOND, items=[Item(item.name, {"si_sdr": 1.0}) for item in SECOND.items])
    gap = differences(FIRST, poor)["l1"]
    assert gap.n == 0 and np.isnan([gap.value, gap.p]).all()


def test_systems_without_an_item_in_common_and_names_that_come_twice_are_refused():
    with pytest.raises(ValueError, match="no item of one name"):
        differences(FIRST, made({"z": (1.0,)}))
    twice = replace(SECOND, items=[*SECOND.items, SECOND.items[0]])
    for pair in ((FIRST, twice), (twice, FIRST)):
        with pytest.raises(ValueError, match="d: two items of one name"):
            differences(*pair)


@pytest.mark.parametrize(
    ("measure", "names"), [(UP, ["a", "d", "b", "c"]), (DOWN, ["a", "d", "c"]), (ZERO, ["a", "d", "b"])]
)
def test_worst_first_goes_by_what_the_measure_calls_better(measure: Measure, names: list[str]):
    assert [item.name for item in worst_first(FIRST, measure)] == names


def strict(text: str):
    def refuse(word: str):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_document_survives_json(capsys):
    whole = replace(FIRST, tables={"rates": [{"kbps": np.float32(0.5), "mean": np.nan}]}, failed=["e.wav"])
    found = document(whole, SECOND)
    print_json(found)
    read = strict(capsys.readouterr().out)
    assert read == plain(found)
    assert read["task"] == "codec" and read["n"] == 4 and read["failed"] == ["e.wav"]
    assert read["settings"] == {"reference": "in", "rates": [6, 8]}
    assert read["items"][1] == {
        "name": "b", "values": {"si_sdr": 12.0, "l1": None, "loudness": 1.0}, "files": {"reference": "/tmp/b é.wav"},
    }  # fmt: skip
    assert read["rates"] == [{"kbps": 0.5, "mean": None}]
    assert read["definitions"]["l1"] == {
        "name": "l1", "definition": "Mean absolute difference.", "unit": "", "low": 0.0, "high": None, "better": "lower",
    }  # fmt: skip
    assert read["summary"]["l1"]["n"] == 3 and read["summary"]["si_sdr"]["value"] is None
    assert read["against"]["n"] == 4 and len(read["against"]["items"]) == 4
    assert read["against"]["differences"]["si_sdr"]["p"] == differences(FIRST, SECOND)["si_sdr"].p


def test_the_summary_can_be_had_again_from_the_items(capsys):
    print_json(document(SECOND))
    read = strict(capsys.readouterr().out)
    for name, estimate in summary(SECOND).items():
        values = [item["values"].get(name) for item in read["items"]]
        again = mean_estimate([np.nan if value is None else value for value in values])
        assert read["summary"][name] == plain(estimate) == plain(again)


def test_a_table_cannot_take_the_place_of_what_every_document_has():
    with pytest.raises(AssertionError, match="items"):
        document(replace(FIRST, tables={"items": []}))


def test_versions_name_what_measured():
    found = versions()
    assert found["solfa"] == solfa.__version__ and found["numpy"] == np.__version__
    import mir_eval  # noqa: F401

    assert "mir_eval" in versions()
    assert all(isinstance(value, str) and value for value in versions().values())


def test_none_at_all():
    empty = made({})
    assert summary(empty)["l1"].n == 0
    assert document(empty)["n"] == 0 and plain(document(empty))["summary"]["l1"]["value"] is None


def test_takes_of_one_group_are_one_value_and_one_draw():
    names = [f"p{i}" for i in range(9)]
    rng = np.random.default_rng(0)
    one, two = ({name: tuple(row) for name, row in zip(names, rng.normal(size=(9, 3)), strict=True)} for _ in range(2))
    first, second = made(one), made(two)

    def repeated(system: Evaluation, times: int) -> Evaluation:
        takes = [replace(item, name=f"{item.name}-{i}", group=item.name) for item in system.items for i in range(times)]
        return replace(system, items=takes)

    assert repeated(first, 1).items != first.items and summary(repeated(first, 1)) == summary(first)
    assert summary(repeated(first, 4)) == summary(first) and document(repeated(first, 4))["n"] == 9
    # By the group, whatever the takes are called, and however many there are.
    assert differences(repeated(first, 4), repeated(second, 2)) == differences(first, second)
    uneven = [
        Item("a", {"l1": 0.0}, {}, "p"),
        Item("b", {"l1": 0.5}, {}, "p"),
        Item("c", {}, {}, "p"),
        Item("q", {"l1": 1.0}),
    ]
    found = summary(replace(first, items=uneven))["l1"]
    assert found.value == 0.625 and found.n == 2
    shown = document(replace(first, items=uneven))["items"]
    assert shown[0]["group"] == "p" and shown[3].keys() == {"name", "values", "files"}


def test_two_items_of_one_name_are_two_draws_where_nothing_says_that_they_are_one():
    twice = made({"a": (1.0, 1.0, 1.0)})
    twice = replace(twice, items=[*twice.items, Item("a", {"l1": 0.0})])
    assert summary(twice)["l1"] == mean_estimate([1.0, 0.0]) and document(twice)["n"] == 2
