"""The chart of rate and distortion: every point is drawn at its place, on its scale; what has no value is left out."""

import math
from xml.etree import ElementTree

import pytest

from solfa.eval.evaluation import Measure
from solfa.studio.rate_chart import rate_chart

UP = Measure("si_sdr", "", "dB", -100, 100, "higher")
DOWN = Measure("l1", "", "", 0, 1, "lower")


def row(coder: str, kbps: float, si_sdr: float, l1: float) -> dict:
    return {"coder": coder, "kbps": kbps, "si_sdr": si_sdr, "l1": l1}


def panels(rows: list[dict], measures: list[Measure]) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(rate_chart(rows, measures, "a < b"))
    assert root.get("aria-label") == "a < b"
    return [group for group in root.findall("{*}g") if group.get("transform")]


def places(panel: ElementTree.Element, coder: int) -> list[tuple[float, float]]:
    line = panel.findall("{*}g/{*}polyline")[coder]
    return [tuple(map(float, point.split(","))) for point in line.get("points").split()]


def test_points_lie_where_their_numbers_say():
    rows = [row("<ours>", 4, 8, 0.1), row("<ours>", 1, 2, 0.4), row("<ours>", 2, 5, 0.2), row("opus", 8, 5, 0.2)]
    up, down = panels(rows, [UP, DOWN])
    a, b, c = places(up, 0)
    assert a[0] < b[0] < c[0] and b[0] - a[0] == pytest.approx(c[0] - b[0], abs=0.2)  # octaves are alike
    assert a[1] > b[1] > c[1] and a[1] - b[1] == pytest.approx(b[1] - c[1], abs=0.2)  # larger is higher
    ((x, y),) = places(up, 1)
    assert x - c[0] == pytest.approx(c[0] - b[0], abs=0.2) and y == b[1]
    assert [title.text for title in up.findall("{*}g/{*}title")] == ["<ours>", "opus"]
    assert places(down, 0)[0][1] < places(down, 0)[2][1]
    texts = [text.text for text in up.findall("{*}text")]
    assert {"si_sdr, dB", "higher is better", "kbps", "1", "2", "4", "8"} <= {*texts}
    assert {"l1", "lower is better"} <= {text.text for text in down.findall("{*}text")}


def test_what_has_no_value_is_left_out():
    rows = [row("a", 1, math.nan, 1), row("a", 2, 3, math.nan), row("b", 2, math.nan, math.nan)]
    up, down = panels(rows, [UP, DOWN])
    assert [len(places(up, 0)), len(places(down, 0))] == [1, 1]
    assert len(panels([row("a", 1, 0, math.nan)], [UP, DOWN])) == 1
    with pytest.raises(ValueError, match="nothing to plot"):
        rate_chart([row("a", 1, math.nan, math.nan)], [UP, DOWN], "")


@pytest.mark.parametrize("value", [0.0, -3e-9, 1e12])
def test_any_scale_gives_ticks(value):
    (panel,) = panels([row("a", 0.5, value, 0), row("a", 600, value * 2, 0)], [UP])
    assert 5 <= len(panel.findall("{*}line")) <= 20
