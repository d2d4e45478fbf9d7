"""What `encode`, `decode` and `transcribe` share: many files in, one file out for each, in parallel, and a word on every failure."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from solfa.cli.inputs import Input, expand, with_targets
from solfa.cli.jobs import check_jobs, run_jobs
from solfa.cli.report import DONE, FAILED, fail, out, say
from solfa.progress import Bar


def plan(arguments: Sequence[str], *, into: Path | None, reads: Sequence[str], writes: Sequence[str]) -> list[Input]:
    """The files that the arguments name, each with its target or its problem."""
    return with_targets(expand(arguments, reads), into, writes)


def _told(item: Input, remark: str) -> None:
    out(f"{item.path} -> {item.target}  {remark}")


def convert(
    label: str,
    planned: Sequence[Input],
    work: Callable[[Input], Any],
    *,
    overwrite: bool,
    jobs: int,
    tell: Callable[[Input, Any], None] = _told,
) -> int:
    """Runs `work`, which writes an input's target and gives a remark, on each input; returns the exit code.

    Lines come in the order of the inputs: `source -> target  remark` on stdout (or what `tell` makes of a result),
    `source: reason` on stderr. A target that is there is left alone, and said so, unless `overwrite`.
    """
    check_jobs(jobs)
    failed = skipped = 0
    ready = []
    for item in planned:
        if item.problem:
            failed += 1
            fail(str(item.path), item.problem)
        elif item.target is not None and item.target.exists() and not overwrite:
            skipped += 1
            say(f"{item.path}: skipped, {item.target} is there (--overwrite replaces it, -o writes elsewhere)")
        else:
            ready.append(item)
    with Bar(label, len(ready)) as bar:
        for outcome in run_jobs(_Job(work), ready, jobs=jobs):
            bar.advance(1, detail=outcome.item.path.name)
            if outcome.error is None:
                tell(outcome.item, outcome.result)
            else:
                failed += 1
                fail(str(outcome.item.path), outcome.error)
    if len(planned) > 1:
        say(f"{len(planned) - failed - skipped} done, {failed} failed, {skipped} skipped")
    return FAILED if failed else DONE


class _Job:
    """`work`, once the target's folder is there. (A class, as a closure does not travel to another process.)"""

    def __init__(self, work: Callable[[Input], Any]) -> None:
        self.work = work

    def __call__(self, item: Input) -> Any:
        assert item.target is not None
        item.target.parent.mkdir(parents=True, exist_ok=True)
        return self.work(item)
