"""How codes spread over their codebooks, as SVG: three bars and a curve for each codebook, and what pairs of them tell of each other.

For light pages and dark ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

import numpy as np

from solfa.eval.codebooks import CodebookReport

_ROW, _HEAD, _FOOT = 30, 62, 14
_LABEL, _BAR, _CURVE, _GAP = 40, 150, 210, 60  # widths; the gap holds a bar's number
_BARS = ("usage", "entropy", "perplexity")
_LEFTS = tuple(_LABEL + place * (_BAR + _GAP) for place in range(len(_BARS)))
_CURVE_LEFT = _LABEL + len(_BARS) * (_BAR + _GAP)
_WIDTH = _CURVE_LEFT + _CURVE + 14
_POINTS = 100  # of a curve
_CELL = 38  # of the matrix of pairs
_STYLE = """
.solfa-usage text{font:11px system-ui,sans-serif;fill:#444}.solfa-usage .title{font-weight:600}.solfa-usage .paper{fill:#fff}
.solfa-usage .whole{fill:#eceef2}.solfa-usage .usage{fill:#2f7ed8}.solfa-usage .perplexity{fill:#2a9d5c}
.solfa-usage .entropy{fill:#8a63c9}.solfa-usage .pair{fill:#2f7ed8}
.solfa-usage polyline{fill:none;stroke:#d9582b;stroke-width:1.4}
@media (prefers-color-scheme:dark){.solfa-usage text{fill:#bbb}.solfa-usage .paper{fill:#16181c}.solfa-usage .whole{fill:#2a2e36}}
"""


def usage_chart(
    counts: np.ndarray, report: CodebookReport, title: str, shares: Mapping[tuple[int, int], float] | None = None
) -> str:
    """A picture of counts [K, N], how often each code of each codebook occurs, and of the report of them.

    Of each codebook: the share of its codes that occur; its entropy, a full bar being log2 N bits; its perplexity, a full bar being N; and
    its codes from the most frequent to the rarest, each as high as its frequency beside that of the first (the longer the curve stays up,
    the more even the codebook). shares: for pairs of codebooks the share of the one that the other tells, 0 to 1, drawn below; what is
    beyond is drawn as the bound, what is NaN not at all.
    """
    size, bits = report.codebook_size, math.log2(report.codebook_size)
    base = _HEAD + _ROW * report.codebooks + _FOOT
    side = _CELL * report.codebooks if shares else 0
    width, height = max(_WIDTH, _LABEL + side + 14), base + (_HEAD + side if shares else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="solfa-usage" role="img" aria-label="{escape(title)}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        f'<text class="title" x="14" y="24">{escape(title)}</text>',
        f'<text x="{_LEFTS[0]}" y="48">codes that occur</text>',
        f'<text x="{_LEFTS[1]}" y="48">entropy (of {bits:.4g} bits)</text>',
        f'<text x="{_LEFTS[2]}" y="48">perplexity (of {size})</text>',
        f'<text x="{_CURVE_LEFT}" y="48">frequency, the most frequent code first</text>',
    ]
    for book in range(report.codebooks):
        parts += _row(book, counts[book], report, bits)
    if shares:
        parts += _matrix(shares, report.codebooks, base)
    return "\n".join([*parts, "</svg>\n"])


def _row(book: int, counts: np.ndarray, report: CodebookReport, bits: float) -> list[str]:
    """The bars and the curve of one codebook."""
    top = _HEAD + _ROW * book
    parts = [f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end">{book}</text>']
    lengths = (report.usage[book], report.entropy[book] / bits, report.perplexity[book] / report.codebook_size)
    texts = (f"{100 * report.usage[book]:.4g} %", f"{report.entropy[book]:.4g}", f"{report.perplexity[book]:.4g}")
    for kind, left, length, text in zip(_BARS, _LEFTS, lengths, texts, strict=True):
        parts.append(f'<rect class="whole" x="{left}" y="{top + 3}" width="{_BAR}" height="14"/>')
        parts.append(f'<rect class="{kind}" x="{left}" y="{top + 3}" width="{_BAR * length:.1f}" height="14"/>')
        parts.append(f'<text x="{left + _BAR + 6}" y="{top + 14}">{text}</text>')
    return [*parts, f'<polyline points="{_curve(counts, top)}"/>']


def _matrix(shares: Mapping[tuple[int, int], float], books: int, base: int) -> list[str]:
    """A square of K x K cells, both halves alike; the more of a code the other tells, the darker."""
    top = base + _HEAD
    words = "mutual information of two codebooks, corrected, in percent of the smaller entropy"
    parts = [f'<text x="{_LABEL}" y="{base + 34}">{words}</text>']
    for book in range(books):
        middle = book * _CELL + _CELL // 2
        parts.append(f'<text x="{_LABEL + middle}" y="{top - 8}" text-anchor="middle">{book}</text>')
        parts.append(f'<text x="{_LABEL - 8}" y="{top + middle + 4}" text-anchor="end">{book}</text>')
    for pair, share in shares.items():
        for row, column in (pair, pair[::-1]) if share == share else ():
            left, up, part = _LABEL + column * _CELL, top + row * _CELL, min(max(share, 0.0), 1.0)
            place = f'x="{left}" y="{up}" width="{_CELL - 2}" height="{_CELL - 2}"'
            parts.append(f'<rect class="whole" {place}/><rect class="pair" {place} fill-opacity="{part:.3f}"/>')
            words = f"{100 * part:.2g}"
            parts.append(f'<text x="{left + _CELL // 2 - 1}" y="{up + 23}" text-anchor="middle">{words}</text>')
    return parts


def _curve(counts: np.ndarray, top: int) -> str:
    """The points of a codebook's curve, at most _POINTS of them, evenly from the first code to the last."""
    ordered = np.sort(counts)[::-1]
    places = np.unique(np.linspace(0, len(ordered) - 1, _POINTS).round().astype(int))
    across = _CURVE_LEFT + _CURVE * places / max(1, len(ordered) - 1)
    up = top + _ROW - 6 - (_ROW - 8) * ordered[places] / ordered[0]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
