"""MAESTRO (Hawthorne et al. 2019, arXiv 1810.12247), version 3; 1 and 2 have the same columns.

    maestro-v3.0.0.csv     canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration
    maestro-v3.0.0.json    the same, an object of columns, each an object of rows (of version 1 and 2: a list of rows)
    2004/MIDI-....wav      2004/MIDI-....midi

One piano, pedals and real velocities; the splits are the published ones: train, validation, test. The MIDI files are named, not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from solfa.data.manifest import Entry
from solfa.data.readers.rows import Found, Row, attempt, inside, read_json, seconds, table

SPLITS = ("train", "validation", "test")
COLUMNS = (
    "canonical_composer",
    "canonical_title",
    "split",
    "year",
    "midi_filename",
    "audio_filename",
    "duration",
)


def is_here(folder: Path) -> bool:
    return bool(_tables(folder))


def read(folder: Path) -> Iterator[Found]:
    """A recording for each row of the newest version's table: the CSV file or, without one, the JSON file."""
    path = _tables(folder)[-1]
    rows = table(path, COLUMNS) if path.suffix == ".csv" else _json_rows(path)
    for row in rows:
        yield attempt(_entry, folder, row)


def _tables(folder: Path) -> list[Path]:
    found = [path for suffix in ("csv", "json") for path in folder.glob(f"maestro-v*.{suffix}") if path.is_file()]
    return sorted(found, key=lambda path: (path.stem, path.suffix == ".csv"))


def _entry(folder: Path, row: Row) -> Entry:
    if row["split"] not in SPLITS:
        raise ValueError(f"{row.where}: split {row['split'][:40]!r}: legal are {', '.join(SPLITS)}")
    audio = inside(folder, row["audio_filename"], row.where)
    midi = inside(folder, row["midi_filename"], row.where)
    return Entry(
        id="-".join(Path(row["audio_filename"]).with_suffix("").parts),
        audio=str(audio),
        notes=str(midi),
        split=row["split"],
        seconds=seconds(row, "duration"),
        attributes={
            "composer": row["canonical_composer"],
            "title": row["canonical_title"],
            "year": row.whole("year", 1900, 2100),
            "instruments": [{"program": 0, "is_drum": False}],
        },
    )


def _json_rows(path: Path) -> Iterator[Row]:
    """The rows of the JSON file; `where` counts them, from 0 as the file does."""
    for name, row in _records(path, read_json(path)):
        values = [row[column] for column in COLUMNS if column in row]
        yield Row(f"{path}, row {name}", COLUMNS, [str(value) for value in values])


def _records(path: Path, data: Any) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(data, list):
        if not all(isinstance(row, dict) for row in data):
            raise ValueError(f"{path}: a list whose rows are not all objects")
        return [(str(number), row) for number, row in enumerate(data)]
    columns: dict[str, Any] = {name: data.get(name) for name in COLUMNS} if isinstance(data, dict) else {}
    if not columns or not all(isinstance(column, dict) for column in columns.values()):
        raise ValueError(f"{path}: neither a list of rows nor an object of the columns {', '.join(COLUMNS)}")
    return [
        (row, {name: column[row] for name, column in columns.items() if row in column})
        for row in columns["audio_filename"]
    ]
