import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score.note import Note
from solfa.transcription.events import EventWriter
from solfa.transcription.grammar import Grammar
from solfa.transcription.reading import EventReader
from solfa.transcription.segments import PedalSpan, Segment
from solfa.transcription.vocabulary import PRESETS, Vocabulary, vocabulary

SECONDS = 2.05  # a segment that does not begin on a step
SEGMENTS = [Segment(index * SECONDS, SECONDS) for index in range(5)]


def grammar_of(words: Vocabulary, segments: list[Segment], **more: object) -> Grammar:
    spans = [segment.steps(words.steps_per_second) for segment in segments]
    return Grammar(words, [last - first for first, last in spans], **more)  # type: ignore[arg-type]


notes = st.lists(
    st.builds(
        lambda on, length, pitch, velocity, program, drum: Note(
            on, on + length, pitch, velocity, 0 if drum else program, drum
        ),
        st.floats(0, 3),
        st.floats(0, 3),
        st.integers(58, 62),
        st.integers(1, 127),
        st.sampled_from([0, 1, 40, 127]),
        st.booleans(),
    ),
    max_size=12,
)
pedals = st.lists(
    st.builds(
        lambda on, length, program: PedalSpan(on, on + length, program),
        st.floats(0, 3),
        st.floats(0, 2),
        st.sampled_from([0, 40]),
    ),
    max_size=4,
)


@pytest.mark.parametrize("name", PRESETS)
@given(notes, pedals)
@settings(max_examples=8)
def test_what_is_written_is_legal(name: str, notes: list[Note], pedals: list[PedalSpan]) -> None:
    words = vocabulary(name)
    writer = EventWriter(notes, pedals, words)
    segments = SEGMENTS[:3]
    rows = [writer.segment(segment) for segment in segments]
    grammar = grammar_of(words, segments)
    for place in range(max(map(len, rows))):
        legal = grammar.legal()
        ids = torch.tensor([row[place] if place < len(row) else words.eos for row in rows])
        for row, id in enumerate(ids.tolist()):
            assert legal[row, id], (row, place, words.events[id], [words.events[i] for i in rows[row][:place]])
        grammar.advance(ids)
    assert grammar.legal().sum(1).tolist() == [1] * len(rows) and grammar.legal()[:, words.eos].all()


def random_ids(words: Vocabulary, grammar: Grammar, generator: torch.Generator, most: int) -> list[int]:
    """Legal ids at random, kinds evenly, so that all of them come; an end only when there are many."""
    ids: list[int] = []
    kinds = torch.tensor([0 if e is None else 1 + list(words.kinds).index(e.kind) for e in words.events])
    while len(ids) < most and words.eos not in ids:
        legal = grammar.legal()[0].nonzero()[:, 0]
        there = kinds[legal].unique()
        there = there[there > 0] if len(ids) < most // 2 and len(there) > 1 else there
        some = legal[kinds[legal] == there[torch.randint(len(there), (), generator=generator)]]
        ids.append(int(some[torch.randint(len(some), (), generator=generator)]))
        grammar.advance(torch.tensor(ids[-1:]))
    return ids


@pytest.mark.parametrize("name", PRESETS)
def test_of_what_is_legal_nothing_is_dropped(name: str) -> None:
    words, generator = vocabulary(name), torch.Generator().manual_seed(0)
    reader, notes = EventReader(words), []
    for segment in SEGMENTS:
        grammar, prefix = grammar_of(words, [segment]), reader.prefix()
        for id in prefix:
            assert grammar.legal()[0, id]
            grammar.advance(torch.tensor([id]))
        notes += reader.push([*prefix, *random_ids(words, grammar, generator, 80)], segment)
    notes += reader.finish(10.0)
    silent = 0 if words.ties else reader.dropped.off_silent  # without ties any note may sound from before
    assert len(notes) > 10 and reader.dropped.total == silent
    assert {note.is_drum for note in notes} == {False, True} and len({note.pitch for note in notes}) > 5
    assert len({note.program for note in notes}) > 1 or words.granularity == "flat"
    assert bool(reader.pedals) == words.has("pedal")


def last_legal(
    words: Vocabulary, steps: int, said: list[tuple[str, int]], **more: object
) -> set[str | tuple[str, int]]:
    """What is legal after these events, as (kind, value); all values of a kind, if they are more than 3, as its name."""
    grammar = Grammar(words, [steps], **more)  # type: ignore[arg-type]
    for kind, value in said:
        assert grammar.legal()[0, words.id(kind, value)], (kind, value)
        grammar.advance(torch.tensor([words.id(kind, value)]))
    found: dict[str, list[tuple[str, int]]] = {}
    for id in grammar.legal()[0].nonzero()[:, 0].tolist():
        kind, value = ("eos", 0) if id == words.eos else words.events[id] or ("none", 0)
        found.setdefault(kind, []).append((kind, value))
    return {each for kind, some in found.items() for each in (some if len(some) < 4 else [kind])}


def test_the_rules_one_by_one() -> None:
    words = vocabulary("solfa_events")
    tie, piano, on, off = ("tie", 0), ("program", 0), ("velocity", 5), ("velocity", 0)
    assert last_legal(words, 200, []) == {"program", tie}
    assert last_legal(words, 200, [("program", 126)]) == {"pitch", ("pedal", 1)}
    assert last_legal(words, 200, [("program", 126), ("pitch", 126)]) == {("pitch", 127), ("program", 127), tie}
    assert last_legal(words, 200, [tie]) == {"shift", "program", "velocity", ("eos", 0)}
    assert last_legal(words, 200, [tie, piano]) == {"velocity", ("pedal", 1)}
    assert last_legal(words, 200, [tie, piano, on]) == {"pitch"}  # a program was said: no drum
    assert last_legal(words, 200, [tie, on]) == {"drum"}  # and none was
    struck = [tie, piano, on, ("pitch", 60)]
    assert last_legal(words, 200, struck) == {"shift", "pitch", "program", "velocity", "drum", ("eos", 0)}
    assert last_legal(words, 3, struck) == {
        ("shift", 1),
        ("shift", 2),
        "pitch",
        "program",
        "velocity",
        "drum",
        ("eos", 0),
    }
    later = [*struck, ("shift", 2)]
    assert last_legal(words, 3, later) == {"pitch", ("pedal", 1), "program", "velocity", "drum"}
    assert last_legal(words, 3, [*later, off]) == {("pitch", 60)}
    assert last_legal(words, 3, [*later, off, ("pitch", 60)]) == {("pedal", 1), "program", "velocity", ("eos", 0)}
    assert last_legal(words, 3, [*later, ("drum", 126)]) == {("drum", 127), "velocity", ("eos", 0)}
    high = [*later, ("program", 127), ("pitch", 127), ("drum", 127)]  # the end of a step
    assert last_legal(words, 3, high) == {("eos", 0)}
    tied = [piano, ("pedal", 1), ("pitch", 60), tie]
    assert last_legal(words, 3, [*tied, off]) == {("pitch", 60)}
    assert ("pedal", 0) in last_legal(words, 3, tied) and ("pedal", 1) not in last_legal(words, 3, tied)


def test_a_shift_longer_than_one_says() -> None:
    words = vocabulary("solfa_events")
    far = [("tie", 0), ("shift", 1000)]
    assert last_legal(words, 2500, far) == {"shift", "program", "velocity"}
    assert last_legal(words, 1003, far) == {("shift", 1), ("shift", 2), "program", "velocity"}
    assert last_legal(words, 1001, far) == {"program", "velocity"}
    hit = [*far, ("shift", 1), ("velocity", 1), ("drum", 40)]  # on step 1001
    assert last_legal(words, 1004, hit) >= {("shift", 1000), "drum"}
    assert last_legal(words, 1004, [*hit, ("shift", 1000)]) == {("shift", 2), ("shift", 3)}
    assert last_legal(words, 1002, hit) == {"drum", "velocity", ("eos", 0)}  # nothing lies behind


def test_only_instruments_that_play() -> None:
    words = vocabulary("solfa_events")
    assert last_legal(words, 200, [], programs=[0, 40]) == {("program", 0), ("program", 40), ("tie", 0)}
    assert last_legal(words, 200, [("tie", 0)], programs=[40]) == {"shift", ("program", 40), ("eos", 0)}
    assert last_legal(words, 200, [("tie", 0)], programs=[128]) == {"shift", "velocity", ("eos", 0)}


def test_only_where_the_guide_lets_notes_begin() -> None:
    words = vocabulary("solfa_events")
    onsets = torch.zeros(1, 200, 129 + 128, dtype=torch.bool)
    onsets[0, 50, 1 + 60] = onsets[0, 50, 129 + 38] = True
    program, on = ("program", 0), ("velocity", 1)
    assert last_legal(words, 200, [("tie", 0)], onsets=onsets) == {("shift", 50), ("eos", 0)}
    assert last_legal(words, 200, [("tie", 0), ("shift", 50), program, on], onsets=onsets) == {("pitch", 60)}
    struck = [("tie", 0), ("shift", 50), program, on, ("pitch", 60)]
    assert last_legal(words, 200, struck, onsets=onsets) == {"shift", "program", "velocity", ("drum", 38), ("eos", 0)}
    assert last_legal(words, 200, [*struck, ("shift", 59)], onsets=onsets) == {("velocity", 0)}  # what sounds may end
    assert last_legal(words, 40, [("tie", 0)], onsets=onsets) == {("eos", 0)}
    assert last_legal(words, 200, [("tie", 0)], onsets=onsets & False) == {("eos", 0)}


def test_rows_do_not_know_of_each_other() -> None:
    words, generator = vocabulary("solfa_events"), torch.Generator().manual_seed(1)
    segments = SEGMENTS[:3]
    alone, histories = [grammar_of(words, [segment]) for segment in segments], [[], [], []]
    together = grammar_of(words, segments)
    for step in range(60):
        if step == 20:
            order = [2, 0, 0, 1]
            together.select(torch.tensor(order))
            histories = [[*histories[row]] for row in order]
            alone = [grammar_of(words, [segments[row]]) for row in order]
            for grammar, ids in zip(alone, histories, strict=True):
                for id in ids:
                    grammar.advance(torch.tensor([id]))
        legal = together.legal()
        assert all(torch.equal(row, one.legal()[0]) for row, one in zip(legal, alone, strict=True))
        some = legal.float() * (1 + 99 * (torch.rand(legal.shape, generator=generator) < 0.02))
        ids = torch.multinomial(some, 1, generator=generator)[:, 0]
        together.advance(ids)
        for one, history, id in zip(alone, histories, ids, strict=True):
            one.advance(id[None])
            history.append(int(id))
    assert len({tuple(history) for history in histories}) == 4
