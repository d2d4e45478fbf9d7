"""`solfa train`: run a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from solfa.cli import report
from solfa.cli.report import Flag


def train(
    recipe: str,
    /,
    *fields: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    resume: Flag = False,
    dry_run: Flag = False,
    quiet: Flag = False,
) -> int:
    """Train a model by a recipe.

    A recipe is a Python file with a function that returns a configuration; naming one runs it, so name only files that
    you trust (nothing is ever fetched). Every field of the configuration can be replaced: --train.steps 100,
    or shorter where no other field has that name: --steps 100. --dry-run prints all fields with their values.
    Under torchrun the run is shared by its processes:
    torchrun --nproc-per-node 4 -m solfa train codec_24khz.

    Example:

        solfa train codec_tiny -o runs/tiny --steps 200 --learning-rate 1e-3

    Parameters
    ----------
    recipe
        A .py file, file.py:function, or the short name of a bundled recipe (also name:function).
    out
        The run's folder: states, metrics, evaluations, and the trained model in its model/ (default: runs/NAME).
    resume
        Go on from the last saved state; the options are those of the start, given again. Starts the run if nothing was saved.
    dry_run
        Print the resolved configuration as JSON and stop.
    quiet
        No progress.
    """
    from solfa.train import load_recipe
    from solfa.train import train as run_training
    from solfa.train.recipe import find_recipe
    from solfa.train.record import plain

    try:
        loaded = load_recipe(recipe, fields)
    except ValueError as error:
        raise report.UsageError(str(error)) from error
    if dry_run:
        report.print_json(plain(loaded))
        return report.DONE
    path, function = find_recipe(recipe)
    name = path.stem if function is None else f"{path.stem}-{function}"
    result = run_training(loaded.task, loaded.train, out or Path("runs") / name, resume=resume, quiet=quiet)
    if os.environ.get("RANK", "0") == "0":  # torchrun's other processes have nothing to add
        report.say(f"{result.reason} at step {result.step} after {result.seconds:.0f} s: {result.run}")
    return {"SIGINT": 130, "SIGTERM": 143}.get(result.reason, report.DONE)
