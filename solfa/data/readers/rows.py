"""What the readers of datasets share: tables with numbers that are checked, and files that are there.

Every complaint is a ValueError that names the file, and the line where there is one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solfa import strict_json
from solfa.data.manifest import Entry
from solfa.score.midi import MAX_SECONDS
from solfa.score.note import Note

MAX_BYTES = 64 << 20  # of one table; the longest published, of MusicNet, has about one
# The split of recordings whose music is in a held-out split too: they are neither trained on nor validated on.
OVERLAP = "overlap"
Found = Entry | ValueError  # a recording, or why it is left out


@dataclass(frozen=True)
class Row:
    """One line of a table. `where` names the file and the line."""

    where: str
    columns: Sequence[str]
    values: Sequence[str]

    def __getitem__(self, name: str) -> str:
        if len(self.values) != len(self.columns):
            raise ValueError(f"{self.where}: {len(self.values)} values for {len(self.columns)} columns")
        return self.values[self.columns.index(name)].strip()

    def number(self, name: str, low: float, high: float) -> float:
        """A number in [low, high]."""
        try:
            return in_range(float(self[name]), low, high)
        except ValueError as error:
            raise self._refused(name, f"{low:g} to {high:g}") from error

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        try:
            return int(in_range(int(self[name]), low, high))
        except ValueError as error:
            raise self._refused(name, f"{low} to {high}, whole") from error

    def _refused(self, name: str, legal: str) -> ValueError:
        return ValueError(f"{self.where}: {name} {self[name][:40]!r}: legal are {legal}")


def in_range(value: float, low: float, high: float) -> float:
    """The number itself. Raises ValueError outside [low, high], and so for NaN."""
    if not low <= value <= high:
        raise ValueError(f"{value}: legal are {low:g} to {high:g}")
    return value


def table(path: Path, needed: Sequence[str]) -> Iterator[Row]:
    """The lines of a CSV file that are not blank; its first line names the columns. Raises ValueError where one of `needed` is not among
    them, and for a file that is no text."""
    reader = csv.reader(io.StringIO(read_text(path)))
    columns: list[str] | None = None
    try:
        for values in reader:
            if not values:
                continue
            if columns is None:
                columns = [name.strip() for name in values]
                if missing := [name for name in needed if name not in columns]:
                    raise ValueError(f"{path}, line 1: no column {', '.join(missing)}")
            else:
                yield Row(f"{path}, line {reader.line_num}", columns, values)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if columns is None:
        raise ValueError(f"{path}: empty")


def words(path: Path, columns: Sequence[str], titled: bool) -> Iterator[Row]:
    """The lines of a text of columns with white space between them. titled: the first line names them, and must do so rightly."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        values = line.split()
        if titled:
            titled = False
            if values != list(columns):
                raise ValueError(f"{path}, line {number}: {line[:60]!r} instead of {' '.join(columns)}")
        elif values:
            yield Row(f"{path}, line {number}", columns, values)
    if titled:
        raise ValueError(f"{path}: empty")


def read_text(path: Path) -> str:
    """A text in UTF-8, with or without its mark. Raises ValueError for other bytes and for more than 64 MiB."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path}: longer than {MAX_BYTES} bytes, which no table of a dataset is")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error.reason})") from error
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises ValueError for another file."""
    text = read_text(path)
    try:
        return strict_json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error


def note_between(row: Row, onset: float, offset: float, pitch: int, program: int = 0) -> Note:
    """A note whose loudness is not known. Raises ValueError for one that ends before it begins, or after a day."""
    if not onset <= offset <= MAX_SECONDS:
        raise ValueError(f"{row.where}: a note from {onset:g} to {offset:g} s")
    return Note(onset, offset, pitch, program=program)


def seconds(row: Row, name: str) -> float:
    return row.number(name, 0.0, MAX_SECONDS)


def there(path: Path) -> Path:
    """The path itself. Raises ValueError where it is no file."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return path


def inside(folder: Path, name: str, where: str) -> Path:
    """The file that a table names, below its folder. Raises ValueError for one that is elsewhere or not there."""
    path = Path(name)
    if not name or "\0" in name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{where}: file {name[:80]!r}: it must be a path below the table's folder")
    try:
        return there(folder / path)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def instruments(notes: Iterable[Note]) -> list[dict[str, Any]]:
    """Who plays, as the attribute `instruments` says it."""
    players = sorted({(note.is_drum, note.program) for note in notes})
    return [{"program": program, "is_drum": drum} for drum, program in players]


def attempt(make: Callable[..., Entry], *arguments: Any) -> Found:
    """The recording that `make` reads, or what is wrong with it: the others are not held up."""
    try:
        return make(*arguments)
    except ValueError as error:
        return error
    except OSError as error:
        return ValueError(f"{error.filename}: {error.strerror}")
