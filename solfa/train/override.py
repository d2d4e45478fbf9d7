"""Replace fields of nested frozen dataclasses by dotted name, with values parsed by the fields' annotated types."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
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
    `1,2,3`, None is `none`; a value that starts with [ or { is read as JSON. A field that holds a configuration takes JSON too, in
    which what is left out has its default, and none where that is legal; fields below it are then those of what it was given. What
    words say counts together: fields that hang on each other may come in any order; of a field that is named twice the last counts.
    """
    values: dict[str, Any] = {}
    later: list[tuple[str, str | None]] = []
    for name, text in _pairs(words):
        single, held = leaves(config, values), configurations(config, values)
        path = _find(name, single, held)
        hint = {**held, **single}.get(path or "")
        if path is not None and _classes(hint):  # what it is given says which fields there are
            values[path] = _value(hint, name, text, path)
        else:
            later.append((name, text))
    for name, text in later:
        single, held = leaves(config, values), configurations(config, values)
        path = resolve(name, single, held)
        values[path] = _value({**held, **single}[path], name, text, path)
    return _replaced(config, values)


def leaves(config: Any, given: Mapping[str, Any] = types.MappingProxyType({})) -> dict[str, Any]:
    """Dotted name to annotated type of every field that holds no configuration. given: values by dotted name, instead of those there."""
    return {path: hint for path, hint, value in _fields(config, given) if not dataclasses.is_dataclass(value)}


def configurations(config: Any, given: Mapping[str, Any] = types.MappingProxyType({})) -> dict[str, Any]:
    """The same of every field that holds one, of a class that its annotation names."""
    fields = [(path, hint) for path, hint, value in _fields(config, given) if dataclasses.is_dataclass(value)]
    return {path: hint for path, hint in fields if _classes(hint)}


def _fields(config: Any, given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, annotated type and value of every field, and of those of the configurations in them."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        path = f"{prefix}{field.name}"
        value = given.get(path, getattr(config, field.name))
        if field.init:
            yield path, hints[field.name], value
        if dataclasses.is_dataclass(value):
            yield from _fields(value, given, path + ".")


def _classes(hint: Any) -> list[type]:
    """The configurations that a field may hold."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    hints = typing.get_args(hint) if union else (hint,)
    return [each for each in hints if isinstance(each, type) and dataclasses.is_dataclass(each)]


def resolve(name: str, single: Mapping[str, Any], held: Mapping[str, Any] = types.MappingProxyType({})) -> str:
    """The one dotted path that `name` means: of fields by their types, single ones before those that hold a configuration."""
    path = _find(name, single, held)
    if path is not None:
        return path
    wanted, paths = name.replace("-", "_"), [*single, *held]
    outer, _, last = wanted.rpartition(".")
    above = _find(outer, single, held) if outer else None
    if above is not None and (classes := _classes({**held, **single}[above])):
        below = [each.removeprefix(above + ".") for each in paths if each.startswith(above + ".")]
        if close := difflib.get_close_matches(last, below, 3, 0.6):
            raise ValueError(
                f"--{name}: no such field; did you mean {' or '.join(f'--{above}.{each}' for each in close)}?"
            )
        raise ValueError(f"--{name}: no such field; --{above} is, as JSON, {' or '.join(map(_shape, classes))}")
    short = {path.rsplit(".", 1)[-1]: path for path in paths}
    close = difflib.get_close_matches(wanted, paths, 3, 0.6) or [
        short[key] for key in difflib.get_close_matches(wanted.rsplit(".", 1)[-1], short, 3, 0.6)
    ]
    if close:
        raise ValueError(f"--{name}: no such field; did you mean {' or '.join('--' + path for path in close)}?")
    raise ValueError(f"--{name}: no such field; there are {', '.join('--' + path for path in paths)}")


def _find(name: str, single: Mapping[str, Any], held: Mapping[str, Any]) -> str | None:
    """As `resolve`; None where there is no such field."""
    wanted = name.replace("-", "_")
    for paths in (single, held):
        ends = [wanted] if wanted in paths else [path for path in paths if path.endswith("." + wanted)]
        if len(ends) > 1:
            raise ValueError(f"--{name}: could be any of {', '.join('--' + end for end in ends)}")
        if ends:
            return ends[0]
    return None


def _shape(kind: type) -> str:
    """A configuration as an error names it: its class, and its fields."""
    return f"{kind.__name__} ({', '.join(field.name for field in dataclasses.fields(kind) if field.init)})"


def _value(hint: Any, name: str, text: str | None, path: str) -> Any:
    if text is None and hint is not bool:
        raise ValueError(f"--{name}: a value is missing")
    return parse(hint, "true" if text is None else text, path)


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
    if _classes(hint):
        raise ValueError(f"must be JSON of {_shape(hint)}")
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
    raise ValueError("; or ".join(dict.fromkeys(reasons)))


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
    own |= {name: _replaced(own.get(name, getattr(config, name)), below) for name, below in inner.items()}
    return dataclasses.replace(config, **own) if own else config
