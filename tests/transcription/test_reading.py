"""Reading events: as MT3 reads, whatever the ids; every id that is not used is counted, by its reason."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score import Note
from solfa.transcription.events import EventWriter
from solfa.transcription.reading import Dropped, EventReader
from solfa.transcription.segments import PEDAL, PedalSpan, Segment
from solfa.transcription.vocabulary import PRESETS, Vocabulary, mt3, muscriptor, piano_2021, solfa_events, vocabulary

GOLDEN = json.loads((Path(__file__).parent / "mt3_golden.json").read_text())


def ids(words: Vocabulary, said: str) -> list[int]:
    """ids(words, "tie0 shift100 pitch60 eos"); a bare number is an id."""
    found = []
    for word in said.split():
        kind = word.rstrip("0123456789").rstrip("-")
        if kind in ("", "eos"):
            found.append(int(word) if not kind else words.eos)
        else:
            found.append(words.id(kind, int(word[len(kind) :])))
    return found


def read(
    words: Vocabulary, *segments: str, seconds: float = 1.0, end: float | None = None
) -> tuple[list[Note], EventReader]:
    reader = EventReader(words)
    notes = []
    for index, said in enumerate(segments):
        notes += reader.push(ids(words, said), Segment(index * seconds, seconds))
    return sorted(notes + reader.finish(end)), reader


@pytest.mark.parametrize("case", GOLDEN["reading"])
def test_notes_and_counts_are_those_that_mt3_itself_reads(case: dict) -> None:
    reader, notes = EventReader(vocabulary(case["vocabulary"])), []
    for index, segment in enumerate(case["segments"]):
        notes += reader.push(segment, Segment(index * case["seconds"], case["seconds"]))
    notes += reader.finish()
    read = sorted([round(n.onset, 6), round(n.offset, 6), n.pitch, n.velocity, n.program, n.is_drum] for n in notes)
    assert read == case["notes"]
    assert (reader.dropped.invalid, reader.dropped.late) == (case["invalid"], case["dropped"])


def test_a_note_over_three_segments_and_one_that_is_not_tied() -> None:
    notes, reader = read(
        mt3(),
        "tie0 shift20 program32 velocity1 pitch59 shift60 pitch60 eos",
        "program32 pitch59 pitch60 tie0 shift20 drum42 eos",
        "program32 pitch59 tie0 shift30 velocity0 pitch59 eos",
    )
    assert notes == [Note(0.2, 2.3, 59, 127, 32), Note(0.6, 2.0, 60, 127, 32), Note(1.2, 1.21, 42, 127, 0, True)]
    assert reader.dropped == Dropped()


def test_what_ended_is_given_segment_by_segment() -> None:
    reader, words = EventReader(mt3()), mt3()
    assert reader.prefix() == ids(words, "tie0")
    first = reader.push(
        ids(words, "tie0 program1 velocity1 pitch60 pitch64 shift50 velocity0 pitch60 eos"), Segment(0, 1)
    )
    assert first == [Note(0, 0.5, 60, 127, 1)]
    assert reader.sounding == [(1, 64)] and reader.prefix() == ids(words, "program1 pitch64 tie0")
    assert reader.push(reader.prefix(), Segment(1, 1)) == []
    assert reader.finish(1.7) == [Note(0, 1.7, 64, 127, 1)]
    assert reader.finish(2.0) == [] and reader.sounding == []


def test_the_end() -> None:
    said = "tie0 velocity1 pitch60 shift80 pitch64 eos"
    assert [note.offset for note in read(mt3(), said)[0]] == [0.81, 0.81]  # MT3: at the last event, 10 ms on at least
    assert [note.offset for note in read(mt3(), said, end=0.95)[0]] == [0.95, 0.95]
    assert [note.offset for note in read(mt3(), said, end=0.5)[0]] == [0.5, 0.81]
    assert read(mt3(), end=3.0)[0] == []


def test_begun_anew_and_shortest() -> None:
    notes, reader = read(
        mt3(),
        "tie0 shift5 velocity1 pitch60 shift10 pitch60 shift25 velocity0 pitch60 velocity1 pitch61 velocity0 pitch61",
    )
    assert notes == [Note(0.05, 0.1, 60, 127), Note(0.1, 0.25, 60, 127), Note(0.25, 0.26, 61, 127)]
    assert reader.dropped.total == 0


def test_what_is_in_force() -> None:
    # Before the first velocity and program 100 and 0, as in MT3; afterwards what was said last, also in the next segment.
    notes, _ = read(piano_2021(), "pitch60 shift10 velocity7 pitch61", "pitch62", end=2.0)
    assert [(note.pitch, note.velocity) for note in notes] == [(60, 100), (61, 7), (62, 7)]


@pytest.mark.parametrize(
    ("said", "reason", "count"),
    [
        ("tie0 0 2 1391 1535 1536 99999 -5", "unknown", 7),
        ("tie0 velocity1 shift50 shift51 pitch60 pitch61 eos pitch62", "late", 3),
        ("tie0 velocity1 shift50 pitch60 shift49 pitch61 velocity1", "backwards", 2),
        ("program1 pitch60 tie0", "tie_silent", 1),
        ("tie0 tie0", "tie_misplaced", 1),
        ("tie0 velocity0 pitch60 pitch61", "off_silent", 2),
        ("tie0 velocity0 drum36", "drum_off", 1),
        ("velocity1 pitch60 pitch60", "tie_silent", 2),  # the tie section never ends
    ],
)
def test_what_is_dropped_is_counted(said: str, reason: str, count: int) -> None:
    _, reader = read(mt3(), said)
    assert reader.dropped == Dropped(**{reason: count})
    assert reader.dropped.total == count and reader.dropped.invalid == (0 if reason == "late" else count)


def test_other_reasons() -> None:
    _, reader = read(mt3(), "tie0 velocity1 pitch60", "pitch60 pitch60 tie0")
    assert reader.dropped == Dropped(tie_twice=1)
    notes, reader = read(muscriptor(), "tie0 program129 velocity1 pitch60 program128 pitch61 program3 pitch62", end=1.0)
    assert notes == [Note(0, 1, 62, 127, 3)] and reader.dropped == Dropped(no_program=2)
    notes, reader = read(mt3().with_added("technique", 0, 3), "tie0 velocity1 technique2 pitch60", end=1.0)
    assert notes == [Note(0, 1, 60, 127)] and reader.dropped == Dropped(unread=1)


def test_an_event_on_the_first_step_of_the_next_segment_is_not_late() -> None:
    notes, reader = read(piano_2021(), "velocity9 shift100 pitch60", "shift1 velocity0 pitch60")
    assert notes == [Note(1.0, 1.01, 60, 9)] and reader.dropped.total == 0


def test_shifts_add_up_until_something_else_is_said() -> None:
    notes, _ = read(
        mt3(), "tie0 velocity1 shift1000 shift234 pitch60 shift1000 program5 shift300 pitch61", seconds=20, end=13.0
    )
    assert [(note.onset, note.pitch) for note in notes] == [(12.34, 60)]
    notes, reader = read(mt3(), "tie0 velocity1 shift3 drum36 shift3 shift3 drum37", seconds=20)
    assert [note.onset for note in notes] == [0.03, 0.06] and reader.dropped.total == 0


def test_pedals() -> None:
    words = solfa_events()
    _, reader = read(
        words,
        "tie0 shift10 program0 pedal1 program40 pedal1 shift50 pedal0 pedal0 shift60 pedal1 shift70 pedal1",
        "program0 pedal1 program40 pedal0 tie0 shift50 program0 pedal0",
    )
    assert sorted(reader.pedals) == [
        PedalSpan(0.1, 0.5, 40),
        PedalSpan(0.1, 1.5, 0),
        PedalSpan(0.6, 0.7, 40),
        PedalSpan(0.7, 1.0, 40),
    ]
    assert reader.dropped == Dropped(off_silent=1, tie_silent=1)
    reader = EventReader(words)
    reader.push(ids(words, "tie0 program3 pedal1 velocity9 pitch60"), Segment(0, 1))
    assert reader.sounding == [(3, PEDAL), (3, 60)] and reader.prefix() == ids(words, "program3 pedal1 pitch60 tie0")
    assert reader.pedals == []
    reader.finish(1.0)
    assert reader.pedals == [PedalSpan(0, 1.0, 3)]


def test_classes_and_flat_programs() -> None:
    words = replace(mt3(), granularity="midi_class")
    notes, reader = read(words, "tie0 program43 velocity1 pitch60", "program40 pitch60 tie0", end=2.0)
    assert notes == [Note(0, 2, 60, 127, 40)] and reader.dropped.total == 0
    assert read(piano_2021(), "program9 velocity9 pitch60", end=1.0)[0] == [Note(0, 1, 60, 9, 0)]


def test_the_forced_prefix_ties_all_that_sounds() -> None:
    notes = [Note(0.2 * k, 0.2 * k + 2.7, 50 + k, 60, 8 * (k % 3)) for k in range(20)]
    pedals = [PedalSpan(0.5, 3.3, 8)]
    words = solfa_events()
    writer, reader = EventWriter(notes, pedals, words), EventReader(words)
    for segment in (Segment(float(second), 1.0) for second in range(7)):
        assert reader.prefix() == writer.segment(segment)[: len(reader.prefix())]
        reader.push(writer.segment(segment), segment)
    assert reader.dropped.total == 0 and reader.prefix() == ids(words, "tie0")


@pytest.mark.parametrize(
    "wrap", [list, tuple, np.array, torch.tensor, iter], ids=["list", "tuple", "numpy", "torch", "iterator"]
)
def test_ids_come_in_any_container(wrap) -> None:
    reader = EventReader(mt3())
    reader.push(wrap(ids(mt3(), "tie0 velocity1 pitch60 eos pitch61")), Segment(0, 1))
    assert reader.finish(1.0) == [Note(0, 1, 60, 127)]


any_id = st.one_of(
    st.integers(-3, 1700), st.integers(3, 120), st.integers(1060, 1070), st.integers(1130, 1140), st.just(1 << 40)
)
LIKELY = """shift0 shift7 shift60 shift1000 pitch60 pitch61 velocity0 velocity1 tie0
            program0 program1 drum36 drum37 pedal0 pedal1 eos 0"""


@settings(max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize("name", list(PRESETS))
def test_any_ids_give_notes_and_counts(name: str, data: st.DataObject) -> None:
    words = vocabulary(name)
    words = words if words.has("pedal") else words.with_added("pedal", 0, 1)
    reader, given_ids, notes = EventReader(words), 0, []
    for index in range(3):
        drawn = data.draw(st.lists(st.one_of(any_id, st.sampled_from(ids(words, LIKELY))), max_size=60))
        drawn = ids(words, "tie0") * data.draw(st.booleans()) + drawn
        given_ids += len(drawn)
        prefix = reader.prefix()
        assert prefix == [] or prefix[-1] == words.id("tie", 0)
        notes += reader.push(drawn, Segment(index * 2.048, 2.048))
    notes += reader.finish(6.2 if data.draw(st.booleans()) else None)
    assert reader.sounding == []
    assert reader.dropped.total + len(notes) + len(reader.pedals) <= given_ids
    for note in notes:
        assert note.offset - note.onset > 0.0099 and note.onset <= 6.15 and note.velocity >= 1
        assert note.onset == round(100 * note.onset) / 100


def test_what_is_read_of_any_ids_can_be_written_and_read_again() -> None:
    words, generator = solfa_events(), np.random.default_rng(0)
    events = [id for id, event in enumerate(words.events) if event and event.kind != "shift" and event.value < 64]
    reader, segment = EventReader(words), Segment(0, 4.0)
    drawn = ids(words, "tie0 velocity9")
    for step in range(1, 200):
        drawn += [words.id("shift", 2 * step), *generator.choice(events, 5).tolist()]
    notes = reader.push(drawn, segment) + reader.finish(4.0)
    assert len(notes) > 50
    writer, again = EventWriter(notes, reader.pedals, words), EventReader(words)
    # Of what begins together on one key the longest is left, of hits the loudest.
    expected = {(note.is_drum, note.program, note.pitch, note.onset): note for note in sorted(notes)}
    assert sorted(again.push(writer.segment(segment), segment) + again.finish(4.0)) == sorted(expected.values())
    assert again.pedals == sorted(reader.pedals, key=lambda pedal: pedal.offset) and again.dropped.total == 0
