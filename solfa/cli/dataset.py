"""`solfa dataset`: what a downloaded dataset of recordings with notes holds, and a manifest of it."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from solfa.cli import report

if TYPE_CHECKING:
    from solfa.data.manifest import Entry


def dataset(folder: Path, /, *, name: str | None = None, out: report.OutPath = None, json: report.Flag = False) -> int:
    """Published datasets of recordings with notes: what a download holds

    MAESTRO, MAPS, MusicNet, Slakh2100, URMP and GuitarSet, in the layout that they are published in. Counts the recordings of each split,
    names those whose files are missing or cannot be read, and writes a manifest where -o says so; no sound is copied or opened.
    Training reads a dataset without it: solfa train transcriber --task.train maestro:/data/maestro-v3.0.0

    Example:
        solfa dataset /data/maestro-v3.0.0
        solfa dataset /data --name urmp -o urmp.jsonl

    Parameters
    ----------
    folder
        The folder of the dataset, or the one that it lies in.
    name
        maestro, maps, musicnet, slakh, urmp or guitarset; found by the layout where it is not named.
    out
        The manifest to write (.jsonl); its paths are relative to its folder.
    json
        One JSON object on stdout.
    """
    from solfa.data.manifest import write_manifest
    from solfa.data.readers import DATASETS, find_dataset, read_dataset

    if name is not None and name not in DATASETS:
        raise report.UsageError(f"--name {name}: there are {', '.join(DATASETS)}")
    if out is not None and out.suffix.lower() != ".jsonl":
        raise report.UsageError(f"-o {out}: a manifest is named .jsonl")
    found = name or find_dataset(folder)
    if found is None:
        raise ValueError(f"{folder}: none of {', '.join(DATASETS)} in its published layout")
    bad: list[str] = []
    splits: Counter[str] = Counter()
    entries: list[Entry] = []
    for entry in read_dataset(found, folder, bad):
        splits[entry.split] += 1
        if out is not None:
            entries.append(_moved(entry, folder, out.parent))
    for why in bad:
        report.say(why)
    if out is not None:
        write_manifest(out, entries)
    if json:
        report.print_json({"dataset": found, "splits": splits, "left_out": bad})
    else:
        report.print_table(
            [{"dataset": found, "split": split, "recordings": splits[split]} for split in sorted(splits)]
        )
    return report.FAILED if bad or not splits else report.DONE


def _moved(entry: "Entry", folder: Path, home: Path) -> "Entry":
    """The entry with paths relative to another folder."""

    def moved(path: str) -> str:
        return Path(os.path.relpath(folder / path, home)).as_posix()

    notes = moved(entry.notes) if isinstance(entry.notes, str) else entry.notes
    return replace(entry, audio=moved(entry.audio), notes=notes)
