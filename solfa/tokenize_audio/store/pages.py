"""The pages of a Parquet file, looked at before anything unfolds them.

A Parquet file of a few bytes can unfold to any size: a dictionary that is pointed at a million times, strings that share their
beginnings, a page that says it is 2 GB, runs of nothing. A store's tables have none of it: every column is required, its pages are of
plain values, and a row group is small. This walks the headers of the pages (Thrift's compact protocol) and refuses everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

MAX_GROUP_BYTES = 256 << 20  # unfolded, of all the columns that are read
MAX_VALUES = MAX_GROUP_BYTES // 2  # of a column of lists: an empty list is a value that takes no bytes
Read: TypeAlias = Callable[[int, int], bytes]  # so many bytes, from there
_MAX_PAGE_HEADER = 256  # bytes; without statistics it has about 40
_COMPRESSIONS = ("UNCOMPRESSED", "ZSTD")
_DATA_PAGE, _PLAIN = 0, 0
_TRUE, _FALSE, _STRUCT = 1, 2, 12  # types of the compact protocol
_INTEGERS = (4, 5, 6)


def check_group(read: Read, size: int, group: Any, columns: list[int], flat: bool = True) -> None:
    """Walk the pages of these columns of a row group (pyarrow's metadata). read: of the file; size: its bytes.

    flat: of every column a value a row; else they may be of lists, and hold up to MAX_VALUES.
    Raises ValueError for what is not plain, or unfolds to more than MAX_GROUP_BYTES.
    """
    total = 0
    for number in columns:
        chunk = group.column(number)
        total += _check_chunk(read, size, chunk, group.num_rows if flat else min(chunk.num_values, MAX_VALUES))
        if total > MAX_GROUP_BYTES:
            raise ValueError(f"a row group unfolds to more than {MAX_GROUP_BYTES} bytes")


def _check_chunk(read: Read, size: int, chunk: Any, rows: int) -> int:
    """The bytes that a column of a row group unfolds to, by its pages."""
    name = chunk.path_in_schema
    if chunk.compression not in _COMPRESSIONS or chunk.has_dictionary_page:
        raise ValueError(f"column {name}: compression must be one of {', '.join(_COMPRESSIONS)}, without a dictionary")
    at, left = chunk.data_page_offset, chunk.total_compressed_size
    if at < 4 or left < 0 or at + left > size or chunk.num_values != rows:
        raise ValueError(f"column {name}: its {left} bytes at {at} are not {rows} values of this file")
    unfolded = values = 0
    while left:
        header, length = _page_header(read(min(left, _MAX_PAGE_HEADER), at))
        page = header.get(5)
        if header.get(1) != _DATA_PAGE or not isinstance(page, dict) or page.get(2) != _PLAIN:
            raise ValueError(f"column {name}: a page is not of plain values")
        whole, packed, count = (_count(number, name) for number in (header.get(2), header.get(3), page.get(1)))
        if length + packed > left:
            raise ValueError(f"column {name}: a page is longer than its column")
        if chunk.compression == "UNCOMPRESSED" and whole != packed:
            raise ValueError(f"column {name}: a page that is not compressed has two sizes")
        unfolded, values = unfolded + whole, values + count
        if unfolded > MAX_GROUP_BYTES or values > rows:
            raise ValueError(f"column {name}: its pages unfold to {unfolded} bytes and {values} of {rows} values")
        at, left = at + length + packed, left - length - packed
    if values != rows:
        raise ValueError(f"column {name}: its pages hold {values} of {rows} values")
    return unfolded


def _count(value: Any, name: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"column {name}: the header of a page is damaged")
    return value


def _page_header(data: bytes) -> tuple[dict[int, Any], int]:
    """Fields by number, and how many bytes they take."""
    try:
        return _struct(data, 0, 0)
    except IndexError:
        raise ValueError(f"the header of a page is longer than {len(data)} bytes") from None


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """A struct of integers, truth values and structs; a page's header without statistics holds nothing else."""
    found: dict[int, Any] = {}
    field = 0
    while kind := data[at]:
        step, kind = kind >> 4, kind & 15
        at += 1
        if step:
            field += step
        else:
            number, at = _varint(data, at)
            field = (number >> 1) ^ -(number & 1)
        if kind in (_TRUE, _FALSE):
            found[field] = kind == _TRUE
        elif kind in _INTEGERS:
            number, at = _varint(data, at)
            found[field] = (number >> 1) ^ -(number & 1)
        elif kind == _STRUCT and depth < 3:
            found[field], at = _struct(data, at, depth + 1)
        else:
            raise ValueError("the header of a page holds more than numbers")
    return found, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("the header of a page is damaged")
