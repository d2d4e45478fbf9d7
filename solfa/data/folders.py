"""Files in a folder that is searched through: in one order, whoever looks, and with a warning of what looks like sound and is left out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from solfa.data.tables import SUFFIXES, UNREAD

_WITH_AV = 'of a format that is read with pip install "solfa[av]" only'


def sound_files(folder: Path) -> list[Path]:
    """The sound files of a folder and those below it, by their names' ends. Warns of formats that are not read; see `files_in`."""
    return files_in(folder, SUFFIXES, UNREAD)


def sound_among(paths: Iterable[Path]) -> list[Path]:
    """Those of files that are sound by their names' ends, in their order. Warns of formats that are not read."""
    paths = list(paths)
    _warn_of([path for path in paths if path.name.lower().endswith(UNREAD)], _WITH_AV)
    return [path for path in paths if path.name.lower().endswith(SUFFIXES)]


def files_in(folder: Path, suffixes: Sequence[str], unread: Sequence[str] = ()) -> list[Path]:
    """The files of a folder and those below it whose names end so, in small letters or large; hidden ones are left out.

    They are in the order of their paths, part by part, in bytes: from a folder and from its store, training draws the same. Warns of
    links to folders, which are not followed, and of files that end in `unread`. Raises ValueError for a folder that cannot be read.
    """
    found, links, others = [], [], []
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += [path for name in folders if (path := Path(parent, name)).is_symlink()]
        shown = [Path(parent, name) for name in files if not name.startswith(".")]
        found += [path for path in shown if path.name.lower().endswith(tuple(suffixes))]
        others += [path for path in shown if path.name.lower().endswith(tuple(unread))]
    _warn_of(links, "behind a link to another folder, which is not searched: name that folder too")
    _warn_of(others, _WITH_AV)
    return sorted(found, key=by_parts)


def by_parts(path: Path) -> list[bytes]:
    """What puts paths in the order of a folder that is searched through."""
    return [os.fsencode(part) for part in path.parts]


def _unreadable(error: OSError) -> None:
    raise ValueError(f"{error.filename}: this folder cannot be read ({error.strerror})") from error


def _warn_of(paths: Sequence[Path], what: str) -> None:
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        warnings.warn(f"{min(paths)}{more}: left out, {what}", stacklevel=4)
