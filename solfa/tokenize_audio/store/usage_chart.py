"""How the codes of a store spread over their codebooks, as SVG: two bars and a curve for each codebook. For light pages and dark ones."""

from __future__ import annotations

from html import escape

import numpy as np

from solfa.eval.codebooks import CodebookReport

_ROW, _HEAD, _FOOT = 30, 62, 14
_LABEL, _BAR, _CURVE, _GAP = 40, 190, 210, 64  # widths; the gap holds a bar's number
_BARS = ("usage", "perplexity")
_LEFTS = (_LABEL, _LABEL + _BAR + _GAP)
_CURVE_LEFT = _LABEL + 2 * (_BAR + _GAP)
_WIDTH = _CURVE_LEFT + _CURVE + 14
_POINTS = 100  # of a curve
_STYLE = """
.solfa-usage text{font:11px system-ui,sans-serif;fill:#444}.solfa-usage .title{font-weight:600}.solfa-usage .paper{fill:#fff}
.solfa-usage .whole{fill:#eceef2}.solfa-usage .usage{fill:#2f7ed8}.solfa-usage .perplexity{fill:#2a9d5c}
.solfa-usage polyline{fill:none;stroke:#d9582b;stroke-width:1.4}
@media (prefers-color-scheme:dark){.solfa-usage text{fill:#bbb}.solfa-usage .paper{fill:#16181c}.solfa-usage .whole{fill:#2a2e36}}
"""


def usage_chart(counts: np.ndarray, report: CodebookReport, title: str) -> str:
    """A picture of counts [K, N], how often each code of each codebook occurs, and of the report of them.

    Of each codebook: the share of its codes that occur; its perplexity, a full bar being N; and its codes from the most frequent to the
    rarest, each as high as its frequency beside that of the first (the longer the curve stays up, the more even the codebook).
    """
    size = report.codebook_size
    height = _HEAD + _ROW * report.codebooks + _FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="solfa-usage" role="img" aria-label="{escape(title)}" '
        f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        f'<text class="title" x="14" y="24">{escape(title)}</text>',
        f'<text x="{_LEFTS[0]}" y="48">codes that occur</text>',
        f'<text x="{_LEFTS[1]}" y="48">perplexity (of {size})</text>',
        f'<text x="{_CURVE_LEFT}" y="48">frequency, from the most to the least frequent</text>',
    ]
    for book in range(report.codebooks):
        top = _HEAD + _ROW * book
        parts.append(f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end">{book}</text>')
        shares = (report.usage[book], report.perplexity[book] / size)
        texts = (f"{100 * report.usage[book]:.4g} %", f"{report.perplexity[book]:.4g}")
        for kind, left, share, text in zip(_BARS, _LEFTS, shares, texts, strict=True):
            parts.append(f'<rect class="whole" x="{left}" y="{top + 3}" width="{_BAR}" height="14"/>')
            parts.append(f'<rect class="{kind}" x="{left}" y="{top + 3}" width="{_BAR * share:.1f}" height="14"/>')
            parts.append(f'<text x="{left + _BAR + 6}" y="{top + 14}">{text}</text>')
        parts.append(f'<polyline points="{_curve(counts[book], top)}"/>')
    return "\n".join([*parts, "</svg>\n"])


def _curve(counts: np.ndarray, top: int) -> str:
    """The points of a codebook's curve, at most _POINTS of them, evenly from the first code to the last."""
    ordered = np.sort(counts)[::-1]
    places = np.unique(np.linspace(0, len(ordered) - 1, _POINTS).round().astype(int))
    across = _CURVE_LEFT + _CURVE * places / max(1, len(ordered) - 1)
    up = top + _ROW - 6 - (_ROW - 8) * ordered[places] / ordered[0]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
