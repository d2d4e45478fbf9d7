"""Every way to MusicGen's weights, and back: files of transformers and of AudioCraft, whole, in shards, damaged and hostile."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoProcessor, MusicgenForConditionalGeneration, MusicgenMelodyForConditionalGeneration

from solfa.codecs.weights.layouts import of_transformers
from solfa.lm import musicgen
from solfa.lm.conditioners.beat import BeatConfig
from solfa.lm.model import TokenLM
from solfa.lm.patterns import coarse_first, delay, grouped, parallel, partial_flatten, stereo
from solfa.lm.registry import describe_lm, find_lm, knows, list_lms, load_lm
from solfa.lm.weights import configs, keys, layouts, released
from solfa.lm.weights.export import save_audiocraft, save_transformers

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_musicgen.py"))))
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of each kind of model; with a T5 of 768, as AudioCraft knows it, for "audiocraft"."""
    root = tmp_path_factory.mktemp("released")
    made = {kind: tiny.saved(tiny.theirs(kind), root / kind) for kind in tiny.KINDS}
    return made | {f"{kind} 768": tiny.saved(tiny.theirs(kind, 768), root / f"{kind} 768") for kind in tiny.KINDS}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["mono"], tmp_path / "copy"))


def same(one: TokenLM, other: TokenLM) -> bool:
    theirs = dict(other.named_parameters())
    found = dict(one.named_parameters())
    return found.keys() == theirs.keys() and all(torch.equal(found[name], theirs[name]) for name in found)


# --- layouts of transformers


def test_shards_and_older_files(folders: dict[str, Path], copy: Path) -> None:
    whole = load_lm(folders["mono"])
    sharded = tiny.saved(tiny.theirs("mono"), copy.parent / "sharded", max_shard_size="60KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2 and same(load_lm(sharded), whole)
    assert load_lm(sharded).describe(["slow waltz"]).memory.values.shape == (1, 3, tiny.WIDTH)  # its T5 too
    state = load_file(copy / WEIGHTS)
    (copy / WEIGHTS).unlink()
    state["decoder.model.decoder.embed_positions.weights"] = torch.zeros(2048, tiny.WIDTH)  # of old files
    state["text_encoder.encoder.embed_tokens.weight"] = state["text_encoder.shared.weight"]
    torch.save(state, copy / "pytorch_model.bin")
    assert same(load_lm(copy), whole)
    names = sorted(state)
    for number, part in enumerate((names[::2], names[1::2])):
        torch.save({name: state[name] for name in part}, copy / f"pytorch_model-{number}.bin")
    (copy / "pytorch_model.bin").unlink()
    index = {"weight_map": {name: f"pytorch_model-{i % 2}.bin" for i, name in enumerate(names)}}
    (copy / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert same(load_lm(copy), whole)
    (copy / "pytorch_model-1.bin").unlink()
    with pytest.raises(ValueError, match="not all of its weights"):
        load_lm(copy)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_back_to_transformers(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    ours = load_lm(folders[kind])
    save_transformers(ours, tmp_path / "out", layouts.codec_inside(folders[kind]))
    assert same(load_lm(tmp_path / "out"), ours)
    form = MusicgenMelodyForConditionalGeneration if "melody" in kind else MusicgenForConditionalGeneration
    model, said = form.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(said[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    theirs = dict(form.from_pretrained(folders[kind]).named_parameters())
    assert all(torch.equal(weight, theirs[name]) for name, weight in model.named_parameters())
    assert model.generation_config.max_length == 1500 + tiny.BOOKS
    if "melody" not in kind:  # that processor needs torchaudio
        processor = AutoProcessor.from_pretrained(tmp_path / "out")
        assert processor(text=["slow waltz"]).input_ids == tiny.tokenizer()(["slow waltz"]).input_ids


def test_widths_that_are_equal(tmp_path: Path) -> None:
    """transformers then has no projection; ours changes nothing, and is left out again, unless it was trained."""
    folder = tiny.saved(tiny.theirs("mono", text_width=tiny.WIDTH), tmp_path / "in")
    assert "enc_to_dec_proj.weight" not in load_file(folder / WEIGHTS)
    ours = load_lm(folder)
    assert torch.equal(ours.text.project.weight, torch.eye(tiny.WIDTH)) and not ours.text.project.bias.any()
    codec = layouts.codec_inside(folder)
    save_transformers(ours, tmp_path / "out", codec)
    assert same(load_lm(tmp_path / "out"), ours)
    ours.text.project.bias.data[0] = 1.0
    with pytest.raises(ValueError, match="has no enc_to_dec_proj between two widths of 32"):
        save_transformers(ours, tmp_path / "other", codec)


def test_the_codec_inside(folders: dict[str, Path]) -> None:
    """Its parts are what the floor above makes a codec of: the same sound as transformers' codec."""
    inside = layouts.codec_inside(folders["mono"])
    codec = of_transformers(inside.document, inside.tensors, inside.where)
    theirs = MusicgenForConditionalGeneration.from_pretrained(folders["mono"]).audio_encoder.eval()
    codes = torch.randint(0, tiny.SIZE, (1, tiny.BOOKS, 13), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.decode(codes[None], [None]).audio_values
        found = codec.decoder(codec.quantizer.decode(codes))
    assert codec.sample_rate == 1600 and (found - expected).abs().max() < 1e-5


def test_our_own_folder_keeps_the_text_encoder(folders: dict[str, Path], tmp_path: Path) -> None:
    ours = load_lm(folders["mono"])
    ours.save(tmp_path / "own", {"steps": 3})
    again = load_lm(tmp_path / "own")
    assert same(again, ours) and again.config == ours.config
    memory = ours.describe(tiny.TEXTS).memory
    assert torch.equal(again.describe(tiny.TEXTS).memory.values, memory.values)
    again.save(tmp_path / "own")  # over itself
    assert torch.equal(load_lm(tmp_path / "own").describe(tiny.TEXTS).memory.values, memory.values)
    assert not any(name.startswith("text.frozen") for name in load_file(tmp_path / "own" / WEIGHTS))


# --- AudioCraft

RENAMES = (  # the published ones, from transformers' names; the order matters
    (r"^decoder\.model\.decoder\.embed_tokens\.(\d+)", r"emb.\1"),
    (r"^decoder\.lm_heads\.(\d+)", r"linears.\1"),
    (r"^decoder\.model\.decoder\.layers\.", "transformer.layers."),
    (r"^decoder\.model\.decoder\.layer_norm", "out_norm"),
    (r"\.encoder_attn_layer_norm", ".norm_cross"),
    (r"\.self_attn_layer_norm", ".norm1"),
    (r"\.final_layer_norm", ".norm2"),
    (r"\.encoder_attn\.", ".cross_attention."),
    (r"\.fc(\d)", r".linear\1"),
    (r"^audio_enc_to_dec_proj", "condition_provider.conditioners.self_wav.output_proj"),
    (r"^enc_to_dec_proj", "condition_provider.conditioners.description.output_proj"),
)


def audiocraft_state(folder: Path, mha: str = "") -> dict[str, Tensor]:
    """What AudioCraft would hold of the model in a folder of transformers."""
    state: dict[str, Tensor] = {}
    for name, tensor in load_file(folder / WEIGHTS).items():
        if not name.startswith(("text_encoder", "audio_encoder")):
            for old, new in RENAMES:
                name = re.sub(old, new, name)
            state[name] = tensor
    for name in [name for name in state if name.endswith(".q_proj.weight")]:
        stem = name.removesuffix("q_proj.weight")
        state[f"{stem}{mha}in_proj_weight"] = torch.cat([state.pop(f"{stem}{part}_proj.weight") for part in "qkv"])
        state[f"{stem}{mha}out_proj.weight"] = state.pop(f"{stem}out_proj.weight")
    if any("self_wav" in name for name in state):
        state["condition_provider.conditioners.self_wav.chroma.spec.window"] = torch.ones(16_384)
    return state


def experiment(kind: str) -> dict:
    """An xp.cfg, with references and with sections that are none of our business."""
    two, tune = "stereo" in kind, "melody" in kind
    books = tiny.BOOKS * (1 + two)
    heard = ["self_wav", "description"] if tune else ["description"]
    wav = {
        "model": "chroma_stem",
        "chroma_stem": {"sample_rate": "${sample_rate}", "n_chroma": 12, "radix2_exp": 14, "argmax": True},
    }
    text = {"model": "t5", "t5": {"name": "t5-base", "finetune": False, "word_dropout": 0.2}}
    return {
        "sample_rate": 32_000, "channels": 1 + two, "optim": {"lr": "${nothing.there}"}, "lm_model": "transformer_lm",
        "transformer_lm": {"dim": tiny.WIDTH, "num_heads": tiny.HEADS, "num_layers": tiny.LAYERS, "hidden_scale": 4, "n_q": books,
                           "card": tiny.SIZE, "norm_first": True, "bias_ff": False, "bias_attn": False, "bias_proj": False,
                           "activation": "gelu", "memory_efficient": True, "layer_scale": None, "positional_embedding": "sin"},
        "codebooks_pattern": {"modeling": "delay", "delay": {"delays": [k // (1 + two) for k in range(books)], "flatten_first": 0}},
        "interleave_stereo_codebooks": {"use": two, "per_timestep": False},
        "fuser": {"cross_attention_pos_emb": False, "sum": [], "prepend": heard if tune else [], "cross": [] if tune else heard},
        "conditioners": {"self_wav": wav, "description": text} if tune else {"description": text},
        "dataset": {"segment_duration": 30},
    }  # fmt: skip


def audiocraft(
    folder: Path, kind: str, state: dict[str, Tensor], change: Callable[[dict], None] = lambda cfg: None
) -> Path:
    document = experiment(kind)
    change(document)
    half = {name: tensor.half() for name, tensor in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"best_state": half, "xp.cfg": yaml.safe_dump(document), "version": "1", "exported": True},
        folder / "state_dict.bin",
    )
    torch.save({"pretrained": "facebook/encodec_32khz"}, folder / "compression_state_dict.bin")
    return folder


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_file_of_audiocraft(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    theirs = load_lm(folders[f"{kind} 768"])
    for mha in ("", "mha."):  # spellings of two versions
        ours = load_lm(audiocraft(tmp_path / f"a{mha}", kind, audiocraft_state(folders[f"{kind} 768"], mha)))
        expected = {name: weight.half().float() for name, weight in theirs.named_parameters()}
        assert all(torch.equal(weight, expected[name]) for name, weight in ours.named_parameters())
    shape = ours.config
    assert shape.pattern == theirs.config.pattern and shape.transformer == theirs.config.transformer
    assert (shape.text, shape.fusion) == (replace(theirs.config.text, name="t5-base"), theirs.config.fusion)
    assert (shape.channels, shape.crop_frames, shape.frame_rate) == (theirs.config.channels, 1500, 50.0)
    if shape.melody:
        assert (shape.melody.n_fft, shape.melody.hop, shape.melody.frames) == (16_384, 4096, 235)
    assert layouts.codec_inside(tmp_path / "a") == tmp_path / "a" / "compression_state_dict.bin"


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_back_to_audiocraft(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    state = audiocraft_state(folders[f"{kind} 768"])
    loaded = load_lm(audiocraft(tmp_path / "in", kind, state, lambda cfg: cfg["transformer_lm"].update(card=tiny.SIZE)))
    ours = type(loaded)(replace(loaded.config, codec="encodec-32khz"))
    ours.load_state_dict(loaded.state_dict())
    save_audiocraft(ours, tmp_path / "out", torch.float32)
    written = torch.load(tmp_path / "out" / "state_dict.bin", weights_only=True)["best_state"]
    state.pop("condition_provider.conditioners.self_wav.chroma.spec.window", None)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], state[name].half().float()) for name in state)
    again = load_lm(tmp_path / "out")
    assert same(again, ours) and replace(again.config, codec="encodec-32khz") == ours.config


def test_old_configurations_of_audiocraft() -> None:
    def read(**changes: object) -> object:
        document = experiment("mono")
        for path, value in changes.items():
            section, name = path.split("__")
            document[section][name] = value
        return configs.of_audiocraft(yaml.safe_dump(document), "xp.cfg").pattern

    assert read(codebooks_pattern__modeling=None, transformer_lm__q_modeling="delay") == delay(4)
    assert read(codebooks_pattern__modeling="parallel") == parallel(4)
    assert read(codebooks_pattern__modeling="valle", codebooks_pattern__valle={"delays": [0, 1, 2]}) == coarse_first(
        4, (0, 1, 2)
    )
    assert read(codebooks_pattern__modeling="musiclm") == grouped(4)
    flat = {"flattening": [0, 1, 1, 1], "delays": [0, 0, 0, 0]}
    assert read(codebooks_pattern__modeling="unroll", codebooks_pattern__unroll=flat) == partial_flatten(4)


@pytest.mark.parametrize(
    "make", [delay, parallel, partial_flatten, coarse_first, grouped, lambda books: stereo(delay(books // 2))]
)
def test_patterns_are_written_as_they_are_read(make: Callable) -> None:
    from solfa.lm.weights.export import _experiment

    config = replace(musicgen.musicgen("small"), pattern=make(4))
    assert configs.of_audiocraft(yaml.safe_dump(_experiment(config)), "xp.cfg").pattern == config.pattern


# --- what does not fit


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        load_lm(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)


def test_wrong_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    head = "decoder.lm_heads.1.weight"
    for change, match in (
        (lambda s: s.pop(head), f"tensor '{head}' is missing"),
        (
            lambda s: s.update({head: s[head][1:].clone()}),
            f"tensor 'decoder.lm_heads.3.weight' is of another shape|{head}",
        ),
        (
            lambda s: s.update({"enc_to_dec_proj.bias": torch.zeros(5)}),
            "1 tensors are missing, unknown or of another shape",
        ),
        (lambda s: s.update({"decoder.extra": torch.zeros(5)}), "tensor 'decoder.extra' is nothing that the model has"),
        (lambda s: s[head].fill_(float("nan")), "holds NaN or infinity"),
    ):
        folder = Path(shutil.copytree(folders["mono"], tmp_path / str(len(match))))
        rewrite(folder, change)
        refused(folder, match)
    folder = Path(shutil.copytree(folders["mono"], tmp_path / "no text"))
    rewrite(folder, lambda s: s.pop("text_encoder.shared.weight"))
    with pytest.raises(ValueError, match=r"the text encoder t5-24: .*shared.weight the first"):
        load_lm(folder).describe(["a"])


def test_wrong_configurations(folders: dict[str, Path], tmp_path: Path) -> None:
    for part, name, value, match in (
        ("decoder", "activation_function", "relu", "activation_function is 'relu'"),
        ("decoder", "num_hidden_layers", 10**9, "num_hidden_layers is 1000000000"),
        ("decoder", "num_hidden_layers", 4, r"tensor 'decoder.model.decoder.layers.3.*' is missing"),
        ("decoder", "hidden_size", 64, "tensors are missing, unknown or of another shape"),
        ("decoder", "num_attention_heads", 5, "width is 32: it must be an even multiple of the heads, 5"),
        ("audio_encoder", "model_type", "dac", "model_type is 'dac'"),
        ("audio_encoder", "upsampling_ratios", [], "strides"),
    ):
        folder = Path(shutil.copytree(folders["mono"], tmp_path / f"{name}{value}"))
        document = json.loads((folder / CONFIG).read_text())
        document[part][name] = value
        (folder / CONFIG).write_text(json.dumps(document))
        with pytest.raises(ValueError, match=match) as caught:
            load_lm(folder)
        assert "\n" not in str(caught.value)


def test_an_index_does_not_lead_elsewhere(copy: Path) -> None:
    (copy / WEIGHTS).rename(copy.parent / "outside.safetensors")
    (copy / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    refused(copy, "names .'../outside.safetensors'., files beside it are needed")
    (copy / f"{WEIGHTS}.index.json").write_text("{}")
    refused(copy, "not an index of weights")


def test_a_payload_does_not_run(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = audiocraft(tmp_path / "evil", "mono", audiocraft_state(folders["mono 768"]))
    path, mark = folder / "state_dict.bin", tmp_path / "ran"
    stored = torch.load(path, weights_only=True)
    torch.save(stored | {"xp.cfg": Payload(mark)}, path)
    refused(folder, "it asks for the object")
    torch.save(stored | {"xp.cfg": "!!python/object/apply:os.system ['touch ran']"}, path)
    refused(folder, "is not YAML")
    torch.save({"best_state": stored["best_state"]}, path)
    refused(folder, "holds no xp.cfg")
    torch.save(stored | {"best_state": {"emb": [1, 2]}}, path)
    refused(folder, "not every entry of its state dict is a tensor")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("section", "name", "value", "match"),
    [
        ("transformer_lm", "norm_first", False, "norm_first is False, only True"),
        ("transformer_lm", "positional_embedding", "rope", "positional_embedding is 'rope'"),
        ("transformer_lm", "n_q", 0, "n_q is 0"),
        ("codebooks_pattern", "modeling", "spiral", "modeling is 'spiral'"),
        ("codebooks_pattern", "delay", {"delays": [0, 1]}, "2 numbers|stages, inner and delays"),
        ("fuser", "sum", ["description"], "only an empty list"),
        ("conditioners", "description", {"model": "lut"}, "model is 'lut'"),
        ("conditioners", "description", {"model": "t5", "t5": {"name": "../../x"}}, "the text encoder is '../../x'"),
    ],
)
def test_an_experiment_that_cannot_be_followed(section: str, name: str, value: object, match: str) -> None:
    document = experiment("mono")
    document[section][name] = value
    with pytest.raises(ValueError, match=match):
        configs.of_audiocraft(yaml.safe_dump(document), "xp.cfg")


def test_what_the_layouts_cannot_hold(folders: dict[str, Path], tmp_path: Path) -> None:
    ours, codec = load_lm(folders["mono"]), layouts.codec_inside(folders["mono"])
    with pytest.raises(ValueError, match="the codec must be encodec-32khz"):
        save_audiocraft(ours, tmp_path / "out")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("")
    with pytest.raises(ValueError, match="holds other files"):
        save_transformers(ours, tmp_path / "taken", codec)
    other = TokenLM(replace(ours.config, pattern=parallel(4)))
    with pytest.raises(ValueError, match="the pattern must be delay"):
        save_transformers(other, tmp_path / "out", codec)
    with pytest.raises(ValueError, match="beat must be left out"):
        save_transformers(TokenLM(replace(ours.config, beat=BeatConfig())), tmp_path / "out", codec)


# --- names


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_sizes_of_the_released_models() -> None:
    """Counted, not built: nothing is allocated on the meta device."""
    for entry in released.RELEASED:
        config = entry.config()
        with torch.device("meta"):
            count = sum(weight.numel() for weight in TokenLM(config).parameters())
        assert config.name == entry.name and round(count / 1e9, 2) == pytest.approx(entry.parameters, abs=0.01)
        assert (config.channels, config.codebooks) == (entry.channels, entry.codebooks * entry.channels)
        books = [(k, k // entry.channels) for k in range(config.codebooks)]
        assert config.pattern.delays == tuple(wait for _, wait in books)


def test_a_name_in_the_cache(folders: dict[str, Path], world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError,
        match="not on this machine, and HF_HUB_OFFLINE forbids fetching: hf download facebook/musicgen-small",
    ):
        load_lm("musicgen-small")
    with pytest.raises(ValueError, match=r"no language model named 'nothing': the names are .*musicgen-small"):
        load_lm("nothing")
    snapshot = world / "hub/models--facebook--musicgen-small/snapshots/0123abcd"
    (snapshot.parent.parent / "refs").mkdir(parents=True)
    (snapshot.parent.parent / "refs" / "main").write_text("0123abcd")
    shutil.copytree(folders["mono"], snapshot)
    for name in ("musicgen-small", "facebook/musicgen-small"):
        assert find_lm(name) == snapshot and knows(name) and same(load_lm(name), load_lm(folders["mono"]))
    entry = next(entry for entry in list_lms() if entry.name == "musicgen-small")
    assert entry.folder == snapshot and entry.bytes == (snapshot / WEIGHTS).stat().st_size
    assert describe_lm("musicgen-small")["folder"] == snapshot
    assert describe_lm("musicgen-large")["config"]["transformer"]["width"] == 2048
    assert describe_lm(folders["stereo"])["config"]["channels"] == 2 and not knows(world)


def test_t5_by_name_in_the_cache(folders: dict[str, Path], world: Path) -> None:
    """A file of AudioCraft has no T5: it is the cache's, here under its old name."""
    folder = audiocraft(world / "a", "mono", audiocraft_state(folders["mono 768"]))
    with pytest.raises(
        ValueError, match=r"the text encoder t5-base: its weights are not on this machine, .*google-t5/t5-base"
    ):
        load_lm(folder).describe(["a"])
    root = world / "hub" / "models--t5-base"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0123abcd")
    load_lm(folders["mono 768"]).text.frozen.save(root / "snapshots" / "0123abcd")
    found = load_lm(folder).describe(tiny.TEXTS).memory.values
    assert (found - load_lm(folders["mono 768"]).describe(tiny.TEXTS).memory.values).abs().max() < 0.05  # float16


def test_names_are_listed_without_torch() -> None:
    code = "import sys; from solfa.lm.registry import list_lms; assert len(list_lms()) >= 10; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_keys_there_and_back() -> None:
    """Every tensor of a melody model, either way, bit for bit."""
    config = musicgen.musicgen_stereo("medium", melody=True)
    small = replace(config, codebook_size=5, transformer=replace(config.transformer, width=16, layers=2, heads=2))
    ours = dict(TokenLM(small).named_parameters())
    for there, back in ((keys.to_transformers, keys.from_transformers), (keys.to_audiocraft, keys.from_audiocraft)):
        again = back(there(ours, 8), list(ours), 8)
        assert again.keys() == ours.keys() and all(torch.equal(again[name], ours[name]) for name in ours)
