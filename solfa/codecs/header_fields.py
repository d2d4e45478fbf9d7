"""Fields of headers that strangers wrote, in JSON and in errors. Loads no torch."""

from collections.abc import Mapping
from typing import Any


def check_fields(record: object, bounds: Mapping[str, tuple[int, int]], texts: Mapping[str, int]) -> None:
    """Raises ValueError naming a field that is no integer within its bounds, or no printable text of so many letters at most."""
    for name, (low, high) in bounds.items():
        value = getattr(record, name)
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{name} must be an integer from {low} to {high}, not {short_text(value)}")
    for name, longest in texts.items():
        value = getattr(record, name)
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            raise ValueError(f"{name} must be printable text of at most {longest} letters, not {short_text(value)}")


def short_text(value: Any) -> str:
    """A value as an error can show it: ASCII, of one line and at most 60 letters."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value) if isinstance(value, str | int | float) or value is None else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
