"""Targets of frames: against a plain loop over the notes, and read back by the reader of notes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score
from solfa.train.transcriber_notes import ROW, NoteTable, note_table
from solfa.train.transcriber_targets import FrameTargets, frame_targets
from solfa.transcription.frames import DRUMS, Columns, FrameOutputs, frame_notes

RATE, FRAMES = 50.0, 30
APART, TOGETHER = Columns(60, 64, 35, 37), Columns(36, 64, 81, 80)


def table(notes: list[Note]) -> NoteTable:
    rows = [(n.onset, n.offset, n.pitch, n.velocity, n.program, n.is_drum) for n in sorted(notes)]
    return NoteTable(np.array(rows, ROW), np.zeros(0, [("onset", "f8"), ("offset", "f8"), ("program", "i2")]))


def place(seconds: float) -> int:
    return math.floor(seconds * RATE + 0.5)


def by_hand(crops: list[tuple[list[Note], float]], columns: Columns) -> dict[str, np.ndarray]:
    onset = np.zeros((len(crops), FRAMES, columns.count))
    frame, offset = (np.zeros((len(crops), FRAMES, columns.pitched)) for _ in range(2))
    cells = []
    for row, (notes, start) in enumerate(crops):
        for note in sorted(notes):
            column = int(columns.of(np.array(note.pitch), np.array(note.is_drum)))
            if column < 0:
                continue
            at = (note.onset - start) * RATE
            first = place(note.onset - start)
            last = max(place(note.offset - start), first + 1)
            for t in range(FRAMES):
                near = 1.0 if t == first else 1 - abs(at - t)
                if near > 0:
                    onset[row, t, column] = max(onset[row, t, column], near)
                if not note.is_drum and first <= t < last:
                    frame[row, t, column] = 1
                if not note.is_drum and t == last:
                    offset[row, t, column] = 1
            if 0 <= first < FRAMES:
                program = DRUMS if note.is_drum else note.program
                cells.append((row, first, column, note.velocity / 127, at - first, program))
    return {"onset": onset, "frame": frame, "offset": offset, "cells": np.array(sorted(cells)).reshape(-1, 6)}


times = st.floats(0.0, 2.0).map(lambda x: round(x, 4))


@st.composite
def some_notes(draw: st.DrawFn) -> list[Note]:
    notes = []
    for _ in range(draw(st.integers(0, 6))):
        onset, drum = draw(times), draw(st.booleans())
        pitch = draw(st.integers(34, 38) if drum else st.integers(59, 65))
        notes.append(
            Note(onset, onset + draw(times), pitch, draw(st.integers(1, 127)), draw(st.integers(0, 127)), drum)
        )
    return notes


@given(st.lists(st.tuples(some_notes(), times), min_size=1, max_size=3), st.sampled_from([APART, TOGETHER]))
def test_targets_are_those_of_a_loop(crops: list[tuple[list[Note], float]], columns: Columns) -> None:
    found = frame_targets([(table(notes), start) for notes, start in crops], columns, FRAMES, RATE)
    wanted = by_hand(crops, columns)
    for name in ("onset", "frame", "offset"):
        np.testing.assert_allclose(getattr(found, name), wanted[name], atol=1e-6, err_msg=name)
    cells = [
        *zip(
            *found.cells.T.tolist(), found.velocity.tolist(), found.shift.tolist(), found.program.tolist(), strict=True
        )
    ]
    np.testing.assert_allclose(np.array(sorted(cells)).reshape(-1, 6), wanted["cells"], atol=1e-6)
    assert (found.shift.abs() <= 0.5).all()


def outputs(targets: FrameTargets, columns: Columns) -> FrameOutputs:
    """Outputs that say what is asked."""
    empty = torch.zeros_like(targets.onset[0])
    velocity, shift = empty.clone(), empty.clone()
    _, frame, column = targets.cells.unbind(1)
    velocity[frame, column], shift[frame, column] = targets.velocity, targets.shift
    wide = [torch.cat([x[0], empty[:, columns.pitched :]], 1) for x in (targets.frame, targets.offset)]
    return FrameOutputs(targets.onset[0], *wide, velocity, shift, columns)


@given(
    st.lists(
        st.tuples(st.integers(1, 25), st.floats(-0.499, 0.499), st.integers(60, 64), st.integers(2, 6)), max_size=5
    )
)
def test_what_is_asked_reads_back_as_the_notes(drawn: list[tuple[int, float, int, int]]) -> None:
    """Onsets to a tenth of a millisecond, velocities exactly, offsets to half a frame."""
    ends: dict[int, int] = {}
    notes = []
    for frame, shift, pitch, length in sorted(drawn):
        if frame > ends.get(pitch, -9) + 2:
            ends[pitch] = frame + length
            notes.append(Note((frame + shift) / RATE, (frame + length + 0.3) / RATE, pitch, 40 + pitch, 0))
    notes.append(Note(0.2, 0.21, 36, 77, 0, True))
    targets = frame_targets([(table(notes), 0.0)], APART, 40, RATE)
    read = frame_notes(outputs(targets, APART), frame_rate=RATE)
    assert [(n.pitch, n.velocity, n.is_drum) for n in read] == [(n.pitch, n.velocity, n.is_drum) for n in sorted(notes)]
    for one, other in zip(read, sorted(notes), strict=True):
        assert one.onset == pytest.approx(other.onset, abs=1e-4)
        assert one.is_drum or one.offset == pytest.approx(other.offset, abs=0.5 / RATE + 1e-6)


def test_an_onset_between_two_frames_is_asked_of_both() -> None:
    column = {
        at: frame_targets([(table([Note(at / RATE, 1.0, 60)]), 0.0)], APART, 8, RATE).onset[0, :, 0]
        for at in (3.0, 3.25, 3.5)
    }
    assert column[3.0].nonzero().tolist() == [[3]]
    assert column[3.25][3:5].tolist() == pytest.approx([1.0, 0.25]) and column[3.25][2] == 0
    assert column[3.5][3:5].tolist() == pytest.approx([0.5, 1.0])


def score(sustained: bool) -> Score:
    notes = (Note(0.0, 0.5, 60), Note(1.0, 1.1, 60), Note(1.2, 1.3, 64))
    pedals = (Pedal(0.4, 2.0, 0),) if sustained else ()
    return Score((Part("p", 0, False, notes), Part("d", 0, True, (Note(0.3, 0.4, 38, is_drum=True),))), pedals=pedals)


def test_the_pedal_holds_notes_until_it_is_up_or_the_key_is_struck_again() -> None:
    held = note_table(score(True)).notes()
    assert [(n.pitch, n.offset) for n in held] == [(60, 1.0), (38, 0.4), (60, 2.0), (64, 2.0)]
    assert (
        note_table(score(True), sustain=False).notes() == note_table(score(False)).notes() == list(score(False).notes)
    )
    (pedal,) = note_table(score(True)).pedals.tolist()
    assert pedal == (0.4, 2.0, 0)


@given(some_notes(), times, times)
def test_a_crop_holds_what_sounds_in_it(notes: list[Note], start: float, seconds: float) -> None:
    crop = table(notes).crop(start, start + seconds)
    assert crop.notes() == [n for n in sorted(notes) if n.onset < start + seconds and n.offset > start]
