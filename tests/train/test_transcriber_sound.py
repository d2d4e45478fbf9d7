"""Sound that is changed while a transcriber learns: levels move along their axis, notes go with them, and it learns from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from solfa.audio.bands import FLOOR, PER_SEMITONE, WINDOWS
from solfa.score.note import Note
from solfa.score.score import score_of_notes
from solfa.train.transcriber_notes import note_table
from solfa.train.transcriber_sound import SoundChange, SoundChanges, changed


def test_levels_move_by_bands_and_by_decibels() -> None:
    sound = torch.rand(3, len(WINDOWS) * 30, 5)
    up, down, gain = SoundChange(steps=4), SoundChange(steps=-2), SoundChange(curve=(9.0,) * 6)
    rows = changed(sound, [up, down, gain]).unflatten(1, (len(WINDOWS), -1))
    old = sound.unflatten(1, (len(WINDOWS), -1))
    assert torch.equal(rows[0, :, 4:], old[0, :, :-4]) and not rows[0, :, :4].any()
    assert torch.equal(rows[1, :, :-2], old[1, :, 2:]) and not rows[1, :, -2:].any()
    torch.testing.assert_close(rows[2], old[2] + 9 / -FLOOR)
    torch.testing.assert_close(changed(sound, [SoundChange()] * 3), sound)
    assert not changed(sound, [SoundChange(steps=999)] * 3).any()
    assert changed(sound, [SoundChange(curve=(-60.0,) * 6)] * 3).min() == 0


def test_notes_go_with_the_sound() -> None:
    notes = (Note(0, 1, 60, 80), Note(0, 1, 126, 80), Note(0, 1, 36, 80, 0, True))
    table = note_table(score_of_notes(notes))
    moved = table.transposed(2)
    assert {(n.pitch, n.is_drum) for n in moved.notes()} == {(62, False), (36, True)}
    assert table.notes() == note_table(score_of_notes(notes)).notes()  # as it was


def test_what_is_drawn() -> None:
    changes = SoundChanges(transpose=3, detune=0.5, level=6, tilt=4)
    drawn = [changes.draw(np.random.default_rng(i)) for i in range(300)]
    assert {change.transpose for change in drawn} == set(range(-3, 4))
    assert {change.steps - PER_SEMITONE * change.transpose for change in drawn} == {-1, 0, 1}
    assert all(abs(gain) <= 10 for change in drawn for gain in change.curve)
    assert changes.draw(np.random.default_rng(1)) == changes.draw(np.random.default_rng(1))
    assert SoundChanges().draw(np.random.default_rng(0)) == SoundChange()
    with pytest.raises(ValueError, match="detune is 2"):
        replace(changes, detune=2.0)
