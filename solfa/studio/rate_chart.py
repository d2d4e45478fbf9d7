"""A rate and distortion curve as one SVG file: a panel a measure, a line a coder, over the bitrate. For light pages and dark ones."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from solfa.eval.evaluation import Measure

_WIDTH, _HEIGHT, _HEAD = 340, 230, 62  # of a panel; of the title and the legend above all
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 34, 36  # what a panel keeps free around its plot
_COLUMNS = 3
_COLOURS = ("#d9582b", "#2f7ed8", "#2a9d5c", "#8a63c9", "#b8861b", "#7a828e")
_BETTER = {"higher": "higher is better", "lower": "lower is better", "zero": "0 is best"}
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600;fill:#222}.paper{fill:#fff}.grid{stroke:#e3e6eb}
polyline{fill:none;stroke-width:2;stroke-linejoin:round}circle{stroke:#fff;stroke-width:1.5}
@media (prefers-color-scheme:dark){text{fill:#bbb}.title{fill:#eee}.paper{fill:#16181c}.grid{stroke:#2f343d}circle{stroke:#16181c}}
"""
Point = tuple[float, float]


def rate_chart(rows: Sequence[Mapping[str, Any]], measures: Sequence[Measure], title: str) -> str:
    """The chart of a table with the columns coder, kbps and one a measure; kbps stand on a logarithmic scale.

    What is NaN is left out, and so is a measure, or a coder, of which nothing is left. Raises ValueError where nothing is.
    """
    coders = list(dict.fromkeys(str(row["coder"]) for row in rows))
    panels = []
    for measure in measures:
        lines = {coder: _line(rows, coder, measure.name) for coder in coders}
        if any(lines.values()):
            panels.append((measure, lines))
    if not panels:
        raise ValueError("nothing to plot: no row has a finite value")
    across = min(_COLUMNS, len(panels))
    width, height = across * _WIDTH, _HEAD + -(-len(panels) // across) * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        f'<style>{_STYLE}</style><rect class="paper" width="{width}" height="{height}"/>',
        f'<text class="title" x="16" y="24">{escape(title)}</text>{_legend(coders)}',
    ]
    for place, (measure, lines) in enumerate(panels):
        x, y = place % across * _WIDTH, _HEAD + place // across * _HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_panel(measure, lines)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _line(rows: Sequence[Mapping[str, Any]], coder: str, name: str) -> list[Point]:
    """The points (kbps, value) of a coder, by bitrate."""
    found = [(float(row["kbps"]), float(row[name])) for row in rows if row["coder"] == coder]
    return sorted((x, y) for x, y in found if x > 0 and math.isfinite(x) and math.isfinite(y))


def _legend(coders: Sequence[str]) -> str:
    parts, x = [], 16
    for index, coder in enumerate(coders):
        colour = _COLOURS[index % len(_COLOURS)]
        parts.append(
            f'<circle cx="{x + 5}" cy="44" r="5" fill="{colour}"/><text x="{x + 16}" y="48">{escape(coder)}</text>'
        )
        x += 36 + 7 * len(coder)
    return "".join(parts)


def _panel(measure: Measure, lines: Mapping[str, Sequence[Point]]) -> str:
    xs = [x for line in lines.values() for x, _ in line]
    ys = [y for line in lines.values() for _, y in line]
    (left, right), (low, high) = _spread(math.log(min(xs)), math.log(max(xs))), _spread(min(ys), max(ys))

    def across(x: float) -> float:
        return _LEFT + (math.log(x) - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return _TOP + (high - y) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    unit = f", {measure.unit}" if measure.unit else ""
    base = _HEIGHT - _BOTTOM
    parts = [f'<text class="title" x="{_LEFT}" y="20">{escape(measure.name + unit)}</text>']
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="20" text-anchor="end">{_BETTER[measure.better]}</text>')
    for y in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(y):.1f}" y2="{up(y):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{up(y) + 4:.1f}" text-anchor="end">{y:.4g}</text>')
    for x in _octaves(left, right):
        parts.append(f'<line class="grid" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{_TOP}" y2="{base}"/>')
        parts.append(f'<text x="{across(x):.1f}" y="{base + 15}" text-anchor="middle">{x:g}</text>')
    parts.append(f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{base + 30}" text-anchor="middle">kbps</text>')
    for index, (coder, line) in enumerate(lines.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        places = [(across(x), up(y)) for x, y in line]
        parts.append(f'<g><title>{escape(coder)}</title><polyline stroke="{colour}" points="{_joined(places)}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
        parts.append("</g>")
    return "".join(parts)


def _joined(places: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _spread(low: float, high: float) -> Point:
    """A little wider than low to high, and never empty."""
    room = 0.06 * (high - low) or max(0.1, 0.1 * abs(high))
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers within the range."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _octaves(left: float, right: float) -> list[float]:
    """Powers of two whose logarithms lie within the range; at most about eight, and its middle where there is none."""
    first, last = math.ceil(left / math.log(2)), math.floor(right / math.log(2))
    every = max(1, math.ceil((last - first + 1) / 8))
    found = [2.0**power for power in range(first, last + 1, every)]
    return found or [float(f"{math.exp((left + right) / 2):.3g}")]
