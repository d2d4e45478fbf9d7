"""Program-aware scores: MT3's procedure, program by program with mir_eval, and its weighting."""

import warnings
from dataclasses import replace

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solfa.eval.transcription import note_measures
from solfa.eval.transcription_programs import GRANULARITIES, FamilyCount, program_scores
from solfa.score.note import Note

MAPS = {"flat": lambda program: 0, "midi_class": lambda program: 8 * (program // 8), "full": lambda program: program}
TIMES = st.integers(0, 20).map(lambda step: step * 0.05)
NOTES = st.builds(
    lambda onset, length, pitch, program, drum: Note(onset, onset + length, pitch, 80, program, drum),
    TIMES, TIMES, st.integers(60, 61), st.sampled_from((0, 1, 8, 40)), st.booleans(),
)  # fmt: skip


def mt3(reference: list[Note], estimate: list[Note], granularity: str) -> dict[str, tuple[float, float, float]]:
    """magenta/mt3's procedure: a track for each program and kit, mir_eval's rates of each, weighted by its notes."""
    sides = [
        [
            note if note.is_drum else replace(note, program=MAPS[granularity](note.program))
            for note in notes
            if note.duration > 0
        ]
        for notes in (reference, estimate)
    ]
    sums = {
        drum: np.zeros(4) for drum in (False, True)
    }  # of precision, of estimated notes, of recall, of reference notes
    for program, drum in {(note.program, note.is_drum) for notes in sides for note in notes}:
        tracks = [[note for note in notes if (note.program, note.is_drum) == (program, drum)] for notes in sides]
        (a, f), (b, g) = (
            (
                np.array([(note.onset, note.offset) for note in track]).reshape(-1, 2),
                mir_eval.util.midi_to_hz(np.array([note.pitch for note in track], np.float64)),
            )
            for track in tracks
        )
        options = {"offset_ratio": None} if drum else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            precision, recall, _, _ = mir_eval.transcription.precision_recall_f1_overlap(a, f, b, g, **options)
        sums[drum] += precision * len(b), len(b), recall * len(a), len(a)
    result = {}
    for name, total in (("pitched", sums[False]), ("drums", sums[True]), ("all", sums[False] + sums[True])):
        precision = total[0] / total[1] if total[1] else 0.0
        recall = total[2] / total[3] if total[3] else 0.0
        result[name] = precision, recall, mir_eval.util.f_measure(precision, recall)
    return result


@given(st.lists(NOTES, max_size=14), st.lists(NOTES, max_size=14))
def test_scores_are_mt3s(reference, estimate):
    for score in program_scores(reference, estimate, kits_apart=True):
        theirs = mt3(reference, estimate, score.granularity)
        for name in ("pitched", "drums", "all"):
            ours = getattr(score, name)
            assert (ours.precision, ours.recall, ours.f1) == pytest.approx(theirs[name], abs=1e-12)


def test_programs_and_families():
    """A violin for a viola: the right family; for a flute: right only where programs do not count."""
    reference = [Note(i, i + 0.5, 60, program=40) for i in range(4)]
    estimate = [replace(note, program=program) for note, program in zip(reference, (40, 41, 73, 40), strict=True)]
    found = {score.granularity: score.pitched.f1 for score in program_scores(reference, estimate)}
    assert tuple(found) == GRANULARITIES and found == {"flat": 1.0, "midi_class": 0.75, "full": 0.5}


def test_a_drum_is_its_stroke():
    """Its length does not matter, its kit only where asked for, and it is never a pitched note of its key."""
    reference = [Note(0.0, 1.0, 60, program=25, is_drum=True)]
    drum, piano = Note(0.04, 0.05, 60, program=0, is_drum=True), Note(0.0, 1.0, 60)
    for score in program_scores(reference, [drum]):
        assert score.drums.f1 == score.all.f1 == 1 and score.pitched.f1 == 0
    assert all(score.drums.f1 == 0 for score in program_scores(reference, [drum], kits_apart=True))
    assert all(score.all.matched == 0 for score in program_scores(reference, [piano]))


def test_notes_weigh_the_same():
    """Nine piano notes right and the only flute note wrong: nine tenths, not the mean of 1 and 0."""
    reference = [Note(i, i + 0.5, 60) for i in range(9)] + [Note(20.0, 20.5, 72, program=73)]
    estimate = [*reference[:9], Note(30.0, 30.5, 72, program=73)]
    full = program_scores(reference, estimate)[-1]
    assert full.all.precision == full.all.recall == 0.9


@given(st.lists(NOTES, max_size=14), st.lists(NOTES, max_size=14))
def test_flat_is_the_plain_score_and_finer_is_never_better(reference, estimate):
    flat, family, full = program_scores(reference, estimate)
    plain = note_measures(*([note for note in notes if not note.is_drum] for notes in (reference, estimate)))
    assert flat.pitched.f1 == plain.onset_offset.f1 and flat.onset.f1 == plain.onset.f1
    assert flat.onset.matched >= family.onset.matched >= full.onset.matched
    mine = [
        [note for note in notes if note.program == program and not note.is_drum]
        for program in (0, 1, 8, 40)
        for notes in (reference, estimate)
    ]
    alone = [note_measures(*mine[i : i + 2]).onset.matched for i in (0, 2, 4, 6)]
    assert full.onset.matched == sum(alone)
    assert flat.pitched.matched >= family.pitched.matched >= full.pitched.matched
    assert flat.drums == family.drums == full.drums


def test_what_was_found_of_each_family():
    """A viola for a violin is of its family, a flute for a cello not. Drums and notes of no length do not count."""
    played = (40, 42, 71, 71)
    reference = [Note(i, i + 0.5, 60, program=program) for i, program in enumerate(played)]
    reference += [Note(9.0, 9.0, 60, program=71), Note(9.0, 9.5, 38, is_drum=True)]
    estimate = [Note(0.0, 0.5, 60, program=41), Note(1.0, 1.5, 60, program=73), Note(3.0, 3.5, 60, program=64)]
    flat, family, full = program_scores(reference, [*estimate, Note(9.0, 9.5, 38, is_drum=True)])
    assert flat.families == (FamilyCount("strings", 2, 2), FamilyCount("reed", 2, 1))
    assert family.families == (FamilyCount("strings", 2, 1), FamilyCount("reed", 2, 1))
    assert full.families == (FamilyCount("strings", 2, 0), FamilyCount("reed", 2, 0))


@given(st.lists(NOTES, max_size=14), st.lists(NOTES, max_size=14))
def test_families_add_up_to_the_score_of_all(reference, estimate):
    for score in program_scores(reference, estimate):
        assert sum(count.matched for count in score.families) == score.onset.matched
        assert sum(count.reference for count in score.families) == score.onset.reference
        assert all(0 <= count.matched <= count.reference and count.reference for count in score.families)
