import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from solfa.transcription.decoding import DecodingOptions, DecodingResult, Task, decode, seed_of
from solfa.transcription.grammar import Grammar
from solfa.transcription.heard import Heard
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.reading import EventReader
from solfa.transcription.segments import Segment
from solfa.transcription.vocabulary import mt3

MakeTranscriber = Callable[..., TokenTranscriber]
LONGEST = 24


@pytest.fixture(scope="module")
def model(make_transcriber: MakeTranscriber) -> TokenTranscriber:
    return make_transcriber()


def heard_of(model: TokenTranscriber, rows: int) -> Heard:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        return model.encode(torch.randint(16, (rows, 4, 50), generator=generator))


def tasks_of(rows: int, prefixes: Sequence[Sequence[int]] = ()) -> list[Task]:
    some = [*prefixes, *[()] * (rows - len(prefixes))]
    return [Task(Segment(row * 1.0, 1.0), tuple(prefix), seed_of(1, row)) for row, prefix in enumerate(some)]


def naive(model: TokenTranscriber, heard: Heard, task: Task, longest: int) -> DecodingResult:
    """Greedy, all from the beginning at every step, with no cache, in a loop over what is legal."""
    words = model.config.vocabulary
    assert words is not None
    first, last = task.segment.steps(words.steps_per_second)
    grammar, ids, total = Grammar(words, [last - first]), list(task.prefix), 0.0
    for id in ids:
        grammar.advance(torch.tensor([id]))
    while len(ids) < longest:
        read = torch.tensor([[words.pad, *ids]])
        state = model.start(heard, read.shape[1])
        with torch.no_grad():
            logits = model.advance(read, state)[0][0, -1]
        legal = grammar.legal()[0].nonzero()[:, 0].tolist()
        best = max(legal, key=lambda id: float(logits[id]))
        total += float(logits[best] - torch.logsumexp(logits[legal], 0))
        if best == words.eos:
            return DecodingResult(tuple(ids), total, True)
        ids.append(best)
        grammar.advance(torch.tensor([best]))
    return DecodingResult(tuple(ids), total, False)


def same(one: DecodingResult, other: DecodingResult) -> bool:
    close = math.isclose(one.log_likelihood, other.log_likelihood, rel_tol=1e-4, abs_tol=1e-4)
    return one.ids == other.ids and one.ended == other.ended and close


def ending(model: TokenTranscriber, bias: float) -> TokenTranscriber:
    """The model with a liking for ends, so that rows end at different places."""

    assert model.decoder is not None
    weight = model.decoder.head.weight

    class Ending(torch.nn.Module):
        def forward(self, hidden: Tensor) -> Tensor:
            logits = torch.nn.functional.linear(hidden, weight).clone()
            logits[..., 1] += bias
            return logits

    liking = deepcopy(model)
    assert liking.decoder is not None
    liking.decoder.head = Ending()  # type: ignore[assignment]
    return liking


def lively(model: TokenTranscriber, heard: Heard, tasks: Sequence[Task]) -> TokenTranscriber:
    """The model with such a liking for ends that some rows end, and not all at one place."""
    for bias in range(30):
        liking = ending(model, bias / 2)
        results = decode(liking, heard, tasks, DecodingOptions(longest=LONGEST))
        if len({len(result.ids) for result in results}) > 1 and any(result.ended for result in results):
            return liking
    raise AssertionError("all rows end at one place")


def test_greedy_is_what_a_plain_loop_writes(model: TokenTranscriber) -> None:
    words = model.config.vocabulary
    assert words is not None
    prefix = [words.id("program", 5), words.id("pitch", 60), words.id("tie", 0)]
    heard, tasks = heard_of(model, 3), tasks_of(3, [[], prefix, [words.id("tie", 0)]])
    liking = lively(model, heard, tasks)
    together = decode(liking, heard, tasks, DecodingOptions(longest=LONGEST))
    for row, (task, result) in enumerate(zip(tasks, together, strict=True)):
        one = heard.rows(torch.tensor([row]))
        assert same(result, naive(liking, one, task, LONGEST))
        assert same(result, decode(liking, one, [task], DecodingOptions(longest=LONGEST))[0])
        assert result.ids[: len(task.prefix)] == task.prefix


@pytest.mark.parametrize(
    "options",
    [
        DecodingOptions(temperature=1.0, longest=LONGEST),
        DecodingOptions(temperature=2.0, top_k=40, top_p=0.9, longest=LONGEST),
        DecodingOptions(beam=3, longest=LONGEST),
    ],
)
def test_a_row_does_not_depend_on_those_beside_it(model: TokenTranscriber, options: DecodingOptions) -> None:
    words = model.config.vocabulary
    assert words is not None
    heard = heard_of(model, 4)
    tasks = tasks_of(4, [[], [words.id("program", 5), words.id("pitch", 60), words.id("tie", 0)]])
    liking = lively(model, heard, tasks)
    together = decode(liking, heard, tasks, options)
    for row, result in enumerate(together):
        assert same(result, decode(liking, heard.rows(torch.tensor([row])), [tasks[row]], options)[0])
    assert len({result.ids for result in together}) == 4


def test_rows_that_end_make_room(model: TokenTranscriber) -> None:
    words = model.config.vocabulary
    assert words is not None
    heard, over = heard_of(model, 4), (words.id("tie", 0), words.eos)  # forced to end at once
    tasks, options = tasks_of(4, [over, over, (), over]), DecodingOptions(temperature=1.0, longest=LONGEST)
    together = decode(model, heard, tasks, options)
    assert [each.ids for each in together if each is not together[2]] == [over[:1]] * 3
    assert all(each.ended and each.log_likelihood == 0 for each in together if each is not together[2])
    assert same(together[2], decode(model, heard.rows(torch.tensor([2])), [tasks[2]], options)[0])
    assert len(together[2].ids) > 5


def test_what_is_forced_as_it_would_have_been_drawn_changes_nothing(model: TokenTranscriber) -> None:
    heard, (task,) = heard_of(model, 1), tasks_of(1)
    for options in (DecodingOptions(temperature=1.5, longest=LONGEST), DecodingOptions(longest=LONGEST)):
        free = decode(model, heard, [task], options)[0]
        for size in (1, 5, LONGEST - 1):
            forced = Task(task.segment, free.ids[:size], task.seed)
            assert decode(model, heard, [forced], options)[0].ids == free.ids
    other = decode(
        model, heard, [Task(task.segment, (), seed_of(2, 0))], DecodingOptions(temperature=1.5, longest=LONGEST)
    )
    assert other[0].ids != decode(model, heard, [task], DecodingOptions(temperature=1.5, longest=LONGEST))[0].ids


def test_a_beam_finds_what_is_likelier_on_the_whole(model: TokenTranscriber) -> None:
    heard, tasks = heard_of(model, 3), tasks_of(3)
    liking = lively(model, heard, tasks)
    greedy = decode(liking, heard, tasks, DecodingOptions(longest=40))
    beam = decode(liking, heard, tasks, DecodingOptions(beam=6, length_penalty=0.0, longest=40))
    assert all(many.ended for many in beam)
    assert sum(many.log_likelihood for many in beam) > sum(one.log_likelihood for one in greedy) + 0.1
    long = decode(liking, heard, tasks, DecodingOptions(beam=6, length_penalty=4.0, longest=40))
    assert sum(len(each.ids) for each in long) > sum(len(each.ids) for each in beam)
    for many, task in zip(beam, tasks, strict=True):  # the likelihood is that of the ids
        row = heard.rows(torch.tensor([tasks.index(task)]))
        words = liking.config.vocabulary
        assert words is not None
        ids = [*many.ids, words.eos]
        grammar, total = Grammar(words, [100]), 0.0
        with torch.no_grad():
            logits = liking.advance(torch.tensor([[words.pad, *many.ids]]), liking.start(row, 50))[0][0]
        for place, id in enumerate(ids):
            total += float(logits[place].masked_fill(~grammar.legal()[0], -math.inf).log_softmax(-1)[id])
            grammar.advance(torch.tensor([id]))
        assert math.isclose(total, many.log_likelihood, rel_tol=1e-4, abs_tol=1e-3)


def test_a_beam_of_all_ways_finds_the_best(make_transcriber: MakeTranscriber) -> None:
    """So few ids may be written that a wide beam keeps every way of it."""
    model = ending(make_transcriber(), 0.0)
    heard, words = heard_of(model, 1), model.config.vocabulary
    assert words is not None
    # One step, drums only, keys ascending: after the hit of key 126 one more may follow, of any velocity.
    known = [("tie", 0), ("velocity", 9), ("drum", 126)]
    task = Task(Segment(0.0, 0.01), tuple(words.id(*each) for each in known))
    options = DecodingOptions(beam=64, length_penalty=0.0, longest=8)
    best = decode(model, heard, [task], options, programs=[128])[0]
    ways: dict[tuple[int, ...], float] = {}

    def grow(ids: tuple[int, ...], total: float) -> None:
        grammar = Grammar(words, [1], programs=[128])
        for id in ids:
            grammar.advance(torch.tensor([id]))
        logits = model.advance(torch.tensor([[words.pad, *ids]]), model.start(heard, 16))[0][0, -1]
        logp = logits.masked_fill(~grammar.legal()[0], -math.inf).log_softmax(-1)
        for id in grammar.legal()[0].nonzero()[:, 0].tolist():
            if id == words.eos:
                ways[ids] = total + float(logp[id])
            else:
                grow((*ids, id), total + float(logp[id]))

    with torch.no_grad():
        grow(task.prefix, 0.0)
    likeliest = max(ways, key=lambda ids: ways[ids])
    assert len(ways) > 30 and best.ids == likeliest and math.isclose(best.log_likelihood, ways[likeliest], abs_tol=1e-4)


def test_all_that_is_written_is_read(model: TokenTranscriber) -> None:
    words = model.config.vocabulary
    assert words is not None
    reader = EventReader(words)
    for row in range(6):
        heard, task = heard_of(model, 6).rows(torch.tensor([row])), tasks_of(6)[row]
        forced = Task(task.segment, tuple(reader.prefix()), task.seed)
        result = decode(model, heard, [forced], DecodingOptions(temperature=3.0, longest=90))[0]
        reader.push(result.ids, task.segment)
    assert reader.dropped.total == 0 and len(reader.sounding) > 3


def test_only_what_plays_and_only_where_the_frames_hear_it(make_transcriber: MakeTranscriber) -> None:
    full = {"lowest": 0, "highest": 127, "lowest_drum": 0, "highest_drum": 127}
    model = make_transcriber(**full, vocabulary=mt3())  # without pedals: all is guided
    words = model.config.vocabulary
    assert words is not None
    heard = heard_of(model, 2)
    onset = torch.full_like(heard.frames.onset, -9.0)
    onset[0, 10, 60] = 3.0  # row 0, 0.2 s, middle C
    onset[1, 20, 128 + 38] = 3.0  # row 1, 0.4 s, a snare
    guided = replace(heard, frames=replace(heard.frames, onset=onset))
    tie = (words.id("tie", 0),)
    tasks = [Task(Segment(7.0, 1.0), tie, 5), Task(Segment(8.003, 1.0), tie, 5)]  # the second begins off the steps
    options = DecodingOptions(temperature=3.0, guide=0.5, reach=0.02, longest=60)
    for row, result in enumerate(decode(model, guided, tasks, options, programs=[0, 40, 128])):
        reader = EventReader(words)
        notes = [*reader.push(result.ids, tasks[row].segment), *reader.finish(9.1)]
        key, drum, time = [(60, False, 7.2), (38, True, 8.403)][row]
        assert notes and {(note.pitch, note.is_drum) for note in notes} == {(key, drum)}
        assert all(abs(note.onset - time) < 0.035 for note in notes)
        assert {words.event(id).value for id in result.ids if words.event(id).kind == "program"} <= {0, 40}


def test_what_cannot_be(model: TokenTranscriber, make_transcriber: MakeTranscriber) -> None:
    heard = heard_of(model, 2)
    with pytest.raises(ValueError, match="1 tasks for 2 segments"):
        decode(model, heard, tasks_of(1))
    with pytest.raises(ValueError, match="a prefix of 5 ids leaves no room"):
        decode(model, heard, tasks_of(2, [[3] * 5]), DecodingOptions(longest=5))
    deaf = make_transcriber(events=False)
    with pytest.raises(ValueError, match="tiny-notes writes no events"):
        decode(deaf, heard_of(deaf, 1), tasks_of(1))


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("beam is 0: it must be a whole number, 1 to 64", {"beam": 0}),
        ("beam is True", {"beam": True}),
        ("top_k is -1", {"top_k": -1}),
        ("longest is 0", {"longest": 0}),
        ("seed is -1", {"seed": -1}),
        ("top_p is 1.5", {"top_p": 1.5}),
        ("guide is nan", {"guide": math.nan}),
        ("length_penalty is -1", {"length_penalty": -1}),
        ("temperature is nan", {"temperature": math.nan}),
        ("temperature is -1", {"temperature": -1}),
        ("ties is 'loose'", {"ties": "loose"}),
        ("a beam does not draw", {"beam": 2, "temperature": 1.0}),
    ],
)
def test_options_that_are_not_legal(words: str, fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=words):
        DecodingOptions(**fields)  # type: ignore[arg-type]
