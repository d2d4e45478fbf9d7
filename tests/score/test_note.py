import pytest

from solfa.score import KeySignature, Metre, Note, Part, Pedal, Score, TempoChange, score_of_notes, transposed


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"onset": -0.1}, "-0.1"),
        ({"offset": 0.5}, "0.5"),
        ({"offset": float("inf")}, "inf"),
        ({"onset": float("nan")}, "nan"),
        ({"pitch": 128}, "128"),
        ({"velocity": 0}, "0"),
        ({"program": 128}, "128"),
    ],
)
def test_note_refuses_what_cannot_be_and_names_it(fields, named):
    legal = {"onset": 1.0, "offset": 2.0, "pitch": 60}
    with pytest.raises(ValueError, match=named):
        Note(**{**legal, **fields})


def test_notes_sort_by_time_then_pitch():
    notes = [Note(1.0, 2.0, 50), Note(0.5, 2.0, 90), Note(1.0, 1.5, 70), Note(1.0, 2.0, 40)]
    assert [note.pitch for note in sorted(notes)] == [90, 70, 40, 50]


@pytest.mark.parametrize(
    "make",
    [
        lambda: TempoChange(0.0, 0.0),
        lambda: TempoChange(-1.0, 120.0),
        lambda: Metre(0.0, 0, 4),
        lambda: Metre(0.0, 3, 5),
        lambda: KeySignature(0.0, 12, "major"),
        lambda: KeySignature(0.0, 0, "dorian"),
        lambda: Pedal(2.0, 1.0, 0),
        lambda: Part("flute", 200, False, ()),
        lambda: Part("flute", 73, False, (Note(0.0, 1.0, 60, program=0),)),
        lambda: Part("flute", 73, False, (Note(0.0, 1.0, 60, program=73, is_drum=True),)),
        lambda: Score((), ticks_per_beat=0),
        lambda: Score((), pedals=(Pedal(0.0, 1.0, 0),)),
    ],
)
def test_score_refuses_what_cannot_be(make):
    with pytest.raises(ValueError):
        make()


def test_score_sorts_its_parts_and_measures_its_length():
    late, early = Note(2.0, 3.0, 60), Note(0.0, 1.0, 62)
    score = Score((Part("piano", 0, False, (late, early)),), pedals=(Pedal(0.5, 3.5, 0),))
    assert score.parts[0].notes == (early, late)
    assert score.duration == 3.5
    assert Score(()).duration == 0.0


def test_loose_notes_become_one_part_a_program():
    notes = [
        Note(0.0, 1.0, 60, program=40),
        Note(1.0, 2.0, 36, is_drum=True),
        Note(0.5, 1.0, 64, program=40),
        Note(0.0, 1.0, 50),
    ]
    score = score_of_notes(notes, bpm=90.0)
    assert [(part.program, part.is_drum, len(part.notes)) for part in score.parts] == [
        (0, False, 1),
        (40, False, 2),
        (0, True, 1),
    ]
    assert score.notes == tuple(sorted(notes))
    assert score.tempi == (TempoChange(0.0, 90.0),)


def test_transposing_moves_notes_and_keys_but_not_drums():
    score = Score(
        (Part("a", 0, False, (Note(0.0, 1.0, 60),)), Part("d", 0, True, (Note(0.0, 1.0, 36, is_drum=True),))),
        keys=(KeySignature(0.0, 11, "minor"),),
    )
    moved = transposed(score, 3)
    assert [note.pitch for part in moved.parts for note in part.notes] == [63, 36]
    assert moved.keys == (KeySignature(0.0, 2, "minor"),)
    assert transposed(moved, -3) == score
    with pytest.raises(ValueError, match="128"):
        transposed(score, 68)
