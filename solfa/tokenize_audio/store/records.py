"""JSON that a store is described by: small files whose bytes are fixed, and the one error of the room."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from solfa import strict_json
from solfa.codecs.header_fields import short_text

VERSION = 1
CHECK = "xxh3"


class TokenStoreError(ValueError):
    """A token store that cannot be read or written: the message names the file and what is wrong with it."""


def read_small(path: Path, limit: int) -> bytes:
    """The bytes of a file of at most `limit`. Raises TokenStoreError."""
    check_regular(path)
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise TokenStoreError(f"{path}: {error.strerror}") from error
    if len(data) > limit:
        raise TokenStoreError(f"{path}: longer than {limit} bytes")
    return data


def check_regular(path: Path) -> int:
    """Size of a file. TokenStoreError where there is none, or no regular one: opening a pipe would wait for ever."""
    try:
        status = path.stat()
    except OSError as error:
        raise TokenStoreError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise TokenStoreError(f"{path}: not a regular file")
    return status.st_size


def rendered(form: str, record: Mapping[str, Any]) -> bytes:
    """The bytes of a record of that format. Its last field is the hash of what it would be without: a changed value shows too."""
    whole = {"format": form, "version": VERSION, **record}
    return _json({**whole, CHECK: xxhash.xxh3_128_hexdigest(_json(whole))})


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def parsed(data: bytes, form: str, names: set[str]) -> dict[str, Any]:
    """The fields of a record of that format, of the version that is known, and no others. Raises ValueError."""
    try:
        record = strict_json.loads(data.decode())
    except ValueError as error:
        raise ValueError(f"damaged: not JSON ({short_text(str(error))})") from None
    found = json_object(record, "the file")
    if found.pop("format", None) != form:
        raise ValueError(f"not of the format {form!r}")
    version = found.pop("version", None)
    if type(version) is not int or version != VERSION:
        raise ValueError(f"version {short_text(version)} of {form} is not known; this solfa reads version {VERSION}")
    found.pop(CHECK, None)  # `check_bytes` looks at it
    if missing := sorted(names - found.keys()):
        raise ValueError(f"fields are missing: {', '.join(missing)}")
    if unknown := sorted(found.keys() - names):
        raise ValueError(f"field {short_text(unknown[0])} is not known")
    return found


def json_object(value: Any, name: str) -> dict[str, Any]:
    """A value that must be an object. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object")
    return value


def check_bytes(data: bytes, expected: bytes) -> None:
    """ValueError where what was read is not what its values are written as: no byte can change unseen."""
    if data != expected:
        raise ValueError("damaged: its bytes are not those that its values are written as")


def is_text(value: Any) -> bool:
    """Whether a value is text that UTF-8 can hold."""
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def is_line(value: Any) -> bool:
    """Whether a value is text without control characters, which a terminal can be shown."""
    return is_text(value) and not re.search("[\0-\x1f\x7f-\x9f]", value)
