"""What a command says: messages to stderr, results to stdout, failures as one line `name: reason`."""

import dataclasses
import json
import math
import os
import re
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

DONE, FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

# The options that several commands share, so that they look the same everywhere.
OutPath = Annotated[Path | None, Parameter(alias="-o")]
Jobs = Annotated[int, Parameter(alias="-j")]
Device = Annotated[Literal["auto", "cpu", "cuda"], Parameter(alias="-d")]
Flag = Annotated[bool, Parameter(negative=())]


# Control characters as escapes: a name of a file may hold them, a terminal obeys them, and a line break makes two lines of one.
_SHOWN = {code: chr(code).encode("unicode_escape").decode() for code in (*range(0x20), *range(0x7F, 0xA0))}
_SURROGATE = re.compile("[\ud800-\udfff]")


class UsageError(ValueError):
    """The command line asks for something that cannot be: exit code 2."""


def say(message: str) -> None:
    """A message of one line for the person at the terminal (stderr)."""
    print(message.translate(_SHOWN), file=sys.stderr, flush=True)


def out(text: str) -> None:
    """One line of results (stdout)."""
    print(text.translate(_SHOWN), flush=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout. Dataclasses become objects, paths strings, and NaN and infinities null."""
    print(as_json(value, indent=2), flush=True)


def as_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON. Bytes of names that are not UTF-8 are written as lone surrogates, of which os.fsencode makes the bytes again."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(value: Any) -> Any:
    """`value` in the types that JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and torch: scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Rows as aligned columns on stdout: text to the left, numbers to the right."""
    if not rows:
        return
    names = list(columns or rows[0])
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
    numeric = [all(isinstance(row.get(name), (int, float, type(None))) for row in rows) for name in names]
    for line in [names, *cells]:
        aligned = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(line, widths, numeric, strict=True))
        out("  ".join(aligned).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value).translate(_SHOWN)  # as wide as it is shown


def reason(error: BaseException) -> str:
    """An error as one line."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, (ValueError, OSError, ImportError)):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _joined(text)


def _joined(text: str) -> str:
    """Text whose lines were broken, as one."""
    return " ".join(text.split())


def fail(name: str, error: BaseException | str) -> None:
    """Says that one input failed: `name: reason`. SOLFA_DEBUG=1 adds the traceback."""
    if isinstance(error, BaseException):
        show_traceback(error)
        error = reason(error)
    say(f"{name}: {error.removeprefix(f'{name}: ').removeprefix(f'{_joined(name)}: ')}")


def plain_warnings(title: str) -> None:
    """Lets the warnings of the libraries below read as messages, without the line of code that warned."""
    warnings.showwarning = lambda message, *_, **__: say(f"{title}: {_joined(str(message))}")


def debugging() -> bool:
    return os.environ.get("SOLFA_DEBUG", "") not in ("", "0")


def show_traceback(error: BaseException) -> None:
    if debugging():
        traceback.print_exception(error)


def device(name: str) -> str:
    """The torch device for `--device auto|cpu|cuda`. Raises UsageError when cuda is asked for and is not there."""
    if name == "cpu":
        return name
    from solfa.nn.devices import pick_device

    try:
        return str(pick_device(name))
    except ValueError as error:
        raise UsageError(f"--{error}") from error
