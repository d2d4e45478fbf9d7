"""Writing events: MT3's own output, a naive MT3 beside ours, its rules one by one; notes -> tokens -> notes is the identity on the grid."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score import Note
from solfa.transcription.events import EventWriter, encode_segment, tie_section
from solfa.transcription.reading import EventReader
from solfa.transcription.segments import PEDAL, PedalSpan, Segment
from solfa.transcription.vocabulary import PRESETS, Vocabulary, mt3, muscriptor, piano_2021, solfa_events, vocabulary

GOLDEN = json.loads((Path(__file__).parent / "mt3_golden.json").read_text())
SECONDS = 16.0  # all notes that are drawn have ended by then


def grid(seconds: float, length: float) -> list[Segment]:
    """Segments of that length that cover so many seconds."""
    return [Segment(index * length, length) for index in range(math.ceil(seconds / length - 1e-6))]


def ids(words: Vocabulary, said: str) -> list[int]:
    """ids(words, "tie0 shift100 pitch60 eos")."""
    found = []
    for word in said.split():
        kind = word.rstrip("0123456789")
        found.append(words.eos if kind == "eos" else words.id(kind, int(word[len(kind) :])))
    return found


def said(words: Vocabulary, found: list[int]) -> str:
    """The opposite."""
    return " ".join("eos" if id == words.eos else "{}{}".format(*words.event(id)) for id in found)


def apart(notes: list[Note]) -> list[Note]:
    """Notes of one pitch, program and drum flag end where the next begins; what is left with no length goes."""
    lines: dict[tuple[bool, int, int], list[Note]] = {}
    for note in sorted(notes, key=lambda note: (note.onset, note.offset, note.velocity)):
        lines.setdefault((note.is_drum, note.program, note.pitch), []).append(note)
    kept = []
    for line in lines.values():
        ends = [min(note.offset, after.onset) for note, after in pairwise(line)] + [line[-1].offset]
        kept += [moved(note, note.onset, end) for note, end in zip(line, ends, strict=True) if end > note.onset]
    return kept


def moved(note: Note, onset: float, offset: float, **fields: int) -> Note:
    said = {"velocity": note.velocity, "program": note.program} | fields
    return Note(onset, offset, note.pitch, is_drum=note.is_drum, **said)


def naive_mt3(notes: list[Note], segment: Segment, words: Vocabulary) -> list[int]:
    """MT3 by its description: all events in order, shifts of one step between them, cut, then counted together."""
    first, last = segment.steps(100)
    by_place = sorted(notes, key=lambda note: (note.is_drum, note.program, note.pitch))
    timed = [(note.offset, note, 0) for note in by_place if not note.is_drum]
    timed += [(note.onset, note, words.bin_of(note.velocity)) for note in by_place]
    timed.sort(key=lambda event: event[0])  # stable
    sounding: dict[tuple[int, int], int] = {}
    body: list[str] = []
    at = first
    for time, note, bin in timed:
        step = round(100 * time)
        if step < first and not note.is_drum:
            sounding[note.program, note.pitch] = bin
        if first <= step < last:
            body += ["shift1"] * (step - at)
            at = step
            body += [] if note.is_drum or words.granularity == "flat" else [f"program{note.program}"]
            body += [f"velocity{bin}", f"drum{note.pitch}" if note.is_drum else f"pitch{note.pitch}"]
    ties = [f"program{program} pitch{pitch}" for (program, pitch), bin in sorted(sounding.items()) if bin]
    tokens = " ".join([*ties, "tie0"] if words.ties else []).split() + body
    out, shifts, total = [], 0, 0
    state = {"velocity": "", "program": ""}
    for token in tokens:
        kind = token.rstrip("0123456789")
        if kind == "shift":
            shifts, total = shifts + 1, total + 1
            continue
        if kind in state:
            redundant, state[kind] = state[kind] == token, token
            if redundant:
                continue
        left = total if shifts else 0
        while left > 0:
            out.append(f"shift{min(1000, left)}")
            left -= min(1000, left)
        shifts = 0
        out.append(token)
    return ids(words, " ".join([*out, "eos"]))


@st.composite
def draw_notes(draw: st.DrawFn, programs: tuple[int, ...] = (0, 7, 40), most: int = 24) -> list[Note]:
    """Few pitches, so that notes overlap, repeat and meet; on the grid and off it; of no length, and longer than segments."""
    time = st.one_of(st.integers(0, 1000).map(lambda step: step / 100), st.floats(0, 10))
    length = st.one_of(st.sampled_from([0.0, 0.004, 0.01, 0.5, 5.0]), st.floats(0, 3))
    drawn = draw(
        st.lists(
            st.tuples(
                time, length, st.integers(60, 62), st.integers(1, 127), st.sampled_from(programs), st.integers(0, 5)
            ),
            max_size=most,
        )
    )
    return [Note(on, on + long, pitch, loud, program, drum == 0) for on, long, pitch, loud, program, drum in drawn]


@st.composite
def draw_pedals(draw: st.DrawFn) -> list[PedalSpan]:
    drawn = draw(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 3), st.sampled_from([0, 40])), max_size=5))
    return [PedalSpan(on, on + long, program) for on, long, program in drawn]


lengths = st.sampled_from([0.3, 2.048, 4.096, 20.0])


def on_grid(notes: list[Note], words: Vocabulary) -> list[Note]:
    """What must be read of notes, straight from what the rules say."""
    exact = words.order == "mt3"
    named = [
        moved(
            note,
            note.onset if exact else round(100 * note.onset),
            max(note.offset, note.onset + 0.01)
            if exact
            else max(round(100 * note.offset), round(100 * note.onset) + 1),
            program=words.program_of(note.program) if not note.is_drum else note.program if exact else 0,
        )
        for note in notes
    ]
    found = []
    for note in apart(named):
        onset = round(100 * note.onset) if exact else round(note.onset)
        offset = round(100 * note.offset) if exact else round(note.offset)
        offset = onset + 1 if note.is_drum else max(offset, onset + 1)
        loud = words.velocity_of(words.bin_of(note.velocity))
        found.append(moved(note, onset / 100, offset / 100, velocity=loud, program=0 if note.is_drum else note.program))
    return sorted(found)


def pedals_on_grid(pedals: list[PedalSpan]) -> list[PedalSpan]:
    """Union of the spans of a program, then the grid."""
    found = []
    for program in {pedal.program for pedal in pedals}:
        spans: list[list[float]] = []
        for pedal in sorted(pedal for pedal in pedals if pedal.program == program):
            if spans and pedal.onset < spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], pedal.offset)
            else:
                spans.append([pedal.onset, pedal.offset])
        steps = [[round(100 * on), max(round(100 * off), round(100 * on) + 1)] for on, off in spans]
        for step, after in pairwise(steps):
            step[1] = min(step[1], after[0])
        found += [PedalSpan(on / 100, off / 100, program) for on, off in steps if off > on]
    return sorted(found)


@settings(max_examples=40)
@given(notes=draw_notes(), pedals=draw_pedals(), length=lengths)
@pytest.mark.parametrize("name", list(PRESETS))
def test_notes_to_tokens_to_notes_is_the_identity_on_the_grid(
    name: str, notes: list[Note], pedals: list[PedalSpan], length: float
) -> None:
    words = vocabulary(name)
    writer, reader = EventWriter(notes, pedals, words), EventReader(words)
    read = []
    for segment in grid(SECONDS, length):
        written = writer.segment(segment)
        if words.ties:  # what sounds for the reader is what the writer ties
            assert written[: len(reader.prefix())] == reader.prefix()
        read += reader.push(written, segment)
    assert reader.finish(SECONDS) == []
    assert sorted(read) == on_grid(notes, words)
    assert sorted(reader.pedals) == (pedals_on_grid(pedals) if words.has("pedal") else [])
    assert reader.dropped.total == 0


@pytest.mark.parametrize("case", GOLDEN["writing"])
def test_ids_are_those_that_mt3_itself_writes(case: dict) -> None:
    writer = EventWriter([Note(*note) for note in case["notes"]], [], vocabulary(case["vocabulary"]))
    segments = [Segment(index * case["seconds"], case["seconds"]) for index in range(len(case["segments"]))]
    assert [writer.segment(segment) for segment in segments] == case["segments"]


@settings(max_examples=40)
@given(notes=draw_notes(), length=lengths)
@pytest.mark.parametrize("words", [mt3(), piano_2021()], ids=["mt3", "piano_2021"])
def test_a_naive_mt3_writes_the_same(words: Vocabulary, notes: list[Note], length: float) -> None:
    named = [moved(note, note.onset, note.offset, program=words.program_of(note.program)) for note in notes]
    trimmed = apart([note for note in named if note.offset > note.onset])
    writer = EventWriter(trimmed, [], words)
    for segment in grid(SECONDS, length):
        assert writer.segment(segment) == naive_mt3(trimmed, segment, words)


PIANO, VIOLIN = 0, 40
RULES = [
    ("nothing", [], "tie0 eos"),
    (
        "program, velocity, pitch; what is in force is not said again, and no shift stands behind the last event",
        [Note(0.5, 0.7, 60), Note(0.6, 30, 64)],
        "tie0 shift50 program0 velocity1 pitch60 shift60 pitch64 shift70 velocity0 pitch60 eos",
    ),
    (
        "ends before beginnings, then drums, programs, pitches",
        [
            Note(0, 0.5, 62),
            Note(0.5, 30, 64, program=VIOLIN),
            Note(0.5, 30, 60, program=VIOLIN),
            Note(0.5, 30, 61),
            Note(0.5, 30, 36, is_drum=True),
        ],
        "tie0 program0 velocity1 pitch62 shift50 velocity0 pitch62 velocity1 pitch61 program40 pitch60 pitch64 drum36 eos",
    ),
    (
        "more steps than one shift says",
        [Note(12.34, 12.5, 60)],
        "tie0 shift1000 shift234 program0 velocity1 pitch60 shift1000 shift250 velocity0 pitch60 eos",
    ),
    ("exactly as many", [Note(10, 20, 60)], "tie0 shift1000 program0 velocity1 pitch60 eos"),
    (
        "rounded half to even",
        [Note(0.125, 0.375, 60)],
        "tie0 shift12 program0 velocity1 pitch60 shift38 velocity0 pitch60 eos",
    ),
    (
        "begun anew",
        [Note(0, 1, 60), Note(0.5, 0.8, 60)],
        "tie0 program0 velocity1 pitch60 shift50 velocity0 pitch60 velocity1 pitch60 shift80 velocity0 pitch60 eos",
    ),
    ("of two that begin together the longer", [Note(0, 1, 60), Note(0, 20, 60)], "tie0 program0 velocity1 pitch60 eos"),
    ("drum hits have no end", [Note(0.1, 0.1, 36, 5, 8, True)], "tie0 shift10 velocity1 drum36 eos"),
]


@pytest.mark.parametrize(("notes", "expected"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_rules(notes: list[Note], expected: str) -> None:
    assert said(mt3(), encode_segment(notes, [], Segment(0, 20), mt3())) == expected


def test_tie_section() -> None:
    notes = [
        Note(0, 9, 64, program=VIOLIN),  # goes on
        Note(0, 9, 60, program=VIOLIN),
        Note(1, 9, 67),
        Note(0, 1.99, 70),  # has ended
        Note(0, 2.0, 71),  # ends on the first step: declared, then ended
        Note(2.0, 3, 72),  # begins on it: not declared
        Note(0, 9, 36, is_drum=True),
    ]
    expected = (
        "program0 pitch67 pitch71 program40 pitch60 pitch64 tie0 program0 velocity0 pitch71 velocity1 pitch72 eos"
    )
    assert said(mt3(), encode_segment(notes, [], Segment(2.0, 1.0), mt3())) == expected
    # The program of the last tie is in force: it is not said again.
    assert (
        said(mt3(), encode_segment(notes[:1], [], Segment(8.5, 1.0), mt3()))
        == "program40 pitch64 tie0 shift50 velocity0 pitch64 eos"
    )
    assert tie_section([(0, PEDAL), (0, 60)], solfa_events()) == ids(solfa_events(), "program0 pedal1 pitch60 tie0")


def test_events_belong_to_the_segment_of_their_step() -> None:
    notes = [Note(2.039, 2.044, 60), Note(2.0449, 3, 61)]  # steps 204 and 204; 204 and 300
    first, second = grid(4.0, 2.048)
    assert said(mt3(), encode_segment(notes, [], first, mt3())) == "tie0 eos"
    assert said(mt3(), encode_segment(notes, [], second, mt3())) == (
        "tie0 program0 velocity1 pitch60 velocity0 pitch60 velocity1 pitch61 shift96 velocity0 pitch61 eos"
    )


def test_one_time_is_a_second_for_mt3_and_a_step_for_the_grid() -> None:
    notes = [Note(0.496, 9, 64), Note(0.504, 9, 60)]
    assert "pitch64 pitch60" in said(mt3(), encode_segment(notes, [], Segment(0, 1), mt3()))
    assert "pitch60 pitch64" in said(muscriptor(), encode_segment(notes, [], Segment(0, 1), muscriptor()))
    words = solfa_events()
    assert "pitch60 pitch64" in said(words, encode_segment(notes, [], Segment(0, 1), words))


def test_order_of_muscriptor() -> None:
    notes = [
        Note(0, 0.5, 62, program=VIOLIN),
        Note(0.5, 9, 64),
        Note(0.5, 9, 60, program=VIOLIN),
        Note(0.5, 9, 36, is_drum=True),
    ]
    assert said(muscriptor(), encode_segment(notes, [], Segment(0, 1), muscriptor())) == (
        "tie0 program40 velocity1 pitch62 shift50 program0 pitch64 program40 velocity0 pitch62 velocity1 pitch60 drum36 eos"
    )


def test_the_piano_model_says_neither_ties_nor_programs() -> None:
    notes = [Note(0, 2.5, 60, 30, program=3), Note(2.2, 9, 64, 127)]
    words = piano_2021()
    assert (
        said(words, encode_segment(notes, [], Segment(2, 1), words))
        == "shift20 velocity127 pitch64 shift50 velocity0 pitch60 eos"
    )


def test_pedals_stand_before_the_notes_of_their_program() -> None:
    notes = [Note(0.5, 1, 60, 127), Note(0.5, 1, 60, 127, VIOLIN)]
    pedals = [PedalSpan(0.5, 0.7), PedalSpan(0.6, 1.0), PedalSpan(1.0, 3.0), PedalSpan(0.5, 3.0, VIOLIN)]
    words = solfa_events()
    assert said(words, encode_segment(notes, pedals, Segment(0, 2), words)) == (
        "tie0 shift50 program0 pedal1 velocity32 pitch60 program40 pedal1 pitch60 "
        "shift100 program0 pedal0 velocity0 pitch60 program40 pitch60 program0 pedal1 eos"
    )
    assert said(words, encode_segment(notes, pedals, Segment(2, 2), words)) == (
        "program0 pedal1 program40 pedal1 tie0 shift100 program0 pedal0 program40 pedal0 eos"
    )
    assert encode_segment(notes, pedals, Segment(0, 2), mt3()) == encode_segment(notes, [], Segment(0, 2), mt3())


def test_what_a_vocabulary_cannot_say_is_left_out() -> None:
    small = Vocabulary("small", mt3().ranges[:3], 1140, ties=False, granularity="flat", order="grid")
    notes = [Note(0, 1, 60), Note(0.5, 1, 36, is_drum=True)]
    assert (
        said(small, encode_segment(notes, [PedalSpan(0, 1)], Segment(0, 2), small))
        == "velocity1 pitch60 shift100 velocity0 pitch60 eos"
    )


def test_added_tokens_change_nothing_that_is_written() -> None:
    notes, segment = [Note(0.5, 11.5, 60, 33, VIOLIN), Note(1, 2, 36, is_drum=True)], Segment(0, 12)
    for make in PRESETS.values():
        assert encode_segment(notes, [], segment, make().with_added("technique", 0, 3)) == encode_segment(
            notes, [], segment, make()
        )
    longer = mt3().with_added("shift", 1001, 1200)
    assert "shift1150 velocity0" in said(longer, encode_segment(notes, [], segment, longer))


def test_times_far_away_are_no_trouble() -> None:
    notes = [Note(0.5, 1e300, 60), Note(1e250, 1e300, 61)]
    for words in (mt3(), solfa_events()):
        assert said(words, encode_segment(notes, [], Segment(0, 1), words)).count("pitch") == 1
        assert said(words, encode_segment(notes, [], Segment(9e8, 1), words)) == "program0 pitch60 tie0 eos"
