"""Drills: within the instrument, playable as MIDI, spread over all keys, the same for the same seed."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solfa.cli.app import run
from solfa.data.composer.instruments import INSTRUMENTS
from solfa.data.drills import BEYOND, PEDALLED, PIANOS, SHORTEST, drill
from solfa.data.manifest import read_manifest
from solfa.data.programs import Presets
from solfa.data.synth import Settings
from solfa.score.midi import read_midi, write_midi

ALL = Presets(frozenset(range(112)))


@given(st.integers(0, 1 << 40), st.floats(4.0, 20.0))
def test_notes_can_be_played_and_written(seed: int, seconds: float) -> None:
    score = drill(random.Random(seed), seconds, ALL)
    assert score == drill(random.Random(seed), seconds, ALL) and score.notes
    for part in score.parts:
        instrument = INSTRUMENTS[part.program]
        low, high = (21, 108) if part.program in PIANOS else (instrument.low - BEYOND, instrument.high + BEYOND)
        free: dict[int, float] = {}
        for note in part.notes:
            assert low <= note.pitch <= high and note.offset <= seconds + SHORTEST
            assert note.onset >= free.get(note.pitch, 0.0), "a key is up before it is struck again"
            assert note.duration >= SHORTEST - 1e-9
            free[note.pitch] = note.offset
    assert all(score.parts[pedal.part].program in PEDALLED for pedal in score.pedals)
    read = read_midi(write_midi(score, None))
    assert sorted(note.pitch for note in read.notes) == sorted(note.pitch for note in score.notes)


def test_every_key_is_struck_softly_and_loudly() -> None:
    notes = [note for seed in range(150) for note in drill(random.Random(seed), 12.0, Presets(frozenset({0}))).notes]
    struck = Counter(note.pitch for note in notes)
    assert min(struck[pitch] for pitch in range(21, 109)) * 12 > max(struck.values()), "from A0 to C8"
    shares = [sum(low <= note.velocity < low + 30 for note in notes) / len(notes) for low in (8, 38, 68, 98)]
    assert min(shares) > 0.1
    assert min(note.duration for note in notes) < 0.05 and max(note.duration for note in notes) > 1.5


def test_drums_alone_do_not_do() -> None:
    with pytest.raises(ValueError, match="drums alone"):
        drill(random.Random(0), 5.0, Presets(frozenset()))
    with pytest.raises(ValueError, match="drums alone"):
        Settings(kind="drills", programs="drums").resolved()


def test_the_command(tmp_path, capsys):
    from solfa.data.backends import choose_backend
    from solfa.data.soundfont import SoundFontError, find_soundfont

    try:
        find_soundfont()
        choose_backend()
    except (SoundFontError, ImportError) as error:
        pytest.skip(str(error))
    words = ["synth", "-o", str(tmp_path / "d"), "--kind", "drills", "--items", "2", "--seconds", "4", "5", "--programs", "0-7"]
    assert run(words) == 0
    entries = read_manifest(tmp_path / "d" / "manifest.jsonl")
    assert len(entries) == 2 and all(entry.text == "" and entry.seconds for entry in entries)
    score = read_midi(tmp_path / "d" / str(entries[0].notes))
    assert score.notes and all(part.program < 8 for part in score.parts)
    assert run([*words, "--genres", "waltz"]) == 2
