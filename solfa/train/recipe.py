"""Recipes: Python files with plain functions that return a `Recipe`, and overrides of its fields by dotted name.

A recipe file is the user's own program: loading it runs it. solfa loads recipes from disk only and never fetches one.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from solfa.train.config import TrainConfig
from solfa.train.override import override
from solfa.train.task import TaskConfig

BUNDLED = Path(__file__).resolve().parents[1] / "recipes"


Config = TypeVar("Config", bound=TaskConfig, covariant=True)


@dataclass(frozen=True)
class Recipe(Generic[Config]):
    """A task and how to train it."""

    task: Config
    train: TrainConfig = field(default_factory=TrainConfig)


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that `name` means, with fields replaced.

    `name` is a file, `file.py:function`, or the short name of a bundled recipe (also `name:function`). Where it names
    no function, the file's `recipe` is called, or else its first function.
    `overrides` are words of a command line: `["--train.steps", "100", "--batch=8"]`.
    Raises ValueError for an unknown recipe, function or field, and for values that do not fit a field.
    """
    path, function = find_recipe(name)
    module = _run_file(path)
    recipe = _guarded(path, _choose(module, path, function))
    if not isinstance(recipe, Recipe):
        raise ValueError(f"{path}: returned a {type(recipe).__name__}, not a Recipe")
    return override(recipe, overrides)


def bundled_recipes() -> dict[str, Path]:
    """Short name to file of the recipes that come with solfa."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.py")) if not path.stem.startswith("_")}


def find_recipe(name: str) -> tuple[Path, str | None]:
    """The file and, where `name` says one, the function."""
    match = re.fullmatch(r"(.+):([A-Za-z_]\w*)", name)
    place, function = (match[1], match[2]) if match and not Path(name).is_file() else (name, None)
    bundled = bundled_recipes()
    if place in bundled:
        return bundled[place], function
    if Path(place).is_file() and place.endswith(".py"):
        return Path(place), function
    raise ValueError(f"no recipe {place!r}: give a .py file, or one of {', '.join(bundled) or '(none is bundled)'}")


def _run_file(path: Path) -> ModuleType:
    name = f"solfa_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of the file look up their annotations there
    _guarded(path, lambda: spec.loader.exec_module(module))  # type: ignore[union-attr]
    return module


def _choose(module: ModuleType, path: Path, function: str | None) -> Callable[[], Any]:
    public = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    if function is None:
        function = "recipe" if "recipe" in public else next(iter(public), "recipe")
    if function not in public:
        raise ValueError(f"{path}: no function {function!r}; there are {', '.join(public) or 'none'}")
    return public[function]


def _guarded(path: Path, call: Callable[[], Any]) -> Any:
    """What the recipe's own code raises, as one line that says where."""
    try:
        return call()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path.resolve()]
        where = f"{path}:{lines[-1]}" if lines else str(path)
        raise ValueError(f"{where}: {type(error).__name__}: {error}") from error
