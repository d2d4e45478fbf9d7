"""Published datasets of recordings with notes, as manifest entries: nothing is copied, and each recording is read as it is asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from solfa.data.manifest import Entry
from solfa.data.readers import guitarset, maestro, maps, musicnet, slakh, urmp
from solfa.data.readers.rows import Found

NAMED = 5  # complaints that a warning names


@dataclass(frozen=True)
class Dataset:
    """is_here: whether a folder is the dataset's own. read: its recordings, and what is wrong with others; paths begin with the folder's.

    velocities: whether its notes say how loud they are; where they do not, all have the velocity 80.
    """

    is_here: Callable[[Path], bool]
    read: Callable[[Path], Iterator[Found]]
    velocities: bool = False


DATASETS = {
    "maestro": Dataset(maestro.is_here, maestro.read, velocities=True),
    "maps": Dataset(maps.is_here, maps.read),
    "musicnet": Dataset(musicnet.is_here, musicnet.read),
    "slakh": Dataset(slakh.is_here, slakh.read, velocities=True),
    "urmp": Dataset(urmp.is_here, urmp.read),
    "guitarset": Dataset(guitarset.is_here, guitarset.read),
}


def find_dataset(folder: str | os.PathLike[str]) -> str | None:
    """The name of the dataset that a folder is, by its layout, or that a folder directly below it is; None where it is none of them.

    Raises ValueError where it holds several.
    """
    place = Path(folder)
    for places in ([place], _below(place)):
        names = [name for name, dataset in DATASETS.items() if any(map(dataset.is_here, places))]
        if len(names) > 1:
            raise ValueError(f"{folder}: holds {' and '.join(names)}: name one of them, or its own folder")
        if names:
            return names[0]
    return None


def read_dataset(name: str, folder: str | os.PathLike[str], bad: list[str] | None = None) -> Iterator[Entry]:
    """The recordings of a dataset in its published layout, one by one; what each dataset's splits and notes are stands in its module.

    folder: the dataset's own, or the one that it lies in. Ids begin with the name, and `audio` and MIDI paths are relative to `folder`, as
    in a manifest there. `extra` says {"dataset": name, "velocities": whether the notes say how loud they are}. The split is that which is
    usual: "train", "validation" or "test", or "overlap" and "omitted" for recordings whose music is in another split too.

    A recording whose files are missing or cannot be read is left out whole, for sound without its notes teaches silence. Why, with file and
    line, goes to the list `bad`; without one it is said in a warning at the end. Sound is not opened: whether it can be is seen later.
    Raises ValueError for another name and where the folder does not hold the dataset; while reading, for a table of all recordings that
    cannot be read.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset {name!r}: there are {', '.join(DATASETS)}")
    place = Path(folder)
    is_here = DATASETS[name].is_here
    homes = [place] if is_here(place) else [each for each in _below(place) if is_here(each)]
    if len(homes) != 1:
        many = f"holds it {len(homes)} times, in {', '.join(home.name for home in homes)}"
        raise ValueError(f"{folder}: {many if homes else f'not {name} in its published layout'}")
    return _entries(name, place, homes[0], bad)


def _entries(name: str, place: Path, home: Path, bad: list[str] | None) -> Iterator[Entry]:
    complaints: list[str] = [] if bad is None else bad
    seen: set[str] = set()
    extra = {"dataset": name, "velocities": DATASETS[name].velocities}
    for found in DATASETS[name].read(home):
        if isinstance(found, Entry) and found.id in seen:
            complaints.append(f"{found.audio}: there is another {found.id}")
        elif isinstance(found, Entry):
            seen.add(found.id)
            notes = _relative(found.notes, place) if isinstance(found.notes, str) else found.notes
            yield replace(
                found, id=f"{name}-{found.id}", audio=_relative(found.audio, place), notes=notes, extra=dict(extra)
            )
        else:
            complaints.append(str(found))
    if bad is None and complaints:
        more = f"; and {len(complaints) - NAMED} more" if len(complaints) > NAMED else ""
        said = f"{place}: {len(seen)} recordings of {name}; left out: {'; '.join(complaints[:NAMED])}{more}"
        warnings.warn(said, stacklevel=2)


def _relative(path: str, place: Path) -> str:
    return Path(path).relative_to(place).as_posix()


def _below(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return sorted(each for each in place.iterdir() if each.is_dir() and not each.name.startswith("."))
