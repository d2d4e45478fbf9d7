"""What `transcribe` and `score` share: files of notes by their endings, and what a sheet is said to be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from solfa.cli import report
from solfa.cli.convert import convert
from solfa.cli.inputs import Input
from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.score.quantising.quantise import Quantised

WRITES = (".mid", ".midi", ".abc", ".musicxml", ".xml", ".mxl", ".svg", ".json", ".jsonl")  # also .roll.svg
Format = Literal["mid", "abc", "musicxml", "mxl", "svg", "roll.svg", "json", "jsonl"]


@dataclass(frozen=True)
class Written:
    """What became of an input: a line about it, what is to be known of it, and all of it as JSON."""

    line: str
    remarks: list[str]
    facts: dict[str, Any]


def convert_notes(
    label: str, planned: Sequence[Input], work: Callable[[Input], Written], *, overwrite: bool, jobs: int, json: bool
) -> int:
    """`convert`, of which the lines, or the JSON on stdout, are told; returns the exit code."""
    found: list[dict[str, Any]] = []

    def tell(item: Input, result: Written) -> None:
        for remark in result.remarks:
            report.say(f"{item.path}: {remark}")
        if json:
            found.append({"input": item.path, "output": item.target, **result.facts, "remarks": result.remarks})
        else:
            report.out(f"{item.path} -> {item.target}  {result.line}")

    code = convert(label, planned, work, overwrite=overwrite, jobs=jobs, tell=tell)
    if json:
        report.print_json(found[0] if found and len(planned) == 1 and planned[0].single else found)
    return code


def check_format(out: Path | None, format: str | None) -> None:
    """Raises UsageError where a file is named and a format too."""
    if out is not None and format and out.suffix and not out.is_dir():
        raise UsageError(f"-o {out} --format {format}: the name says what is written, leave one out")


def check_bars(planned: list[Input], tempo: float | None, metre: str | None) -> None:
    """Raises UsageError for a tempo or metre where nothing that is written has one."""
    from solfa.score.write import has_bars

    targets = [item.target for item in planned if item.target is not None]
    given = [f"--{name} {value}" for name, value in (("tempo", tempo), ("metre", metre)) if value is not None]
    if given and targets and not any(has_bars(target) for target in targets):
        raise UsageError(f"{' '.join(given)}: {targets[0].name} holds notes in seconds and no bars, leave it out")


def check_writable(planned: list[Input]) -> None:
    """What cannot be written because of its name is said before the work is done."""
    from solfa.score.write import check_writable

    for item in planned:
        if item.target is not None and not item.problem:
            check_writable(item.target)
            return


def metre_of(text: str | None) -> tuple[int, int] | None:
    """3/4 as (3, 4). Raises UsageError for what is none."""
    above, _, below = (text or "").partition("/")
    if text is not None and not (above.isdecimal() and below.isdecimal()):
        raise UsageError(f"--metre {text}: two whole numbers, such as 3/4")
    return (int(above), int(below)) if text is not None else None


def bars_of(found: "Quantised") -> dict[str, Any]:
    """Tempo and metre of a sheet, as JSON says them: its first ones, and how they came about."""
    first = found.sheet.metres[0]
    return {
        "tempo": found.sheet.tempi[0].bpm,
        "tempo_is": found.tempo,
        "metre": f"{first.numerator}/{first.denominator}",
        "metre_is": found.metre,
    }


def line_of(bars: dict[str, Any]) -> str:
    """The same in a line."""
    return f"tempo {bars['tempo']:.4g} {bars['tempo_is']}, {bars['metre']} {bars['metre_is']}"
