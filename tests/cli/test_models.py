"""`solfa models` and `solfa info` of released codecs, and what a command says when their weights are not here."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import constants
from transformers import EncodecConfig, EncodecModel

from solfa import checkpoint
from solfa.cli.app import run
from solfa.codecs.token_file import TokenFile
from solfa.codecs.weights import released
from solfa.lm.weights import released as lms
from solfa.shipped import list_shipped


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
    names = [line.split()[0] for line in lines[1:]]
    assert names[: names.index("encodec-24khz")] == [found.name for found in list_shipped()]
    others = names[names.index("encodec-24khz") :]
    adapted = [entry.repo for entry in released.ADAPTED]
    assert others == [entry.name for entry in released.RELEASED] + adapted + [entry.name for entry in lms.RELEASED]
    shown = dict(zip(names, lines[1:], strict=True))
    assert shown["solfa-24khz"].endswith("weights/solfa-24khz") and " 17.3 MB " in shown["solfa-24khz"]
    assert " smaller token files of solfa-24khz (solfa encode --lm) " in shown["solfa-24khz-lm"]
    assert shown["encodec-24khz"].endswith("CC BY-NC 4.0  not here: hf download facebook/encodec_24khz")
    stereo = shown["musicgen-stereo-small"]
    assert stereo.endswith("CC BY-NC 4.0  not here: hf download facebook/musicgen-stereo-small")
    assert " stereo music from text, as codes of encodec-32khz " in stereo
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


def test_whatever_ships_is_listed_without_torch(tmp_path: Path) -> None:
    """A token LM, and a checkpoint of a kind that this command does not know."""
    for name, kind, config in (
        ("solfa-music", "lm", {"codec": "solfa-24khz"}),
        ("solfa-new", "new", {"codec": 3}),
        ("solfa-plain", "lm", {}),
    ):
        checkpoint.save(tmp_path / name, kind, config, {"w": torch.zeros(1000)})
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from solfa import shipped\n"
        "from solfa.cli.app import run\n"
        "shipped.WEIGHTS = Path(sys.argv[1])\n"
        "assert run(['models', *sys.argv[2:]]) == 0\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    lines = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["solfa-music", "lm"],
        ["solfa-new", "new"],
        ["solfa-plain", "lm"],
    ]
    assert "music from text, as codes of solfa-24khz" in lines[1] and "codes of a codec" in lines[3]
    done = subprocess.run([*arguments, "--json"], capture_output=True, text=True, check=True)
    music, new, *_ = json.loads(done.stdout)
    assert (music["kind"], music["codec"], music["installed"]) == ("lm", "solfa-24khz", True)
    assert music["bytes"] == (tmp_path / "solfa-music" / "model.safetensors").stat().st_size
    assert (new["kind"], new["for"], new["folder"]) == ("new", "", str(tmp_path / "solfa-new"))


def test_info_of_what_is_listed_and_no_codec(capsys: pytest.CaptureFixture) -> None:
    assert run(["info", "solfa-24khz-lm", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["config"]["codec"]) == ("code-lm", "solfa-24khz")


def test_info_of_a_model_that_is_not_here(capsys: pytest.CaptureFixture) -> None:
    for name in ("encodec-48khz", "facebook/encodec_48khz"):
        assert run(["info", name, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["name"] == name and found["config"]["channels"] == 2 and found["folder"] is None
        assert (found["licence"], found["how"]) == ("CC BY-NC 4.0", "hf download facebook/encodec_48khz")


def test_info_of_a_language_model(capsys: pytest.CaptureFixture) -> None:
    for name in ("musicgen-melody", "facebook/musicgen-melody"):
        assert run(["info", name, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["kind"], found["how"]) == ("lm", "hf download facebook/musicgen-melody")
        assert found["config"]["fusion"] == "prepend" and found["config"]["melody"]["frames"] == 235


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
