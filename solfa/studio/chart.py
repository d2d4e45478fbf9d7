"""Small charts as inline SVG, coloured by the page's style."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 400, 132, 8, 14, 18, 22
_MARKS = 200  # items that are drawn one by one
_BINS = 24
_ROUNDING = 1e-12  # relative: values nearer to each other are drawn as one


def line_chart(xs: Sequence[float], ys: Sequence[float], form: str, title: str) -> str:
    """Points joined by a line, each with its y (in `form`, a format specification) above and its x below.

    xs: rising, finite. ys: finite.
    """
    low, high = min(ys), max(ys)
    spread = (high - low) or 1.0
    left, right = min(xs), max(xs)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + 14 + (x - left) / ((right - left) or 1.0) * (_WIDTH - _LEFT - _RIGHT - 28)
        return across, _TOP + (high - y) / spread * (_HEIGHT - _TOP - _BOTTOM - 8)

    base = _HEIGHT - _BOTTOM
    points = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    parts = [_open(title), f'<line class="grid" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _RIGHT}" y2="{base}"/>']
    parts.append(f'<polyline class="curve" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
    for (across, up), x, y in zip(points, xs, ys, strict=True):
        parts.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3.5"/>')
        parts.append(f'<text class="value" x="{across:.1f}" y="{up - 9:.1f}" text-anchor="middle">{y:{form}}</text>')
        parts.append(f'<text x="{across:.1f}" y="{base + 15}" text-anchor="middle">{x:.3g}</text>')
    return "".join([*parts, "</svg>"])


def spans(systems: Sequence[tuple[Sequence[float], tuple[float, float, float]]], title: str, zero: bool = False) -> str:
    """A row a system, all on one scale: its values as thin marks (of many, 200 at equal ranks), its interval as a bar, its mean as a dot.

    systems: values, and (mean, low, high). What is not finite is not drawn. zero: the scale is even about 0, which has a line.
    """
    every = [v for values, estimate in systems for v in (*values, *estimate) if math.isfinite(v)]
    if not every:
        return ""
    low, high = (-max(map(abs, every)), max(map(abs, every))) if zero else (min(every), max(every))
    width, row = 320, 18
    height = row * len(systems) + 14

    def place(value: float) -> float:
        return 6 + _share(value, low, high) * (width - 12)

    parts = [_open(title, width, height)]
    if zero:
        parts.append(f'<line class="zero" x1="{place(0):.1f}" y1="0" x2="{place(0):.1f}" y2="{height - 12}"/>')
    for index, (values, (mean, start, end)) in enumerate(systems):
        y = row * index + row / 2
        parts.append(f'<g class="span s{index}"><line class="grid" x1="6" y1="{y}" x2="{width - 6}" y2="{y}"/>')
        for value in _some([v for v in values if math.isfinite(v)]):
            parts.append(f'<path class="mark" d="M{place(value):.1f} {y - 5}v10"/>')
        if math.isfinite(start) and math.isfinite(end):
            parts.append(f'<path class="reach" d="M{place(start):.1f} {y}H{place(end) + 0.01:.2f}"/>')
        if math.isfinite(mean):
            parts.append(f'<circle cx="{place(mean):.1f}" cy="{y}" r="4"/>')
        parts.append("</g>")
    ends = [(6, "start", low), (width - 6, "end", high)] if high > low else [(width / 2, "middle", low)]
    parts += [f'<text x="{x}" y="{height - 2}" text-anchor="{side}">{value:.3g}</text>' for x, side, value in ends]
    return "".join([*parts, "</svg>"])


def histogram(values: Sequence[float], other: Sequence[float], title: str) -> str:
    """How many items lie where, as bars; a second system's as an outline on the same bins. Finite values, at least one of the first."""
    every = [*values, *other]
    low, high, bins = min(every), max(every), min(_BINS, max(5, round(2 * math.sqrt(len(every)))))
    if _share(high, low, high) != 1:
        low = high  # but for rounding
    places = [[_share(value, low, high) for value in numbers] for numbers in (values, other)]
    counts, others = (np.histogram(shares, bins, (0.0, 1.0))[0] for shares in places)
    base, top = _HEIGHT - _BOTTOM, int(max(counts.max(), others.max(), 1))
    step = (_WIDTH - _LEFT - _RIGHT) / len(counts)
    parts = [_open(title)]
    for index, count in enumerate(counts):
        tall = count / top * (base - _TOP)
        parts.append(
            f'<rect class="bar" x="{_LEFT + index * step + 0.75:.1f}" y="{base - tall:.1f}" width="{step - 1.5:.1f}" height="{tall:.1f}"/>'
        )
    if len(other):
        path = f"M{_LEFT} {base}"
        for index, count in enumerate(others):
            path += f"V{base - count / top * (base - _TOP):.1f}H{_LEFT + (index + 1) * step:.1f}"
        parts.append(f'<path class="outline" d="{path}V{base}"/>')
    parts.append(f'<line class="grid" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _RIGHT}" y2="{base}"/>')
    parts.append(f'<text x="{_LEFT}" y="{_TOP - 7}">{top} item{"s" * (top != 1)}</text>')
    ends = [(_LEFT, "start", low), (_WIDTH - _RIGHT, "end", high)]
    for x, side, value in ends if high > low else [((_LEFT + _WIDTH - _RIGHT) / 2, "middle", low)]:
        parts.append(f'<text x="{x}" y="{base + 15}" text-anchor="{side}">{value:.3g}</text>')
    return "".join([*parts, "</svg>"])


def _open(title: str, width: int = _WIDTH, height: int = _HEIGHT) -> str:
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'


def _share(value: float, low: float, high: float) -> float:
    """Where a value lies between two, 0 to 1; a half where they differ by no more than rounding leaves."""
    apart = high / 2 - low / 2  # of halves, so that it is finite
    if not apart > _ROUNDING * max(abs(low), abs(high)):
        return 0.5
    return (value / 2 - low / 2) / apart


def _some(values: Sequence[float]) -> list[float]:
    """At most _MARKS of the values, at equal ranks, both ends among them."""
    ranked = sorted(values)
    if len(ranked) <= _MARKS:
        return ranked
    return [ranked[round(i * (len(ranked) - 1) / (_MARKS - 1))] for i in range(_MARKS)]
