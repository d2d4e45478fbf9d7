"""What the `solfa eval` commands share: their options, and how an evaluation is shown: a table, JSON, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from solfa.cli import report

if TYPE_CHECKING:
    from solfa.eval.evaluation import Evaluation

Html = Annotated[Path | None, Parameter(help="Write a page with plots, and players for the worst and best items.")]

LONGEST, WIDEST = 40, 12  # items and measures of a table of items


def show(
    evaluation: Evaluation,
    *,
    against: Evaluation | None,
    ci: bool,
    json: bool,
    html: Path | None,
    per_item: bool = True,
) -> None:
    """The evaluation on stdout, as a table (`ci`: with 95 % intervals) or as one JSON document, and as a page where one is asked for.

    The table of items comes first, the summary below it, then the tables of the whole. per_item: False leaves the first out. It is left
    out, too, where there are more than 40 items, and cut after 12 measures; a message says so: JSON has everything. The page comes last:
    what was measured is there whether it can be written or not. Raises ValueError where the two systems share no item, before anything
    is written.
    """
    from solfa.eval.evaluation import differences, document

    if against is not None:
        differences(evaluation, against)
    if json:
        report.print_json(document(evaluation, against))
    else:
        _show_tables(evaluation, against, ci, per_item)
    if html is not None:
        show_page(html, evaluation, against)


def show_page(path: Path, evaluation: Evaluation, against: Evaluation | None = None) -> None:
    """Writes the page, and says where it is."""
    from solfa.studio.eval_page import write_page

    write_page(path, evaluation, against)
    report.say(str(path))


def _show_tables(evaluation: Evaluation, against: Evaluation | None, ci: bool, per_item: bool) -> None:
    if per_item:
        _show_items(evaluation)
    report.print_table(_summary(evaluation, against, ci))
    for system, mark in ((evaluation, ""), (against, ", against")):
        for name, table in system.tables.items() if system is not None else ():
            report.out("")
            report.out(f"{name}{mark}:")
            report.print_table([{key: rounded(value) for key, value in row.items()} for row in table], _columns(table))


def _show_items(evaluation: Evaluation) -> None:
    """A row an item, where that makes a table that can be read."""
    items, names = evaluation.items, [measure.name for measure in evaluation.measures]
    if len(items) > LONGEST:
        report.say(f"{len(items)} items: --json lists each")
    elif items:
        if len(names) > WIDEST:
            report.say(f"items: the first {WIDEST} of {len(names)} measures; --json has all")
        shown = names[:WIDEST]
        report.print_table([{"item": i.name, **{n: rounded(i.values.get(n)) for n in shown}} for i in items])
        report.out("")


def _columns(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every key of any row, in the order in which they come."""
    return list(dict.fromkeys(key for row in table for key in row))


def _summary(evaluation: Evaluation, against: Evaluation | None, ci: bool) -> list[dict[str, Any]]:
    """A row a measure: mean, unit, which way is better, n; with another system its mean, the difference and p."""
    from solfa.eval.evaluation import differences, summary

    found = summary(evaluation)
    other = None if against is None else summary(against)
    gaps = None if against is None else differences(evaluation, against)
    rows = []
    for measure in evaluation.measures:
        name, mean = measure.name, found[measure.name]
        row: dict[str, Any] = {"measure": name, "mean": rounded(mean.value)}
        if ci:
            row["95 %"] = interval(mean.low, mean.high)
        if other is not None and gaps is not None:
            gap = gaps[name]
            row |= {"against": rounded(other[name].value), "difference": rounded(gap.value)}
            row |= {"95 % of it": interval(gap.low, gap.high), "p": rounded(round(gap.p, 4)), "pairs": gap.n}
        rows.append({**row, "unit": measure.unit or "-", "better": measure.better, "n": mean.n})
    return rows


def interval(low: float, high: float) -> str:
    """`[low, high]` as tables show it; a dash where there is none."""
    return "-" if low != low or high != high else f"[{rounded(low):.6g}, {rounded(high):.6g}]"


def rounded(value: Any) -> Any:
    """A number as tables show it: four digits, or all before the point; nothing for NaN. What is no number stays."""
    if hasattr(value, "item"):  # numpy's and torch's
        value = value.item()
    if not isinstance(value, float):
        return value
    if value != value:
        return None
    if 1000 <= abs(value) < 1e6:
        return round(value)
    return float(f"{value:.4g}")
