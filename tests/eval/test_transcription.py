"""Note and frame measures: mir_eval's numbers, those of a drawn piano roll, and what must hold of any of them."""

import math
import warnings
from dataclasses import asdict, replace

import mir_eval
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from solfa.eval.note_matching import Rates, Tolerances
from solfa.eval.transcription import (
    SWEEP,
    measures,
    note_errors,
    note_measures,
    summarize,
    tolerance_sweep,
    transcription_scores,
)
from solfa.eval.transcription_frames import frame_measures, mt3_frame_rates
from solfa.score.note import Note

STEPS = st.integers(0, 40).map(lambda step: step * 0.025)
TIMES = st.one_of(STEPS, st.floats(0, 1))
NUDGES = st.sampled_from((0.0, 0.03, 0.05, 0.05005, 0.0501, -0.03, -0.05, -0.0501))
VELOCITIES = st.one_of(st.sampled_from((15, 30, 31)), st.integers(1, 127))  # around what MT3 calls soft
NOTES = st.builds(
    lambda onset, length, pitch, velocity, program, drum: Note(onset, onset + length, pitch, velocity, program, drum),
    TIMES, TIMES, st.sampled_from((60, 61, 72)), VELOCITIES, st.sampled_from((0, 3, 40)), st.booleans(),
)  # fmt: skip


@st.composite
def pieces(draw: st.DrawFn) -> tuple[list[Note], list[Note]]:
    """Notes within two seconds, notes of no length among them, and an estimate with some of them nudged, some twice, and others."""
    reference = draw(st.lists(NOTES, max_size=12))
    estimate = draw(st.lists(NOTES, max_size=5))
    for note in draw(st.lists(st.sampled_from(reference), max_size=10)) if reference else []:
        onset = max(0.0, note.onset + draw(NUDGES))
        offset = max(onset, note.offset + draw(NUDGES))
        estimate.append(replace(note, onset=onset, offset=offset, velocity=draw(st.integers(1, 127))))
    return reference, estimate


def columns(notes: list[Note]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    intervals = np.array([(note.onset, note.offset) for note in notes], np.float64).reshape(-1, 2)
    hertz = mir_eval.util.midi_to_hz(np.array([note.pitch for note in notes], np.float64))
    return intervals, hertz, np.array([note.velocity for note in notes], np.int64)


def lasting(notes: list[Note]) -> list[Note]:
    return [note for note in notes if note.offset > note.onset]


def four(score) -> tuple[float, ...]:
    return score.precision, score.recall, score.f1, score.overlap


@given(pieces(), st.booleans(), st.sampled_from((0.05, 0.02, 0.2)))
def test_note_measures_are_mir_evals_to_the_last_bit(pair, strict, tolerance):
    """Empty sides too: it then warns, and gives 0."""
    reference, estimate = map(lasting, pair)
    found = note_measures(*pair, Tolerances(tolerance, offset_floor=tolerance, strict=strict))
    (a, f, v), (b, g, w) = columns(reference), columns(estimate)
    limits = {"onset_tolerance": tolerance, "offset_min_tolerance": tolerance, "strict": strict}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = mir_eval.transcription.evaluate(a, f, b, g, **limits)
        loud = mir_eval.transcription_velocity.evaluate(a, f, v, b, g, w, **limits)
    for theirs, end, ours in (
        (plain, "_no_offset", found.onset),
        (plain, "", found.onset_offset),
        (loud, "_no_offset", found.onset_velocity),
        (loud, "", found.onset_offset_velocity),
    ):
        names = ("Precision", "Recall", "F-measure", "Average_Overlap_Ratio")
        assert four(ours) == tuple(theirs[name + end] for name in names)
    for name, ours in (("Onset", found.onsets), ("Offset", found.offsets)):
        theirs = tuple(plain[f"{name}_{part}"] for part in ("Precision", "Recall", "F-measure"))
        assert (ours.precision, ours.recall, ours.f1) == theirs
    assert found.left_out == (len(pair[0]) - len(reference), len(pair[1]) - len(estimate))


def test_nothing_scores_nothing():
    some = [Note(0.0, 1.0, 60)]
    instant = [Note(1.0, 1.0, 60)]
    for pair in (([], []), (some, []), ([], some), (instant, instant)):
        scores = transcription_scores(*pair)
        for name, row in measures(scores).items():
            if pair[0] is not instant or name != "frames, as MT3":  # where each note lasts 50 ms
                assert (row.precision, row.recall, row.f1) == (0, 0, 0), name
        assert not any(math.isnan(value) for value in asdict(scores.frames.pitch).values())
    assert scores.notes.left_out == (1, 1) and scores.frames.exact == (
        1.0,
        1.0,
        1.0,
    )  # a second of silence on both sides
    assert transcription_scores([], []).frames.exact == (0.0, 0.0, 0.0)


@settings(max_examples=50)
@given(pieces())
def test_a_piece_is_its_own_best_transcription(pair):
    reference, estimate = pair
    assume(any(not note.is_drum for note in lasting(reference)))
    same = transcription_scores(reference, reference)
    assert all(row.f1 == 1 for row in same.notes.__dict__.values() if isinstance(row, Rates))
    assert same.frames.exact == same.frames.exact_class == (1.0, 1.0, 1.0)
    assert not note_errors(reference, reference).missed and not note_errors(reference, reference).extra
    # Precision one way is recall the other way: of matchings whose criterion does not ask whose note is longer.
    here, there = note_measures(reference, estimate), note_measures(estimate, reference)
    assert (here.onset.precision, here.onsets.precision) == (there.onset.recall, there.onsets.recall)


@settings(max_examples=40)
@given(st.lists(NOTES, min_size=1, max_size=12), st.floats(0, 0.0499), st.floats(0.0503, 0.09))
def test_a_shift_within_the_tolerance_costs_nothing_and_beyond_it_all(notes, small, large):
    """Of notes far enough apart that a shifted one is near its own original only."""
    spread = [
        replace(note, onset=i + note.onset / 10, offset=i + note.onset / 10 + 0.3) for i, note in enumerate(notes)
    ]

    def moved(shift: float) -> list[Note]:
        return [replace(note, onset=note.onset + shift, offset=note.offset + shift) for note in spread]

    near, far = note_measures(spread, moved(small)), note_measures(spread, moved(large))
    assert near.onset.f1 == near.onset_offset.f1 == near.onsets.f1 == 1
    assert far.onset.f1 == far.onset_offset.f1 == far.onsets.f1 == 0


@settings(max_examples=40)
@given(pieces(), st.randoms(use_true_random=False))
def test_the_order_of_the_notes_does_not_matter(pair, random):
    def counts(reference, estimate):
        scores = transcription_scores(reference, estimate)
        return scores.frames, [row.matched for name, row in measures(scores).items() if "velocity" not in name]

    assert counts(*(random.sample(notes, len(notes)) for notes in pair)) == counts(*pair)


def test_velocities_are_fitted_by_a_line():
    """Twice too soft is no error; one note out of line is one; none at all (a constant) is mapped to the mean."""
    reference = [Note(i, i + 0.5, 60, 40 + 2 * i) for i in range(43)]
    soft = [replace(note, velocity=note.velocity // 2) for note in reference]
    assert note_measures(reference, soft).onset_velocity.f1 == 1
    wrong = [*soft[:21], replace(soft[21], velocity=60), *soft[22:]]
    assert note_measures(reference, wrong).onset_velocity.matched == 42
    flat = note_measures(reference, [replace(note, velocity=127) for note in reference])
    assert flat.onset_velocity.matched == 9  # those within a tenth of the middle


@settings(max_examples=30)
@given(pieces(), st.booleans())
def test_the_sweep_is_mir_evals_at_each_tolerance(pair, strict):
    (a, f, _), (b, g, _) = (columns(lasting(notes)) for notes in pair)
    assume(len(a) and len(b))
    for step in tolerance_sweep(*pair, tolerances=Tolerances(strict=strict)):
        near = {"onset_tolerance": step.tolerance, "offset_min_tolerance": step.tolerance, "strict": strict}
        theirs = mir_eval.transcription.precision_recall_f1_overlap(a, f, b, g, **near)
        assert (step.rates.precision, step.rates.recall, step.rates.f1) == theirs[:3]
    assert [step.tolerance for step in tolerance_sweep(*pair)] == list(SWEEP)


@settings(max_examples=60)
@given(pieces(), st.sampled_from((10.0, 43.07, 62.5, 100.0)))
def test_frame_measures_are_mir_evals(pair, rate):
    found = frame_measures(*pair, rate)
    end = max((note.offset for note in (*pair[0], *pair[1])), default=0.0)
    moments = np.array([k / rate for k in range(int(end * rate) + 2) if k / rate < end])
    assert found.frames == len(moments)
    assume(len(moments))
    rolls = [[{note.pitch for note in notes if note.onset <= t < note.offset} for t in moments] for notes in pair]
    hertz = [[mir_eval.util.midi_to_hz(np.array(sorted(pitches), np.float64)) for pitches in roll] for roll in rolls]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = mir_eval.multipitch.metrics(moments, hertz[0], moments, hertz[1])
    for ours, numbers in ((found.pitch, theirs[:7]), (found.chroma, theirs[7:])):
        errors = ours.substitution, ours.miss, ours.false_alarm, ours.total
        assert (ours.precision, ours.recall, ours.accuracy, *errors) == pytest.approx(numbers, abs=1e-12)
    wrong = [len(a ^ b) for a, b in zip(*rolls, strict=True)]
    classes = [len({p % 12 for p in a} ^ {p % 12 for p in b}) for a, b in zip(*rolls, strict=True)]
    for exact, errors in ((found.exact, wrong), (found.exact_class, classes)):
        assert exact == pytest.approx([np.mean([e <= allowed for e in errors]) for allowed in (0, 1, 2)])


@settings(max_examples=50)
@given(pieces())
def test_mt3s_frames_are_those_of_a_piano_roll(pair):
    """Drawn cell by cell, as pretty_midi does: velocities add up, ends are cut to whole columns."""
    rolls = []
    for notes in pair:
        roll = np.zeros((128, 400), np.int64)
        for note in notes:
            end = note.onset + 0.05 if note.offset - note.onset < 0.05 else note.offset
            roll[note.pitch, int(note.onset * 62.5) : int(end * 62.5)] += note.velocity
        rolls.append(roll)
    wanted, found = rolls[0] > 30, rolls[1] > 0
    ours = mt3_frame_rates(*pair)
    assert (ours.matched, ours.reference, ours.estimate) == ((wanted & found).sum(), wanted.sum(), found.sum())


@settings(max_examples=50)
@given(pieces())
def test_errors_are_what_the_onset_score_does_not_count(pair):
    errors = note_errors(*pair)
    lists = tuple([note for note in lasting(notes) if note.is_drum == drum] for drum in (False, True) for notes in pair)
    for (reference, estimate), drum in ((lists[:2], False), (lists[2:], True)):
        score = note_measures(reference, estimate).onset
        missed = [note for note in errors.missed if note.is_drum == drum]
        extra = [note for note in errors.extra if note.is_drum == drum]
        assert len(missed) == score.reference - score.matched and len(extra) == score.estimate - score.matched
    assert set(errors.missed) <= set(pair[0]) and set(errors.extra) <= set(pair[1])
    assert list(errors.missed) == sorted(errors.missed) and list(errors.extra) == sorted(errors.extra)


def test_a_summary_of_pieces():
    good, bad = [Note(0.0, 1.0, 60)], [Note(0.0, 1.0, 61), Note(2.0, 3.0, 60), Note(4.0, 5.0, 60)]
    drums = [Note(0.0, 0.1, 36, is_drum=True)]
    scores = [
        transcription_scores(good, good),
        transcription_scores(bad, good),
        transcription_scores(good + drums, good + drums),
    ]
    rows = {row.measure: row for row in summarize(scores)}
    assert rows["onset"].pieces == 3 and rows["onset"].f1 == pytest.approx(2 / 3)
    assert rows["onset"].pooled == Rates(2 / 3, 2 / 5, pytest.approx(1 / 2), 2, 5, 3)
    assert (
        rows["drums, onset"].pieces == 1 and rows["drums, onset"].f1 == 1
    )  # pieces without drums say nothing of drums
    assert summarize([]) == () and set(rows) == set(measures(scores[0]))
    silent = {row.measure: row for row in summarize([transcription_scores([], [])])}
    nothing = silent["onset"]  # a mean over no pieces is none
    assert nothing.pieces == 0 and (nothing.pooled.matched, nothing.pooled.reference, nothing.pooled.estimate) == (
        0,
        0,
        0,
    )
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1, nothing.pooled.precision, nothing.pooled.f1]).all()
    undrummed = {row.measure: row for row in summarize(scores[:2])}["drums, onset"]
    assert undrummed.pieces == 0 and np.isnan([undrummed.f1, undrummed.pooled.f1]).all()


def test_what_is_refused():
    long = [Note(0.0, 2e5, 60)]
    for rate in (0.0, -1.0, float("nan"), 20_000.0):
        for measure in (frame_measures, mt3_frame_rates):
            with pytest.raises(ValueError, match="frames a second"):
                measure([], [], rate)
    with pytest.raises(ValueError, match="10000000 frames"):
        frame_measures(long, [], 100.0)
    assert mt3_frame_rates(long, long).f1 == 1  # needs no memory for frames
