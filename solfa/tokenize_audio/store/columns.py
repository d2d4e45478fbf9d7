"""Items as rows that other programs read: the columns of an exported Parquet file, and the way back.

codes are lists of K lists of T integers, texts a list, notes and pedals lists of objects; attributes and extra, whose fields differ from
item to item, are text in JSON. Every column but notes (null where they are not known) is required.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from solfa.score.note import Note
from solfa.score.score import Pedal
from solfa.strict_json import loads
from solfa.tokenize_audio.store.format import Meta, StoreHead
from solfa.tokenize_audio.store.meta_file import MAX_ROW_LETTERS

if TYPE_CHECKING:
    import pyarrow as pa

NOTE = tuple(field.name for field in fields(Note))
PEDAL = tuple(field.name for field in fields(Pedal))
META = tuple(field.name for field in fields(Meta))
_JSON = ("attributes", "extra")
_LISTS = ("texts", "notes", "pedals")
MOST = MAX_ROW_LETTERS // 20  # of a row's notes: a store's tables hold no more of them
_TYPES = {
    "samples": "int64",
    "seconds": "float64",
    "source_bytes": "int64",
    "source_stamp": "int64",
    "velocities": "bool",
}


def schema(head: StoreHead) -> pa.Schema:
    """The columns of a store's items: codes, then what `Meta` has."""
    import pyarrow as pa

    def struct(names: Sequence[str]) -> pa.DataType:
        types = {"onset": pa.float64(), "offset": pa.float64(), "is_drum": pa.bool_()}
        return pa.struct([pa.field(name, types.get(name, pa.int32()), nullable=False) for name in names])

    def lists(value: pa.DataType) -> pa.DataType:
        return pa.list_(pa.field("element", value, nullable=False))

    plain = {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    special = {"texts": lists(pa.string()), "notes": lists(struct(NOTE)), "pedals": lists(struct(PEDAL))}
    codes = pa.field("codes", lists(lists(pa.from_numpy_dtype(head.dtype))), nullable=False)
    rest = [
        pa.field(name, special.get(name, plain.get(_TYPES.get(name, ""), pa.string())), nullable=name == "notes")
        for name in META
    ]
    return pa.schema([rest[0], codes, *rest[1:]])


def table(head: StoreHead, metas: Sequence[Meta], codes: Sequence[np.ndarray]) -> pa.Table:
    """Items as a table of that schema; codes [K, T] of each."""
    import pyarrow as pa

    form = schema(head)
    columns = {name: [_value(name, getattr(meta, name)) for meta in metas] for name in META}
    arrays = [
        _nested(codes, head, field.type) if field.name == "codes" else pa.array(columns[field.name], field.type)
        for field in form
    ]
    return pa.table(arrays, schema=form)


def rows(found: pa.Table, head: StoreHead) -> Iterator[tuple[Meta, np.ndarray]]:
    """The items of a table of that schema, one after another: as objects, notes take ten times the room that they have in the table.
    Raises ValueError where one makes no sense."""
    chunk = found.combine_chunks()
    codes = _unnested(chunk.column("codes").combine_chunks(), head)
    rest = chunk.drop_columns(["codes"])
    for number, each in enumerate(codes):
        row = rest.slice(number, 1)
        for name in _LISTS:
            if (length := len(row.column(name).combine_chunks().flatten())) > MOST:
                raise ValueError(f"{length} {name} in a row: at most {MOST}")
        yield _meta(row.to_pylist()[0]), each


def plain(meta: Meta) -> dict[str, Any]:
    """An item's metadata as a JSON object: notes and pedals are lists of numbers, as in a manifest."""
    record = {name: getattr(meta, name) for name in META}
    for name, parts in (("notes", NOTE), ("pedals", PEDAL)):
        if record[name] is not None:
            record[name] = [[getattr(each, part) for part in parts] for each in record[name]]
    return {**record, **{name: dict(record[name]) for name in _JSON}}


def _value(name: str, value: Any) -> Any:
    if name in _JSON:
        return json.dumps(dict(value), ensure_ascii=False, allow_nan=False, sort_keys=True)
    if name in ("notes", "pedals") and value is not None:
        return [{part: getattr(each, part) for part in (NOTE if name == "notes" else PEDAL)} for each in value]
    return value


def _meta(row: Mapping[str, Any]) -> Meta:
    values: dict[str, Any] = dict(row)
    for name in _JSON:
        values[name] = loads(values[name])
        if not isinstance(values[name], dict):
            raise ValueError(f"{name} must be a JSON object")
    values["texts"] = tuple(values["texts"])
    values["pedals"] = tuple(Pedal(**each) for each in values["pedals"])
    if values["notes"] is not None:
        values["notes"] = tuple(Note(**each) for each in values["notes"])
    return Meta(**values)


def _nested(codes: Sequence[np.ndarray], head: StoreHead, form: pa.ListType) -> pa.Array:
    """Arrays [K, T] as one array of lists of lists."""
    import pyarrow as pa

    books = head.codebooks
    flat = np.concatenate([each.astype(head.dtype, copy=False).ravel() for each in codes])  # [sum K T]
    lengths = np.repeat([each.shape[1] for each in codes], books)
    inner = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    outer = np.arange(0, books * len(codes) + 1, books, dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(inner), pa.array(flat), type=form.value_type)
    return pa.ListArray.from_arrays(pa.array(outer), lists, type=form)


def _unnested(found: pa.ListArray, head: StoreHead) -> list[np.ndarray]:
    """The inverse. Raises ValueError for an item without K lists of one length."""
    outer, inner = found.offsets.to_numpy(), found.values.offsets.to_numpy()
    flat = found.values.values.to_numpy(zero_copy_only=False)
    out = []
    for first, last in pairwise(outer.tolist()):
        bounds = inner[first : last + 1]
        lengths = np.diff(bounds)
        if last - first != head.codebooks or (lengths != lengths[0]).any():
            raise ValueError(f"codes must be {head.codebooks} lists of one length")
        out.append(flat[bounds[0] : bounds[-1]].reshape(head.codebooks, -1))
    return out
