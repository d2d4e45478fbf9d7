"""Segments: their steps meet, whatever their length; pedals of a score."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solfa.score import Note, Part, Pedal, Score
from solfa.transcription.segments import PedalSpan, Segment, pedal_spans


def test_starts_are_floored() -> None:
    assert [Segment(k * 2.048, 2.048).steps(100) for k in range(4)] == [(0, 204), (204, 409), (409, 614), (614, 819)]
    assert Segment(0.29, 0.01).steps(100) == (29, 30)  # 0.29 * 100 is 28.999999999999996
    assert Segment(0.1 + 0.2, 0.7).steps(10) == (3, 10)
    assert Segment(1.0, 2.5).end == 3.5


@given(length=st.floats(0.02, 30), count=st.integers(1, 60), rate=st.sampled_from([50, 100, 1000]))
def test_steps_of_neighbours_meet(length: float, count: int, rate: int) -> None:
    steps = [Segment(index * length, length).steps(rate) for index in range(count)]
    assert steps[0][0] == 0 and all(before[1] == after[0] for before, after in pairwise(steps))
    assert steps[-1][1] >= int(length * count * rate)


def test_pedals_of_a_score() -> None:
    parts = (
        Part("drums", 0, True, ()),
        Part("harp", 46, False, (Note(0, 1, 60, program=46),)),
        Part("piano", 0, False, ()),
    )
    score = Score(parts, pedals=(Pedal(1, 2, 1), Pedal(0, 3, 0), Pedal(0.5, 2, 2)))
    assert pedal_spans(score) == [PedalSpan(0.5, 2, 0), PedalSpan(1, 2, 46)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Segment(-0.1, 1),
        lambda: Segment(0, 0),
        lambda: Segment(float("nan"), 1),
        lambda: Segment(0, float("inf")),
        lambda: PedalSpan(1, 0.5),
        lambda: PedalSpan(0, float("inf")),
        lambda: PedalSpan(0, 1, 128),
    ],
)
def test_times_that_are_none(make) -> None:
    with pytest.raises(ValueError, match=r"needs|legal"):
        make()
