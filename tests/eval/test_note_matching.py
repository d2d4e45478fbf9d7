"""The matching of notes: mir_eval's own pairs on dense random notes, its limits, and the properties that any largest matching has."""

import warnings

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.eval.note_matching import (
    NoteTable,
    Tolerances,
    count_near,
    largest_matching,
    match_notes,
    near_onsets,
    note_table,
    rates,
)
from solfa.score.note import Note

# Distances around the limit of 50 ms: rounding to a tenth of a millisecond decides (50.05 ms is near, 50.06 ms is not).
NUDGES = (0.0, 0.02, 0.0499, 0.05, 0.05004, 0.05005, 0.05006, 0.0501, 0.06)
TIMES = st.one_of(
    st.integers(0, 24).map(
        lambda step: step * 0.025
    ),  # so that differences of exactly 50 ms come up, to the last bit or not
    st.floats(0, 0.6),
)


@st.composite
def sides(draw: st.DrawFn, shortest: float = 0.0) -> tuple[list[Note], list[Note]]:
    """Up to 14 notes of two or three pitches in 0.6 s, and an estimate: some of them nudged, some twice, and some others."""
    note = st.builds(
        lambda onset, length, pitch, velocity: Note(onset, onset + shortest + length, pitch, velocity),
        TIMES, TIMES, st.integers(60, 62), st.integers(1, 127),
    )  # fmt: skip
    reference = draw(st.lists(note, max_size=14))
    estimate = draw(st.lists(note, max_size=6))
    for known in draw(st.lists(st.sampled_from(reference), max_size=12)) if reference else []:
        start, end = (draw(st.sampled_from(NUDGES)) * draw(st.sampled_from((-1, 1))) for _ in range(2))
        onset = max(0.0, known.onset + start)
        estimate.append(Note(onset, max(onset + shortest, known.offset + end), known.pitch, draw(st.integers(1, 127))))
    return reference, draw(st.permutations(estimate))


def columns(notes: list[Note]) -> tuple[np.ndarray, np.ndarray]:
    """What mir_eval takes: intervals [N, 2] in seconds, and pitches in Hz."""
    intervals = np.array([(note.onset, note.offset) for note in notes], np.float64).reshape(-1, 2)
    return intervals, mir_eval.util.midi_to_hz(np.array([note.pitch for note in notes], np.float64))


def tables(pair: tuple[list[Note], list[Note]]) -> tuple[NoteTable, NoteTable]:
    return note_table(pair[0]), note_table(pair[1])


def listed(pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.reference.tolist(), pairs.estimate.tolist(), strict=True))


def check_pairs(pair: tuple[list[Note], list[Note]], tolerances: Tolerances, offsets: bool) -> list[tuple[int, int]]:
    """The pairs of both, which must be the same ones."""
    ours = listed(match_notes(*tables(pair), tolerances, offsets=offsets))
    theirs: list[tuple[int, int]] = []
    if all(pair):  # mir_eval's matching needs notes
        (a, f), (b, g) = map(columns, pair)
        ratio = tolerances.offset_ratio if offsets else None
        limits = (tolerances.onset, 50.0, ratio, tolerances.offset_floor, tolerances.strict)
        theirs = mir_eval.transcription.match_notes(a, f, b, g, *limits)
    assert ours == theirs
    return ours


@pytest.mark.parametrize("offsets", [False, True])
@given(st.data(), st.booleans(), st.sampled_from((0.05, 0.0, 0.013, 0.3)), st.sampled_from((0.2, 0.0, 1.5)))
def test_the_pairs_are_those_of_mir_eval(offsets, data, strict, near, ratio):
    """Without offsets notes of no length too: its matching takes them, only its scores do not."""
    pair = data.draw(sides(0.001 if offsets else 0.0))
    check_pairs(pair, Tolerances(near, ratio, near, strict=strict), offsets)


@pytest.mark.parametrize(
    ("onset", "near", "strictly"), [(0.05, 1, 0), (0.05005, 1, 0), (0.05006, 0, 0), (0.0499, 1, 1)]
)
def test_the_limit(onset, near, strictly):
    for shift in (0.0, 0.05, 17.3):
        reference, estimate = [Note(shift, 20.0, 60)], [Note(shift + onset, 20.0, 60)]
        for offsets in (False, True):
            assert len(check_pairs((reference, estimate), Tolerances(), offsets)) == near
            assert len(check_pairs((reference, estimate), Tolerances(strict=True), offsets)) == strictly
    for end, right in ((20.05, 1), (20.051, 0)):  # 20 % of a quarter of a second are the 50 ms that are allowed anyway
        assert len(check_pairs(([Note(19.75, 20.0, 60)], [Note(19.75, end, 60)]), Tolerances(), True)) == right


@settings(max_examples=60)
@given(sides(0.001), st.booleans(), st.booleans())
def test_onsets_and_offsets_of_any_pitch_are_as_many_as_mir_eval_finds(pair, offsets, strict):
    tolerances = Tolerances(strict=strict)
    ours = count_near(*tables(pair), tolerances, offsets=offsets)
    (reference, _), (estimate, _) = map(columns, pair)
    if offsets:
        theirs = mir_eval.transcription.match_note_offsets(reference, estimate, strict=strict)
    else:
        theirs = mir_eval.transcription.match_note_onsets(reference, estimate, strict=strict)
    assert ours == len(theirs)


def test_crowds_are_paired_as_mir_eval_pairs_them():
    """Up to 60 notes of one or two pitches in half a second: several of the largest matchings are found by long searches, in its order."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        pair = tuple(
            [
                Note(onset, onset + length, int(pitch))
                for onset, length, pitch in zip(
                    rng.uniform(0, 0.5, count).tolist(),
                    rng.uniform(0.05, 0.4, count).tolist(),
                    rng.integers(60, 62, count),
                    strict=True,
                )
            ]
            for count in rng.integers(10, 60, 2)
        )
        for offsets in (False, True):
            check_pairs(pair, Tolerances(), offsets)


def test_a_long_roll_of_one_pitch_is_mir_evals_too():
    """Chains of hundreds of strokes 45 ms apart, some missed, some double, whose augmenting paths are long."""
    rng = np.random.default_rng(3)
    strokes = np.arange(500) * 0.045
    kept = np.sort(np.concatenate([strokes[rng.random(500) < 0.9], strokes[rng.random(500) < 0.15]]))
    reference = [Note(t, t + 0.1, 38) for t in strokes.tolist()]
    estimate = [
        Note(max(0.0, t + d), t + 0.1, 38)
        for t, d in zip(kept.tolist(), rng.normal(0, 0.012, len(kept)).tolist(), strict=True)
    ]
    for offsets in (False, True):
        assert check_pairs((reference, estimate), Tolerances(), offsets)


def test_a_path_longer_than_the_stack():
    """First come, every note is paired with the wrong one of two: one augmenting path through all 3000, where recursion would end."""
    n = 3000
    reference = [Note(0.06 * i, 0.06 * i + 1, 60) for i in range(n)]
    # Each estimate is near the stroke before and after it; the first is near the first stroke only, and comes last.
    estimate = [Note(0.06 * i + 0.03, 0.06 * i + 1, 60) for i in range(n - 1)] + [Note(0.0, 1.0, 60)]
    near = near_onsets(*tables((reference, estimate)), Tolerances())
    assert len(near) == 2 * (n - 1) + 1
    assert len(largest_matching(near)) == n


@settings(max_examples=40)
@given(sides())
def test_it_is_one_to_one_near_and_equally_large_both_ways(pair):
    wanted, found = tables(pair)
    pairs = match_notes(wanted, found, offsets=False)
    assert len(set(pairs.reference.tolist())) == len(set(pairs.estimate.tolist())) == len(pairs)
    assert (wanted.pitch[pairs.reference] == found.pitch[pairs.estimate]).all()
    assert (np.abs(wanted.onset[pairs.reference] - found.onset[pairs.estimate]) <= 0.05005 + 1e-9).all()
    assert len(match_notes(found, wanted, offsets=False)) == len(pairs)


@settings(max_examples=40)
@given(sides(), st.randoms(use_true_random=False))
def test_the_order_of_the_notes_does_not_matter(pair, random):
    shuffled = tuple(random.sample(notes, len(notes)) for notes in pair)
    for offsets in (False, True):
        assert len(match_notes(*tables(shuffled), offsets=offsets)) == len(match_notes(*tables(pair), offsets=offsets))


@settings(max_examples=40)
@given(sides(), st.integers(0, 3))
def test_another_kind_is_another_note(pair, parts):
    """By kinds: the matchings of each part, together."""
    wanted, found = tables(pair)
    kinds = tuple(table.pitch + 128 * (table.velocity % (parts + 1)) for table in (wanted, found))
    split = 0
    for part in range(parts + 1):
        own = [table[table.velocity % (parts + 1) == part] for table in (wanted, found)]
        split += len(match_notes(*own))
    assert len(match_notes(wanted, found, kinds=kinds)) == split


def test_far_away_and_empty():
    late = [Note(1e8 - 1, 1e8, pitch) for pitch in (0, 127)]
    assert listed(match_notes(*tables((late, late)))) == [(0, 0), (1, 1)]
    assert len(match_notes(*tables((late, [])))) == len(match_notes(*tables(([], late)))) == 0
    assert count_near(*tables((late, [])), Tolerances(), offsets=True) == 0
    assert rates(0, 0, 0) == rates(0, 0, 0) and rates(0, 5, 0).f1 == 0.0


def test_what_is_refused():
    with pytest.raises(ValueError, match="1e\\+08"):
        note_table([Note(0.0, 2e8, 60)])
    for name in ("onset", "offset_ratio", "offset_floor", "velocity"):
        for wrong in (-0.01, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=name):
                Tolerances(**{name: wrong})
    crowd = note_table([Note(0.0, 1.0, 60)] * 3000)
    with pytest.raises(ValueError, match="9000000 pairs"), warnings.catch_warnings():
        warnings.simplefilter("error")
        match_notes(crowd, crowd)
