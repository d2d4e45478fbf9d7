"""A small line chart as inline SVG, coloured by the page's style."""

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 400, 132, 8, 14, 18, 22


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
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<line class="grid" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _RIGHT}" y2="{base}"/>',
        f'<polyline class="curve" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>',
    ]
    for (across, up), x, y in zip(points, xs, ys, strict=True):
        parts.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3.5"/>')
        parts.append(f'<text class="value" x="{across:.1f}" y="{up - 9:.1f}" text-anchor="middle">{y:{form}}</text>')
        parts.append(f'<text x="{across:.1f}" y="{base + 15}" text-anchor="middle">{x:.3g}</text>')
    return "".join([*parts, "</svg>"])
