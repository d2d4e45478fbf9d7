"""Codecs of transformers behind our interface: its codes, its sound, and the laws that hold for all codecs here."""

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.codecs import adapter
from solfa.codecs.adapter import TransformersCodec, load_adapter
from solfa.codecs.registry import load_codec


def make_mimi() -> transformers.MimiModel:
    config = transformers.MimiConfig(
        sampling_rate=8000,
        hidden_size=16,
        num_filters=4,
        upsampling_ratios=[4, 3],
        codebook_size=16,
        codebook_dim=8,
        num_quantizers=4,
        vector_quantization_hidden_dimension=8,
        upsample_groups=16,
        num_hidden_layers=1,
        intermediate_size=16,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=5,
    )
    return transformers.MimiModel(config)


def make_xcodec() -> transformers.XcodecModel:
    acoustic = transformers.DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=[8, 5, 4, 2],
        decoder_hidden_size=32,
        upsampling_ratios=[8, 5, 4, 2],
        hidden_size=8,
    )
    semantic = transformers.HubertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    config = transformers.XcodecConfig(
        target_bandwidths=[0.2, 0.8],
        codebook_size=16,
        acoustic_model_config=acoustic.to_dict(),
        semantic_model_config=semantic.to_dict(),
    )
    return transformers.XcodecModel(config)


def make_dac() -> transformers.DacModel:
    config = transformers.DacConfig(
        sampling_rate=16_000,
        encoder_hidden_size=4,
        downsampling_ratios=[2, 5],
        decoder_hidden_size=16,
        upsampling_ratios=[5, 2],
        hidden_size=16,
        n_codebooks=3,
        codebook_size=16,
        codebook_dim=4,
    )
    return transformers.DacModel(config)


def make_encodec(**changes: object) -> transformers.EncodecModel:
    config = transformers.EncodecConfig(
        target_bandwidths=[8.0, 16.0],
        sampling_rate=16_000,
        num_filters=4,
        upsampling_ratios=[5, 2],
        codebook_size=16,
        hidden_size=8,
        codebook_dim=8,
        **changes,
    )
    return transformers.EncodecModel(config)


MAKERS = {"mimi": make_mimi, "xcodec": make_xcodec, "dac": make_dac, "encodec": make_encodec}
# Hz, samples a frame, codebooks
SHAPES = {"mimi": (8000, 24, 4), "xcodec": (16_000, 320, 4), "dac": (16_000, 10, 3), "encodec": (16_000, 10, 2)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each kind with random weights (codebooks too, which transformers starts at zero), as transformers saves it."""
    top = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng():
        for name, make in MAKERS.items():
            torch.manual_seed(3)
            model = make()
            for key, tensor in model.state_dict().items():
                if key.endswith((".embed", "embed_sum")):
                    tensor.normal_(std=0.01 if name == "encodec" else 1.0)
                elif key.endswith("conv.bias"):
                    tensor.zero_()  # else they outweigh the sound
                elif key.endswith("cluster_usage"):
                    tensor.fill_(1.0)
            model.save_pretrained(top / name)
    return {name: top / name for name in MAKERS}


@pytest.fixture(scope="module")
def codecs(folders: dict[str, Path]) -> dict[str, TransformersCodec]:
    return {name: load_adapter(folder) for name, folder in folders.items()}


def sound(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed)) * 0.3


def reference(name: str, model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What transformers itself gives for one recording [1, 1, S]."""
    with torch.inference_mode():
        return model.encode(x, bandwidth=16.0).audio_codes[0] if name == "encodec" else model.encode(x).audio_codes


@pytest.mark.parametrize("name", MAKERS)
def test_codes_and_sound_are_those_of_transformers(name: str, folders: dict, codecs: dict) -> None:
    theirs = getattr(transformers, type(codecs[name].model).__name__).from_pretrained(folders[name]).eval()
    rate, hop, books = SHAPES[name]
    codec = codecs[name]
    assert (codec.sample_rate, codec.hop, codec.codebooks, codec.codebook_size) == (rate, hop, books, 16)
    for frames in (1, 2, 7, 40):
        x = sound(frames * hop)[None]
        codes, expected = codec.encode(x), reference(name, theirs, x)
        assert torch.equal(codes.tokens, expected) and codes.lengths == (frames,)
        with torch.inference_mode():
            decoded = (
                theirs.decode(expected[None], [None]) if name == "encodec" else theirs.decode(audio_codes=expected)
            )
        audio = decoded.audio_values.reshape(1, 1, -1)
        ours = codec.decode(codes).samples
        assert ours.shape == x.shape and audio.shape[-1] <= ours.shape[-1]
        assert torch.allclose(ours[..., : audio.shape[-1]], audio, atol=1e-6)
        assert not ours[..., audio.shape[-1] :].any()
    assert len(codes.tokens.unique()) > 4  # not one code for everything


@pytest.mark.parametrize("name", ["mimi", "encodec"])
def test_a_ragged_end_is_left_to_the_network(name: str, codecs: dict) -> None:
    for samples in (1, 5, 23, 25, 100):
        x = sound(samples)[None]
        assert torch.equal(codecs[name].encode(x).tokens, reference(name, codecs[name].model, x))


@pytest.mark.parametrize("name", ["xcodec", "dac"])
def test_a_ragged_end_is_filled_up_with_zeros(name: str, codecs: dict) -> None:
    codec, hop = codecs[name], SHAPES[name][1]
    for samples in (1, hop - 1, 2 * hop + 3):
        x = sound(samples)[None]
        padded = torch.nn.functional.pad(x, (0, -samples % hop))
        assert torch.equal(codec.encode(x).tokens, codec.encode(padded).tokens)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=5)
@given(lengths=st.lists(st.integers(1, 700), min_size=1, max_size=3), block=st.integers(1, 300))
def test_batched_alone_and_in_blocks_give_the_same_codes_and_lengths(
    name: str, codecs: dict, lengths: list[int], block: int
) -> None:
    codec = codecs[name]
    items = [sound(n, seed) for seed, n in enumerate(lengths)]
    batch = torch.full((len(items), 1, max(lengths)), 9.0)  # what follows a short item must not matter
    for row, item in zip(batch, items, strict=True):
        row[:, : item.shape[-1]] = item
    codes = codec.encode(batch, lengths=lengths)
    assert codes.samples == tuple(lengths) and codes.lengths == tuple(-(-n // codec.hop) for n in lengths)
    audio = codec.decode(codes).samples
    for i, (item, frames) in enumerate(zip(items, codes.lengths, strict=True)):
        alone = codec.encode(item[None])
        assert torch.equal(codes.tokens[i, :, :frames], alone.tokens[0]) and not codes.tokens[i, :, frames:].any()
        assert torch.equal(torch.cat(list(codec.encode_blocks(item.split(block, -1))), -1), alone.tokens[0])
        sounds = codec.decode(alone).samples[0]
        assert sounds.shape == item.shape and torch.equal(sounds, audio[i, :, : item.shape[-1]])


def test_threads_do_not_change_codes_or_sound(codecs: dict) -> None:
    codec, before = codecs["mimi"], torch.get_num_threads()
    x, results = sound(3000)[None], []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            codes = codec.encode(x)
            results.append((codes.tokens, codec.decode(codes).samples))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", MAKERS)
def test_first_codebooks_and_any_part_alone(name: str, codecs: dict) -> None:
    codec = codecs[name]
    x = sound(5 * codec.hop + 3)[None]
    codes = codec.encode(x)
    fewer = codec.encode(x, codebooks=1)
    assert torch.equal(fewer.tokens, codes.tokens[:, :1])
    assert torch.equal(codec.decode(codes, 1).samples, codec.decode(fewer).samples)
    tokens = codes.tokens[0]
    whole = codec.decode(codes).samples[0]
    (part,) = codec.decode_samples(lambda a, b: tokens[:, a:b], x.shape[-1], 7, codec.hop + 1)
    assert torch.equal(part, whole[:, 7 : codec.hop + 1])


def test_mimi_gives_the_codes_that_it_gives_with_fewer_codebooks(codecs: dict) -> None:
    codec, x = codecs["mimi"], sound(500)[None]
    with torch.inference_mode():
        theirs = codec.model.encode(x, num_quantizers=2).audio_codes
    assert torch.equal(codec.encode(x, codebooks=2).tokens, theirs)


def test_a_file_gives_the_codes_of_its_samples(tmp_path: Path, codecs: dict) -> None:
    x = sound(4321)
    soundfile.write(tmp_path / "x.wav", x[0].numpy(), 8000, subtype="FLOAT")
    codes = codecs["mimi"].encode_file(tmp_path / "x.wav")
    assert codes.samples == (4321,) and torch.equal(codes.tokens, codecs["mimi"].encode(x[None]).tokens)
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "y.wav", 0.1 * rng.standard_normal((44_100, 2)), 44_100)
    with pytest.warns(UserWarning, match="averaged"):
        assert codecs["mimi"].encode_file(tmp_path / "y.wav").samples == (8000,)


def test_a_long_recording_is_warned_of_once(folders: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "LONG", 0.1)
    codec = load_adapter(folders["mimi"])
    with pytest.warns(UserWarning, match="no exact chunks: 1 s are coded at once"):
        codec.encode(sound(8000)[None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec.decode(codec.encode(sound(8000)[None]))


def test_by_name_and_by_hash(folders: dict, codecs: dict) -> None:
    found = load_codec(folders["mimi"])
    assert isinstance(found, TransformersCodec) and found.name == "mimi" and len(found.weights_hash) == 64
    assert found.weights_hash == codecs["mimi"].weights_hash != codecs["xcodec"].weights_hash
    codes = codecs["mimi"].encode(sound(100)[None])
    assert torch.equal(found.decode(codes).samples, codecs["mimi"].decode(codes).samples)
    with pytest.raises(ValueError, match="codes are of the codec"):
        found.decode(dataclasses.replace(codes, weights_hash="0" * 64))
    with pytest.raises(ValueError, match="between 1 and 4"):
        found.encode(sound(100)[None], codebooks=5)
    with pytest.raises(ValueError, match="samples 9 to 9"):
        list(found.decode_samples(lambda a, b: codes.tokens[0], 100, 9, 9))


def broken(folders: dict, tmp_path: Path, **changes: object) -> Path:
    """A copy of Mimi's folder with other entries in its configuration."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((folders["mimi"] / "model.safetensors").read_bytes())
    document = json.loads((folders["mimi"] / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "'bert' is no codec"),
        ({"model_type": "vibevoice_acoustic_tokenizer"}, "no codec"),
        ({"model_type": "higgs_audio_v2_tokenizer"}, "torchaudio"),
        ({"model_type": 7}, "no model_type"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, at most"),
        ({"num_hidden_layers": 2}, "tensors are missing or do not fit"),
        ({"num_quantizers": 5}, "tensors are missing or do not fit"),
        ({"hidden_size": 1 << 20}, "parameters, more than"),
        ({"sampling_rate": "fast"}, "sampling_rate"),
    ],
)
def test_configurations_of_strangers(changes: dict, message: str, folders: dict, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_adapter(broken(folders, tmp_path, **changes))


def test_weights_of_strangers(folders: dict, tmp_path: Path) -> None:
    folder = broken(folders, tmp_path)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(ValueError, match="broken"):
        load_adapter(folder)
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="safetensors only"):
        load_adapter(folder)


def test_no_network_unless_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE"):
        load_adapter("somebody/no-such-codec")
    with pytest.raises(ValueError, match="not in the cache"):
        load_adapter("somebody/no-such-codec", fetch=False)
    with pytest.raises(ValueError, match="no name of a hub repository"):
        load_adapter(tmp_path)


def test_segments_are_left_to_our_own() -> None:
    with pytest.raises(ValueError, match=r"segments of 1\.0 s"):
        TransformersCodec(make_encodec(chunk_length_s=1.0, overlap=0.01), "x", "")
