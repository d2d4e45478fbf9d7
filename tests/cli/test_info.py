"""`solfa info` and `solfa models`."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.cli.app import run
from solfa.codecs.registry import list_codecs, load_codec
from solfa.codecs.token_file import write_tokens


def report(capsys: pytest.CaptureFixture) -> object:
    return json.loads(capsys.readouterr().out)


def test_a_token_file_a_recording_and_a_codec(
    tmp_path: Path, tiny: Path, recordings: Path, capsys: pytest.CaptureFixture
) -> None:
    tokens = tmp_path / "a.solfa"
    run(["encode", str(recordings / "a.wav"), "-o", str(tokens), "--codec", str(tiny)])
    capsys.readouterr()
    assert run(["info", str(tokens), "--json"]) == 0
    found = report(capsys)
    expected = {"kind": "tokens", "codec": "tiny", "codebooks": 4, "codebook_size": 16, "samples": 9_877, "damage": []}
    expected |= {"frames": 62, "frame_rate": 50.0, "bitrate": 800.0, "bytes": tokens.stat().st_size}
    assert found.items() >= expected.items()
    assert run(["info", str(recordings), "--json"]) == 0
    found = report(capsys)
    assert [(item["kind"], item["samples"], item["channels"]) for item in found] == [
        ("recording", 9_877, 1),
        ("recording", 20_001, 2),
    ]
    assert run(["info", str(tiny), "--json"]) == 0
    found = report(capsys)
    assert (found["kind"], found["config"]["name"], found["folder"]) == ("codec", "tiny", str(tiny))


def test_one_is_an_object_and_several_are_an_array(recordings: Path, capsys: pytest.CaptureFixture) -> None:
    shapes = []
    for names in (["sub/b.flac"], ["sub"], ["sub/*"], ["sub/b.flac", "a.wav"]):
        assert run(["info", *(str(recordings / name) for name in names), "--json"]) == 0
        shapes.append(type(report(capsys)))
    assert shapes == [dict, list, list, list]


def test_what_a_file_says_of_itself_stays_on_its_line(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture
) -> None:
    codes = load_codec(tiny).encode(torch.zeros(1, 1, 800))
    told = {"title": "a\x1b]0;mine\x07\x1b[2J\nkind  tokens", "k\ney": "é"}
    write_tokens(tmp_path / "a.solfa", codes, metadata=told)
    assert run(["info", str(tmp_path / "a.solfa")]) == 0
    shown = capsys.readouterr().out
    assert (
        r"a\x1b]0;mine\x07\x1b[2J\nkind  tokens" in shown and r"k\ney" in shown and "é" in shown and "\x1b" not in shown
    )
    name = os.fsdecode(b"lat\xe9.solfa")
    write_tokens(tmp_path / name, codes)
    assert run(["info", str(tmp_path / name), "--json"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text.encode())["name"] == str(tmp_path / name)


def test_samples_are_not_looked_at_and_the_help_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    soundfile.write(tmp_path / "bad.wav", np.full(800, np.nan, np.float32), 8000, subtype="FLOAT")
    assert run(["info", str(tmp_path / "bad.wav")]) == 0 and "recording" in capsys.readouterr().out
    assert run(["info", "--help"]) == 0
    assert "not the samples: NaN among them goes unseen" in " ".join(capsys.readouterr().out.split())


def test_damage_is_reported_and_fails(
    tmp_path: Path, tiny: Path, recordings: Path, capsys: pytest.CaptureFixture
) -> None:
    tokens = tmp_path / "a.solfa"
    run(["encode", str(recordings / "a.wav"), "-o", str(tokens), "--codec", str(tiny)])
    capsys.readouterr()
    tokens.write_bytes(tokens.read_bytes()[:-3])
    assert run(["info", str(tokens)]) == 1
    assert "truncated" in capsys.readouterr().out


def test_what_is_not_there_fails_in_one_line(tmp_path: Path, recordings: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "config.json").write_text("{}")
    (recordings / "noise.wav").write_bytes(bytes(100))
    names = ["no-such-codec", str(tmp_path), str(recordings / "noise.wav")]
    assert run(["info", *names, str(recordings / "a.wav")]) == 1
    shown = capsys.readouterr()
    assert [line.split(": ")[0] for line in shown.err.splitlines()] == names
    assert "9877" in shown.out


def test_models_are_those_that_can_be_loaded(capsys: pytest.CaptureFixture) -> None:
    assert run(["models", "--json"]) == 0
    rows = report(capsys)
    assert [row["name"] for row in rows if row["kind"] == "codec"] == [entry.name for entry in list_codecs()]
    for row in rows:
        assert run(["info", row["name"], "--json"]) == 0
        assert report(capsys)["config"].get("sample_rate") == row.get("sample_rate")
    assert run(["models"]) == 0
