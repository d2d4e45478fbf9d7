"""A pianist: plays every key of the score, on one piano, as two hands and a foot can; louder above; otherwise each time."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.data.composer.instruments import fold
from solfa.data.pianist import PACES, TOGETHER, play_as_pianist
from solfa.data.programs import Presets
from solfa.data.strokes import apart
from solfa.score.midi import read_midi, write_midi
from solfa.score.note import Note
from solfa.score.score import Metre, Part, Pedal, Score, TempoChange, score_of_notes

GRAND = Presets(frozenset({0}))
notes = st.lists(
    st.builds(
        lambda place, length, pitch, program: Note(place / 8, (place + length) / 8, pitch, 90, program),
        st.integers(0, 160),
        st.integers(0, 16),
        st.integers(0, 127),
        st.sampled_from((0, 40, 73)),
    ),
    min_size=1,
    max_size=60,
)


def chorale(bars: int = 16) -> Score:
    """Four voices, a chord each half second."""
    chords = [Note(i / 2, i / 2 + 0.5, p + i % 5, 80, 52) for i in range(4 * bars) for p in (41, 53, 60, 69)]
    return score_of_notes(chords)


@given(notes, st.integers(0, 1 << 40))
@settings(max_examples=200)
def test_it_can_be_played_and_is_the_score(written: list[Note], seed: int) -> None:
    score = score_of_notes(written)
    played = play_as_pianist(score, Presets(frozenset({1, 4, 60})), random.Random(seed))
    assert played == play_as_pianist(score, Presets(frozenset({1, 4, 60})), random.Random(seed))
    (part,) = played.parts
    assert part.program in (1, 4) and not part.is_drum
    free: dict[int, float] = {}
    for note in part.notes:
        assert fold(note.pitch, part.program) == note.pitch and note.duration >= 0
        assert note.onset >= free.get(note.pitch, 0.0), "a key is up before it is struck again"
        free[note.pitch] = note.offset
    assert {n.pitch % 12 for n in part.notes} == {n.pitch % 12 for n in written}
    for before, after in pairwise(played.pedals):
        assert before.offset <= after.onset + 1e-9
    read = read_midi(write_midi(played, None))
    assert [n.pitch for n in sorted(read.notes, key=lambda n: n.pitch)] == sorted(n.pitch for n in part.notes)


def test_each_chord_is_struck_once_in_its_order() -> None:
    for seed in range(30):
        played = play_as_pianist(chorale(), GRAND, random.Random(seed)).notes
        top = [n for n in played if 69 <= n.pitch < 74]
        assert [n.pitch for n in top] == [69 + i % 5 for i in range(64)], seed
        gaps = [b.onset - a.onset for a, b in pairwise(top)]
        assert min(gaps) > 0.05 and max(gaps) / min(gaps) < 6
        # Faster or slower as a whole, within the paces there are; rubato bends that a little.
        pace = 31.5 / (top[-1].onset - top[0].onset)
        assert PACES[0] * 0.8 < pace < PACES[1] * 1.25
        assert 0.8 < play_as_pianist(chorale(), GRAND, random.Random(seed)).tempi[0].bpm / 120 / pace < 1.25


def test_the_melody_stands_out_and_phrases_swell() -> None:
    top, inner, spans = [], [], []
    for seed in range(60):
        played = play_as_pianist(chorale(), GRAND, random.Random(seed)).notes
        high = [n.velocity for n in played if 69 <= n.pitch < 74]
        middle = [n.velocity for n in played if 60 <= n.pitch < 65]
        top.append(sum(high) / len(high))
        inner.append(sum(middle) / len(middle))
        spans.append(max(high) - min(high))
    assert sum(top) / len(top) > sum(inner) / len(inner) + 5
    assert min(top) < 50 and max(top) > 85, "soft and loud performances"
    assert sorted(spans)[30] > 25


def test_the_pedal_changes_after_the_bass() -> None:
    pedalled = 0
    for seed in range(40):
        played = play_as_pianist(chorale(), GRAND, random.Random(seed))
        bass = [n.onset for n in played.notes if n.pitch < 48]
        pedalled += bool(played.pedals)
        for pedal in played.pedals:
            assert min(abs(pedal.onset - onset) for onset in bass) < 0.4
    assert 20 < pedalled < 40, "most performances, not all"


def test_what_two_parts_strike_together_is_struck_once_and_drums_are_left_out() -> None:
    violin = Part("v", 40, False, (Note(0.0, 8.0, 70, 90, 40), Note(1.0, 2.0, 71, 90, 40)))
    flute = Part("f", 73, False, (Note(TOGETHER / 2, 0.1, 70, 90, 73),))
    drums = Part("d", 0, True, (Note(0.0, 0.1, 38, 90, 0, True),))
    score = Score((violin, flute, drums), (TempoChange(0.0, 100.0),), (Metre(0.0, 3, 4),), pedals=(Pedal(0.0, 1.0, 0),))
    for seed in range(20):
        played = play_as_pianist(score, GRAND, random.Random(seed))
        assert [n.pitch for n in played.notes if n.pitch in (70, 71)] == [70, 71]
        assert played.notes[0].duration > 8.0 / PACES[1] * 0.3, "as long as the longer of the two"
        assert len(played.tempi) == 1 and played.metres == score.metres
        assert 100 * PACES[0] - 1e-9 <= played.tempi[0].bpm <= 100 * PACES[1] + 1e-9
    with pytest.raises(ValueError, match="no notes for a pianist"):
        play_as_pianist(Score((drums,)), GRAND, random.Random(0))
    with pytest.raises(ValueError, match="none of the programs 0 to 7"):
        play_as_pianist(score, Presets(frozenset({40})), random.Random(0))


def test_a_key_is_up_before_it_is_struck_again() -> None:
    struck = [Note(0.0, 1.0, 60), Note(0.01, 2.0, 60, 100), Note(0.5, 3.0, 60), Note(0.51, 0.6, 61)]
    assert apart(struck) == (Note(0.0, 0.5, 60), Note(0.5, 3.0, 60), Note(0.51, 0.6, 61))


def test_performances_are_dense_and_no_two_alike() -> None:
    seen = [play_as_pianist(chorale(), GRAND, random.Random(seed)) for seed in range(40)]
    rates = sorted(len(played.notes) / played.duration for played in seen)
    assert rates[-1] > 15 and rates[0] < 8
    assert len({played.notes for played in seen}) == 40
