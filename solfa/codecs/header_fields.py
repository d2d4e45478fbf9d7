"""Fields of headers that strangers wrote, in JSON and in errors. Loads no torch."""

from typing import Any


def unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, as `object_pairs_hook`. Raises ValueError where a field stands twice: readers would differ in which they take."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a field stands in it twice")
    return record


def short_text(value: Any) -> str:
    """A value as an error can show it: ASCII, of one line and at most 60 letters."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value) if isinstance(value, str | int | float) or value is None else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
