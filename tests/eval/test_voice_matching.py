"""Edit distances beside the plain table, and pairings beside trying them all and scipy's."""

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from solfa.eval.voice_matching import cheapest_pairing, edit_distances

short = st.lists(st.integers(0, 3), max_size=8)


def levenshtein(a: list[int], b: list[int]) -> int:
    """The table, cell by cell."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y)))
    return row[-1]


@given(short, st.lists(short, max_size=5))
def test_edit_distances(sequence: list[int], others: list[list[int]]) -> None:
    assert edit_distances(sequence, others).tolist() == [levenshtein(sequence, other) for other in others]


def test_known_distances() -> None:
    def codes(text: str) -> list[int]:
        return [ord(c) for c in text]

    words = ["sitting", "kitten", "", "kit", "mitten"]
    assert edit_distances(codes("kitten"), [codes(word) for word in words]).tolist() == [3, 0, 6, 3, 1]
    assert edit_distances([1], []).tolist() == []


costs = st.integers(1, 5).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.integers(0, 4).map(float)))


@given(costs)
def test_no_pairing_costs_less(table: np.ndarray) -> None:
    pairing = cheapest_pairing(table)
    rows = range(len(table))
    assert sorted(pairing) == list(rows)
    assert table[rows, pairing].sum() == min(table[rows, list(p)].sum() for p in permutations(rows))


def test_pairings_are_scipys() -> None:
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        table = rng.standard_normal((size, size))
        assert cheapest_pairing(table).tolist() == linear_sum_assignment(table)[1].tolist()
    assert len(cheapest_pairing(np.zeros((0, 0)))) == 0
