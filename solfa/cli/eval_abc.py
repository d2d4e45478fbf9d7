"""`solfa eval abc`: how near tunes in ABC are to the true ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from solfa.cli import report
from solfa.cli.eval_report import Html, show
from solfa.cli.pairs import pair_files

if TYPE_CHECKING:
    from solfa.eval.evaluation import Evaluation

SUFFIXES = (".abc",)


def abc(
    reference: Path,
    estimate: Path,
    *,
    against: Path | None = None,
    ci: report.Flag = False,
    json: report.Flag = False,
    html: Html = None,
) -> int:
    """How near tunes in ABC are to the true ones: a file against its reference, or a folder against a folder

    Losses from 0 (equal) to 1: pitch (Levenshtein's distance of the pitches of paired voices), metre, tempo and instrument, and loss, their
    sum with the weights 0.5, 0.15, 0.15 and 0.2; docs/transcription-measures.md defines them. Rhythm is in none: see `solfa eval
    transcription`, which reads ABC too. Of a file with several tunes the first counts.

    An estimate that cannot be read has all losses 1, and the report says why; a reference that cannot be read is not scored. In folders
    files belong together that have the same name and place; one without a partner is named and not scored. In each case the command ends
    with 1.

    Example:
        solfa eval abc truth.abc heard.abc
        solfa eval abc truth/ heard/ --against before/ --ci

    Parameters
    ----------
    reference
        The true tunes: a file or a folder.
    estimate
        The tunes to be judged: a file or a folder.
    against
        Another system's tunes of the same references, to be compared: a file or a folder.
    ci
        Means with 95 % bootstrap intervals over the tunes.
    json
        One JSON document on stdout.
    """
    first, complete = _evaluated(reference, estimate)
    other = None
    if against is not None:
        other, also = _evaluated(reference, against)
        complete = complete and also
    if first.items or json:
        show(first, against=other, ci=ci, json=json, html=html)
    return report.DONE if complete else report.FAILED


def _evaluated(reference: Path, estimate: Path) -> tuple[Evaluation, bool]:
    """The losses of one system, and whether every file could be read and compared."""
    from solfa.data.composer.instruments import INSTRUMENTS
    from solfa.eval.abc import MEASURES, UNREADABLE, abc_losses, check_length
    from solfa.eval.evaluation import Evaluation, Item
    from solfa.score.write import read_abc_file

    names = [instrument.name for instrument in INSTRUMENTS]
    pairs = pair_files(reference, estimate, SUFFIXES)
    pairs.tell()
    items, failed, unreadable = [], [], []
    for name, wanted, found in pairs.both:
        try:
            truth = read_abc_file(wanted)
            check_length(truth)
        except (ValueError, OSError) as error:
            failed.append(name)
            report.fail(str(wanted), error)
            continue
        try:
            losses = abc_losses(truth, read_abc_file(found), names)
        except OSError as error:
            failed.append(name)
            report.fail(str(found), error)
            continue
        except ValueError as error:
            losses = UNREADABLE
            why = report.reason(error).removeprefix(f"{found}: ")
            unreadable.append({"item": name, "reason": why})
            report.say(f"{found}: {why}: every loss is 1")
        values = {"loss": losses.loss, **vars(losses)}
        items.append(Item(name, values, {"reference": wanted, "estimate": found}))
    settings = {"reference": str(reference), "estimate": str(estimate)}
    tables = {"unreadable": unreadable} if unreadable else {}
    complete = not (failed or unreadable or pairs.alone)
    return Evaluation("abc", settings, MEASURES, items, tables, failed), complete
