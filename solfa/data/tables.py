"""Recordings and what is said of them, as people keep them: tables, manifests, files beside the sound.

song.wav + song.txt          one caption a line
song.wav + song.json         {"description": "...", "key": "C major", "bpm": 120, "moods": ["calm"], ...}
metadata.csv                 file_name,caption,bpm      (also .tsv; the first line names the columns)
manifest.jsonl               {"audio": "song.wav", "text": "..."}     (also file_name, file, filename or path)
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from solfa import strict_json
from solfa.audio import media
from solfa.data.manifest import NAME, Entry, ManifestError, read_lines, read_rows

PLAIN = (  # what libsndfile reads
    *(".wav", ".wave", ".bwf", ".w64", ".rf64", ".flac", ".mp3", ".ogg", ".oga", ".opus"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
)
SUFFIXES = (*PLAIN, *(media.SUFFIXES if media.is_installed() else ()))
UNREAD = () if media.is_installed() else media.SUFFIXES  # looks like sound that would be read with the extra `av`
TABLES = (
    NAME,
    "metadata.jsonl",
    "metadata.csv",
    "metadata.tsv",
    "captions.csv",
    "captions.tsv",
)  # looked for in a folder, in this order
AUDIO = ("audio", "file_name", "file", "filename", "path")  # fields that name the sound, the first that is there
CAPTIONS = ("text", "description", "caption", "prompt")  # fields that hold one caption
LISTS = ("captions", "descriptions", "texts")  # fields that hold several
_TEXT = {*AUDIO, *CAPTIONS, *LISTS, "id", "split", "notes"}  # columns of text, though it may look like a number
_NOT_ATTRIBUTES = {*_TEXT, "velocities", "attributes", "seconds"}
LONGEST_SIDECAR = 1 << 20  # bytes


def table_in(folder: Path) -> Path | None:
    """The table of a folder; None where it has none."""
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def rows(path: Path, filled: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each row of a table (.csv, .tsv) or manifest (.jsonl) stands, and its fields. Raises ValueError for what is none.

    filled: a row of manifest.jsonl that names no split is of train.
    """
    if path.name == NAME:
        for row, entry in read_rows(path):
            yield f"{path}, {entry.id}", {**row, "split": entry.split} if filled else row
    elif path.suffix.lower() == ".jsonl":
        for number, row in read_lines(path):
            if not isinstance(row, dict):
                raise ManifestError(f"{path}, line {number}: not a JSON object")
            yield f"{path}, line {number}", row
    else:
        yield from _table_rows(path)


def is_entry(row: Mapping[str, Any], table: Path) -> bool:
    """Whether a row is one as in manifest.jsonl: its id names the recording, and what is not known of its fields is no attribute."""
    return {"id", "audio"} <= row.keys() and table.suffix.lower() == ".jsonl"


def audio_of(where: str, row: Mapping[str, Any]) -> str:
    """The sound file that a row names. Raises ValueError, saying where, if it names none."""
    for name in AUDIO:
        if isinstance(row.get(name), str) and row[name]:
            return row[name]
    raise ValueError(f"{where}: no sound file is named; one of {', '.join(AUDIO)} is needed")


def texts_of(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The captions among fields: text, description, caption, prompt, or a list named captions, descriptions, texts."""
    found = [fields.get(name) for name in CAPTIONS]
    for name in LISTS:
        value = fields.get(name)
        found += list(value) if isinstance(value, list | tuple) else [value]
    return tuple(text.strip() for text in found if isinstance(text, str) and text.strip())


def attributes_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes among fields: all that are not blank and mean nothing else, and those in an object named attributes."""
    nested = fields.get("attributes")
    others = {name: value for name, value in fields.items() if name not in _NOT_ATTRIBUTES and value not in (None, "")}
    return {**others, **(nested if isinstance(nested, Mapping) else {})}


def said_in(entry: Entry) -> dict[str, Any]:
    """What an entry says of its recording: texts, attributes, velocities, and as extra all that has no place of its own."""
    facts = {"seconds": entry.seconds, "soundfont": entry.soundfont, "renderer": entry.renderer}
    others = {name: value for name, value in entry.extra.items() if name not in (*CAPTIONS, *LISTS, "velocities")}
    return {
        "texts": (*texts_of({"text": entry.text}), *texts_of(entry.extra)),
        "attributes": dict(entry.attributes),
        "velocities": velocities_of(entry.extra),
        "extra": {**{name: value for name, value in facts.items() if value is not None}, **others},
    }


def split_of(fields: Mapping[str, Any]) -> str:
    """The split that fields name, in small letters; "" where they name none."""
    split = fields.get("split")
    return split.strip().lower() if isinstance(split, str) else ""


def told_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What fields say of a recording, as `texts`, `attributes` and `split`."""
    return {"texts": texts_of(fields), "attributes": attributes_of(fields), "split": split_of(fields)}


def united(name: str, told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several rows say of one recording, each as of `told_of`: the captions of all, of the rest what is said first.

    Raises ValueError, with the recording's name, where they are of two splits: that may not be left to chance.
    """
    splits = list(dict.fromkeys(row["split"] for row in told if row["split"]))
    if len(splits) > 1:
        raise ValueError(f"{name}: it is named twice, once for {splits[0]} and once for {splits[1]}")
    texts = tuple(dict.fromkeys(text for row in told for text in row["texts"]))
    attributes = {key: value for row in reversed(told) for key, value in row["attributes"].items()}
    return {"texts": texts, "attributes": attributes, "split": "".join(splits)}


def velocities_of(fields: Mapping[str, Any]) -> bool:
    """Whether the velocities of a recording's notes are known."""
    return fields.get("velocities") not in (False, "false", "no")


def sidecars(path: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """What the files of the same name as a sound file say: the lines of `.txt`, the fields of `.json`. Raises ValueError for bad ones."""
    fields: dict[str, Any] = {}
    text, data = path.with_suffix(".txt"), path.with_suffix(".json")
    if data.is_file():
        try:
            found = strict_json.loads(_small(data))
        except ValueError as error:
            raise ValueError(f"{data}: not JSON ({error})") from error
        if not isinstance(found, dict):
            raise ValueError(f"{data}: a JSON object is needed, with fields such as description, key, bpm")
        fields = found
    lines = tuple(line.strip() for line in _small(text).splitlines() if line.strip()) if text.is_file() else ()
    return lines, fields


def _small(path: Path) -> str:
    if path.stat().st_size > LONGEST_SIDECAR:
        raise ValueError(f"{path}: longer than {LONGEST_SIDECAR} bytes, which no caption is")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error.reason})") from error


def _table_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader: csv.DictReader[str] | None = None
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            for row in reader:
                if None in row:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: more values than columns; put quotes around commas"
                    )
                named = {(k or "").strip().lower(): (v or "").strip() for k, v in row.items()}
                yield f"{path}, line {reader.line_num}", {k: v if k in _TEXT else _value(v) for k, v in named.items()}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error.reason})") from error
    except csv.Error as error:  # strict: else a stray quote would take all rows up to the next one for its own
        line = f", line {reader.line_num + 1}" if reader else ""
        raise ValueError(
            f"{path}{line}: {error}; a value with quotes in it is put in quotes, its own doubled"
        ) from error


def _value(text: str) -> Any:
    """A number of a table without its needless zeros (120.0 is told as 120); other text as it is."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) and "." in text else text
