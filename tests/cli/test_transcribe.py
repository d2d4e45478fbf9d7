import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.cli import app
from solfa.cli.inputs import NOTE_SUFFIXES
from solfa.cli.sheets import WRITES
from solfa.cli.transcribe import _programs
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import write_tokens
from solfa.score.midi import read_midi
from solfa.score.note_lines import read_note_lines
from solfa.score.write import READ, ROLL, WRITTEN
from solfa.transcriber import Transcriber

Folders = Callable[..., tuple[Path, Path]]
Run = Callable[..., tuple[int, str, str]]
RATE = 8000


@pytest.fixture(scope="module")
def folders(tiny_notes: Folders) -> tuple[Path, Path]:
    return tiny_notes()


@pytest.fixture
def run(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """A command line, in a folder with take.wav and take.solfa, to its exit code and what it said on stdout and stderr."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    sound = 0.2 * np.random.default_rng(0).standard_normal((12_345, 1))
    soundfile.write("take.wav", sound, RATE)
    codec = load_codec(folders[0])
    write_tokens("take.solfa", codec.encode_file("take.wav"))

    def run(*arguments: object) -> tuple[int, str, str]:
        place = ["--model", folders[1], "--codec", folders[0], "--device", "cpu"]
        code = app.run(["transcribe", *map(str, arguments), *(map(str, place) if "--model" not in arguments else [])])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


def test_a_wav_and_its_tokens_give_the_same_file(run: Run) -> None:
    for mode in ("frames", "events"):
        code, out, err = run("take.wav", "-o", "a.mid", "--mode", mode, "--overwrite")
        assert code == 0 and out.startswith("take.wav -> a.mid  1.56 s, ") and " notes, tempo " in out, err
        code, out, err = run("take.solfa", "-o", "b.mid", "--mode", mode, "--overwrite")
        assert code == 0 and out.startswith("take.solfa -> b.mid  ")
        assert Path("a.mid").read_bytes() == Path("b.mid").read_bytes() and read_midi("a.mid").notes
    code, _, _ = run("take.wav")
    assert code == 0 and Path("take.mid").is_file()  # beside the input


def test_the_ending_says_what_is_written(run: Run, folders: tuple[Path, Path]) -> None:
    expected = Transcriber.load(folders[1], codec=folders[0])("take.wav")
    for name in ("a.json", "a.abc", "a.musicxml", "a.roll.svg", "deep/a.jsonl"):
        code, out, err = run("take.wav", "-o", name)
        assert code == 0 and Path(name).stat().st_size > 100, err
        tempo = name.endswith((".abc", ".musicxml"))
        assert (", tempo " in out) == tempo  # found where it is written
    assert read_note_lines(Path("a.json")) == read_note_lines(Path("deep/a.jsonl")) == expected.notes
    assert "\nX:1\nT:take\n" in Path("a.abc").read_text() and "<svg" in Path("a.roll.svg").read_text()
    code, _, _ = run("take.wav", "-o", "given.abc", "--tempo", 90, "--metre", "3/4")
    assert (
        code == 0
        and "M:3/4" in Path("given.abc").read_text()
        and re.search("1/4=(90|89.9999)", Path("given.abc").read_text())
    )


def test_several_inputs(run: Run) -> None:
    Path("more").mkdir()
    soundfile.write("more/b.flac", np.zeros((4000, 1)), RATE)
    Path("more/broken.wav").write_bytes(b"RIFF")
    code, out, err = run("take.wav", "more", "-o", "scores", "--format", "json")
    assert code == 1 and [line.split("  ")[0] for line in out.splitlines()] == [
        "take.wav -> scores/take.json",
        "more/b.flac -> scores/b.json",
    ]
    assert "more/b.flac: no notes: the recording is silent\n" in err and "more/broken.wav: " in err
    assert "2 done, 1 failed, 0 skipped" in err and read_note_lines(Path("scores/b.json")) == ()
    code, out, err = run("take.wav", "-o", "scores", "--format", "json")
    assert code == 0 and out == "" and "skipped, scores/take.json is there" in err
    code, out, err = run("take.wav", "take.solfa")
    assert code == 1 and "take.solfa: take.mid is already the result of take.wav" in err


def test_json(run: Run) -> None:
    code, out, err = run("take.wav", "-o", "a.mid", "--json", "--instruments", "violin,drums")
    found = json.loads(out)
    assert code == 0 and found["input"] == "take.wav" and found["output"] == "a.mid" and err == ""
    assert found["notes"] == sum(found["instruments"].values()) > 0 and set(found["instruments"]) <= {"violin", "drums"}
    assert found["mode"] == "frames" and found["seconds"] == 1.56 and not found["silent"] and found["dropped"] == {}
    assert found["tempo_is"] in ("found", "assumed") and found["remarks"] == []
    soundfile.write("silence.wav", np.zeros((4000, 1)), RATE)
    code, out, err = run("take.wav", "silence.wav", "--json")
    assert code == 0 and [each["silent"] for each in json.loads(out)] == [False, True]
    assert json.loads(out)[1]["remarks"] == ["no notes: the recording is silent"]


def test_notes_that_the_sheet_has_no_place_for_are_said_once(run: Run) -> None:
    said = re.compile(r"(\d+) of (\d+) notes fall on others of the same pitch at this tempo and are one with them")
    code, out, err = run("take.wav", "-o", "a.abc", "--tempo", 5, "--json")
    found = json.loads(out)
    merged, notes = map(int, said.findall(err)[0])
    assert code == 0 and len(said.findall(err)) == 1 and 0 < merged < notes == found["notes"]
    assert [said.fullmatch(remark) is not None for remark in found["remarks"]] == [True]
    code, out, err = run("take.wav", "-o", "a.mid", "--tempo", 5, "--json")  # as they were played
    assert code == 0 and err == "" and json.loads(out)["remarks"] == []


def test_in_processes_the_same(run: Run) -> None:
    Path("b.wav").write_bytes(Path("take.wav").read_bytes())
    assert run("take.wav", "b.wav", "-o", "one", "--format", "json")[0] == 0
    code, _, err = run("take.wav", "b.wav", "-o", "two", "--format", "json", "-j", 2)
    assert code == 0, err
    for name in ("take.json", "b.json"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


def test_bad_input_is_one_line_and_exit_1(run: Run) -> None:
    Path("text.wav").write_text("no sound")
    Path("empty.wav").write_bytes(b"")
    data = Path("take.solfa").read_bytes()
    Path("cut.solfa").write_bytes(data[: len(data) // 2])
    Path("empty.solfa").write_bytes(b"")
    other = data.replace(b'"codec":"tiny"', b'"codec":"tins"')
    Path("damaged.solfa").write_bytes(other)
    for name in ("text.wav", "empty.wav", "cut.solfa", "empty.solfa", "damaged.solfa", "none.wav"):
        code, out, err = run(name, "-o", "a.mid")
        assert code == 1 and out == "" and len(err.splitlines()) == 1 and err.startswith(f"{name}: "), err
        assert not Path("a.mid").exists()


def test_tokens_of_another_codec(run: Run, folders: tuple[Path, Path]) -> None:
    from dataclasses import replace

    codes = load_codec(folders[0]).encode_file("take.wav")
    write_tokens("other.solfa", replace(codes, codec="other", weights_hash="0" * 64))
    code, out, err = run("other.solfa")
    assert code == 1 and out == "" and len(err.splitlines()) == 1
    assert err.startswith("other.solfa: made by the codec other (000000000000): tiny-notes reads codes of tiny (")


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("no input", []),
        ("-o a.pdf: the name must end in .mid", ["take.wav", "-o", "a.pdf"]),
        ("leave one out", ["take.wav", "-o", "a.mid", "--format", "mid"]),
        ("name a folder", ["take.wav", "more", "-o", "a.mid"]),
        ("--metre 3: two whole numbers", ["take.wav", "--metre", "3"]),
        ("metre (3, 5): legal are", ["take.wav", "--metre", "3/5"]),
        ("tempo of 1.0 quarter notes", ["take.wav", "--tempo", "1"]),
        ("tempo of nan", ["take.wav", "--tempo", "nan"]),
        ("--tempo 90.0: a.jsonl holds notes in seconds", ["take.wav", "-o", "a.jsonl", "--tempo", "90"]),
        ("--metre 3/4: take.roll.svg holds notes", ["take.wav", "--format", "roll.svg", "--metre", "3/4"]),
        ("--codebooks 4: tiny-notes reads 1 to 3", ["take.wav", "--codebooks", "4"]),
        ("onset is 2.0: legal are", ["take.wav", "--onset", "2"]),
        ("beam is 0", ["take.wav", "--mode", "events", "--beam", "0"]),
        ("guide is 2.0", ["take.wav", "--mode", "events", "--guide", "2"]),
        ("--beam 2: for --mode events only", ["take.wav", "--beam", "2"]),
        ("--onset 0.3: it is for --mode frames", ["take.wav", "--mode", "events", "--onset", "0.3"]),
        ("'kazoo' is none of the general midi", ["take.wav", "--instruments", "piano,kazoo"]),
        ("',' is none of the general midi", ["take.wav", "--instruments", ","]),
        ("'128' is none of the general midi", ["take.wav", "--instruments", "128"]),
        ("-j -1", ["take.wav", "-j", "-1"]),
        ("no transcriber named 'nothing'", ["take.wav", "--model", "nothing"]),
        ("unknown", ["take.wav", "--unknown"]),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_2(run: Run, words: str, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and out == "" and not list(Path().glob("*.mid"))
    assert words.lower() in err.splitlines()[0].lower() and err.splitlines()[1:] == ["Try: solfa transcribe --help"]


def test_a_model_without_events(run: Run, tiny_notes: Folders) -> None:
    codec, model = tiny_notes(events=False)
    code, _, err = run("take.wav", "--mode", "events", "--model", model, "--codec", codec)
    assert code == 2 and "--mode events: tiny-notes writes no events, it has frame outputs only" in err


def test_instruments_by_name() -> None:
    assert _programs(None) is None
    assert _programs("violin") == (40,) and _programs("Violin, drums,7") == (7, 40, 128)
    assert _programs("double-bass") == (43,) and _programs("acoustic bass") == (32,)
    assert _programs("alto sax, drum kit,") == _programs(",, Alto Sax ,percussion") == (65, 128)


def test_what_is_written_is_what_score_writes() -> None:
    assert {*WRITES, ROLL} == set(WRITTEN) and NOTE_SUFFIXES == READ


def test_a_tempo_that_is_assumed_is_said(run: Run, folders: tuple[Path, Path]) -> None:
    # In a process of its own: pytest takes warnings over.
    soundfile.write("short.wav", 0.2 * np.random.default_rng(5).standard_normal((160, 1)), RATE)
    place = ["--model", str(folders[1]), "--codec", str(folders[0]), "--device", "cpu"]
    command = [sys.executable, "-m", "solfa", "transcribe", "short.wav", "-o", "a.mid", *place]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "tempo 120 assumed, 4/4 assumed" in done.stdout
    assert done.stderr == "solfa transcribe: too few notes to find a tempo in: 120 is assumed\n"
