"""Which files of two places belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from solfa.cli import report
from solfa.cli.inputs import expand

Reference = TypeVar("Reference")


@dataclass(frozen=True)
class Pairs(Generic[Reference]):
    """Name, reference and estimate of each item, and the files that have no partner."""

    both: list[tuple[str, Reference, Path]]
    alone: list[Path]

    def tell(self) -> None:
        """Says which files are left out."""
        for path in self.alone:
            report.fail(str(path), "no file of this name on the other side")


def pair_files(reference: Path, estimate: Path, suffixes: Sequence[str]) -> Pairs[Path]:
    """Two files, or the files of two folders that have the same name and place, whatever their suffix of those.

    Raises UsageError for what is not there and for one of each, ValueError for a folder that holds none, or two of one name.
    """
    for path in (reference, estimate):
        if not path.exists():
            raise report.UsageError(f"{path}: no such file or folder")
    if reference.is_dir() != estimate.is_dir():
        raise report.UsageError(f"{reference}, {estimate}: two files or two folders are compared, not one of each")
    if not reference.is_dir():
        return Pairs([(reference.stem, reference, estimate)], [])
    wanted, found = files_by_name(reference, suffixes), files_by_name(estimate, suffixes)
    alone = [
        path for own, other in ((wanted, found), (found, wanted)) for name, path in own.items() if name not in other
    ]
    return Pairs(shared(wanted, found), alone)


def shared(wanted: Mapping[str, Reference], found: Mapping[str, Path]) -> list[tuple[str, Reference, Path]]:
    """Name, reference and estimate of what has a name on both sides."""
    return [(name, reference, found[name]) for name, reference in wanted.items() if name in found]


def files_by_name(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """The files of a folder by their place in it, without suffix. Raises ValueError where there is none, or two of one name."""
    found: dict[str, Path] = {}
    for item in expand([str(folder)], suffixes):
        if item.problem:
            raise ValueError(f"{item.path}: {item.problem}")
        name = item.relative.with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{item.path} and {found[name]} have the same name: which is meant?")
        found[name] = item.path
    return found
