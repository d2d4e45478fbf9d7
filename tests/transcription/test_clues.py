"""What the frame outputs say of events: where it stands, and what it adds to which ids."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.transcription.clues import GAIN, ClueReader, Clues, Past, find_clues
from solfa.transcription.event_decoder import EventDecoder
from solfa.transcription.frames import Columns, FrameOutputs
from solfa.transcription.heard import Heard
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.vocabulary import Vocabulary

MakeTranscriber = Callable[..., TokenTranscriber]
COLUMNS = Columns(48, 72, 35, 46)  # as those of `make_transcriber`
FRAMES, REACH = 30, 3


def heard_of(**probabilities: dict[tuple[int, int], float]) -> Heard:
    """One segment of 30 frames in which nothing is heard but at (frame, column)s."""
    tables = {name: torch.full((1, FRAMES, COLUMNS.count), 1e-6) for name in ("onset", "frame", "offset", "velocity")}
    for name, table in tables.items():
        for place, value in probabilities.get(name, {}).items():
            table[0][place] = value
    shift = torch.zeros(1, FRAMES, COLUMNS.count)
    for place, value in probabilities.get("shift", {}).items():
        shift[0][place] = value
    frames = FrameOutputs(**{name: table.logit() for name, table in tables.items()}, shift=shift, columns=COLUMNS)
    return Heard(torch.zeros(1, FRAMES, 16), None, frames, torch.zeros(1, 4, FRAMES, COLUMNS.pitched))


def of_column(heard: Heard, rows: Tensor, frames: Tensor, columns: Tensor) -> Tensor:
    """Chances of programs: that of a column's number."""
    return torch.nn.functional.one_hot(columns, 129) * 20.0


def one_note(**more: dict[tuple[int, int], float]) -> Heard:
    """A note of column 5 that begins midway between frames 10 and 11."""
    onset = {(9, 5): 0.2, (10, 5): 0.6, (11, 5): 0.1}
    return heard_of(**({"onset": onset, "velocity": {(10, 5): 0.7}, "shift": {(10, 5): 0.5}} | more))


def test_a_peak_stands_where_its_note_begins() -> None:
    clues = find_clues(one_note(), of_column, 2, REACH)
    struck, near, loud = clues.pitches[0, :, :3, 5].T
    assert struck[21] == pytest.approx(0.9, abs=1e-4) and struck.count_nonzero() == 1
    assert near.nonzero()[:, 0].tolist() == [18, 19, 20, 21, 22, 23, 24] and near[18] == struck[21]
    assert loud[24] == pytest.approx(0.63, abs=1e-3) and clues.loud[0, 18:25].sub(0.7).abs().max() < 1e-3
    assert (clues.program[0, 18:25, 5] == 5).all() and clues.sure[0, :, 5].count_nonzero() == 7
    assert clues.programs[0, 21].argmax() == 5 and clues.programs[0, 25, 5] == 0
    assert clues.begin[0].nonzero().tolist() == [[21, 5]]
    others = torch.arange(COLUMNS.count) != 5
    assert clues.pitches[0, :, :3, others].count_nonzero() == 0


def test_ends_stand_where_a_note_falls_silent_or_is_let_go() -> None:
    sounding = {(frame, 5): 0.9 for frame in range(10, 20)}
    clues = find_clues(one_note(frame=sounding, offset={(20, 5): 0.8}), of_column, 2, REACH)
    let_go, falls, after, before = clues.pitches[0, :, 3:, 5].T
    assert let_go.gt(0.5).nonzero()[:, 0].tolist() == falls.gt(0.5).nonzero()[:, 0].tolist() == [39, 40, 41]
    assert after[16] > 0.8 > after[36] and before[24] > 0.8 and before[22] < 0.1 and before[43] > 0.8 > before[44]
    assert clues.end[0].argmax() == 40


def test_what_is_no_sound_says_nothing() -> None:
    heard = one_note()
    nothing = find_clues(replace(heard, mask=torch.arange(FRAMES)[None] < 9), of_column, 2, REACH)
    for each in (nothing.pitches, nothing.sure, nothing.programs, nothing.places, nothing.begin, nothing.loud):
        assert each.abs().max() < 1e-3


@pytest.fixture
def reader(make_transcriber: MakeTranscriber) -> tuple[ClueReader, Vocabulary]:
    model = make_transcriber()
    assert model.decoder is not None and model.config.vocabulary is not None
    with torch.no_grad():
        model.decoder.clues.weights.weight.zero_()
    return model.decoder.clues, model.config.vocabulary


def added(reader: ClueReader, weight: int, clues: Clues, place: int, program: int, *just: int) -> tuple[Tensor, Tensor]:
    """What is added where one weight is 1 and all others 0: for shifts to each place, and by id."""
    past = Past(torch.tensor([[program]]), torch.zeros(1, 1, COLUMNS.count, dtype=torch.bool))
    past.just[0, 0, list(just)] = True
    with torch.no_grad():
        reader.weights.bias.zero_()
        reader.weights.bias[weight] = 1 / GAIN
        shifts, said = reader(torch.zeros(1, 1, 16), torch.tensor([[place]]), past, clues)
    by_id = torch.zeros(2000).index_add(0, reader.ids, said[0, 0])
    return shifts[0, 0], by_id


def test_clues_are_added_to_what_they_speak_of(reader: tuple[ClueReader, Vocabulary]) -> None:
    read, words = reader
    clues = find_clues(one_note(), of_column, 2, REACH)
    pitch, first = words.id("pitch", COLUMNS.lowest + 5), 11  # the first weight of pitches
    for weight in (first, first + 1):  # the peak here, and near here
        assert added(read, weight, clues, 21, 5)[1].nonzero()[:, 0].tolist() == [pitch]
        assert added(read, weight, clues, 21, 5, 5)[1].count_nonzero() == 0, "it was just struck"
    assert added(read, first, clues, 20, 5)[1].count_nonzero() == 0
    own = first + 7
    assert added(read, own, clues, 20, 5)[1][pitch] > 0.8 and added(read, own, clues, 20, 4)[1].count_nonzero() == 0
    programs = added(read, own + 1, clues, 21, -1)[1]
    assert programs.argmax() == words.id("program", 5) and programs[words.id("program", 6)] < 0.01 < programs.max() - 4
    velocities = added(read, own + 2, clues, 21, 5)[1][list(words.ids("velocity"))[1:]]
    read_as = [words.velocity_of(each) for each in range(1, words.velocity_bins + 1)]
    assert read_as[int(velocities.argmax())] == min(read_as, key=lambda velocity: abs(velocity - 0.7 * 127))


def test_a_drum_is_a_drum(reader: tuple[ClueReader, Vocabulary]) -> None:
    read, words = reader
    column = COLUMNS.pitched + 3
    clues = find_clues(heard_of(onset={(4, column): 0.9}), of_column, 2, REACH)
    assert added(read, 11, clues, 8, -1)[1].nonzero()[:, 0].tolist() == [words.id("drum", COLUMNS.lowest_drum + 3)]


def test_shifts_lead_to_what_has_not_begun_yet(reader: tuple[ClueReader, Vocabulary]) -> None:
    """A peak near to here counts unless its note was just struck; what lies on the way makes a shift beyond it less likely."""
    read, _ = reader
    clues = find_clues(heard_of(onset={(10, 5): 0.9, (11, 8): 0.9, (20, 5): 0.9}), of_column, 2, REACH)
    here, ways, past = 20, 7, 10
    assert added(read, ways, clues, here, 0)[0].nonzero()[:, 0].tolist() == [20, 22, 40]
    assert added(read, ways, clues, here, 0, 5)[0].nonzero()[:, 0].tolist() == [22, 40], (
        "as far as 40 it may be struck anew"
    )
    way = added(read, ways + 1, clues, here, 0)[0]
    assert way[:23].count_nonzero() == 0 and (way[23:41] == way[23]).all() and way[41] < way[23] < -1
    assert added(read, past, clues, here, 0)[0].tolist() == [-1.0] * 21 + [0.0] * 39


@settings(max_examples=80)
@given(
    st.lists(st.sampled_from(["shift", "pitch", "drum", "velocity", "end", "program", "tie"]), min_size=1, max_size=14),
    st.data(),
)
def test_the_past_is_what_was_written(make_transcriber: MakeTranscriber, kinds: list[str], data: st.DataObject) -> None:
    """The program in force, and what was struck at most 50 ms ago: after each id, however they are cut into pieces."""
    decoder = make_transcriber().decoder
    assert isinstance(decoder, EventDecoder)
    words = make_transcriber().config.vocabulary
    assert words is not None
    ids, wanted, now, run, program, velocity, struck = [], [], 0, 0, -1, -1, {}
    for kind in kinds:
        value = data.draw(st.integers(0, 4), label=kind)
        name = {"end": "velocity"}.get(kind, kind)
        value = {"pitch": 48 + value, "drum": 35 + value, "velocity": 1 + value, "end": 0, "tie": 0}.get(kind, value)
        ids.append(words.id(name, value))
        run = run + value if kind == "shift" else 0
        now, program = run if kind == "shift" else now, value if kind == "program" else program
        velocity = value if name == "velocity" else velocity
        if kind in ("pitch", "drum") and velocity > 0:
            struck[value - 48 if kind == "pitch" else COLUMNS.pitched + value - 35] = now
        wanted.append((program, sorted(column for column, step in struck.items() if now - step < 5)))
    none, found = torch.zeros(1, dtype=torch.int64), []
    past, shifted, state = none, none > 0, (none - 1, none - 1, torch.zeros(1, COLUMNS.count, dtype=torch.int64))
    for part in torch.tensor([ids]).split(data.draw(st.integers(1, len(ids))), 1):
        steps, shifted = decoder._steps(part, past, shifted)
        written, last, columns = decoder._past(part, steps, *state)
        past, state = steps[:, -1], (written.program[:, -1], last, columns)
        found += [
            (int(one), just.nonzero()[:, 0].tolist())
            for one, just in zip(written.program[0], written.just[0], strict=True)
        ]
    assert found == wanted
