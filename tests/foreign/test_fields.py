"""References in a stranger's configuration."""

import sys

import pytest

from solfa.foreign.fields import resolved


def test_references_are_followed() -> None:
    document = {"a": {"b": "${c.d}", "e": 1}, "c": {"d": "${f}"}, "f": {"g": "${a.e}"}}
    assert resolved(document, ["a"]) == {"a": {"b": {"g": 1}, "e": 1}}


@pytest.mark.parametrize("document", [{"a": "${b.c}"}, {"a": "${b}", "b": "${a}"}, {"a": {"b": "${a}", "c": "${a}"}}])
def test_a_reference_to_nothing_or_to_itself_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="names nothing"):
        resolved(document)


def test_few_letters_do_not_become_much() -> None:
    """Each name of a level stands for all of the next: 15 ** 8 leaves, if each were made anew."""
    levels = {f"l{i}": {f"k{j}": f"${{l{i + 1}}}" for j in range(15)} for i in range(8)}
    found = resolved({**levels, "l8": 1})
    seen: set[int] = set()
    layer = [found]
    while layer:
        layer = [
            inner for each in layer for inner in each.values() if isinstance(inner, dict) and id(inner) not in seen
        ]
        layer = list({id(each): each for each in layer}.values())
        seen.update(map(id, layer))
    assert len(seen) <= 8 * 2 and sys.getsizeof(found) < 10_000
