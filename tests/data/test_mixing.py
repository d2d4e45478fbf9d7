"""Variants: sound and notes move together, all is a function of the seed, and nothing leaves the keys or the time line."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solfa.data.mixing import COMPASS, TAPE, MixOptions, Variation, draw_variation, vary_score, vary_sound
from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score

RATE = 8000
CLEAN = MixOptions(dry=1.0, equalise=(0.0, 0.0), noisy=0.0, level=(-20.0, -20.0), mix=0.0)


def score(*notes: tuple[float, float, int], drum: bool = False, pedals: tuple[tuple[float, float], ...] = ()) -> Score:
    part = Part("x", 0, drum, tuple(Note(on, off, pitch, 80, 0, drum) for on, off, pitch in notes))
    return Score((part,), pedals=tuple(Pedal(on, off, 0) for on, off in pedals))


def tone(frequency: float, start: float, seconds: float) -> np.ndarray:
    """Silence, then a sine with a hard onset at `start`."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * frequency * (time - start)) * (time >= start)).astype(np.float32)[None]


def pitch_of(sound: np.ndarray) -> float:
    """The strongest frequency."""
    size = 1 << 18
    spectrum = np.abs(np.fft.rfft(sound[0] * np.hanning(sound.shape[1]), size))
    return float(spectrum.argmax()) * RATE / size


@pytest.mark.parametrize(("cents", "semitones"), [(0.0, 3), (-40.0, 0), (25.0, -5)])
def test_sound_and_notes_move_together(cents, semitones):
    piece = score((0.5, 2.0, 69))
    options = replace(CLEAN, detune=(cents, cents), transpose=(semitones, semitones))
    variation = draw_variation(random.Random(0), options, 0, [piece])
    (sound,) = [vary_sound([tone(440.0, 0.5, 2.0)], RATE, variation)]
    (note,) = vary_score([piece], variation, 2.0).notes
    assert note.pitch == 69 + semitones
    assert pitch_of(sound) == pytest.approx(440 * 2 ** ((semitones + cents / 100) / 12), rel=2e-4)
    onset = np.flatnonzero(np.abs(sound[0]) > 0.05)[0] / RATE
    assert onset == pytest.approx(note.onset, abs=0.003)
    assert note.offset == pytest.approx(sound.shape[1] / RATE, abs=2 / RATE)


def test_a_second_recording_sounds_where_its_notes_are():
    one, two = score((0.0, 3.0, 69)), score((0.5, 0.9, 76), pedals=((0.5, 0.8),))
    options = replace(CLEAN, detune=(0.0, 0.0), transpose=(0, 0), mix=1.0, beside=(-6.0, -6.0))
    variation = draw_variation(random.Random(3), options, 0, [one, two])
    second = variation.strands[1]
    assert second.index == 1 and 0 < second.delay <= 1.5 and second.gain == -6.0
    sound = vary_sound([tone(440.0, 0.0, 3.0), tone(659.26, 0.5, 1.0)], RATE, variation)
    assert sound.shape == (1, 3 * RATE), "as long as the first"
    merged = vary_score([one, two], variation, 3.0)
    (note,) = [note for note in merged.notes if note.pitch == 76]
    assert note.onset == pytest.approx(0.5 + second.delay)
    assert [(p.part, round(p.onset - note.onset, 6)) for p in merged.pedals] == [(1, 0.0)]

    def level(start: float) -> float:
        piece = sound[0, round(start * RATE) : round((start + 0.3) * RATE)] * np.hanning(round(0.3 * RATE))
        time = np.arange(len(piece)) / RATE
        return float(abs((piece * np.exp(-2j * np.pi * 659.26 * time)).sum()))

    assert level(note.onset) > 50 * level(note.onset - 0.4)
    alone = replace(variation, strands=(variation.strands[0],))
    assert not np.array_equal(vary_sound([tone(440.0, 0.0, 3.0)], RATE, alone), sound)


def test_a_variant_is_cut_with_its_first_recording():
    one, two = score((0.0, 1.0, 60)), score((0.0, 9.0, 64), (0.9, 1.2, 67), (5.0, 6.0, 72))
    options = replace(CLEAN, mix=1.0, detune=(0.0, 0.0), transpose=(0, 0))
    variation = draw_variation(random.Random(0), options, 0, [one, two])
    notes = vary_score([one, two], variation, 1.0).notes
    assert max(note.offset for note in notes) <= 1.0 and {72, 67}.isdisjoint(note.pitch for note in notes)
    assert vary_sound([tone(262.0, 0.0, 1.0), tone(330.0, 0.0, 9.0)], RATE, variation).shape[1] == RATE


def test_the_same_seed_gives_the_same_and_another_another():
    pieces = [score((0.0, 1.0, 60)), score((0.1, 1.0, 64)), score((0.2, 1.0, 67))]
    draws = [draw_variation(random.Random(seed), MixOptions(mix=1.0), 1, pieces) for seed in (5, 5, 6)]
    assert draws[0] == draws[1] != draws[2]
    assert all({strand.index for strand in draw.strands} != {1} for draw in draws), "never mixed with itself"
    sounds = [tone(262.0 + i, 0.0, 1.0) for i in range(3)]
    first, again, other = (vary_sound([sounds[s.index] for s in draw.strands], RATE, draw) for draw in draws)
    assert np.array_equal(first, again) and not np.array_equal(first[:, :4000], other[:, :4000])
    assert json.loads(json.dumps(draws[0].to_dict()))["strands"][0]["index"] == 1


def test_drums_keep_their_keys():
    piece = score((0.0, 0.1, 38), drum=True)
    variation = draw_variation(random.Random(0), replace(CLEAN, transpose=(2, 2)), 0, [piece])
    assert variation.strands[0].semitones == 2
    assert [note.pitch for note in vary_score([piece], variation, 1.0).notes] == [38]


@given(
    st.lists(st.integers(0, 127), min_size=1, max_size=5),
    st.tuples(st.integers(-12, 12), st.integers(-12, 12)).map(sorted).map(tuple),
    st.integers(0, 1 << 30),
)
def test_no_transposition_leaves_the_keys(pitches, span, seed):
    pieces = [score(*((0.0, 1.0, pitch) for pitch in pitches)), score((0.0, 1.0, 60))]
    options = MixOptions(transpose=span, mix=0.5)
    variation = draw_variation(random.Random(seed), options, 0, pieces)
    found = vary_score([pieces[s.index] for s in variation.strands], variation, 1.0)
    low, high = min(COMPASS[0], *pitches), max(COMPASS[1], *pitches)
    assert all(low <= note.pitch <= high and note.offset <= 1.0 / 2**-1.1 for note in found.notes)
    assert all(0.49 < strand.stretch < 2.02 for strand in variation.strands)


def test_silence_stays_silent_and_a_short_second_one_is_no_harm():
    one, two = score((0.0, 1.0, 60)), score((0.0, 0.01, 60))
    variation = draw_variation(random.Random(1), replace(CLEAN, mix=1.0), 0, [one, two])
    silent, blip = np.zeros((1, RATE), np.float32), np.ones((1, 3), np.float32)
    assert not vary_sound([silent], RATE, Variation(variation.strands[:1], variation.effects)).any()
    assert np.isfinite(vary_sound([silent, blip], RATE, variation)).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("transpose", (-13, 0)), ("transpose", (2, 1)), ("beside", (0.0, 21.0)), ("mix", 1.5), ("dry", -0.1), ("noise", (0, 0)),
     ("detune", (-100, 0)), ("mix", math.nan)],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        MixOptions(**{field: value})


def test_speeds_are_within_half_a_cent():
    for cents in np.linspace(-99, 99, 41):
        options = replace(CLEAN, detune=(cents, cents), transpose=(0, 0))
        speed = draw_variation(random.Random(0), options, 0, [score((0.0, 1.0, 60))]).strands[0].speed
        assert abs(1200 * math.log2(speed / TAPE) - cents) < 0.25
