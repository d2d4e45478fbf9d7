"""`solfa models` and `solfa info` of released codecs, and what a command says when their weights are not here."""

import json
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import constants
from transformers import EncodecConfig, EncodecModel

from solfa.cli.app import run
from solfa.codecs.registry import list_codecs
from solfa.codecs.token_file import TokenFile
from solfa.codecs.weights import released


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No weights on this machine, no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def test_what_is_here_and_how_to_get_the_rest(empty: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [entry.name for entry in list_codecs()]
    assert lines[1].endswith("weights/solfa-24khz")
    assert lines[2].endswith("CC BY-NC 4.0  not here: hf download facebook/encodec_24khz")
    assert run(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["solfa-24khz"]["installed"] and rows["solfa-24khz"]["licence"] == "Apache-2.0"
    dac = rows["dac-44khz-16kbps"]
    assert (dac["installed"], dac["folder"], round(dac["kbps"], 1)) == (False, None, 15.5)
    assert dac["how"].startswith("download https://") and dac["how"].endswith(
        f"{empty}/.cache/descript/dac/weights_44khz_16kbps_1.0.0.pth"
    )
    (empty / ".cache/descript/dac").mkdir(parents=True)
    (empty / ".cache/descript/dac/weights_44khz_16kbps_1.0.0.pth").write_bytes(b"x")
    assert run(["models", "--json"]) == 0
    assert {row["name"]: row for row in json.loads(capsys.readouterr().out)}["dac-44khz-16kbps"]["installed"]


def test_info_of_a_model_that_is_not_here(capsys: pytest.CaptureFixture) -> None:
    for name in ("encodec-48khz", "facebook/encodec_48khz"):
        assert run(["info", name, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["name"] == name and found["config"]["channels"] == 2 and found["folder"] is None
        assert (found["licence"], found["how"]) == ("CC BY-NC 4.0", "hf download facebook/encodec_48khz")


def test_one_line_says_what_to_do(recordings: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["encode", str(recordings / "a.wav"), "--codec", "encodec-24khz"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        "solfa encode: --codec encodec-24khz: the weights of encodec-24khz are not on this machine, and HF_HUB_OFFLINE forbids "
        "fetching: hf download facebook/encodec_24khz, or name a file or folder that holds them"
    )
    assert len(said) == 2


def test_a_file_does_not_fetch(
    tmp_path: Path, tiny: Path, recordings: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token file's header names its codec; that alone may not send us to the network."""
    tokens = tmp_path / "a.solfa"
    run(["encode", str(recordings / "a.wav"), "-o", str(tokens), "--codec", str(tiny)])
    monkeypatch.setattr(released, "RELEASED", (replace(released.RELEASED[0], name="tiny"),))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("asked the hub"))
    capsys.readouterr()
    assert run(["decode", str(tokens), "-o", str(tmp_path / "a.wav")]) == 1
    assert "weights of tiny are not on this machine: hf download" in capsys.readouterr().err


def test_encode_with_weights_in_the_cache_of_the_hub(empty: Path, capsys: pytest.CaptureFixture) -> None:
    """What the command writes are the codes of transformers' model; the weights are random, their layout is the released one's."""
    torch.manual_seed(0)
    model = EncodecModel(EncodecConfig()).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_(std=0.02)
    root = empty / "hub" / "models--facebook--encodec_24khz"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0123abcd")
    model.save_pretrained(root / "snapshots" / "0123abcd")
    sound = np.round(4000 * np.random.default_rng(0).standard_normal(12_345)).astype(np.int16)
    soundfile.write(empty / "a.wav", sound, 24_000)
    assert run(["encode", str(empty / "a.wav"), "--codec", "encodec-24khz", "--codebooks", "8"]) == 0, (
        capsys.readouterr()
    )
    with torch.no_grad():
        expected = model.encode(torch.from_numpy(sound)[None, None].float() / 32768, bandwidth=6.0).audio_codes[0, 0]
    with TokenFile(empty / "a.solfa") as file:
        assert file.header.codec == "encodec-24khz"
        assert torch.equal(torch.from_numpy(file.read(0, file.frames).astype(np.int64)), expected)
