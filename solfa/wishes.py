"""What a caller may ask for by keyword, beside what a function says itself: a TypedDict names it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def check_wishes(given: Iterable[str], legal: type) -> None:
    """ValueError for a keyword that the TypedDict `legal` has not: it names those that it has."""
    names = list(legal.__annotations__)
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"{name} is nothing that can be asked for: legal are {', '.join(names)}{hint}")
