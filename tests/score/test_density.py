"""Onsets a second, and the word for it."""

import pytest

from solfa.score.density import density_of, onset_rate
from solfa.score.note import Note


def test_chords_count_once_and_order_does_not_matter():
    chords = [Note(0.5 * i + 0.01 * j, 0.5 * i + 0.4, 60 + j) for i in range(8) for j in range(3)]
    assert onset_rate(chords) == pytest.approx(8 / 3.9) == onset_rate(chords[::-1])
    assert onset_rate([Note(note.onset + 9, note.offset + 9, note.pitch) for note in chords]) == pytest.approx(8 / 3.9)
    assert onset_rate([Note(1.0, 1.2, 60), Note(1.1, 1.2, 62)]) == 2.0  # over a second at least
    assert onset_rate([]) is None


def test_words():
    assert [density_of(rate) for rate in (0.5, 1.99, 2.0, 6.0, 6.01)] == [
        "sparse",
        "sparse",
        "medium",
        "medium",
        "dense",
    ]
