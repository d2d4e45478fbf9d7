"""Recordings to train on, with what is said of them: of a folder with sidecars, a table, a manifest (see `solfa.data.tables`)."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from solfa.data.folders import sound_files
from solfa.data.tables import SUFFIXES, audio_of, is_entry, rows, sidecars, split_of, table_in, told_of, united
from solfa.train.captions import Said, said_of

TRAINED, VALIDATION = ("", "train"), ("valid", "validation", "val", "dev")  # splits
HELD_OUT = (*VALIDATION, "test")


@dataclass(frozen=True)
class Recording:
    """A sound file and what is said of it. `split` is "" where nothing says which it is of. `codes`: a token file that is there already."""

    audio: Path
    said: Said = Said()  # noqa: RUF009  (frozen)
    split: str = ""
    codes: Path | None = None


def validated_on(splits: Iterable[str]) -> tuple[str, ...]:
    """The splits of a place that a run is validated on. Its test set is none where it has others: what is chosen by the best result would
    be chosen by it."""
    return VALIDATION if any(split in VALIDATION for split in splits) else HELD_OUT


def say_strays(place: str | Path, splits: Iterable[str]) -> None:
    """Warn of recordings of splits that are neither trained on nor held out."""
    strays = [split for split in splits if split not in (*TRAINED, *HELD_OUT)]
    if strays:
        names = ", ".join(repr(name) for name in sorted(set(strays)))
        legal = ", ".join(("train", *HELD_OUT))
        warnings.warn(
            f"{place}: {len(strays)} recordings of the splits {names} are left out: known are {legal}", stacklevel=3
        )


def held_out_of(total: int, hold_out: int, most: int) -> tuple[set[int], set[int]]:
    """Of so many recordings those to train on, and those to validate on: every `hold_out`-th, at least one, at most `most`, evenly over
    all. One recording alone is both, and a warning says so."""
    if total == 1:
        warnings.warn("there is one recording: it is validated on, too, which tells little", stacklevel=3)
        return {0}, {0}
    held = evenly(total, min(max(1, total // hold_out), most))
    return set(range(total)) - held, held


def evenly(total: int, count: int) -> set[int]:
    """At most `count` of the numbers below `total`, evenly over all."""
    return {int((i + 0.5) * total / count) for i in range(count)} if count < total else set(range(total))


def find_recordings(place: str | Path, instruments: bool = False) -> list[Recording]:
    """The recordings of a folder (searched through; its table is read where it has one), a table (.csv, .tsv) or a manifest (.jsonl).

    In a folder without a table every sound file counts, and its sidecars `.txt` and `.json` say what is said of it. Paths in a table are
    relative to it, and rows of one sound file are one recording, as for `solfa tokenize`. Codes in a folder `codes` beside a manifest, as
    `solfa encode` names them, are taken as they are.
    Raises ValueError where there is no such place, nothing in it, or a table or sidecar cannot be read.
    """
    place = Path(place)
    if place.is_dir():
        table = table_in(place)
        found = _in_table(table, instruments) if table else [_beside(path, instruments) for path in sound_files(place)]
    elif place.is_file() and place.suffix.lower() in (".csv", ".tsv", ".jsonl"):
        found = _in_table(place, instruments)
    elif place.exists():
        raise ValueError(f"{place}: it must be a folder, a table (.csv, .tsv) or a manifest (.jsonl)")
    else:
        raise ValueError(f"{place}: no such file or folder")
    if not found:
        raise ValueError(f"{place}: no recordings; sound files end in {', '.join(SUFFIXES)}")
    return found


def _beside(path: Path, instruments: bool) -> Recording:
    """A file with what those of the same name say: the lines of `.txt`, the fields of `.json`; of both where there are both."""
    lines, fields = sidecars(path)
    said = said_of(fields, instruments)
    return Recording(path, replace(said, texts=(*lines, *said.texts)), split_of(fields))


def codes_beside(home: Path, audio: Sequence[str]) -> list[Path | None]:
    """The token file in `home`/codes of each of these sound files, where it is there: as `solfa encode` names it.

    It is named by the file's stem. Where two files share one it says nothing of either, and they are encoded.
    """
    stems = [Path(name).stem for name in audio]
    often = Counter(stems)
    paths = [home / "codes" / f"{stem}.solfa" for stem in stems]
    return [path if often[path.stem] == 1 and path.is_file() else None for path in paths]


def _in_table(path: Path, instruments: bool) -> list[Recording]:
    """Rows of one recording, a sound file or a manifest's id, are one."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    places: dict[tuple[str, str], str] = {}
    for where, row in rows(path):
        recording = (str(row["id"]) if is_entry(row, path) else "", audio_of(where, row))
        places.setdefault(recording, where)
        found.setdefault(recording, []).append(told_of(row))
    audio = [name for _, name in found]
    codes = codes_beside(path.parent, audio) if path.suffix == ".jsonl" else [None] * len(audio)
    recordings = []
    for (each, told), name, there in zip(found.items(), audio, codes, strict=True):
        what = united(f"{places[each]}: {name}", told)
        recordings.append(Recording(path.parent / name, said_of(what, instruments), what["split"], there))
    return recordings
