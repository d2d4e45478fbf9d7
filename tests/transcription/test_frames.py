"""Frame outputs to notes: perfect ones give the notes back, any give what a plain loop gives, pieces what the whole gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from solfa.score.note import Note
from solfa.transcription.frames import TENSORS, Columns, FrameOptions, FrameOutputs, FrameReader, Programs, frame_notes

RATE = 50.0
COLUMNS = Columns(60, 64, 35, 37)
OPTIONS = FrameOptions()


def made(notes: list[Note], frames: int, columns: Columns = COLUMNS) -> tuple[FrameOutputs, Programs]:
    """What a perfect model would say of notes, each of which begins in a frame of its own; beside onsets its outputs are unsure."""
    values = {name: np.zeros((frames, columns.count)) for name in TENSORS}
    programs = np.zeros((frames, columns.count), np.int64)
    for note in notes:
        column = int(columns.of(np.array(note.pitch), np.array(note.is_drum)))
        place, end = note.onset * RATE, note.offset * RATE
        first = int(np.floor(place + 0.5))
        last = max(int(np.floor(end + 0.5)), first + 1)
        for beside in (first - 1, first + 1):
            if 0 <= beside < frames and not values["onset"][beside, column]:
                values["onset"][beside, column] = 0.4
        values["onset"][first, column] = 1
        values["frame"][first:last, column] = 1
        if last < frames:
            values["offset"][last, column] = 1
        values["velocity"][first, column], values["shift"][first, column] = note.velocity / 127, place - first
        programs[first, column] = 128 if note.is_drum else note.program
    outputs = FrameOutputs(*(torch.from_numpy(values[name]).float() for name in TENSORS), columns=columns)  # type: ignore[misc, arg-type]
    return outputs, lambda frames, columns: programs[frames, columns]


@st.composite
def scores(draw: st.DrawFn) -> list[Note]:
    """Notes of each pitch one after the other, onsets two frames apart at least, each a frame long at least; drum hits."""
    notes = []
    for drum, low, high in (
        (False, COLUMNS.lowest, COLUMNS.highest),
        (True, COLUMNS.lowest_drum, COLUMNS.highest_drum),
    ):
        for pitch in range(low, high + 1):
            at = draw(st.floats(0, 8))
            for _ in range(draw(st.integers(0, 4))):
                length, gap = draw(st.floats(1, 9)), draw(st.one_of(st.just(0.0), st.floats(0, 5)))
                velocity, program = draw(st.integers(1, 127)), 0 if drum else draw(st.integers(0, 127))
                end = at / RATE + 0.01 if drum else (at + length) / RATE
                notes.append(Note(at / RATE, end, pitch, velocity, program, drum))
                at += max(length + gap, 2.0)
    return sorted(notes)


def close(found: list[Note], wanted: list[Note]) -> None:
    """The same notes: onsets to a float32's rounding, offsets to the nearest frame, all else exactly."""

    def order(note: Note) -> tuple:
        return note.is_drum, note.pitch, note.onset

    found, wanted = sorted(found, key=order), sorted(wanted, key=order)
    assert [(n.is_drum, n.pitch, n.velocity, n.program) for n in found] == [
        (n.is_drum, n.pitch, n.velocity, n.program) for n in wanted
    ]
    for one, other in zip(found, wanted, strict=True):
        assert abs(one.onset - other.onset) < 1e-8
        assert abs(one.offset - other.offset) < 0.5 / RATE + 1e-8


@given(scores(), st.integers(0, 3))
def test_perfect_outputs_give_the_notes(notes: list[Note], dip: int) -> None:
    outputs, programs = made(notes, 80)
    close(frame_notes(outputs, OPTIONS, RATE, programs=programs), notes)
    lone = [note for note in notes if not any(other.pitch == note.pitch and other is not note for other in notes)]
    outputs, programs = made(lone, 80)
    close(frame_notes(outputs, FrameOptions(dip=dip), RATE, programs=programs), lone)


def test_no_note_begins_before_the_recording() -> None:
    early = made([Note(0.0, 0.1, 60)], 10)[0]
    early.shift[:] = -0.5  # half a frame before the recording begins
    assert frame_notes(early, OPTIONS, RATE)[0].onset == 0.0


def plain(outputs: FrameOutputs, options: FrameOptions, programs: Programs) -> list[Note]:
    """The rules, frame by frame."""
    onset, frame, offset, velocity, shift = (getattr(outputs, name).double().numpy() for name in TENSORS)
    count, notes = len(onset), []

    def peak(values: np.ndarray, t: int, least: float) -> bool:
        here, before = values[t], values[t - 1] if t else 0.0
        after = values[t + 1] if t + 1 < count else 0.0
        height = before + here + after if options.neighbours else here
        return height >= np.float32(least) and here > before and here >= after

    for column in range(outputs.columns.count):
        drum = column >= outputs.columns.pitched
        for t in range(count):
            if not peak(onset[:, column], t, options.drum if drum else options.onset):
                continue
            end = t + 1
            while not drum and end < count:
                ahead = [frame[at, column] for at in range(end, min(end + options.dip + 1, count))]
                if all(value < np.float32(options.frame) for value in ahead) or peak(
                    onset[:, column], end, options.onset
                ):
                    break
                if end >= t + 2 and peak(offset[:, column], end, options.offset):
                    break
                end += 1
            time = max((t + shift[t, column]) / RATE, 0.0)
            program = 0 if drum else int(programs(np.array([t]), np.array([column]))[0])
            loud = int(np.clip(np.rint(np.float32(velocity[t, column]) * np.float32(127)), 1, 127))
            key = int(outputs.columns.keys(np.array(column)))
            hit = drum or program == 128
            stop = time + 0.01 if hit else max(end / RATE, time + 0.01)
            notes.append(Note(time, stop, key, loud, 0 if hit else program, hit))
    return sorted(notes)


def noise(frames: int, columns: Columns, seed: int) -> tuple[FrameOutputs, Programs]:
    """Outputs on a grid of few values, so that there are flat peaks and values at the thresholds; any programs."""
    generator = torch.Generator().manual_seed(seed)

    def values() -> Tensor:
        return torch.randint(0, 9, (frames, columns.count), generator=generator) / 8

    outputs = FrameOutputs(values(), values(), values(), values(), values() - 0.5, columns)
    table = torch.randint(0, 129, (frames, columns.count), generator=generator).numpy()
    return outputs, lambda frames, columns: table[frames, columns]


@pytest.mark.parametrize("columns", [COLUMNS, Columns(60, 64, 35, 34)], ids=["drum columns", "drums as pitches"])
@given(
    frames=st.integers(0, 40),
    seed=st.integers(0, 1000),
    dip=st.integers(0, 3),
    thresholds=st.tuples(*[st.sampled_from([0.25, 0.5, 0.7, 1.0])] * 4),
    sizes=st.lists(st.integers(0, 9), max_size=8),
    neighbours=st.booleans(),
)
def test_any_outputs_as_a_plain_loop_reads_them(
    columns: Columns,
    frames: int,
    seed: int,
    dip: int,
    thresholds: tuple[float, ...],
    sizes: list[int],
    neighbours: bool,
) -> None:
    outputs, programs = noise(frames, columns, seed)
    options = FrameOptions(*thresholds, dip, neighbours)
    whole = frame_notes(outputs, options, RATE, programs=programs)
    assert whole == plain(outputs, options, programs)

    reader, at, notes = FrameReader(columns, options, RATE), 0, []
    for size in [*sizes, frames]:
        piece = outputs.map(lambda x, at=at, size=size: x[at : at + size])  # type: ignore[misc]
        notes += reader.push(piece, lambda frames, columns, at=at: programs(frames + at, columns))  # type: ignore[misc]
        at += size
    assert sorted(notes + reader.finish()) == whole
    assert reader.push(outputs, programs) + reader.finish() is not None  # as new
    assert sorted(reader.push(outputs, programs) + reader.finish()) == whole


def test_an_onset_that_is_sure_but_not_of_its_frame() -> None:
    outputs = made([], 12)[0]
    outputs.onset[4:7, 0] = torch.tensor([0.2, 0.3, 0.25])  # together .75
    outputs.onset[4:7, 1] = torch.tensor([0.0, 0.7, 0.0])
    outputs.onset[4:9, 2] = torch.tensor([0.2, 0.3, 0.15, 0.0, 0.7])  # together .65: neither that nor all five
    outputs.onset[0:2, -1], outputs.onset[10:12, -2] = torch.tensor([0.4, 0.3]), torch.tensor([0.3, 0.4])  # at the ends
    alone = frame_notes(outputs, FrameOptions(0.68, drum=0.68), RATE)
    assert [(note.pitch, round(RATE * note.onset)) for note in alone] == [(61, 5), (62, 8)]
    found = frame_notes(outputs, FrameOptions(0.68, drum=0.68, neighbours=True), RATE)
    assert sorted((note.pitch, round(RATE * note.onset)) for note in found) == [
        (36, 11),
        (37, 0),
        (60, 5),
        (61, 5),
        (62, 8),
    ]


def test_memory_does_not_grow() -> None:
    outputs, programs = noise(100, COLUMNS, 0)
    reader = FrameReader(COLUMNS, FrameOptions(dip=2), RATE)
    for _ in range(3):
        reader.push(outputs, programs)
        assert {len(held) for held in reader._held.values()} == {4} and len(reader._open) <= COLUMNS.pitched


def test_without_programs_all_is_piano_and_drums() -> None:
    outputs, _ = noise(40, COLUMNS, 1)
    notes = frame_notes(outputs)
    assert {note.is_drum for note in notes} == {True, False} and {note.program for note in notes} == {0}
    assert all(COLUMNS.lowest_drum <= note.pitch <= COLUMNS.highest_drum for note in notes if note.is_drum)


def test_columns_and_keys_are_one_to_one() -> None:
    for columns in (Columns(), COLUMNS, Columns(0, 127, 0, 127), Columns(21, 108, 35, 34)):
        every = np.arange(columns.count)
        assert (columns.of(columns.keys(every), every >= columns.pitched) == every).all()
    assert Columns().of(np.array([20, 109, 34, 82, 60]), np.array([False, False, True, True, False])).tolist() == [
        -1
    ] * 4 + [39]
    assert Columns(21, 108, 35, 34).of(np.array([36]), np.array([True])).tolist() == [15]


def test_logits_become_probabilities() -> None:
    outputs = FrameOutputs(*(torch.full((2, 3, COLUMNS.count), 2.0) for _ in TENSORS), columns=COLUMNS)  # type: ignore[misc, arg-type]
    ready = outputs.probabilities()
    assert torch.equal(ready.shift, torch.full((2, 3, COLUMNS.count), 0.5))
    for name in ("onset", "frame", "offset", "velocity"):
        torch.testing.assert_close(getattr(ready, name), torch.full((2, 3, COLUMNS.count), 2.0).sigmoid())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FrameOptions(onset=0), "onset is 0: legal are"),
        (lambda: FrameOptions(drum=1.1), "drum is 1.1"),
        (lambda: FrameOptions(dip=-1), "dip is -1"),
        (lambda: Columns(60, 59), "pitches 60 to 59"),
        (lambda: Columns(lowest_drum=35, highest_drum=33), "drums 35 to 33"),
        (lambda: FrameReader(frame_rate=0), "frame_rate is 0"),
        (lambda: FrameReader(frame_rate=float("nan")), "frame_rate is nan"),
        (lambda: frame_notes(noise(3, COLUMNS, 0)[0].map(lambda x: x[None])), r"\[T, 8\] of one recording"),
    ],
)
def test_what_cannot_be_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
