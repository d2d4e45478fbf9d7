"""Voices, hands and readable lengths."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score.quantising.hands import left_hand
from solfa.score.quantising.tidy import hits, tidied
from solfa.score.quantising.voices import Chord, Placed, exact_voices, reading_voices

QUARTER = 48
NOTES = st.lists(
    st.builds(lambda on, length, pitch, loud: Placed(on, on + length, pitch, loud), st.integers(0, 200), st.integers(1, 150),
              st.integers(30, 90), st.integers(1, 127)), max_size=40,
)  # fmt: skip


def apart(voices):
    """Whether the chords of every voice follow one another."""
    return all(a.offset <= b.onset for voice in voices for a, b in pairwise(voice))


@settings(deadline=None, max_examples=150)
@given(NOTES)
def test_exact_voices_hold_every_note_as_it_is(notes):
    voices = exact_voices(notes)
    assert apart(voices)
    held = sorted((c.onset, c.offset, p) for voice in voices for c in voice for p in c.pitches)
    assert held == sorted((n.onset, n.offset, n.pitch) for n in notes)
    # As few voices as chords that sound at once: first fit in order of onset needs no more.
    spans = {(c.onset, c.offset, n) for n, voice in enumerate(voices) for c in voice}
    most = max((sum(a <= t < b for a, b, _ in spans) for t in {a for a, _, _ in spans}), default=0)
    assert len(voices) == most


def test_notes_that_touch_share_a_voice():
    notes = [Placed(n * 10, n * 10 + 10, 60 + n % 3) for n in range(9)]
    assert len(exact_voices(notes)) == 1
    assert len(exact_voices([*notes, Placed(5, 25, 40)])) == 2
    assert len(exact_voices([Placed(0, 10, 60), Placed(0, 10, 60)])) == 2  # equal notes stay two


@settings(deadline=None, max_examples=100)
@given(NOTES, st.integers(1, 4))
def test_reading_voices_are_few_and_hold_every_onset(notes, most):
    voices = reading_voices(notes, most, QUARTER)
    assert apart(voices) and len(voices) <= most
    held = sorted((c.onset, p) for voice in voices for c in voice for p in c.pitches)
    assert held == sorted({(n.onset, n.pitch) for n in notes})
    assert all(c.offset > c.onset for voice in voices for c in voice)


@settings(deadline=None, max_examples=100)
@given(NOTES, st.sampled_from([48, 72]), st.booleans())
def test_readable_lengths_stay_in_their_voice(notes, beat, drums):
    for voice in reading_voices(notes, 2, QUARTER):
        neat = hits(voice, beat) if drums else tidied(voice, QUARTER, beat, {0, 2})
        assert apart([neat])
        assert [(c.onset, c.pitches) for c in neat] == [(c.onset, c.pitches) for c in voice]
        assert all(c.offset > c.onset for c in neat)


def lengths(spans, **options):
    chords = [Chord(on, on + length, (60,), 80) for on, length in spans]
    return [c.offset - c.onset for c in tidied(chords, QUARTER, 48, (), **options)]


def test_touch_is_not_a_rest():
    assert lengths([(0, 40), (48, 15), (96, 47), (144, 20), (168, 20)]) == [
        48,
        48,
        48,
        24,
        24,
    ]  # staccato on a quarter counts too


def test_a_long_way_leaves_a_rest():
    assert lengths([(0, 50), (192, 45)]) == [48, 48]
    assert lengths([(0, 52), (72, 48)]) == [72, 48]
    assert lengths([(0, 30), (72, 48)]) == [24, 48]
    assert lengths([(0, 180), (192, 48)]) == [192, 48]  # most of the way is all of it


def test_drums_last_to_the_next_stroke_of_the_beat():
    chords = [Chord(on, on + 2, (36,), 80) for on in (0, 24, 48, 144)]
    assert [c.offset - c.onset for c in hits(chords, 48)] == [24, 24, 48, 48]


def test_a_held_melody_over_moving_notes_has_its_own_voice():
    top = [Placed(n * 96, n * 96 + 92, 76 - n % 3) for n in range(8)]
    moving = [Placed(n * 24, n * 24 + 22, 60 + n % 4) for n in range(32)]
    upper, lower = reading_voices(top + moving, 2, QUARTER)
    assert [c.pitches for c in upper] == [(n.pitch,) for n in top]
    assert [c.pitches for c in lower] == [(n.pitch,) for n in moving]


def test_one_line_with_leaps_is_one_voice():
    notes = [Placed(n * 24, n * 24 + 26, (40, 64, 47, 69)[n % 4]) for n in range(32)]
    (voice,) = reading_voices(notes, 2, QUARTER)
    assert len(voice) == 32


def test_chords_that_move_together_are_one_voice():
    notes = [Placed(n * 48, n * 48 + 46, pitch + n % 2) for n in range(12) for pitch in (60, 64, 67)]
    (voice,) = reading_voices(notes, 2, QUARTER)
    assert all(len(chord.pitches) == 3 for chord in voice)


def test_hands_part_where_the_music_does():
    """Chords in the left hand, a tune in the right that comes down close to them."""
    rng = np.random.default_rng(0)
    notes = []
    for beat in range(64):
        notes += [(beat * 48, pitch, True) for pitch in (43, 50, 55)]
        notes += [(beat * 48, 64 + int(rng.integers(-2, 14)), False)]
    notes.sort()
    low = left_hand([on for on, _, _ in notes], [pitch for _, pitch, _ in notes], QUARTER)
    assert low.tolist() == [left for _, _, left in notes]


def test_one_hand_may_play_all():
    assert left_hand([], [], QUARTER).tolist() == []
    assert not left_hand([0, 48, 96], [72, 76, 79], QUARTER).any()
    assert left_hand([0, 48, 96], [40, 43, 45], QUARTER).all()
