"""What is known of a shard's items: a Parquet file, a row an item, all columns flat and required.

Lists and objects are text in JSON, numbers as Python writes them: notes are rows of [onset, offset, pitch, velocity, program, is_drum]
as in a manifest, or null. pyarrow is imported where a file is touched.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from solfa.score.note import Note
from solfa.score.score import Pedal
from solfa.strict_json import check_depth, loads
from solfa.tokenize_audio.store.format import Meta, TokenStoreError
from solfa.tokenize_audio.store.pages import check_group
from solfa.tokenize_audio.store.records import check_regular

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = {
    "key": "string",
    "source": "string",
    "source_bytes": "int64",
    "source_stamp": "int64",
    "source_hash": "string",
    "samples": "int64",
    "seconds": "float64",
    "split": "string",
    "texts": "string",
    "attributes": "string",
    "notes": "string",
    "pedals": "string",
    "velocities": "bool",
    "extra": "string",
}
_JSON = ("texts", "attributes", "notes", "pedals", "extra")
WITHOUT_NOTES = tuple(name for name in COLUMNS if name not in ("notes", "pedals"))
GROUP_ROWS = 256
GROUP_LETTERS = 4 << 20  # a group ends with the row that reaches it
MAX_ROW_LETTERS = 16 << 20
MAX_GROUP_ROWS = 1 << 16  # of a file that others wrote
_MAX_FOOTER = 64 << 20
_ROWS_AT_ONCE = 32  # that are unfolded together
_MAGIC = b"PAR1"


class MetaWriter:
    """Writes rows as they come, in bounded memory; the same rows give the same bytes. Use it in a `with`."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._rows: list[tuple[Any, ...]] = []
        self._letters = 0
        self._sink = open(path, "xb")  # noqa: SIM115  (closed with the writer)
        self._writer = pq.ParquetWriter(
            self._sink,
            _schema(),
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
            store_schema=False,
            version="2.6",
            data_page_version="1.0",
        )

    def add(self, meta: Meta) -> None:
        """Raises TokenStoreError for what no row can hold, see `check_row`."""
        row = _row(meta)
        self._rows.append(row)
        self._letters += _letters(row)
        if len(self._rows) >= GROUP_ROWS or self._letters >= GROUP_LETTERS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()
            self._sink.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            schema = _schema()
            columns = [
                pa.array(column, field.type)
                for column, field in zip(zip(*self._rows, strict=True), schema, strict=True)
            ]
            self._writer.write_table(pa.table(columns, schema=schema), row_group_size=len(self._rows))
        self._rows, self._letters = [], 0


def check_row(meta: Meta) -> None:
    """TokenStoreError for an item that has what JSON cannot hold, or too much for a row."""
    _row(meta)


class MetaFile:
    """A table of so many rows, open for reading row group by row group. Raises TokenStoreError for any other file."""

    def __init__(self, path: Path, items: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path, self._size = path, check_regular(path)
        try:
            self._file = pa.OSFile(str(path))  # reads at a place without moving: forked processes may share it
            self._check_footer()
            self._parquet = pq.ParquetFile(
                self._file,
                page_checksum_verification=True,
                thrift_string_size_limit=_MAX_FOOTER,
                thrift_container_size_limit=_MAX_FOOTER,
            )
            self._check_shape(items)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._error(error) from None

    def group(self, number: int, columns: Sequence[str] = tuple(COLUMNS)) -> pa.Table:
        """These columns of a row group. Its pages are checked before they are read."""
        import pyarrow as pa

        names = list(COLUMNS)
        try:
            metadata = self._parquet.metadata.row_group(number)
            check_group(self._file.read_at, self._size, metadata, [names.index(name) for name in columns])
            table = self._parquet.read_row_group(number, columns=list(columns), use_threads=False)
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._error(error) from None
        if table.num_rows != metadata.num_rows or any(column.null_count for column in table.columns):
            raise self._error("a row group holds other rows than it says")
        return table

    def find(self, row: int) -> tuple[int, int]:
        """The row group that a row is in, and which of its rows it is."""
        number = bisect_right(self._starts, row) - 1
        return number, row - self._starts[number]

    def row(self, table: pa.Table, row: int) -> Meta:
        """A row of what `group` gave, of all columns or those `WITHOUT_NOTES`. Raises TokenStoreError where it does not make sense."""
        return self._sense({name: table.column(name)[row].as_py() for name in table.column_names}, row)

    def metas(self, columns: Sequence[str] = tuple(COLUMNS)) -> Iterator[Meta]:
        """Every row, in order; columns: all, or those `WITHOUT_NOTES`."""
        for number in range(len(self.groups)):
            table = self.group(number, columns)
            for first in range(0, table.num_rows, _ROWS_AT_ONCE):
                for row, values in enumerate(table.slice(first, _ROWS_AT_ONCE).to_pylist(), first):
                    yield self._sense(values, row)

    def column(self, name: str) -> Iterable[Any]:
        """One column of all rows; what is text in JSON comes as text."""
        for number in range(len(self.groups)):
            yield from self.group(number, (name,)).column(name).to_pylist()

    def _sense(self, values: dict[str, Any], row: int) -> Meta:
        try:
            return _meta(values)
        except (ValueError, TypeError, RecursionError) as error:
            raise self._error(f"row {row} of a group makes no sense ({error})") from None

    def _check_footer(self) -> None:
        if self._size < 12:
            raise ValueError("not a Parquet file")
        tail = self._file.read_at(8, self._size - 8)
        if tail[4:] != _MAGIC or self._file.read_at(4, 0) != _MAGIC:
            raise ValueError("not a Parquet file")
        if int.from_bytes(tail[:4], "little") > min(_MAX_FOOTER, self._size - 12):
            raise ValueError("its footer says that it is longer than the file or than any table's")

    def _check_shape(self, items: int) -> None:
        metadata = self._parquet.metadata
        if not self._parquet.schema_arrow.remove_metadata().equals(_schema()):
            raise ValueError(f"its columns must be {', '.join(COLUMNS)}, flat and required")
        self.groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]  # rows of each
        self._starts = [0, *accumulate(self.groups)]  # row before each group
        if not all(0 < rows <= MAX_GROUP_ROWS for rows in self.groups):
            raise ValueError(f"a row group must have 1 to {MAX_GROUP_ROWS} rows")
        if metadata.num_rows != items or sum(self.groups) != items:
            raise ValueError(f"it has {metadata.num_rows} rows; the shard has {items} items")

    def _error(self, error: object) -> TokenStoreError:
        text = " ".join(str(error).split())[:300]
        return error if isinstance(error, TokenStoreError) else TokenStoreError(f"{self.path}: {text}")


def _schema() -> pa.Schema:
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    return pa.schema([pa.field(name, types[kind], nullable=False) for name, kind in COLUMNS.items()])


def _row(meta: Meta) -> tuple[Any, ...]:
    notes = None
    if meta.notes is not None:
        # As floats: 0 and 0.0 are equal, and equal items have equal bytes.
        notes = [[float(n.onset), float(n.offset), n.pitch, n.velocity, n.program, n.is_drum] for n in meta.notes]
    values: dict[str, Any] = {name: getattr(meta, name) for name in COLUMNS}
    values["notes"] = notes
    values["pedals"] = [[float(p.onset), float(p.offset), p.part] for p in meta.pedals]
    for name in _JSON:
        values[name] = _text(values[name], f"item {meta.key!r}: {name}")
    row = tuple(values.values())
    if (letters := _letters(row)) > MAX_ROW_LETTERS:
        raise TokenStoreError(
            f"item {meta.key!r}: texts, attributes and notes are {letters} letters; at most {MAX_ROW_LETTERS}"
        )
    return row


def _letters(row: tuple[Any, ...]) -> int:
    return sum(len(value) for value in row if isinstance(value, str))


def _text(value: Any, what: str) -> str:
    if isinstance(value, Mapping):
        value = dict(value)
    try:
        check_depth(value)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TokenStoreError(f"{what}: not what JSON can hold ({error})") from None
    return text


def _meta(row: dict[str, Any]) -> Meta:
    row = {"notes": "null", "pedals": "[]"} | row  # where they were not read
    if sum(len(row[name]) for name in _JSON) > MAX_ROW_LETTERS:
        raise ValueError(f"longer than {MAX_ROW_LETTERS} letters")
    for name in _JSON:
        row[name] = loads(row[name])
    for name, kind in (("texts", list), ("attributes", dict), ("pedals", list), ("extra", dict)):
        if not isinstance(row[name], kind):
            raise ValueError(f"{name} must be a {'list' if kind is list else 'JSON object'}")
    row["texts"] = tuple(row["texts"])
    row["pedals"] = tuple(Pedal(*_numbers(each, (float, float, int))) for each in row["pedals"])
    if row["notes"] is not None:
        if not isinstance(row["notes"], list):
            raise ValueError("notes must be a list or null")
        kinds = (float, float, int, int, int, bool)
        row["notes"] = tuple(Note(*_numbers(each, kinds)) for each in row["notes"])
    return Meta(**row)


def _numbers(row: Any, kinds: tuple[type, ...]) -> list[Any]:
    if not isinstance(row, list) or [type(value) for value in row] != list(kinds):
        raise ValueError(f"{str(row)[:60]} must be {', '.join(kind.__name__ for kind in kinds)}")
    return row
