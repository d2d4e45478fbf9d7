"""A pulse found from onsets, the grid of a beat, and the tempi that are written for it."""

from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score import Note
from solfa.score.quantising.grid import COMPOUND, DUPLE, TRIPLE, UNITS, place
from solfa.score.quantising.pulse import PERIODS, find_events, find_pulse, likely_phase
from solfa.score.quantising.timing import Timing, find_timing, written_tempi
from solfa.score.sheet.notation import BarLength


def notes_at(times):
    return [Note(float(t), float(t) + 0.1, 60) for t in times]


def on_taps(times, taps):
    """The share of times that have a tap within 40 ms."""
    return float(np.mean(np.abs(np.asarray(times)[:, None] - taps).min(axis=1) < 0.04))


@settings(deadline=None, max_examples=15)
@given(st.floats(0.3, 0.88), st.floats(0, 3), st.integers(0, 1000))
def test_an_even_pulse_is_found_through_its_divisions(period, start, seed):
    rng = np.random.default_rng(seed)
    beats = start + np.arange(40) * period
    halves = beats[rng.random(40) < 0.5] + period / 2
    times = np.abs(np.concatenate([beats, halves]) + rng.normal(0, 0.01, 40 + len(halves)))
    taps = find_pulse(find_events(notes_at(times)))
    assert np.all(np.diff(taps) > 0)
    assert on_taps(beats, taps) > 0.45  # each tap, or every other
    ratio = np.median(np.diff(taps)) / period
    assert min(abs(ratio - level) for level in (0.5, 1.0, 2.0)) < 0.03


def test_a_tempo_that_changes_is_followed():
    """From 100 to 140 taps a minute and back over a minute."""
    bpm = 120 - 20 * np.cos(np.linspace(0, 2 * np.pi, 120))
    beats = np.cumsum(60 / bpm)
    rng = np.random.default_rng(1)
    times = np.concatenate([beats, (beats[1:] + beats[:-1])[::2] / 2]) + rng.normal(0, 0.008, 120 + 60)
    assert on_taps(beats, find_pulse(find_events(notes_at(np.abs(times))))) > 0.95


def test_silence_is_counted_through():
    beats = np.concatenate([np.arange(20) * 0.5, 100.0 + np.arange(20) * 0.5])
    taps = find_pulse(find_events(notes_at(beats)))
    assert on_taps(beats, taps) == 1.0
    assert np.diff(taps).max() <= 2 * PERIODS[1]


def test_events_group_what_begins_together():
    events = find_events(notes_at([1.0, 0.02, 0.0, 1.02, 2.0]))
    assert events.times.tolist() == pytest.approx([0.01, 1.01, 2.0])
    assert events.index.tolist() == [1, 0, 0, 1, 2]
    run = find_events(notes_at(np.arange(100) * 0.02))  # a run never joins to one
    assert len(run.times) > 20
    with pytest.raises(ValueError, match="two or more"):
        find_pulse(find_events(notes_at([1.0])))


@pytest.mark.parametrize("phase", [0.0, 0.13, 0.49])
def test_the_phase_of_a_known_period(phase):
    found = likely_phase(find_events(notes_at(phase + np.arange(30) * 0.5)), 0.5)
    assert min(abs(found - phase), 0.5 - abs(found - phase)) < 0.01


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=20))
def test_places_on_the_grid_stay(counts):
    """Beats of one, two, three or four equal notes, exactly in time, are read as they are."""
    places = [beat * UNITS + part * UNITS // count for beat, count in enumerate(counts) for part in range(count)]
    beats = np.array(places) / UNITS
    found = place(beats, np.full(len(beats), 0.6), np.ones(len(beats)), DUPLE + TRIPLE, 0.022)
    assert found.tolist() == places


def test_compound_beats_divide_in_three():
    beats = np.array([0, 1 / 3, 2 / 3, 1, 1.5, 1 + 2 / 3]) + 0.01
    assert place(beats, np.full(6, 0.9), np.ones(6), COMPOUND, 0.022).tolist()[:4] == [0, 8, 16, 24]
    assert place(np.zeros(0), np.zeros(0), np.zeros(0), DUPLE, 0.02).tolist() == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.3, 1.0), min_size=2, max_size=60), st.floats(-1, 5))
def test_written_tempi_keep_every_beat_near(steps, start):
    """However the beats fall, the sheet's time stays within 12 % of a median beat (48 ms at most, and a little for rounding)."""
    seconds = start + np.concatenate([[0.0], np.cumsum(steps)])
    timing = Timing(np.arange(len(seconds), dtype=float), seconds, BarLength(F(0), 4, 4), F(0), "found", "found")
    tempi = written_tempi(timing, len(seconds) - 1, F(1))
    now, last = float(timing.time(np.zeros(1))[0]), tempi[0]
    allowed = 0.12 * min(float(np.median(np.diff(timing.time(np.arange(len(seconds) + 1.0))))), 0.4) + 0.001
    for tempo in tempi[1:]:
        now += float(tempo.onset - last.onset) * 60 / last.bpm
        assert abs(now - timing.time(np.array([float(tempo.onset)]))[0]) < allowed
        last = tempo
    assert [tempo.onset for tempo in tempi] == sorted({tempo.onset for tempo in tempi})


def test_even_beats_need_one_tempo():
    rng = np.random.default_rng(0)
    timing = find_timing(notes_at(np.abs(0.3 + np.arange(64) * 0.5 + rng.normal(0, 0.01, 64))))
    (tempo,) = written_tempi(timing, 64.0, F(1))
    assert min(abs(tempo.bpm / level - 1) for level in (60.0, 120.0, 240.0)) < 0.01
