"""Recordings and what is said of them, as people keep them: a folder with sidecars, a table, a manifest.

song.wav + song.txt          one caption a line
song.wav + song.json         {"description": "...", "key": "C major", "bpm": 120, "moods": ["calm"], ...}
metadata.csv                 file_name,caption,bpm      (also .tsv; the first line names the columns)
manifest.jsonl               {"audio": "song.wav", "text": "..."}     (also file_name, file, filename or path)
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solfa.data.manifest import NAME, ManifestError, read_lines, read_manifest
from solfa.train.captions import Said, said_of

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".w64", ".rf64", ".au", ".caf")
TABLES = (
    NAME,
    "metadata.jsonl",
    "metadata.csv",
    "metadata.tsv",
    "captions.csv",
    "captions.tsv",
)  # looked for in a folder, in this order
AUDIO = ("audio", "file_name", "file", "filename", "path")
LONGEST_SIDECAR = 1 << 20  # bytes
HELD_OUT = ("valid", "validation", "val", "dev", "test")


@dataclass(frozen=True)
class Recording:
    """A sound file and what is said of it. `split` is "" where nothing says which it is of. `codes`: a token file that is there already."""

    audio: Path
    said: Said = Said()  # noqa: RUF009  (frozen)
    split: str = ""
    codes: Path | None = None

    @property
    def held_out(self) -> bool:
        return self.split in HELD_OUT


def find_recordings(place: str | Path, instruments: bool = False) -> list[Recording]:
    """The recordings of a folder (searched through; its table is read where it has one), a table (.csv, .tsv) or a manifest (.jsonl).

    In a folder without a table every sound file counts, and its sidecars `.txt` and `.json` say what is said of it. Paths in a table are
    relative to it. Codes in a folder `codes` beside a manifest, as `solfa encode` names them, are taken as they are.
    Raises ValueError where there is no such place, nothing in it, or a table or sidecar cannot be read.
    """
    place = Path(place)
    if place.is_dir():
        tables = [place / name for name in TABLES if (place / name).is_file()]
        found = _in_table(tables[0], instruments) if tables else list(_in_folder(place, instruments))
    elif place.is_file() and place.suffix.lower() in (".csv", ".tsv", ".jsonl"):
        found = _in_table(place, instruments)
    elif place.exists():
        raise ValueError(f"{place}: it must be a folder, a table (.csv, .tsv) or a manifest (.jsonl)")
    else:
        raise ValueError(f"{place}: no such file or folder")
    if not found:
        raise ValueError(f"{place}: no recordings; sound files end in {', '.join(SUFFIXES)}")
    return found


def _in_folder(folder: Path, instruments: bool) -> Iterator[Recording]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield Recording(path, _sidecars(path, instruments))


def _sidecars(path: Path, instruments: bool) -> Said:
    """What the files of the same name say: the lines of `.txt`, the fields of `.json`; of both where there are both."""
    fields: dict[str, Any] = {}
    text, data = path.with_suffix(".txt"), path.with_suffix(".json")
    if data.is_file():
        try:
            found = json.loads(_small(data))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{data}: not JSON ({error})") from error
        if not isinstance(found, dict):
            raise ValueError(f"{data}: a JSON object is needed, with fields such as description, key, bpm")
        fields = found
    said = said_of(fields, instruments)
    lines = tuple(line.strip() for line in _small(text).splitlines() if line.strip()) if text.is_file() else ()
    return Said((*lines, *said.texts), said.attributes)


def _small(path: Path) -> str:
    if path.stat().st_size > LONGEST_SIDECAR:
        raise ValueError(f"{path}: longer than {LONGEST_SIDECAR} bytes, which no caption is")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error.reason})") from error


def codes_beside(home: Path, audio: Sequence[str]) -> list[Path | None]:
    """The token file in `home`/codes of each of these sound files, where it is there: as `solfa encode` names it.

    It is named by the file's stem. Where two files share one it says nothing of either, and they are encoded.
    """
    stems = [Path(name).stem for name in audio]
    often = Counter(stems)
    paths = [home / "codes" / f"{stem}.solfa" for stem in stems]
    return [path if often[path.stem] == 1 and path.is_file() else None for path in paths]


def _in_table(path: Path, instruments: bool) -> list[Recording]:
    rows, audio = [], []
    for where, row in _rows(path):
        names = [row[name] for name in AUDIO if isinstance(row.get(name), str) and row[name]]
        if not names:
            raise ValueError(f"{where}: no sound file is named; one of {', '.join(AUDIO)} is needed")
        rows.append(row)
        audio.append(names[0])
    codes = codes_beside(path.parent, audio) if path.suffix == ".jsonl" else [None] * len(audio)
    return [
        Recording(
            path.parent / name,
            said_of(row, instruments),
            split.strip().lower() if isinstance(split := row.get("split"), str) else "",
            there,
        )
        for row, name, there in zip(rows, audio, codes, strict=True)
    ]


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each row stands, and its fields."""
    if path.name == NAME:
        for entry in read_manifest(path):
            yield f"{path}, {entry.id}", {**entry.extra, **entry.to_dict(), "split": entry.split}
    elif path.suffix.lower() == ".jsonl":
        for number, row in read_lines(path):
            if not isinstance(row, dict):
                raise ManifestError(f"{path}, line {number}: not a JSON object")
            yield f"{path}, line {number}", row
    else:
        yield from _table_rows(path)


def _table_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            for row in reader:
                if None in row:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: more values than columns; put quotes around commas"
                    )
                yield (
                    f"{path}, line {reader.line_num}",
                    {(k or "").strip().lower(): _value(v or "") for k, v in row.items()},
                )
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error.reason})") from error
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from error


def _value(text: str) -> Any:
    """A number of a table without its needless zeros (120.0 is told as 120); other text as it is."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and "." in text else text
