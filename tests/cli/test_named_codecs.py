"""The codec behind `--codec` where it is part of a MusicGen, or named by a token file that other codecs of the hub wrote."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import (
    EncodecConfig,
    EncodecModel,
    MimiConfig,
    MimiModel,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyForConditionalGeneration,
    T5Config,
    T5Tokenizer,
)

from solfa.cli.app import run
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import read_tokens, write_tokens

Put = Callable[[Path], str]
FORMS = {
    "musicgen": (MusicgenForConditionalGeneration, MusicgenConfig),
    "musicgen_melody": (MusicgenMelodyForConditionalGeneration, MusicgenMelodyConfig),
}


@pytest.fixture(scope="module")
def musicgens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A MusicGen of each type, with random weights; and `codec`, that which lies in the first, saved by itself."""
    top = tmp_path_factory.mktemp("musicgens")
    parts = {
        "text_encoder": T5Config(vocab_size=32, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2).to_dict(),
        "audio_encoder": EncodecConfig(
            sampling_rate=1600, num_filters=2, hidden_size=8, codebook_dim=8, codebook_size=32, upsampling_ratios=[8, 4],
            target_bandwidths=[1.0], num_lstm_layers=1,
        ).to_dict(),
        "decoder": {
            "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16, "num_codebooks": 4,
            "pad_token_id": 32, "bos_token_id": 32,
        },
    }  # fmt: skip
    words = T5Tokenizer(vocab=[(f"▁{letter}", -float(i)) for i, letter in enumerate("abcdefghijkl")], extra_ids=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, (form, configure) in FORMS.items():
            model = form(configure(**parts))
            _spread(model.audio_encoder)
            model.save_pretrained(top / name)
            words.save_pretrained(top / name)
            if name == "musicgen":
                model.audio_encoder.save_pretrained(top / "codec")
    return {path.name: path for path in top.iterdir()}


def _spread(model: torch.nn.Module) -> None:
    """Codebooks to choose from: transformers starts them at zero."""
    for name, buffer in model.named_buffers():
        if name.endswith((".embed", "embed_sum")):
            buffer.normal_(std=0.1)
        elif name.endswith("cluster_usage"):
            buffer.fill_(1.0)


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """A working folder, and no network: cached(folder) puts a folder into the hub's cache as the repository owner/NAME."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    sound = 0.3 * np.random.default_rng(0).standard_normal(3000)
    soundfile.write(tmp_path / "a.wav", sound, 1600)

    def put(folder: Path) -> str:
        root = tmp_path / "hub" / f"models--owner--{folder.name}"
        (root / "refs").mkdir(parents=True)
        (root / "refs" / "main").write_text("0123abcd")
        shutil.copytree(folder, root / "snapshots" / "0123abcd")
        return f"owner/{folder.name}"

    return put


def test_what_a_musicgen_writes_is_played_from_it(musicgens: dict[str, Path], cached: Put) -> None:
    folder = str(musicgens["musicgen"])
    for name in ("g.wav", "g.solfa"):
        assert run(["generate", "a b", "--model", folder, "--duration", "0.3", "-o", name]) == 0
    for number, place in enumerate((folder, cached(musicgens["musicgen"]))):
        assert run(["decode", "g.solfa", "--codec", place, "-o", f"{number}.wav"]) == 0
        assert Path(f"{number}.wav").read_bytes() == Path("g.wav").read_bytes()


@pytest.mark.parametrize("name", FORMS)
def test_a_musicgen_is_the_codec_that_lies_inside(name: str, musicgens: dict[str, Path]) -> None:
    assert run(["encode", "a.wav", "--codec", str(musicgens[name]), "-o", "a.solfa"]) == 0
    codes, alone = read_tokens("a.solfa"), EncodecModel.from_pretrained(musicgens["codec"]).eval()
    assert codes.weights_hash == load_codec(musicgens[name]).weights_hash
    assert (codes.weights_hash == load_codec(musicgens["codec"]).weights_hash) == (name == "musicgen")
    if name == "musicgen":
        sound, _ = soundfile.read("a.wav", dtype="float32")
        with torch.no_grad():
            expected = alone.encode(torch.from_numpy(sound)[None, None], bandwidth=1.0).audio_codes[0]
        assert torch.equal(codes.tokens, expected) and len(expected.unique()) > 4


def test_codes_of_a_codec_that_is_not_here(musicgens: dict[str, Path], capsys: pytest.CaptureFixture) -> None:
    """The word says what else holds the weights."""
    codes = load_codec(musicgens["musicgen"]).encode(torch.zeros(1, 1, 500))
    for codec, said in (
        ("encodec-32khz", "that holds them with --codec, as the folder of any MusicGen does"),
        ("dac-16khz", "hf download descript/dac_16khz, or name a folder or repository that holds them with --codec\n"),
        ("../mine", "made by the codec '../mine'"),
    ):
        write_tokens("g.solfa", dataclasses.replace(codes, codec=codec))
        assert run(["decode", "g.solfa"]) == 1 and said in capsys.readouterr().err


def test_it_is_exported(musicgens: dict[str, Path]) -> None:
    assert run(["export", str(musicgens["musicgen"]), "-o", "onnx"]) == 0
    assert sorted(path.name for path in Path("onnx").iterdir()) == ["decoder.onnx", "encoder.onnx"]


def test_a_musicgen_without_its_codec(musicgens: dict[str, Path], capsys: pytest.CaptureFixture) -> None:
    folder = Path(shutil.copytree(musicgens["musicgen"], "bare"))
    tensors = load_file(folder / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if "audio_encoder" not in name}, folder / "model.safetensors")
    assert run(["encode", "a.wav", "--codec", "bare"]) == 2
    assert "a musicgen that was saved without its codec" in capsys.readouterr().err


@pytest.fixture(scope="module")
def mimi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = MimiConfig(
        sampling_rate=8000, hidden_size=16, num_filters=4, upsampling_ratios=[4, 3], codebook_size=16, codebook_dim=8, num_quantizers=4,
        vector_quantization_hidden_dimension=8, upsample_groups=16, num_hidden_layers=1, intermediate_size=16, num_attention_heads=2,
        num_key_value_heads=2, sliding_window=5,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("mimi") / "mimi"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MimiModel(config)
        _spread(model)
        model.save_pretrained(folder)
    return folder


def test_a_file_names_a_repository_that_is_in_the_cache(
    mimi: Path, cached: Put, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is played; not so one that would have to be fetched, nor a folder that happens to be called so."""
    repo = cached(mimi)
    assert run(["encode", "a.wav", "--codec", repo, "-o", "a.solfa"]) == 0
    assert read_tokens("a.solfa").codec == repo
    assert run(["decode", "a.solfa", "-o", "b.wav"]) == run(["decode", "a.solfa", "--codec", str(mimi), "-o", "c.wav"])
    assert Path("b.wav").read_bytes() == Path("c.wav").read_bytes()
    shutil.copytree(mimi, repo)
    Path("hub").rename("elsewhere")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: pytest.fail("asked the hub"))
    capsys.readouterr()
    assert run(["decode", "a.solfa", "-o", "d.wav"]) == 1
    said = capsys.readouterr().err
    assert f"made by the codec {repo!r}" in said and "give its folder or repository with --codec" in said
    assert run(["decode", "a.solfa", "--codec", repo, "-o", "d.wav"]) == 0
    assert Path("d.wav").read_bytes() == Path("c.wav").read_bytes()
