"""Every way to a codec's weights: the hub's cache and the hub, folders, original files; all give the same codes."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub import constants
from safetensors.torch import save_file
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

from solfa.codecs import dac, encodec
from solfa.codecs.registry import describe, list_codecs, load_codec
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.codecs.weights import dac_keys, encodec_keys, layouts, released
from solfa.codecs.weights.released import Released

SOUND = 0.3 * torch.randn(1, 1, 1003, generator=torch.Generator().manual_seed(5))
RATIOS = (4, 2)


def tiny_encodec() -> VQVAEConfig:
    base = encodec.encodec_24khz()
    seanet = replace(base.seanet, n_filters=4, dimension=16, ratios=RATIOS)
    quantizer = replace(base.quantizer, codebooks=4, codebook_size=16)
    return replace(base, name="encodec-tiny", sample_rate=8000, latent_dim=16, seanet=seanet, quantizer=quantizer)


def tiny_dac() -> VQVAEConfig:
    base = dac.dac_44khz()
    seanet = replace(base.seanet, n_filters=4, dimension=16, ratios=RATIOS)
    decoder = replace(base.decoder, n_filters=6, dimension=16, ratios=RATIOS)
    quantizer = replace(base.quantizer, codebooks=3, codebook_size=16)
    shape = {"latent_dim": 16, "seanet": seanet, "decoder": decoder, "quantizer": quantizer}
    return replace(base, name="dac-tiny", sample_rate=8000, **shape)


ENTRIES = (
    Released("encodec-tiny", "encodec", "tiny", 8000, 1, 8, 4, 16, "CC BY-NC 4.0", "owner/encodec_tiny", "https://x/e", "e.th"),
    Released("dac-tiny", "dac", "tiny", 8000, 1, 8, 3, 16, "MIT", "owner/dac_tiny", "https://x/d", "d.pth"),
    Released("dac-lone", "dac", "lone", 8000, 1, 8, 5, 16, "MIT", None, "https://x/lone.pth", "lone.pth"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny released models, an empty home, empty caches, no network."""
    monkeypatch.setattr(released, "RELEASED", ENTRIES)
    monkeypatch.setattr(encodec, "tiny", tiny_encodec, raising=False)
    monkeypatch.setattr(dac, "tiny", tiny_dac, raising=False)
    monkeypatch.setattr(dac, "lone", dac.dac_16khz, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def model_of(name: str) -> VQVAE:
    """A model with random weights, as `transformers` has it: its weight norm, once fused, is that of the fused weights."""
    torch.manual_seed(3)
    model = VQVAE(tiny_encodec() if name == "encodec-tiny" else tiny_dac())
    if name == "encodec-tiny":
        for book in model.quantizer.books:
            book.layer._codebook.embed.data.normal_(std=0.05)
    return model.eval()


def transformers_folder(name: str, folder: Path) -> Path:
    state = model_of(name).state_dict()
    shape = {"sampling_rate": 8000, "upsampling_ratios": list(RATIOS), "codebook_size": 16}
    if name == "encodec-tiny":
        small = {"num_filters": 4, "hidden_size": 16, "codebook_dim": 16, "target_bandwidths": [4.0, 16.0]}
        model = EncodecModel(EncodecConfig(**small, **shape))
        model.load_state_dict(encodec_keys.to_transformers(state))
    else:
        small = {"encoder_hidden_size": 4, "decoder_hidden_size": 24, "downsampling_ratios": [2, 4], "n_codebooks": 3}
        model = DacModel(DacConfig(**small, **shape))
        model.load_state_dict(dac_keys.to_transformers(state))
    model.save_pretrained(folder)
    return folder


def hub_snapshot(name: str, world: Path) -> Path:
    """A cache as huggingface_hub lays it out."""
    entry = released.find(name)
    root = world / "hub" / f"models--{entry.repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0123abcd")
    return transformers_folder(name, root / "snapshots" / "0123abcd")


def bin_folder(name: str, folder: Path) -> Path:
    """The older form of the transformers layout."""
    transformers_folder(name, folder)
    model = (EncodecModel if name == "encodec-tiny" else DacModel).from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def original(name: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = model_of(name).state_dict()
    if name == "encodec-tiny":
        torch.save(encodec_keys.to_original(state), path)
        return path
    shape = {"encoder_dim": 4, "encoder_rates": [2, 4], "decoder_dim": 24, "decoder_rates": [4, 2], "latent_dim": None}
    books = {"n_codebooks": 3, "codebook_size": 16, "codebook_dim": 8, "quantizer_dropout": True, "sample_rate": 8000}
    torch.save({"state_dict": dac_keys.to_original(state), "metadata": {"kwargs": shape | books}}, path)
    return path


def cached_original(name: str, world: Path) -> Path:
    entry = released.find(name)
    return original(name, released.originals_folder(entry.family) / entry.cached)


AUDIOCRAFT = {
    "sample_rate": 8000,
    "channels": 1,
    "compression_model": "encodec",
    "encodec": {"autoencoder": "seanet", "quantizer": "rvq", "sample_rate": "${sample_rate}", "channels": "${channels}",
                "causal": True, "renormalize": False},
    "seanet": {"dimension": 16, "channels": "${channels}", "causal": "${encodec.causal}", "n_filters": 4, "ratios": [4, 2],
               "activation": "ELU", "activation_params": {"alpha": 1.0}, "norm": "weight_norm", "pad_mode": "reflect",
               "true_skip": False, "lstm": 2, "encoder": {},
               "decoder": {"trim_right_ratio": 1.0, "final_activation": None, "final_activation_params": None}},
    "rvq": {"n_q": 4, "bins": 16, "q_dropout": False},
}  # fmt: skip


def audiocraft(path: Path, change: Callable[[dict], None] = lambda document: None, **more: object) -> Path:
    document = json.loads(json.dumps(AUDIOCRAFT))
    change(document)
    state = encodec_keys.to_original(model_of("encodec-tiny").state_dict())
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"best_state": state, "xp.cfg": yaml.safe_dump(document), "version": "1", "exported": True} | more, path)
    return path


ROUTES: dict[str, Callable[[str, Path], str | Path]] = {
    "name, hub's cache": lambda name, world: hub_snapshot(name, world) and name,
    "repository, hub's cache": lambda name, world: hub_snapshot(name, world) and released.find(name).repo,
    "name, original's cache": lambda name, world: cached_original(name, world) and name,
    "folder": lambda name, world: transformers_folder(name, world / "a folder"),
    "folder with .bin": lambda name, world: bin_folder(name, world / "old"),
    "original file": lambda name, world: original(name, world / "w.th"),
    "folder with the original": lambda name, world: original(name, world / "o" / "weights.pth").parent,
    "DAC's own folder": lambda name, world: original(name, world / "o" / "dac" / "weights.pth").parent.parent,
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ["encodec-tiny", "dac-tiny"])
def test_every_route_gives_the_same_codes(name: str, route: str, world: Path) -> None:
    codec = load_codec(ROUTES[route](name, world))
    expected = model_of(name).encode(SOUND)
    found = codec.encode(SOUND)
    assert torch.equal(found.tokens, expected.tokens) and len(found.tokens.unique()) > 4
    assert (codec.name, found.codec) == (name, name)
    original_hash = layouts.load_original(original(name, world / "again.pth")).weights_hash
    assert codec.weights_hash == original_hash and len(original_hash) == 64
    assert torch.allclose(codec.decode(found).samples, model_of(name).decode(expected).samples, atol=1e-5)


def test_other_weights_have_another_hash(world: Path) -> None:
    for name, tensor in (("encodec-tiny", "encoder.model.13.conv.conv.bias"), ("dac-tiny", "encoder.block.0.bias")):
        path = original(name, world / "w.pth")
        before = load_codec(path).weights_hash
        stored = torch.load(path, weights_only=True)
        state = stored.get("state_dict", stored)
        key = tensor if tensor in state else next(key for key in state if key.endswith("conv.bias"))
        state[key][0] += 1e-3
        torch.save(stored, path)
        assert load_codec(path).weights_hash != before


def test_audiocraft_by_its_own_configuration(world: Path) -> None:
    codec = load_codec(audiocraft(world / "compression_state_dict.bin"))
    assert codec.name == "encodec-tiny" and codec.config == tiny_encodec()
    expected = model_of("encodec-tiny").encode(SOUND).tokens
    assert torch.equal(codec.encode(SOUND).tokens, expected)
    assert torch.equal(load_codec(world / "compression_state_dict.bin").encode(SOUND).tokens, expected)
    nested = torch.load(world / "compression_state_dict.bin", weights_only=True)
    torch.save(nested | {"best_state": {"model": nested["best_state"]}}, world / "training.th")
    assert load_codec(world / "training.th").weights_hash == codec.weights_hash


def test_audiocraft_padded_with_zeros_is_another_codec(world: Path) -> None:
    """AudioCraft's default. transformers' encodec_32khz says reflect: the codes of the two differ at the ends."""
    path = audiocraft(world / "w.bin", lambda document: document["seanet"].update(pad_mode="constant"))
    codec = load_codec(path)
    assert codec.name == "encodec-8000hz" and codec.config.seanet.pad_mode == "zero"


def test_audiocraft_that_refers_to_a_released_codec(world: Path) -> None:
    torch.save({"pretrained": "owner/dac_tiny", "exported": True, "version": "1"}, world / "w.bin")
    with pytest.raises(ValueError, match="weights of dac-tiny are not on this machine: hf download owner/dac_tiny"):
        load_codec(world / "w.bin")
    hub_snapshot("dac-tiny", world)
    assert load_codec(world / "w.bin").name == "dac-tiny"
    torch.save({"pretrained": "someone/else"}, world / "w.bin")
    with pytest.raises(ValueError, match="no released codec"):
        load_codec(world / "w.bin")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d["seanet"].update(activation="GELU"), "seanet: activation is 'GELU', only 'ELU'"),
        (lambda d: d["seanet"]["decoder"].update(n_filters=8), "decoder: n_filters is nothing that can be followed"),
        (lambda d: d["seanet"].update(n_filters="${nothing}"), r"\$\{nothing\} in the configuration names nothing"),
        (lambda d: d["seanet"].update(n_filters="${seanet.n_filters}"), "names nothing"),
        (lambda d: d["encodec"].update(renormalize=True), "renormalize is True"),
        (lambda d: d.update(compression_model="other"), "compression_model is 'other'"),
        (lambda d: d["rvq"].update(n_q=8), "tensors are missing, unknown or of another shape"),
    ],
)
def test_audiocraft_that_cannot_be_followed(world: Path, change: Callable[[dict], None], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        load_codec(audiocraft(world / "w.bin", change))


def test_weights_that_are_not_there(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("encodec-tiny", "owner/encodec_tiny"):
        with pytest.raises(ValueError) as caught:
            load_codec(name)
        assert str(caught.value) == (
            "the weights of encodec-tiny are not on this machine, and HF_HUB_OFFLINE forbids fetching: "
            "hf download owner/encodec_tiny, or name a file or folder that holds them"
        )
    with pytest.raises(ValueError, match=r"download https://x/lone.pth to \S+/descript/dac/lone.pth"):
        load_codec("dac-lone")
    with pytest.raises(ValueError, match="no folder or file here, and as a hub repository: HF_HUB_OFFLINE"):
        load_codec("owner/unknown")
    with pytest.raises(
        ValueError, match="the names are solfa-24khz, encodec-tiny, dac-tiny, dac-lone, kyutai/mimi, a hub repo"
    ):
        load_codec("unknown")


def test_the_hub_is_asked_only_when_it_may_be(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    source = transformers_folder("dac-tiny", world / "source")

    def download(repo: str, name: str) -> str:
        asked.append(name)
        target = world / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / "0123abcd"
        target.mkdir(parents=True, exist_ok=True)
        (target.parents[1] / "refs").mkdir(exist_ok=True)
        (target.parents[1] / "refs" / "main").write_text("0123abcd")
        return shutil.copy(source / name, target / name)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    with pytest.raises(ValueError, match="the hub cannot be reached"):
        load_codec("dac-tiny")
    assert asked == []
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": "http://proxy:1"})  # it may answer
    with pytest.raises(ValueError, match="not on this machine: hf download"):
        load_codec("dac-tiny", fetch=False)
    assert asked == [] and list_codecs()[2].folder is None
    assert load_codec("dac-tiny").name == "dac-tiny"
    assert asked == ["config.json", "model.safetensors"]
    assert load_codec("dac-tiny").name == "dac-tiny" and len(asked) == 2  # now it is in the cache
    assert list_codecs()[2].folder is not None


def test_wrong_tensors(world: Path) -> None:
    folder = transformers_folder("dac-tiny", world / "a")
    weights = folder / "model.safetensors"
    whole = dac_keys.to_transformers(model_of("dac-tiny").state_dict())
    for change, match in (
        (
            {"encoder.conv1.bias": torch.ones(5)},
            "dac-tiny: 1 tensors are missing, unknown or of another shape, encoder.layers.0.conv.bias",
        ),
        ({"encoder.conv1.bias": torch.full((4,), float("nan"))}, "'encoder.layers.0.conv.bias' holds NaN"),
        ({"extra": torch.ones(5)}, "dac-tiny: 1 tensors are missing, unknown or of another shape, extra"),
        ({"encoder.conv1.weight": torch.ones(4)}, "another shape, encoder.layers.0.conv"),
    ):
        save_file({name: tensor.contiguous() for name, tensor in (whole | change).items()}, weights)
        with pytest.raises(ValueError, match=match):
            load_codec(folder)
    save_file({name: tensor for name, tensor in whole.items() if name != "decoder.conv1.bias"}, weights)
    with pytest.raises(ValueError, match=r"decoder\.layers\.0\.conv\.bias"):
        load_codec(folder)
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_codec(folder)
    weights.unlink()
    with pytest.raises(ValueError, match=r"holds none of model.safetensors, pytorch_model.bin"):
        load_codec(folder)


def test_originals_that_fit_nothing(world: Path) -> None:
    path = world / "w.th"
    state = encodec_keys.to_original(model_of("encodec-tiny").state_dict())
    for stored, match in (
        ([1, 2], "no named tensors"),
        ({}, "no named tensors"),
        ({"a": 1}, "not every entry"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "real numbers"),
        ({name: t for name, t in state.items() if "decoder" not in name}, "none of encodec-tiny"),
        ({"state_dict": state}, "metadata.kwargs is not an object"),
        ({"state_dict": state, "metadata": {"kwargs": {"encoder_dim": 10**9}}}, "encoder_dim is 1000000000"),
        ({"state_dict": state, "metadata": {"kwargs": {"encoder_rates": [2] * 99}}}, "1 to 16 strides"),
        ({"state_dict": state, "metadata": {"kwargs": {"codebook_dim": [8, 9]}}}, "codebook_dim"),
        ({"best_state": state}, "xp.cfg"),
        ({"best_state": state, "xp.cfg": "{"}, "not YAML"),
    ):
        torch.save(stored, path)
        with pytest.raises(ValueError, match=match):
            load_codec(path)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("encodec-tiny", {"num_filters": 0}, "num_filters is 0"),
        ("encodec-tiny", {"num_filters": "4"}, "num_filters: '4' is not int"),
        ("encodec-tiny", {"num_filters": 60_000}, "widest layer has 240000 channels"),
        ("encodec-tiny", {"norm_type": "layer_norm"}, "norm_type is 'layer_norm', 'weight_norm' or"),
        ("encodec-tiny", {"pad_mode": "replicate"}, "pad_mode is 'replicate'"),
        ("encodec-tiny", {"trim_right_ratio": 0.5}, "trim_right_ratio is 0.5"),
        ("encodec-tiny", {"codebook_dim": 8}, "codebook_dim is 8"),
        ("encodec-tiny", {"normalize": True}, "normalize is True"),
        ("encodec-tiny", {"target_bandwidths": []}, "target_bandwidths is empty"),
        ("encodec-tiny", {"target_bandwidths": [1e9]}, "target_bandwidths end at"),
        ("encodec-tiny", {"norm_type": "time_group_norm"}, "needs a segment"),
        ("encodec-tiny", {"chunk_length_s": 1e300}, "chunk_length_s"),
        ("dac-tiny", {"upsampling_ratios": [4, 3]}, "hop"),
        ("dac-tiny", {"decoder_hidden_size": 25}, "cannot be halved"),
        ("dac-tiny", {"n_codebooks": -1}, "n_codebooks is -1"),
    ],
)
def test_configurations_that_cannot_be_followed(world: Path, name: str, change: dict, match: str) -> None:
    folder = transformers_folder(name, world / "a")
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | change))
    with pytest.raises(ValueError, match=match):
        load_codec(folder)


def test_names_and_folders(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a released codec wins over a folder; its repository's name does not, and ./ says the folder."""
    monkeypatch.chdir(world)
    transformers_folder("dac-tiny", world / "encodec-tiny")
    transformers_folder("dac-tiny", world / "owner" / "encodec_tiny")
    with pytest.raises(ValueError, match="weights of encodec-tiny are not on this machine"):
        load_codec("encodec-tiny")
    assert load_codec("./encodec-tiny").name == load_codec("owner/encodec_tiny").name == "dac-tiny"


def test_listing_and_description(world: Path) -> None:
    hub_snapshot("encodec-tiny", world)
    shipped, first, second, lone, mimi = list_codecs()
    assert (shipped.name, shipped.how, shipped.bitrate) == ("solfa-24khz", "in the package", 4000)
    assert first.folder == world / "hub/models--owner--encodec_tiny/snapshots/0123abcd"
    assert (second.folder, second.how, second.bitrate) == (None, "hf download owner/dac_tiny", 12_000)
    assert lone.how.startswith("download https://x/lone.pth to ")
    assert (mimi.name, mimi.folder, mimi.how, mimi.frame_rate) == ("kyutai/mimi", None, "hf download kyutai/mimi", 12.5)
    assert (describe("kyutai/mimi")["config"]["codebooks"], round(mimi.bitrate)) == (32, 4400)
    facts = describe("encodec-tiny")
    assert facts["config"]["name"] == "encodec-tiny" and facts["bytes"] > 1000 and facts["licence"] == "CC BY-NC 4.0"
    assert describe("dac-tiny")["bytes"] is None
    assert describe(str(original("dac-tiny", world / "w.pth")))["config"]["sample_rate"] == 8000
    folder = transformers_folder("dac-tiny", world / "a")
    assert describe(str(folder))["config"]["name"] == "dac-tiny"
    (folder / "config.json").write_text(json.dumps({"model_type": "mimi", "frame_rate": 12.5}))
    assert describe(str(folder))["config"]["frame_rate"] == 12.5


def test_listing_loads_no_torch() -> None:
    code = "import sys; from solfa.codecs.registry import list_codecs; list_codecs(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_table_says_what_the_presets_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert len(released.RELEASED) == 7
    for entry in released.RELEASED:
        config = entry.config()
        found = (config.name, config.sample_rate, config.channels, config.hop)
        assert found == (entry.name, entry.sample_rate, entry.channels, entry.hop)
        assert (config.quantizer.codebooks, config.quantizer.codebook_size) == (entry.codebooks, entry.codebook_size)
        assert entry.repo or (entry.url and entry.cached)
        assert (config.decoder is not None) == (entry.family == "dac")
