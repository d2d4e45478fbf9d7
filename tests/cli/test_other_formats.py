"""`.ecdc` and `.dac` files on the command line."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.cli.app import run
from solfa.codecs.dac import dac_24khz
from solfa.codecs.encodec import encodec_24khz
from solfa.codecs.other_formats.dac_file import read_dac
from solfa.codecs.other_formats.ecdc import read_ecdc
from solfa.codecs.other_formats.ecdc_lm import CONFIGS, EncodecLM
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE, VQVAEConfig


def saved(config: VQVAEConfig, folder: Path, books: int = 3) -> Path:
    """A codec of this kind with few channels and random weights."""
    assert config.seanet is not None
    config = replace(
        config,
        latent_dim=8,
        seanet=replace(config.seanet, n_filters=2, dimension=8),
        decoder=None if config.decoder is None else replace(config.decoder, n_filters=2, dimension=8),
        quantizer=replace(config.quantizer, codebooks=books),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        VQVAE(config).save(folder)
    return folder


@pytest.fixture(scope="module")
def encodec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(saved(encodec_24khz(), tmp_path_factory.mktemp("encodec") / "c"))


@pytest.fixture(scope="module")
def dac(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(saved(dac_24khz(), tmp_path_factory.mktemp("dac") / "c"))


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """0.3 s of stereo at 16 kHz."""
    path = tmp_path / "in" / "take.wav"
    path.parent.mkdir()
    soundfile.write(path, 0.2 * np.random.default_rng(0).standard_normal((4_800, 2)), 16_000)
    return path


def info(capsys: pytest.CaptureFixture, path: Path) -> dict[str, object]:
    capsys.readouterr()
    assert run(["info", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_ecdc_there_and_back(tmp_path: Path, take: Path, encodec: str, capsys: pytest.CaptureFixture) -> None:
    target = tmp_path / "in" / "take.ecdc"
    assert run(["encode", str(take), "-o", str(target), "--codec", encodec, "--codebooks", "2"]) == 0
    assert "0.30 s, 2 codebooks" in capsys.readouterr().out
    codec = load_codec(encodec)
    codes = read_ecdc(target, codec=codec)
    assert torch.equal(codes.tokens, codec.encode_file(take, 2).tokens)
    expected = {"kind": "ecdc", "codec": "encodec-24khz", "samples": 7_200, "codebooks": 2, "frames": 23}
    assert (
        info(capsys, target).items() >= (expected | {"bytes": target.stat().st_size, "language_model": False}).items()
    )
    take.unlink()
    assert run(["decode", str(target), "--codec", encodec]) == 0  # beside it
    assert soundfile.info(take).frames == 7_200


def test_folders_of_all_kinds(tmp_path: Path, take: Path, encodec: str, capsys: pytest.CaptureFixture) -> None:
    for name in ("a.ecdc", "b.solfa", "c.ECDC"):
        assert run(["encode", str(take), "-o", str(tmp_path / "codes" / name), "--codec", encodec]) == 0
    assert run(["decode", str(tmp_path / "codes"), "-o", str(tmp_path / "out"), "--codec", encodec]) == 0
    sounds = [soundfile.read(tmp_path / "out" / f"{name}.wav")[0] for name in "abc"]
    assert len(sounds[0]) == 7_200 and all(np.array_equal(sound, sounds[0]) for sound in sounds)
    part = ["--start", "0.1", "--end", "0.15", "--codec", encodec, "-o", str(tmp_path / "part.wav")]
    assert run(["decode", str(tmp_path / "codes" / "a.ecdc"), *part]) == 0
    assert np.array_equal(soundfile.read(tmp_path / "part.wav")[0], sounds[0][2_400:3_600])


def test_dac_there_and_back(tmp_path: Path, take: Path, dac: str, capsys: pytest.CaptureFixture) -> None:
    target = tmp_path / "take.dac"
    assert run(["encode", str(take), "-o", str(target), "--codec", dac]) == 0
    file = read_dac(target)
    assert (file.channels, file.original_length, file.sample_rate, file.codebooks) == (2, 4_800, 16_000, 3)
    found = info(capsys, target)
    assert found.items() >= {"kind": "dac", "codec": "dac-24khz", "frames": 23, "padding": True, "channels": 2}.items()
    assert run(["decode", str(target), "-o", str(tmp_path / "a.wav"), "--codec", dac]) == 0
    sound, rate = soundfile.read(tmp_path / "a.wav")
    assert sound.shape == (4_800, 2) and rate == 16_000
    assert run(["decode", str(target), "-o", str(tmp_path / "b.wav"), "--codec", dac, "--start", "0.2"]) == 0
    assert np.array_equal(soundfile.read(tmp_path / "b.wav")[0], sound[3_200:])


def test_a_language_model_is_named(tmp_path: Path, take: Path, encodec: str, capsys: pytest.CaptureFixture) -> None:
    torch.manual_seed(0)
    torch.save(EncodecLM(CONFIGS["encodec-24khz"]).state_dict(), tmp_path / "lm.th")
    target, lm = str(tmp_path / "take.ecdc"), ["--lm", str(tmp_path / "lm.th")]
    assert run(["encode", str(take), "-o", target, "--codec", encodec, *lm]) == 0
    assert capsys.readouterr().err.count("another machine") == 1
    assert info(capsys, tmp_path / "take.ecdc")["language_model"] is True
    assert run(["decode", target, "-o", str(tmp_path / "a.wav"), "--codec", encodec, *lm]) == 0
    assert soundfile.info(tmp_path / "a.wav").frames == 7_200
    for name, options, reason in (
        ("a.dac", lm, "no use for a language model"),
        ("a.dac", ["--coding", "packed"], "it is for .solfa files"),
        ("a.ecdc", ["--coding", "packed"], "it is for .solfa files"),
    ):
        assert run(["encode", str(take), "-o", str(tmp_path / name), "--codec", encodec, *options]) == 2
        assert reason in capsys.readouterr().err
    broken = ["--lm", str(take)]
    assert run(["encode", str(take), "-o", str(tmp_path / "b.ecdc"), "--codec", encodec, *broken]) == 1
    assert "take.wav: not a whole file of torch.save" in capsys.readouterr().err
    assert run(["decode", target, "-o", str(tmp_path / "b.wav"), "--codec", encodec, *broken]) == 1


def test_weights_that_only_a_file_asks_for_must_be_here(
    tmp_path: Path, take: Path, encodec: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    target = tmp_path / "take.ecdc"
    run(["encode", str(take), "-o", str(target), "--codec", encodec])
    data = target.read_bytes()
    target.write_bytes(data.replace(b'"lm": false', b'"lm": true '))
    capsys.readouterr()
    assert run(["decode", str(target), "-o", str(tmp_path / "a.wav"), "--codec", encodec]) == 1
    line = capsys.readouterr().err
    assert "encodec_lm_24khz-1608e3c0.th" in line and "--lm" in line and line.count("\n") == 1


def test_mistakes_are_one_line_each(
    tmp_path: Path, take: Path, encodec: str, dac: str, capsys: pytest.CaptureFixture
) -> None:
    run(["encode", str(take), "-o", str(tmp_path / "a.dac"), "--codec", dac])
    run(["encode", str(take), "-o", str(tmp_path / "a.ecdc"), "--codec", encodec])
    (tmp_path / "bad.ecdc").write_bytes((tmp_path / "a.ecdc").read_bytes() + b"x")
    (tmp_path / "bad.dac").write_bytes(b"\x80\x03cos\nsystem\n.")
    wav = ["-o", str(tmp_path / "a.wav")]
    for command, reason in (
        (
            ["encode", str(take), "-o", str(tmp_path / "b.ecdc"), "--codec", dac],
            "not of dac-24khz: write a .solfa file",
        ),
        (["encode", str(take), "-o", str(tmp_path / "b.dac"), "--codec", encodec], "encodec-24khz makes no .dac files"),
        (["decode", str(tmp_path / "a.dac"), *wav, "--codec", encodec], "encodec-24khz makes no .dac files"),
        (
            ["decode", str(tmp_path / "a.ecdc"), *wav, "--codec", str(saved(dac_24khz(), tmp_path / "few", 2))],
            "cannot play it",
        ),
        (["decode", str(tmp_path / "bad.ecdc"), *wav, "--codec", encodec], "1 bytes too many"),
        (["decode", str(tmp_path / "bad.dac"), *wav, "--codec", dac], "not a .dac file"),
        (["decode", str(tmp_path / "none.dac"), *wav, "--codec", dac], "no such file"),
        (["info", str(tmp_path / "bad.ecdc")], "1 bytes too many"),
        (["info", str(tmp_path / "bad.dac")], "not a .dac file"),
    ):
        capsys.readouterr()
        assert run(command) == 1
        shown = capsys.readouterr().err
        assert reason in shown and shown.count("\n") == 1 and shown.count(command[1]) == 1
    assert not list(tmp_path.glob("*.wav"))


def test_info_of_these_files_loads_no_torch() -> None:
    code = "import sys, solfa.codecs.other_formats.ecdc_header, solfa.codecs.other_formats.dac_file; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
