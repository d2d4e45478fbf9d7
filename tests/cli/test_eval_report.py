"""How an evaluation is shown: the table, JSON, the page."""

import json
from dataclasses import replace

import numpy as np
import pytest

from solfa.cli.eval_report import interval, rounded, show
from solfa.eval.bootstrap import mean_estimate
from solfa.eval.evaluation import Evaluation, Item, Measure, differences

MEASURES = (
    Measure("si_sdr", "A ratio.", "dB", -np.inf, np.inf, "higher"),
    Measure("l1", "A distance.", "", 0.0, np.inf, "lower"),
)


def made(count: int = 3, shift: float = 0.0, **fields) -> Evaluation:
    items = [Item(f"clip{i}", {"si_sdr": 10.0 + i + shift, "l1": 0.25 if i else np.nan}) for i in range(count)]
    return Evaluation("codec", {}, MEASURES, items, **fields)


def printed(capsys, *args, **options) -> tuple[list[str], str]:
    show(*args, **({"against": None, "ci": False, "json": False, "html": None} | options))
    output = capsys.readouterr()
    return output.out.splitlines(), output.err


def test_items_then_the_summary(capsys):
    lines, err = printed(capsys, made())
    assert lines == [
        "item   si_sdr    l1",
        "clip0      10     -",
        "clip1      11  0.25",
        "clip2      12  0.25",
        "",
        "measure  mean  unit  better  n",
        "si_sdr     11  dB    higher  3",
        "l1       0.25  -     lower   2",
    ]
    assert err == ""


def test_intervals_where_they_are_asked_for(capsys):
    lines, _ = printed(capsys, made(), ci=True, per_item=False)
    assert lines[0].split() == ["measure", "mean", "95", "%", "unit", "better", "n"]
    assert lines[2].split() == ["l1", "0.25", "[0.25,", "0.25]", "-", "lower", "2"]


def test_another_system_beside_it(capsys):
    first, second = made(9, 0.5), made(9)
    lines, _ = printed(capsys, first, against=second, per_item=False)
    heads = ["measure", "mean", "against", "difference", "95", "%", "of", "it", "p", "pairs", "unit", "better", "n"]
    assert lines[0].split() == heads
    p = differences(first, second)["si_sdr"].p
    assert lines[1].split() == [
        "si_sdr",
        "14.5",
        "14",
        "0.5",
        "[0.5,",
        "0.5]",
        f"{round(p, 4):.4g}",
        "9",
        "dB",
        "higher",
        "9",
    ]
    assert p == 2 / 2**9


def test_tables_of_the_whole_follow_with_every_column(capsys):
    tables = {
        "distance": [{"space": "mel", "value": 9.6031234}, {"space": "latents", "value": np.float32(0.5), "n": 7}]
    }
    lines, _ = printed(capsys, made(tables=tables), against=made(tables=tables), per_item=False)
    assert lines[3:] == [
        "", "distance:", "space    value  n", "mel      9.603  -", "latents    0.5  7",
        "", "distance, against:", "space    value  n", "mel      9.603  -", "latents    0.5  7",
    ]  # fmt: skip


def test_estimates_in_tables_are_text_here_and_objects_in_json(capsys):
    found = made(tables={"shares": [{"key": "tonic", "generated": mean_estimate([0.0, 1.0, 1.0, 1.0])}]})
    lines, _ = printed(capsys, found, per_item=False)
    assert lines[-1] == "tonic  0.750 [0.250, 1.000]"
    show(found, against=None, ci=False, json=True, html=None)
    assert json.loads(capsys.readouterr().out)["shares"][0]["generated"] == {
        "value": 0.75,
        "low": 0.25,
        "high": 1.0,
        "n": 4,
    }


def test_many_items_and_many_measures_do_not_bury_the_summary(capsys):
    lines, err = printed(capsys, made(41))
    assert lines[0].startswith("measure") and err == "41 items: --json lists each\n"
    lines, err = printed(capsys, made(40))
    assert len(lines) == 40 + 2 + 3 and err == ""
    wide = replace(made(), measures=[replace(MEASURES[0], name=f"m{i}") for i in range(13)])
    lines, err = printed(capsys, wide)
    assert lines[0].split() == ["item", *(f"m{i}" for i in range(12))] and len(lines) == 4 + 1 + 14
    assert err == "items: the first 12 of 13 measures; --json has all\n"


def test_json_is_one_document_with_all_items(capsys):
    show(made(50), against=made(3, 1.0), ci=False, json=True, html=None, per_item=False)
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["n"] == len(found["items"]) == 50 and found["against"]["differences"]["si_sdr"]["n"] == 3
    assert output.err == ""


def test_a_page_is_written_and_named(capsys, tmp_path):
    page = tmp_path / "page.html"
    lines, err = printed(capsys, made(), html=page)
    assert err == f"{page}\n" and "si_sdr" in page.read_text() and lines[0].startswith("item")


def test_systems_with_nothing_in_common_leave_no_page(tmp_path):
    other = Evaluation("codec", {}, MEASURES, [Item("else", {})])
    with pytest.raises(ValueError, match="no item of one name"):
        show(made(), against=other, ci=False, json=False, html=tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_no_items(capsys):
    lines, _ = printed(capsys, made(0), ci=True)
    assert [line.split() for line in lines[1:]] == [
        ["si_sdr", "-", "-", "dB", "higher", "0"],
        ["l1", "-", "-", "-", "lower", "0"],
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0000123456, 1.235e-05), (0.5, 0.5), (16518.4, 16518), (2.5e7, 2.5e7), (np.nan, None), (np.inf, np.inf),
     (np.float32(0.25), 0.25), (np.int64(3), 3), (7, 7), ("x", "x"), (None, None), (True, True)],
)  # fmt: skip
def test_numbers_keep_four_digits_and_none_before_the_point_is_lost(value, shown):
    assert rounded(value) == shown and type(rounded(value)) is type(shown)


def test_intervals_as_text():
    assert interval(0.123456, 1234.5) == "[0.1235, 1234]" and interval(np.nan, np.nan) == "-"
    assert interval(1.0, np.inf) == "[1, inf]"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_page_that_fails_costs_no_number(capsys, tmp_path, as_json):
    with pytest.raises(OSError, match="nowhere"):
        show(made(), against=None, ci=False, json=as_json, html=tmp_path / "nowhere" / "page.html")
    output = capsys.readouterr()
    assert "si_sdr" in output.out and output.err == ""
