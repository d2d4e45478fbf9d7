"""Replace fields of nested frozen dataclasses by dotted name, with values parsed by the fields' annotated types."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from solfa.checkpoint import from_plain

T = TypeVar("T")
_TRUE, _FALSE, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null")


def override(config: T, words: Sequence[str]) -> T:
    """`config` (a dataclass) with the fields replaced that `words` name.

    Words are `--name value`, `--name=value`, or `--name` alone for true. A name is dotted (`train.steps`), or any end
    of a dotted name that only one field has (`steps`); dashes and underscores are the same. Tuples are written
    `1,2,3`, None is `none`; a value that starts with [ or { is read as JSON. What words say counts together: fields that hang on each
    other may come in any order; of a field that is named twice the last counts.
    """
    fields, values = leaves(config), {}
    for name, text in _pairs(words):
        path = resolve(name, list(fields))
        hint = fields[path]
        if text is None:
            if hint is not bool:
                raise ValueError(f"--{name}: a value is missing")
            text = "true"
        values[path] = parse(hint, text, path)
    return _replaced(config, values)


def leaves(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted name to annotated type of every field that is not itself a dataclass."""
    hints = typing.get_type_hints(type(config))
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            found.update(leaves(value, path + "."))
        elif field.init:
            found[path] = hints[field.name]
    return found


def resolve(name: str, paths: Sequence[str]) -> str:
    """The one dotted path that `name` means."""
    wanted = name.replace("-", "_")
    if wanted in paths:
        return wanted
    ends = [path for path in paths if path.endswith("." + wanted)]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ValueError(f"--{name}: could be any of {', '.join('--' + end for end in ends)}")
    short = {path.rsplit(".", 1)[-1]: path for path in paths}
    close = difflib.get_close_matches(wanted, paths, 3, 0.6) or [
        short[key] for key in difflib.get_close_matches(wanted.rsplit(".", 1)[-1], short, 3, 0.6)
    ]
    if close:
        raise ValueError(f"--{name}: no such field; did you mean {' or '.join('--' + path for path in close)}?")
    raise ValueError(f"--{name}: no such field; there are {', '.join('--' + path for path in paths)}")


def parse(hint: Any, text: str, where: str) -> Any:
    """`text` as the annotated type `hint`; ValueError names the field, the text and the type."""
    try:
        return _parse(hint, text, where)
    except (ValueError, OverflowError, RecursionError) as error:
        reason = str(error)
        raise ValueError(reason if reason.startswith(where) else f"{where}: {text!r}: {reason}") from error


def _parse(hint: Any, text: str, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _parse_union(arguments, text, where)
    if origin is typing.Literal:
        for legal in arguments:
            if str(legal) == text:
                return legal
        raise ValueError(f"must be one of {', '.join(map(str, arguments))}")
    if hint is type(None):
        if text.lower() in _NONE:
            return None
        raise ValueError("must be none")
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(_parse(type(next(iter(hint)).value), text, where))
    if hint in (str, Path):
        return hint(text)
    if text[:1] in ("[", "{"):
        return from_plain(hint, json.loads(text), where)
    if origin in (tuple, list):
        return _parse_items(origin, arguments, text, where)
    return _parse_scalar(hint, text)


def _number(text: str, kind: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be {kind}") from None


def _parse_scalar(hint: Any, text: str) -> Any:
    if hint is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError("must be true or false")
    if hint is int:
        if re.fullmatch(r"[+-]?\d+", text):
            return int(text)
        number = _number(text, "a whole number")  # 2e5 is a fair way to write a count
        if "." in text or not number.is_integer():
            raise ValueError("must be a whole number")
        return int(number)
    if hint is float:
        return from_plain(float, _number(text, "a number"), text)
    raise ValueError(f"a {hint} cannot be given on the command line")


def _parse_union(hints: tuple[Any, ...], text: str, where: str) -> Any:
    order = (type(None), bool, int, float)  # the narrowest first, text last
    ranked = sorted(hints, key=lambda hint: order.index(hint) if hint in order else 9 if hint in (str, Path) else 5)
    reasons = []
    for hint in ranked:
        try:
            return _parse(hint, text, where)
        except (ValueError, OverflowError) as error:
            reasons.append(str(error))
    raise ValueError("; or ".join(reasons))


def _parse_items(origin: type, hints: tuple[Any, ...], text: str, where: str) -> Any:
    parts = [part.strip() for part in text.strip("()").split(",") if part.strip()]
    if origin is tuple and not (len(hints) == 2 and hints[1] is Ellipsis):
        if len(parts) != len(hints):
            raise ValueError(f"{len(parts)} items where {len(hints)} are needed")
    else:
        hints = (hints[0],) * len(parts)
    return origin(_parse(hint, part, where) for hint, part in zip(hints, parts, strict=True))


def _pairs(words: Sequence[str]) -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise ValueError(f"{word!r}: expected --field value")
        name, equals, text = word[2:].partition("=")
        if not equals and rest and not rest[0].startswith("--"):
            text, equals = rest.pop(0), "="
        pairs.append((name, text if equals else None))
    return pairs


def _replaced(config: Any, values: Mapping[str, Any]) -> Any:
    """A dataclass with values by dotted name, made once: each alone might not go with the fields that are there."""
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        name, _, rest = path.partition(".")
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            own[name] = value
    own |= {name: _replaced(getattr(config, name), below) for name, below in inner.items()}
    return dataclasses.replace(config, **own) if own else config
