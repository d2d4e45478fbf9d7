"""Notes as long as the pedal holds them."""

from hypothesis import given
from hypothesis import strategies as st

from solfa.score.note import Note
from solfa.score.pedal import pedal_extended
from solfa.score.score import Part, Pedal, Score

TIMES = st.integers(0, 20).map(lambda step: step * 0.25)
SPANS = st.tuples(TIMES, TIMES).map(sorted)


def lengths(
    notes: list[tuple[float, float, int]], pedals: list[tuple[float, float]], drum: bool = False
) -> list[float]:
    """The new offsets of (onset, offset, pitch) in one part, in the order of the score."""
    part = Part("piano", 0, drum, tuple(Note(a, b, pitch, is_drum=drum) for a, b, pitch in notes))
    score = Score((part,), pedals=tuple(Pedal(a, b, 0) for a, b in pedals))
    return [note.offset for note in pedal_extended(score).notes]


def test_a_note_lasts_until_the_pedal_comes_up():
    assert lengths([(0, 1, 60)], [(0.5, 3)]) == [3]
    assert lengths([(0, 1, 60)], [(1, 3)]) == [3]  # down as the key comes up: held
    assert lengths([(0, 1, 60)], [(0.5, 1)]) == [1]  # both up
    assert lengths([(0, 1, 60)], [(1.5, 3)]) == [1]
    assert lengths([(0, 1, 60)], [(0, 0.5), (0.75, 2), (1.5, 4), (4, 5)]) == [
        4
    ]  # strokes that overlap are one, that touch are two
    assert lengths([(0, 1, 60)], [(0.5, 3)], drum=True) == [1]


def test_or_until_it_is_struck_again():
    assert lengths([(0, 1, 60), (2, 2.5, 60), (2, 2.5, 61)], [(0.5, 3)]) == [2, 3, 3]
    assert lengths([(0, 1, 60), (0.5, 2, 60)], [(0, 3)]) == [3, 3]  # struck again before it ended: it is not cut short
    assert lengths([(0, 1, 60), (1, 1, 60), (1, 2, 60)], [(0.5, 3)]) == [1, 3, 3]


def test_only_in_its_own_part():
    parts = tuple(Part(f"{p}", p, False, (Note(0, 1, 60, program=p), Note(2, 2.25, 60 + p, program=p))) for p in (0, 1))
    score = Score(parts, pedals=(Pedal(0.5, 3, 1),))
    held = pedal_extended(score)
    assert [note.offset for note in held.parts[0].notes] == [1, 2.25]
    assert [note.offset for note in held.parts[1].notes] == [3, 3]  # 61 is another pitch
    assert held.pedals == score.pedals


@given(st.lists(st.tuples(SPANS, st.integers(60, 61)), max_size=8), st.lists(SPANS, max_size=5))
def test_against_the_rule_read_word_for_word(notes, pedals):
    """In quarter seconds, step by step: while any pedal that overlaps the last is down and nobody strikes the pitch, the note sounds on."""
    played = sorted((a, b, pitch) for (a, b), pitch in notes)
    expected = []
    for onset, offset, pitch in played:
        end = offset
        while any(a <= end < b for a, b in pedals) and not any(
            p == pitch and end <= a and a > onset and a == end for a, _, p in played
        ):
            if end > offset and not any(a < end < b for a, b in pedals):
                break  # one pedal came up as the next went down
            end += 0.25
        expected.append(end)
    assert lengths(played, pedals) == expected
