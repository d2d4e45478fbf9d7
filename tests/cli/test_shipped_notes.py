"""`solfa-notes` as it comes: the commands as typed, on the piece that comes with solfa."""

from pathlib import Path

import pytest

from solfa import Transcriber
from solfa.audio.io import Audio, read
from solfa.cli import app
from solfa.cli.demo import BUNDLED, PLAYED
from solfa.eval.transcription import note_measures
from solfa.score.midi import read_midi
from solfa.score.pedal import pedal_extended

LEAST = 0.85  # of the onsets' F1, which is 0.919 here


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heard")
    assert app.run(["transcribe", str(BUNDLED), "-o", str(folder / "sound.mid"), "--device", "cpu"]) == 0
    return folder


def test_the_notes_of_the_piece_are_found(heard: Path) -> None:
    found = [note for note in read_midi(heard / "sound.mid").notes if not note.is_drum]
    truth = list(pedal_extended(read_midi(PLAYED)).notes)
    assert note_measures(truth, found).onset.f1 > LEAST


def test_what_is_struck_at_the_very_start_is_found() -> None:
    """Recordings often begin with a note, cut close. Without the silence before the first segment half of these are not heard."""
    truth = [note for note in read_midi(PLAYED).notes if not note.is_drum]
    transcriber, sound = Transcriber.load(), read(BUNDLED)
    hits = total = 0
    for start in sorted({note.onset for note in truth})[2:34:2]:
        struck = [note.pitch for note in truth if note.onset == start]
        cut = Audio(
            sound.samples[..., round(start * sound.sample_rate) :][..., : 2 * sound.sample_rate], sound.sample_rate
        )
        found = [note.pitch for note in transcriber(cut).notes if note.onset < 0.05]
        hits, total = hits + sum(pitch in found for pitch in struck), total + len(struck)
    assert hits > 0.75 * total, f"{hits} of {total}"


def test_a_recording_and_its_tokens_give_the_same_file(heard: Path) -> None:
    tokens = str(heard / "take.solfa")
    assert app.run(["encode", str(BUNDLED), "-o", tokens]) == 0
    assert app.run(["transcribe", tokens, "-o", str(heard / "tokens.mid"), "--device", "cpu"]) == 0
    assert (heard / "tokens.mid").read_bytes() == (heard / "sound.mid").read_bytes()
