"""JSON of strangers, read strictly: what two readers could take differently is refused.

JSON as its standard has it, and in memory that its length bounds: no NaN and no infinity, no number that no float holds, no key twice in
an object, no lists and objects in one another without end. Every complaint is a ValueError; who reads a file adds its name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

MAX_DEPTH = 64  # lists and objects in one another


def loads(text: str) -> Any:
    """The value that a text is. Raises ValueError: json.JSONDecodeError, which knows the place, for what is no JSON at all."""
    value, end = value_at(text, _skip(text, 0))
    if (rest := _skip(text, end)) != len(text):
        raise json.JSONDecodeError("Extra data", text, rest)
    return value


def value_at(text: str, place: int) -> tuple[Any, int]:
    """The value that begins at a place of a text, and where it ends. Raises ValueError as `loads` does."""
    try:
        value, end = _DECODER.raw_decode(text, place)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[", place, end) + text.count("{", place, end) > MAX_DEPTH:
        check_depth(value)
    return value, end


def check_depth(value: Any) -> None:
    """ValueError for lists and objects in one another deeper than `MAX_DEPTH`: who reads them goes down by calls."""
    layer, depth = [value], 1
    while layer := [each for held in layer for each in _held(held) if isinstance(each, dict | list | tuple)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"nested deeper than {MAX_DEPTH} lists and objects"


def _held(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {ascii(twice)[:40]} stands twice in one object")
    return table


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
