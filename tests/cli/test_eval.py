"""`solfa eval codec`: two files, two folders, a table over clips; failures said, and the exit codes."""

import json

import numpy as np
import pytest
import torch

from solfa.audio.io import Audio, write_blocks
from solfa.cli import load
from solfa.cli.app import run
from solfa.tokenize_audio import opus


def save(path, samples: int = 24000, gain: float = 1.0, channels: int = 1) -> str:
    signal = 0.1 * np.random.default_rng(0).standard_normal((channels, samples))
    write_blocks(path, [(gain * signal).astype(np.float32)], 24000)
    return str(path)


class Halver:
    """A codec of four codebooks that plays everything at half its level, or at full level with all four."""

    name, sample_rate, channels, codebooks, codebook_size, frame_rate = "halver", 24000, 1, 4, 1024, 50.0

    def encode(self, audio: Audio) -> torch.Tensor:
        return audio.samples

    def decode(self, codes: torch.Tensor, codebooks: int) -> Audio:
        return Audio(codes if codebooks == 4 else codes / 2, 24000)


@pytest.fixture
def halver(monkeypatch) -> None:
    monkeypatch.setattr(load, "checked_codec", lambda name, device, codebooks=None: Halver())


def test_two_files(tmp_path, capsys):
    reference, half = save(tmp_path / "a.wav"), save(tmp_path / "b.wav", gain=0.5)
    assert run(["eval", "codec", reference, half, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["clip"] == "a" and row["si_sdr"] > 60 and row["loudness"] == pytest.approx(-6.02, abs=0.01)
    assert row["log_mel"] == pytest.approx(0.301, abs=0.01)


def test_two_folders_with_a_mean_and_a_failure(tmp_path, capsys):
    for folder, gain in [("x", 1.0), ("y", 0.5)]:
        (tmp_path / folder).mkdir()
        for name in ("one.wav", "two.wav", "bad.wav"):
            save(tmp_path / folder / name, gain=gain)
    cut = tmp_path / "y" / "bad.wav"
    cut.write_bytes(cut.read_bytes()[:5000])
    assert run(["eval", "codec", str(tmp_path / "x"), str(tmp_path / "y")]) == 1
    output = capsys.readouterr()
    assert [line.split("  ")[0] for line in output.out.splitlines()] == ["clip", "one", "two", "mean of 2"]
    assert "bad.wav: truncated" in output.err


@pytest.mark.usefixtures("halver")
def test_a_codec_over_clips(tmp_path, capsys):
    for name in ("a.wav", "b.wav"):
        save(tmp_path / name)
    assert run(["eval", "codec", str(tmp_path), "--codec", "halver", "--opus", "none", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["coder"], row["setting"], row["kbps"], row["n"]) for row in rows] == [
        ("halver", "1 codebook", 0.5, 2),
        ("halver", "2 codebooks", 1.0, 2),
        ("halver", "4 codebooks", 2.0, 2),
    ]
    assert rows[0]["log_mel"] == pytest.approx(0.301, abs=0.01) and rows[2]["log_mel"] == 0


@pytest.mark.usefixtures("halver")
def test_opus_rows_or_one_line_that_says_why_not(tmp_path, capsys, monkeypatch):
    save(tmp_path / "a.wav")
    save(tmp_path / "b.wav")
    command = ["eval", "codec", str(tmp_path), "--codec", "halver", "--codebooks", "4", "--opus", "6,12"]
    if opus.opus_available():
        assert run(command) == 0
        assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[2:]] == [
            ["opus", "6", "kbps"],
            ["opus", "12", "kbps"],
        ]
    monkeypatch.setattr(opus.shutil, "which", lambda tool: None)
    assert run(command) == 0
    output = capsys.readouterr()
    assert (
        "kbps" not in output.out.split("\n", 1)[1]
        and len(output.err.splitlines()) == 1
        and "install opus-tools" in output.err
    )


@pytest.mark.usefixtures("halver")
def test_a_bad_clip_costs_only_itself(tmp_path, capsys):
    save(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes(b"no sound")
    assert run(["eval", "codec", str(tmp_path), "--codec", "halver", "--opus", "none"]) == 1
    output = capsys.readouterr()
    assert "b.wav: " in output.err and "halver" in output.out


@pytest.mark.usefixtures("halver")
def test_wrong_usage(tmp_path, capsys):
    file = save(tmp_path / "a.wav")
    for arguments in [
        [file],
        [file, str(tmp_path)],
        [file, file, "--codebooks", "2"],
        [file, "--codec", "halver", "--codebooks", "5"],
        [file, "--codec", "halver", "--codebooks", "x"],
        [file, "--codec", "halver", "--opus", "2"],
    ]:
        assert run(["eval", "codec", *arguments]) == 2, arguments
        assert "Traceback" not in capsys.readouterr().err
