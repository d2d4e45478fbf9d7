"""Strict JSON: the standard's reader where it reads what one can read in one way only, a ValueError elsewhere."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.strict_json import MAX_DEPTH, check_depth, loads, value_at

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(PLAIN, lambda held: st.lists(held) | st.dictionaries(st.text(), held), max_leaves=20)


@settings(deadline=None)
@given(VALUES, st.sampled_from([None, 1]))
def test_it_reads_what_json_has(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert loads(text) == loads(f"\r\n {text}\t") == value
    assert value_at(f"x{text} y", 1) == (value, 1 + len(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ('{"a": 1, "b": 2, "a": 1}', "'a' stands twice"),
        ('[{"a": {"b": 1, "\\u0062": 2}}]', "'b' stands twice"),
        ("9" * 5000, "digits"),
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 100_000, "nested deeper"),
        ("1 2", "Extra data"),
        ("", "Expecting value"),
        ("[1", "Expecting"),
        ("\ufeff1", "Expecting value"),
    ],
)
def test_anything_else_is_a_value_error(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        loads(text)


@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_depth_has_an_end(pair: str) -> None:
    def nested(depth: int) -> str:
        return pair[:-1] * (depth - 1) + "[]" + pair[-1] * (depth - 1)

    check_depth(loads(nested(MAX_DEPTH)))
    with pytest.raises(ValueError, match=f"nested deeper than {MAX_DEPTH}"):
        loads(nested(MAX_DEPTH + 1))
    assert loads(f'"{"[" * 500}"') == "[" * 500  # brackets in text are no lists
    assert len(loads("[" + "[]," * 500 + "[]]")) == 501
    with pytest.raises(ValueError, match="nested deeper"):
        check_depth((json.loads(nested(MAX_DEPTH)),))
