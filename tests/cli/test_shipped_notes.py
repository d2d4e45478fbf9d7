"""`solfa-notes` as it comes: the commands as typed, on the piece that comes with solfa."""

from pathlib import Path

import pytest

from solfa.cli import app
from solfa.cli.demo import BUNDLED, PLAYED
from solfa.eval.transcription import note_measures
from solfa.score.midi import read_midi
from solfa.score.pedal import pedal_extended

LEAST = 0.8  # of the onsets' F1, which is 0.859 here


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heard")
    assert app.run(["transcribe", str(BUNDLED), "-o", str(folder / "sound.mid"), "--device", "cpu"]) == 0
    return folder


def test_the_notes_of_the_piece_are_found(heard: Path) -> None:
    found = [note for note in read_midi(heard / "sound.mid").notes if not note.is_drum]
    truth = list(pedal_extended(read_midi(PLAYED)).notes)
    assert note_measures(truth, found).onset.f1 > LEAST


def test_a_recording_and_its_tokens_give_the_same_file(heard: Path) -> None:
    tokens = str(heard / "take.solfa")
    assert app.run(["encode", str(BUNDLED), "-o", tokens]) == 0
    assert app.run(["transcribe", tokens, "-o", str(heard / "tokens.mid"), "--device", "cpu"]) == 0
    assert (heard / "tokens.mid").read_bytes() == (heard / "sound.mid").read_bytes()
