import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.audio.chroma import chroma_stft
from solfa.audio.io import Audio, info, read, write
from solfa.cli import app
from solfa.cli.demo import BUNDLED, PLAYED
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.token_file import TokenFile
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.eval.transcription import note_measures
from solfa.nn.frames import FrameConfig
from solfa.score.midi import read_midi
from solfa.studio.music_demo import DURATION, PROMPTS
from solfa.transcriber import Transcriber

FILES = ["codebooks-1.wav", "codebooks-2.wav", "codebooks-4.wav", "index.html", "original.wav", "tokens.solfa"]


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    quantizer = QuantizerConfig(codebooks=4, codebook_size=16, kmeans_iters=0)
    folder = tmp_path_factory.mktemp("codec") / "tiny"
    VQVAE(VQVAEConfig("tiny", 8_000, 1, 8, FrameConfig(20, 12, 2, 2, 3, 4), quantizer=quantizer, chunk=50)).save(folder)
    return folder


@pytest.fixture
def take(tmp_path: Path) -> Path:
    path = tmp_path / "take.wav"
    write(path, Audio(0.2 * torch.randn(1, 2, 22_050, generator=torch.Generator().manual_seed(0)), 22_050))
    return path


def solfa(*arguments: object) -> int:
    none = [(name, "none") for name in ("--music", "--notes") if name not in arguments]
    return app.run([str(argument) for argument in (*arguments, *(text for pair in none for text in pair))])


def test_music_from_three_prompts(
    tmp_path: Path, tiny_music: Callable[..., tuple[Path, Path]], take: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codec, lm = tiny_music()
    place = ["-o", tmp_path / "out", "--codec", codec, "--device", "cpu"]
    assert solfa("demo", take, *place, "--music", lm) == 0
    printed = capsys.readouterr().out
    text = (tmp_path / "out" / "index.html").read_text()
    sounds = []
    for number, prompt in enumerate(PROMPTS, 1):
        assert f"{prompt} -> {tmp_path / 'out' / f'music-{number}.wav'}" in printed and f"<b>{prompt}</b>" in text
        sounds.append(read(tmp_path / "out" / f"music-{number}.wav"))
        assert sounds[-1].duration == DURATION
    assert text.count("data-player data-length") == 2 and text.count("seed 0") >= 3
    assert not torch.equal(sounds[0].samples, sounds[1].samples)
    assert app.run(["generate", PROMPTS[1], "-o", f"{tmp_path}/b.wav", "--duration", f"{DURATION}", "--model", str(lm),
                    "--codec", str(codec), "--device", "cpu"]) == 0  # fmt: skip
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "out" / "music-2.wav").read_bytes()
    assert solfa("demo", take, *place, "--music", tmp_path) == 2


def test_without_a_model_the_page_says_so(
    tmp_path: Path, codec: Path, take: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("solfa.shipped.list_shipped", lambda kind: [])
    assert solfa("demo", take, "-o", tmp_path / "out", "--codec", codec, "--music", "solfa-music") == 0
    said = "No music was written: this package comes without the model solfa-music (--music names another)."
    assert said in (tmp_path / "out" / "index.html").read_text() and capsys.readouterr().err == f"{said}\n"
    assert solfa("demo", take, "-o", tmp_path / "out", "--codec", codec) == 0
    assert "Music" not in (tmp_path / "out" / "index.html").read_text()


def test_the_piece_is_heard_and_compared_with_its_notes(
    tmp_path: Path, tiny_notes: Callable[..., tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    codec, notes = tiny_notes(events=False)
    out = tmp_path / "out"
    place = ["--start", 5, "--duration", 3, "-o", out, "--codec", codec, "--notes", notes, "--device", "cpu"]
    assert solfa("demo", *place, "--json") == 0
    facts = json.loads(capsys.readouterr().out)["notes"]
    truth = [note for note in read_midi(PLAYED).notes if 5 <= note.onset < 8]
    assert facts["played"] == len(truth) > 5 and facts["model"] == "tiny-notes" and facts["notes"] > 0
    found = Transcriber.load(notes, codec=codec)(out / "tokens.solfa")
    moved = [replace(note, onset=note.onset - 5, offset=min(note.offset, 8) - 5) for note in truth]
    scores = note_measures(moved, [note for note in found if not note.is_drum])
    for name, rates in (("onset", scores.onset), ("onset_offset", scores.onset_offset)):
        assert facts["scores"][name] == {"precision": rates.precision, "recall": rates.recall, "f1": rates.f1}
    assert facts["notes"] == len(found) == len(read_midi(facts["midi"]).notes)
    text = (out / "index.html").read_text()
    for there in (
        "Notes from tokens",
        f"against the {len(truth)} notes that were played",
        'alt="Piano roll"',
        ">notes.mid<",
    ):
        assert there in text
    capsys.readouterr()
    assert solfa("demo", *place) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "onset F1" in line)
    assert line.startswith(f"{facts['notes']} notes, ") and line.endswith(f"-> {facts['midi']}, {facts['score']}")


def test_the_score_is_engraved_or_in_abc(
    tmp_path: Path, tiny_notes: Callable[..., tuple[Path, Path]], take: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, notes = tiny_notes(events=False)
    place = [take, "-o", tmp_path / "out", "--codec", codec, "--notes", notes, "--device", "cpu"]
    assert solfa("demo", *place) == 0
    text, engraved = (tmp_path / "out" / "index.html").read_text(), tmp_path / "out" / "notes.svg"
    assert engraved.is_file() and 'alt="The engraved score"' in text and ">notes.svg<" in text
    assert "What was really played is not known here." in text and "onset F1" not in text
    monkeypatch.setitem(sys.modules, "verovio", None)
    assert solfa("demo", *place) == 0
    text = (tmp_path / "out" / "index.html").read_text()
    assert not engraved.exists() and "\nK:" in (tmp_path / "out" / "notes.abc").read_text() and "\nX:1\n" in text
    assert "In ABC notation: engraving needs one more package, verovio: pip install &quot;solfa[score]&quot;" in text


def test_silence_has_no_notes(
    tmp_path: Path, tiny_notes: Callable[..., tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    codec, notes = tiny_notes(events=False)
    write(tmp_path / "silence.wav", Audio(torch.zeros(1, 1, 16_000), 8_000))
    place = [tmp_path / "silence.wav", "-o", tmp_path / "out", "--codec", codec, "--notes", notes, "--device", "cpu"]
    assert solfa("demo", *place, "--json") == 0
    facts = json.loads(capsys.readouterr().out)["notes"]
    assert facts["notes"] == 0 and facts["score"] is None and read_midi(facts["midi"]).notes == ()
    assert "no notes: the recording is silent." in (tmp_path / "out" / "index.html").read_text()


def test_a_transcriber_that_is_not_there_or_does_not_fit(
    tmp_path: Path,
    codec: Path,
    tiny_notes: Callable[..., tuple[Path, Path]],
    take: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = [take, "-o", tmp_path / "out", "--codec", codec]
    for wrong in (tmp_path, tiny_notes(events=False)[1]):  # no model; one of another codec
        assert solfa("demo", *place, "--notes", wrong) == 2 and "--notes" in capsys.readouterr().err
    monkeypatch.setattr("solfa.shipped.list_shipped", lambda kind: [])
    assert solfa("demo", *place, "--notes", "solfa-notes") == 0
    said = "No notes were heard: this package comes without the model solfa-notes (--notes names another)."
    assert said in (tmp_path / "out" / "index.html").read_text() and capsys.readouterr().err == f"{said}\n"
    assert solfa("demo", *place) == 0
    assert "Notes from tokens" not in (tmp_path / "out" / "index.html").read_text()


def test_the_notes_of_the_piece_are_its_own() -> None:
    """The pitch classes that sound are those of the notes, at their times and not at others."""
    sound = read(BUNDLED)
    chroma = chroma_stft(sound.samples[0, 0], sound.sample_rate).numpy()
    played = np.zeros_like(chroma)
    rate = chroma.shape[1] / sound.duration
    for note in read_midi(PLAYED).notes:
        played[note.pitch % 12, round(note.onset * rate) : round(note.offset * rate)] = 1
    likeness = [float((chroma * np.roll(played, round(shift * rate), 1)).sum()) for shift in (0, 1, 3, 5, 8, 11)]
    assert likeness[0] > 1.2 * max(likeness[1:])


def test_a_demo_writes_all_its_files_and_says_where(
    tmp_path: Path, codec: Path, take: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "shown"
    assert solfa("demo", take, "-o", out, "--codec", codec, "--device", "cpu") == 0
    printed = capsys.readouterr()
    assert f"page: {out / 'index.html'}" in printed.out and "si_sdr" in printed.out
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert info(out / "original.wav").samples == info(out / "codebooks-1.wav").samples == 8_000
    with TokenFile(out / "tokens.solfa") as file:
        assert file.header.samples == 8_000 and file.header.metadata == {"source": "take.wav"}
    assert "<h1>take.wav</h1>" in (out / "index.html").read_text()


def test_json_holds_the_figures_and_a_second_run_the_same(
    tmp_path: Path, codec: Path, take: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = None
    for _ in range(2):
        assert solfa("demo", take, "-o", tmp_path / "out", "--codec", codec, "--json") == 0
        facts = json.loads(capsys.readouterr().out)
        assert Path(facts["page"]).is_file() and facts["duration"] == 1.0
        assert [row["codebooks"] for row in facts["renditions"]] == [4, 2, 1]
        assert facts["token_bytes"] == (tmp_path / "out" / "tokens.solfa").stat().st_size
        figures = [{key: row[key] for key in ("si_sdr", "log_mel", "stft")} for row in facts["renditions"]]
        assert before in (None, figures)
        before = figures


def test_a_piece_is_cut_out(tmp_path: Path, codec: Path, take: Path) -> None:
    assert solfa("demo", take, "-o", tmp_path / "out", "--codec", codec, "--start", 0.25, "--duration", 0.5) == 0
    piece = read(take, start=0.25, duration=0.5).to_mono().resample(8_000).samples
    np.testing.assert_allclose(read(tmp_path / "out" / "original.wav").samples, piece, atol=1 / 32_000)


def test_what_cannot_be_read_is_one_line_and_exit_1(
    tmp_path: Path, codec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.wav").write_text("not a sound")
    for name in ("none.wav", "text.wav"):
        assert solfa("demo", tmp_path / name, "-o", tmp_path / "out", "--codec", codec) == 1
        printed = capsys.readouterr()
        assert printed.out == "" and len(printed.err.splitlines()) == 1 and name in printed.err


@pytest.mark.parametrize(
    "options",
    [["--start", "-1"], ["--duration", "0"], ["--duration", "601"], ["--codec", "none"], ["--start", "nan"], ["--no"]],
)
def test_wrong_usage_is_exit_2(tmp_path: Path, codec: Path, take: Path, options: list[str]) -> None:
    assert (
        solfa("demo", take, "-o", tmp_path / "out", *(["--codec", codec] if "--codec" not in options else []), *options)
        == 2
    )
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path: Path, codec: Path, take: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert solfa("demo", take, "-o", take, "--codec", codec) == 2
    assert "name a folder" in capsys.readouterr().err
