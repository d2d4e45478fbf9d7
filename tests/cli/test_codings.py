"""`solfa encode --coding` and `--lm`: smaller token files that say the same."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import solfa
from solfa.cli.app import run
from solfa.codecs.entropy.integer_lm import IntegerLM, share_table, tensor_shapes
from solfa.codecs.entropy.lm_checkpoint import save_lm
from solfa.codecs.entropy.lm_config import CodeLMConfig
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.segments import SegmentConfig
from solfa.codecs.token_file import TokenFile
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.seanet import SEANetConfig


@pytest.fixture
def model(tmp_path: Path, tiny: Path) -> Path:
    """A language model of the tiny codec's codes, which knows nothing."""
    shape = CodeLMConfig("tiny", solfa.load_codec(tiny).weights_hash, 4, 16, widths=(4,), dilations=(1,), inner=2, hidden=3)
    shapes = tensor_shapes(shape).items()
    tensors = {name: np.full(size, 9 if name.endswith("exponent") else 1, kind) for name, (size, kind) in shapes}
    save_lm(tmp_path / "lm", IntegerLM(shape, tensors | {"shares": share_table()}))
    return tmp_path / "lm"


def test_every_coding_decodes_to_the_same_sound(
    tmp_path: Path, tiny: Path, recordings: Path, model: Path, capsys: pytest.CaptureFixture
) -> None:
    take, sounds = str(recordings / "a.wav"), []
    for name, options in (("adaptive", []), ("packed", ["--coding", "packed"]), ("lm", ["--lm", str(model)])):
        target = tmp_path / f"{name}.solfa"
        assert run(["encode", take, "-o", str(target), "--codec", str(tiny), *options]) == 0
        assert " kbps in " in capsys.readouterr().out
        assert run(["info", str(target), "--json"]) == 0  # an lm file needs no model for it
        facts = json.loads(capsys.readouterr().out)
        assert (facts["coding"], facts["damage"]) == (name, [])
        with TokenFile(target) as file:
            assert file.header.version == (1 if name == "packed" else 2)
        back = ["decode", str(target), "-o", str(tmp_path / "a.wav"), "--codec", str(tiny), "--overwrite"]
        if name == "lm":
            assert run(back) == 1
            assert "which is not in the package: give its folder (--lm)" in capsys.readouterr().err
            back += options
        assert run(back) == 0
        sounds.append(soundfile.read(tmp_path / "a.wav")[0])
        capsys.readouterr()
    assert all(np.array_equal(sounds[0], sound) for sound in sounds)


def test_segments_keep_their_scales(tmp_path: Path) -> None:
    torch.manual_seed(0)
    segments = SegmentConfig(1_600, 1_440, normalize=True)
    shape = SEANetConfig(channels=2, dimension=8, n_filters=2, ratios=(8, 5, 4), norm="time_group_norm", causal=False)
    quantizer = QuantizerConfig(codebooks=2, codebook_size=16)
    config = VQVAEConfig("loud", 8_000, 2, latent_dim=8, seanet=shape, quantizer=quantizer, segment=segments)
    VQVAE(config).eval().save(tmp_path / "loud")
    codec = solfa.load_codec(tmp_path / "loud")
    noise = np.random.default_rng(0).standard_normal((4_000, 2)) * np.linspace(0.01, 0.3, 4_000)[:, None]
    soundfile.write(tmp_path / "a.wav", noise, 8_000)
    codes = codec.encode_file(tmp_path / "a.wav")
    assert codes.scales is not None and codes.scales.shape == (1, 3)
    named = ["--codec", str(tmp_path / "loud")]
    assert run(["encode", str(tmp_path / "a.wav"), *named]) == 0
    assert run(["decode", str(tmp_path / "a.solfa"), "-o", str(tmp_path / "b.wav"), *named]) == 0
    found = soundfile.read(tmp_path / "b.wav")[0].T
    expected = codec.decode(codes).samples[0].clamp(-1, 1).numpy()
    assert found.shape == (2, 4_000) and np.abs(found - expected).max() <= 1 / 32768
    part = ["--start", "0.1", "--end", "0.3"]
    assert run(["decode", str(tmp_path / "a.solfa"), "-o", str(tmp_path / "c.wav"), *named, *part]) == 0
    assert np.array_equal(soundfile.read(tmp_path / "c.wav")[0].T, found[:, 800:2_400])


def test_options_that_do_not_fit_are_wrong_usage(
    tmp_path: Path, tiny: Path, other: Path, recordings: Path, model: Path, capsys: pytest.CaptureFixture
) -> None:
    take = str(recordings / "a.wav")
    for options, reason in (
        (["--codec", str(tiny), "--lm", str(model), "--coding", "packed"], "leave one out"),
        (["--codec", str(other), "--lm", str(model)], "is a language model of codes of tiny"),
        (["--codec", str(tiny), "--lm", str(tmp_path / "none")], "there is no language model"),
        (["--codec", str(tiny), "--lm", str(tiny)], "holds a checkpoint of kind 'codec'"),
        (["--codec", str(tiny), "--coding", "zip"], "zip"),
    ):
        assert run(["encode", take, "-o", str(tmp_path / "a.solfa"), *options]) == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "a.solfa").exists()
