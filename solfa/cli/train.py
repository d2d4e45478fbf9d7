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
        Go on from the last saved state, with the options of the start; some can be given anew, as --steps. Starts the run
        if there is none.
    dry_run
        Print the resolved configuration as JSON and stop.
    quiet
        No progress.
    """
    from solfa.train import Recipe, load_recipe
    from solfa.train import train as run_training
    from solfa.train.override import override
    from solfa.train.recipe import find_recipe
    from solfa.train.record import begun, differences, plain

    leads = os.environ.get("RANK", "0") == "0"  # torchrun's other processes have nothing to say
    try:
        asked = load_recipe(recipe)
        loaded = override(asked, fields)
    except ValueError as error:
        raise report.UsageError(str(error)) from error
    path, function = find_recipe(recipe)
    run = out or Path("runs") / (path.stem if function is None else f"{path.stem}-{function}")
    if resume:
        wanted, loaded = loaded, override(Recipe(*begun(run, asked.task, asked.train)), fields)
        others = [f"{name}: {change}" for name, change in differences(plain(wanted), plain(loaded)).items()]
        if others and leads and not quiet:
            report.say(f"{run}: goes on as it was begun, which is not as the recipe is: {'; '.join(others)}")
    if dry_run:
        report.print_json(plain(loaded))
        return report.DONE
    result = run_training(loaded.task, loaded.train, run, resume=resume, quiet=quiet)
    if leads:
        report.say(f"{result.reason} at step {result.step} after {result.seconds:.0f} s: {result.run}")
    return {"SIGINT": 130, "SIGTERM": 143}.get(result.reason, report.DONE)
