"""An evaluation as one page: means with their intervals, what they mean, how the items spread, and the worst and best to hear and see."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from solfa.eval.bootstrap import Difference, Estimate
from solfa.eval.evaluation import Evaluation, Measure, differences, summary, versions
from solfa.files import write_whole
from solfa.studio.chart import histogram, spans
from solfa.studio.eval_items import BETTER, ends_section, items_section, measure_html
from solfa.studio.page import Section, figure, page, svg_image, table_html
from solfa.studio.rate_chart import rate_chart
from solfa.studio.text import number_text

ROWS = 400  # of a table


def write_page(path: str | os.PathLike[str], evaluation: Evaluation, against: Evaluation | None = None) -> None:
    """One self-contained HTML file, whole or not at all: it asks nobody for anything, and holds at most 20 sounds of at most 15 s.

    With `against` the other system stands beside it. Raises ValueError where the two share no item; OSError where the disk says so.
    """
    write_whole(path, eval_page(evaluation, against))


def eval_page(evaluation: Evaluation, against: Evaluation | None = None) -> str:
    """The page's HTML. Files of items that are gone or cannot be read are named on it, with the reason."""
    count = len(evaluation.items)
    lede = f"{count} item{'s' * (count != 1)}, {len(evaluation.measures)} measures: means with 95 % intervals"
    lede += ", beside another system on the same items." if against is not None else "."
    parts: list[Section | None] = [_summary(evaluation, against)]
    if against is not None:
        parts.append(_differences(evaluation, differences(evaluation, against)))
    for system, mark in ((evaluation, ""), (against, ", against")):
        tables = {} if system is None else system.tables
        parts += [_table(name + mark, table, evaluation.measures) for name, table in tables.items()]
    parts += [_spread(evaluation, against), ends_section(evaluation, against)]
    parts += [
        items_section(evaluation, against),
        _words(evaluation),
        _settings(evaluation, against),
        _failed(evaluation),
    ]
    footer = " · ".join(f"{name} {version}" for name, version in (versions() | dict(evaluation.programs)).items())
    return page(f"Evaluation: {evaluation.task}", lede, [part for part in parts if part is not None], footer)


def _summary(evaluation: Evaluation, against: Evaluation | None) -> Section:
    """A row a measure: mean, interval, n, and both drawn over the items."""
    systems = [evaluation] if against is None else [evaluation, against]
    means = [summary(system) for system in systems]
    heads = ["measure", "mean", "95 %", *(["against", "95 %"] if against is not None else []), "n", ""]
    rows = []
    for measure in evaluation.measures:
        found = [mean.get(measure.name, Estimate(math.nan, math.nan, math.nan, 0)) for mean in means]
        drawn = spans(
            [(s.values(measure.name), (e.value, e.low, e.high)) for s, e in zip(systems, found, strict=True)],
            f"{measure.name}: items, mean and interval",
        )
        cells = [cell for e in found for cell in (f"<b>{number_text(e.value)}</b>", _interval(e.low, e.high))]
        rows.append([measure_html(measure), *cells, " / ".join(str(e.n) for e in found), drawn])
    note = "Thin marks are items (at most 200 of them), the dot is their mean, the bar its 95 % bootstrap interval."
    if any(system.independent < len(system.items) for system in systems):
        note += " Items of one prompt are one value, their mean: the dot, the bar and n are of prompts."
    return Section("Summary", _legend(against) + table_html(heads, rows), note)


def _differences(evaluation: Evaluation, gaps: Mapping[str, Difference]) -> Section:
    rows = []
    for measure in evaluation.measures:
        gap = gaps[measure.name]
        drawn = spans([((), (gap.value, gap.low, gap.high))], f"{measure.name}: difference and interval", zero=True)
        verdict = _verdict(measure, gap)
        mean = f"<b>{number_text(gap.value)}</b>"
        interval, p = _interval(gap.low, gap.high), number_text(round(gap.p, 4))
        rows.append([measure_html(measure), mean, interval, p, verdict, str(gap.n), drawn])
    note = (
        "This system minus the other, item by item (of several of one prompt, their means), over those that both have. p: of a "
        "two-sided sign-flip test for no "
        "difference, of each measure by itself. Better and worse stand where the interval leaves out 0 and p is at most 0.05."
    )
    return Section("Difference", table_html(["measure", "difference", "95 %", "p", "", "pairs", ""], rows), note)


def _verdict(measure: Measure, gap: Difference) -> str:
    """Only where there is a direction, and something to say."""
    if measure.better == "zero" or not (gap.p <= 0.05 and (gap.low > 0 or gap.high < 0)):
        return ""
    good = (gap.value > 0) == (measure.better == "higher")
    return '<span class="good">better</span>' if good else '<span class="bad">worse</span>'


def _table(name: str, table: Sequence[Mapping[str, Any]], measures: Sequence[Measure]) -> Section | None:
    """A table as it is, with curves over the bitrate where it has one."""
    if not table:
        return None
    heads = list(dict.fromkeys(key for row in table for key in row))
    rows = [[_cell(row.get(head)) for head in heads] for row in table[:ROWS]]
    words = {index for index, head in enumerate(heads) if any(isinstance(row.get(head), str) for row in table)}
    note = f"The first {ROWS} of {len(table):,} rows." if len(table) > ROWS else ""
    return Section(name.replace("_", " "), _curves(table, measures) + table_html(map(escape, heads), rows, words), note)


def _curves(table: Sequence[Mapping[str, Any]], measures: Sequence[Measure]) -> str:
    """Each measure over the bitrate, where the table is of that."""
    drawn = [measure for measure in measures if all(_is_number(row.get(measure.name)) for row in table)]
    if not drawn or not all("coder" in row and _is_number(row.get("kbps")) for row in table):
        return ""
    return svg_image(rate_chart(table, drawn, "Means over the bitrate"), "Means over the bitrate")


def _legend(against: Evaluation | None) -> str:
    if against is None:
        return ""
    return '<div class="legend"><span class="s0">this system</span><span class="s1">against</span></div>'


def _spread(evaluation: Evaluation, against: Evaluation | None) -> Section | None:
    """A histogram of each measure."""
    plots = []
    for measure in evaluation.measures:
        values = evaluation.values(measure.name)
        finite = [value for value in values if math.isfinite(value)]
        other = [] if against is None else [v for v in against.values(measure.name) if math.isfinite(v)]
        infinite = sum(map(math.isinf, values))
        caption = f"{measure.name}{f', {measure.unit}' if measure.unit else ''}"
        caption += f"; {infinite} infinite, not drawn" if infinite else ""
        if finite:
            plots.append(figure(caption, histogram(finite, other, f"Histogram of {measure.name}")))
    if not plots:
        return None
    note = (
        "How many items lie where; the outline is the other system's."
        if against is not None
        else "How many items lie where."
    )
    return Section("Spread over items", f'<div class="plots">{"".join(plots)}</div>', note)


def _words(evaluation: Evaluation) -> Section | None:
    """What each measure is."""
    rows = []
    for measure in evaluation.measures:
        ends = f"{number_text(measure.low)} to {number_text(measure.high)}"
        facts = ", ".join(part for part in (measure.unit, ends, BETTER[measure.better]) if part)
        rows.append(
            f"<dt>{escape(measure.name)}<small>{escape(facts)}</small></dt><dd>{escape(measure.definition)}</dd>"
        )
    return Section("What the measures mean", f'<dl class="words">{"".join(rows)}</dl>') if rows else None


def _settings(evaluation: Evaluation, against: Evaluation | None) -> Section | None:
    names = dict.fromkeys([*evaluation.settings, *(against.settings if against is not None else ())])
    systems = [evaluation] if against is None else [evaluation, against]
    rows = [[escape(n), *(f"<code>{escape(_said(s.settings.get(n)))}</code>" for s in systems)] for n in names]
    return (
        Section("Settings", table_html(["", "this system", "against"][: 1 + len(systems)], rows, {1, 2}))
        if rows
        else None
    )


def _failed(evaluation: Evaluation) -> Section | None:
    if not evaluation.failed:
        return None
    names = "".join(f"<li>{escape(str(name))}</li>" for name in evaluation.failed[:ROWS])
    return Section("Not measured", f'<ul class="files">{names}</ul>', f"{len(evaluation.failed)} failed.")


def _interval(low: float, high: float) -> str:
    """Nothing where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"<small>{number_text(low)} to {number_text(high)}</small>"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    """A table's value as HTML."""
    if hasattr(value, "item"):  # numpy's and torch's
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return escape(_said(value))
    return number_text(float(value)) if isinstance(value, float) else f"{value:,}"


def _said(value: Any) -> str:
    """A setting as plain text."""
    if value is None:
        return "–"
    if isinstance(value, (str, Path, Estimate)):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)
