"""A stranger's configuration, field by field: types, bounds and legal values, each mistake named as the file names it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from solfa.checkpoint import from_plain

MAX_STAGES = 16
MAX_WIDTH = 1 << 16


class Fields:
    """The fields of one object of a configuration; `where` is put before the name of a field in messages.

    A field that is null counts as absent.
    """

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise ValueError(f"{where} is not an object with fields")
        self._data, self._where = data, where

    def inner(self, name: str) -> Fields:
        """The object in a field; an empty one if it is absent."""
        return Fields(self._get(name, {}), f"{self._where}: {name}")

    def known(self, *names: str) -> None:
        """There is no field but these."""
        strange = sorted(str(name) for name in self._data if name not in names)
        if strange:
            raise ValueError(f"{self._where}: {strange[0]} is nothing that can be followed")

    def number(self, name: str, default: int, most: int = MAX_WIDTH, least: int = 1) -> int:
        """An integer from least to most."""
        value = self._plain(int, name, default)
        if not least <= value <= most:
            raise ValueError(f"{self._where}: {name} is {value}, it must lie between {least} and {most}")
        return value

    def real(self, name: str, default: float, most: float) -> float:
        """A number from 0 to most."""
        value = self._plain(float, name, default)
        if not 0 <= value <= most:
            raise ValueError(f"{self._where}: {name} is {value}, it must lie between 0 and {most}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        return self._plain(bool, name, default)

    def text(self, name: str, default: str) -> str:
        return self._plain(str, name, default)

    def strides(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """One to 16 strides."""
        value = self._plain(tuple[int, ...], name, default)
        if not 1 <= len(value) <= MAX_STAGES or not all(1 <= stride <= 1024 for stride in value):
            legal = f"1 to {MAX_STAGES} strides of 1 to 1024"
            raise ValueError(f"{self._where}: {name} is {list(value)}, {legal} are needed")
        return value

    def numbers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return self._plain(tuple[int, ...], name, default)

    def texts(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        return self._plain(tuple[str, ...], name, default)

    def reals(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """One or more numbers."""
        value = self._plain(tuple[float, ...], name, default)
        if not value:
            raise ValueError(f"{self._where}: {name} is empty")
        return value

    def choice(self, name: str, default: str, legal: Mapping[str, str]) -> str:
        """What `legal` has for the field's value."""
        value = self._plain(str, name, default)
        if value not in legal:
            raise ValueError(f"{self._where}: {name} is {value!r}, {' or '.join(map(repr, legal))} can be read")
        return legal[value]

    def only(self, name: str, value: Any) -> None:
        """The field is absent or has that value: nothing else is supported."""
        found = self._get(name, value)
        if found != value:
            raise ValueError(f"{self._where}: {name} is {found!r}, only {value!r} can be read")

    def same(self, name: str, default: int) -> int:
        """An integer, or a list of equal ones."""
        value = self._get(name, default)
        if isinstance(value, list | tuple) and value and all(item == value[0] for item in value):
            return Fields({name: value[0]}, self._where).number(name, default)
        return self.number(name, default)

    def _plain(self, hint: Any, name: str, default: Any) -> Any:
        return from_plain(hint, self._get(name, default), f"{self._where}: {name}")

    def _get(self, name: str, default: Any) -> Any:
        value = self._data.get(name)
        return default if value is None else value


def resolved(document: Mapping[str, Any], sections: Collection[str] | None = None) -> dict[str, Any]:
    """An OmegaConf document, or some of its sections, with references, "${a.b}", replaced by what they name.

    What several references name is there once, however many they are. Raises ValueError for one that names nothing, or itself.
    """
    known: dict[str, Any] = {}  # by reference: followed anew each time, few letters could name more than any memory holds

    def follow(value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {key: follow(item, depth) for key, item in value.items()}
        found = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
        if found is None:
            return value
        if value not in known:
            target: Any = document
            for part in found[1].split("."):
                target = target.get(part) if isinstance(target, Mapping) else None
            if target is None or depth > 8:
                raise ValueError(f"{value} in the configuration names nothing that is there")
            known[value] = follow(target, depth + 1)
        return known[value]

    return {key: follow(item, 0) for key, item in document.items() if sections is None or key in sections}
