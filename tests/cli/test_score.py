"""`solfa score`: notes from format to format, as a user types it."""

import json
import re
from pathlib import Path

import pytest

from solfa.cli.app import run
from solfa.score.midi import read_midi, write_midi
from solfa.score.note import Note
from solfa.score.score import Metre, Part, Score, TempoChange
from solfa.score.write import read_notes


def written(bars: int = 4) -> Score:
    """Two parts on a grid, 96 quarters a minute, in 3/4."""
    quarter = 60 / 96
    tune = [
        Note((3 * bar + each) * quarter, (3 * bar + each + 0.25) * quarter, 60 + 2 * bar + i, 80, 73)
        for bar in range(bars)
        for i, each in enumerate((0, 1, 1.5, 2))
    ]
    bass = [Note(3 * bar * quarter, 3 * (bar + 1) * quarter, 36 + bar, 64, 32) for bar in range(bars)]
    parts = (Part("flute", 73, False, tuple(tune)), Part("bass", 32, False, tuple(bass)))
    return Score(parts, tempi=(TempoChange(0.0, 96.0),), metres=(Metre(0.0, 3, 4),))


def shape(path: Path) -> list[tuple[float, float, int]]:
    return sorted((round(note.onset, 3), round(note.offset, 3), note.pitch) for note in read_notes(path).notes)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    write_midi(written(), tmp_path / "song.mid")
    return tmp_path / "song.mid"


def test_written_music_goes_round_through_every_format(
    song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shape(song)
    for first in (".abc", ".musicxml", ".mxl", ".json", ".jsonl", ".mid"):
        there, back = tmp_path / f"there{first}", tmp_path / f"back{first}.mid"
        assert run(["score", str(song), "-o", str(there)]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"{song} -> {there}  7.50 s, 20 notes"), shown
        assert ("tempo 96 given, 3/4 given" in shown) == (first in (".abc", ".musicxml", ".mxl"))
        assert run(["score", str(there), "-o", str(back)]) == 0
        capsys.readouterr()
        assert shape(back) == [pytest.approx(note, abs=0.002) for note in before], first
        if first not in (".json", ".jsonl"):
            assert (
                read_midi(back).tempi[0].bpm == pytest.approx(96, abs=1e-3) and read_midi(back).metres[0].numerator == 3
            )


def test_what_was_played_is_put_on_a_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A keyboard's MIDI file says 120 whatever was played."""
    played = Score(written(12).parts, tempi=(TempoChange(0.0, 120.0),), metres=(Metre(0.0, 4, 4),))
    write_midi(played, tmp_path / "take.mid")
    for more, said in (([], r"tempo 120 given, 4/4 given"), (["--played"], r"tempo 9[56][.\d]* found, 3/4 found")):
        assert run(["score", str(tmp_path / "take.mid"), "-o", str(tmp_path / "a.abc"), "--overwrite", *more]) == 0
        assert re.search(said, capsys.readouterr().out)
    told = ["--tempo", "96", "--metre", "3/4"]
    assert (
        run(["score", str(tmp_path / "take.mid"), "-o", str(tmp_path / "a.abc"), "--overwrite", *told, "--json"]) == 0
    )
    facts = json.loads(capsys.readouterr().out)
    assert (facts["tempo"], facts["tempo_is"], facts["metre"], facts["metre_is"]) == (96, "given", "3/4", "given")
    assert facts["notes"] == 60 and facts["instruments"] == {"flute": 48, "bass": 12} and facts["remarks"] == []


def test_a_folder_with_a_bad_file(song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    song.rename(tmp_path / "in" / "deep" / "song.mid")
    (tmp_path / "in" / "bad.abc").write_text("X:1\nK:C\nCDE&&F|\n[C")
    assert run(["score", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--format", "roll.svg", "-j", "2"]) == 1
    shown = capsys.readouterr()
    assert f"{tmp_path}/in/bad.abc: " in shown.err and "1 done, 1 failed, 0 skipped" in shown.err
    assert (tmp_path / "out" / "deep" / "song.roll.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "what is to be written? name a file with -o, or a format with --format"),
        (["-o", "a.json", "--tempo", "90"], "--tempo 90.0: a.json holds notes in seconds and no bars"),
        (
            ["-o", "a.abc", "--tempo", "1"],
            "--tempo or --metre: tempo of 1.0 quarter notes a minute: legal are 5 to 1000",
        ),
        (["-o", "a.abc", "--metre", "three"], "--metre three: two whole numbers, such as 3/4"),
        (["-o", "a.wav"], "the name must end in"),
    ],
)
def test_wrong_usage(
    song: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(song.parent)
    assert run(["score", "song.mid", *arguments]) == 2
    assert said in capsys.readouterr().err
