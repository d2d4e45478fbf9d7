"""One set of codes, however the sound arrives; and exactly the samples that went in come back."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.audio.io import Audio
from solfa.codecs.codec import Codec
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE, VQVAEConfig, load_vqvae
from solfa.nn.frames import FrameConfig
from solfa.nn.seanet import SEANetConfig

SMALL = QuantizerConfig(codebooks=3, codebook_size=16, kmeans_iters=0)
FRAMES = VQVAEConfig("tiny", 8_000, latent_dim=8, frames=FrameConfig(20, 12, 2, 2, 3, 4), quantizer=SMALL, chunk=7)
SEANET = SEANetConfig(dimension=8, n_filters=2, ratios=(5, 4), causal=False)
CONFIGS = {
    "frames": FRAMES,
    "stereo": dataclasses.replace(FRAMES, channels=2),
    "seanet": dataclasses.replace(FRAMES, frames=None, seanet=SEANET),
    "causal": dataclasses.replace(FRAMES, frames=None, seanet=dataclasses.replace(SEANET, causal=True)),
    "lstm": dataclasses.replace(FRAMES, frames=None, seanet=dataclasses.replace(SEANET, causal=True, lstm_layers=1)),
}


def build(name: str) -> VQVAE:
    torch.manual_seed(1)
    return VQVAE(CONFIGS[name], "0" * 64).eval()


CODECS = {name: build(name) for name in CONFIGS}


def sound(codec: Codec, samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(codec.channels, samples, generator=torch.Generator().manual_seed(seed)) * 0.3


@pytest.mark.parametrize("name", CONFIGS)
@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 700), min_size=1, max_size=3), block=st.integers(1, 300))
def test_whole_batched_and_in_blocks_give_the_same_codes(name: str, lengths: list[int], block: int) -> None:
    codec = CODECS[name]
    items = [sound(codec, n, seed) for seed, n in enumerate(lengths)]
    batch = torch.full((len(items), codec.channels, max(lengths)), 9.0)  # what follows a short item must not matter
    for row, item in zip(batch, items, strict=True):
        row[:, : item.shape[-1]] = item
    codes = codec.encode(batch, lengths)
    assert codes.lengths == tuple(-(-n // codec.hop) for n in lengths)
    for item, tokens, frames in zip(items, codes.tokens, codes.lengths, strict=True):
        alone = codec.encode(item[None]).tokens[0]
        assert torch.equal(tokens[:, :frames], alone) and not tokens[:, frames:].any()
        assert torch.equal(torch.cat(list(codec.encode_blocks(item.split(block, -1))), -1), alone)


@pytest.mark.parametrize("name", CONFIGS)
@settings(deadline=None, max_examples=15)
@given(samples=st.integers(1, 700))
def test_decode_gives_back_as_many_samples_and_any_part_alone(name: str, samples: int) -> None:
    codec = CODECS[name]
    codes = codec.encode(sound(codec, samples)[None])
    audio = codec.decode(codes)
    assert audio.samples.shape == (1, codec.channels, samples) and audio.sample_rate == codec.sample_rate
    tokens, frames = codes.tokens[0], codes.lengths[0]
    start, stop = frames // 3, max(frames // 3 + 1, 2 * frames // 3)
    part = torch.cat(list(codec.decode_blocks(lambda a, b: tokens[:, a:b], frames, start, stop)), -1)
    whole = audio.samples[0, :, start * codec.hop : stop * codec.hop]
    assert torch.equal(part[:, : whole.shape[-1]], whole)


@pytest.mark.parametrize("name", ["frames", "seanet"])
def test_windows_equal_the_network_on_the_whole_file(name: str) -> None:
    """The canonical path computes what the plain forward computes. In float64, so that near-ties do not blur it."""
    codec = build(name)
    codec.encoder.double()
    x = sound(codec, 40 * codec.hop)[None].double()
    tokens = torch.cat(list(codec.encode_blocks([x[0]])), -1)
    with torch.no_grad():
        assert torch.equal(codec.quantizer.encode(codec.encoder(x))[0], tokens)
        plain = codec.decoder(codec.quantizer.decode(tokens[None]))
    blocks = torch.cat(list(codec.decode_blocks(lambda a, b: tokens[:, a:b], 40)), -1)
    assert torch.allclose(plain[0], blocks, atol=1e-5)


@pytest.mark.parametrize("name", ["frames", "seanet", "lstm"])
def test_threads_do_not_change_codes_or_sound(name: str) -> None:
    codec, before = CODECS[name], torch.get_num_threads()
    x = sound(codec, 3000)[None]
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            codes = codec.encode(x)
            results.append((codes.tokens, codec.decode(codes).samples))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for result in results[1:] for a, b in zip(result, results[0], strict=True))


def test_codes_of_a_beginning_do_not_depend_on_what_follows() -> None:
    codec = CODECS["frames"]
    x = sound(codec, 3000)
    whole = codec.encode(x[None]).tokens
    for cut in (700, 1400, 2222):
        part = codec.encode(x[None, :, :cut]).tokens
        safe = cut // codec.hop - codec.encode_context
        assert torch.equal(part[..., :safe], whole[..., :safe])


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_a_file_gives_the_codes_of_its_samples(tmp_path: Path, rate: int) -> None:
    codec = CODECS["frames"]
    x = (np.random.default_rng(0).standard_normal((5 * rate, 1)) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", x, rate, subtype="FLOAT")
    from_file = codec.encode_file(tmp_path / "x.wav")
    from_memory = codec.encode(Audio(torch.from_numpy(x.T.copy())[None], rate))
    assert from_file.samples == from_memory.samples == (40_000,)
    assert torch.equal(from_file.tokens, from_memory.tokens)


def test_first_codebooks_alone() -> None:
    codec = CODECS["frames"]
    x = sound(codec, 500)[None]
    assert torch.equal(codec.encode(x, codebooks=2).tokens, codec.encode(x).tokens[:, :2])
    assert torch.equal(codec.decode(codec.encode(x), 2).samples, codec.decode(codec.encode(x, codebooks=2)).samples)


def test_stereo_is_averaged_with_a_word_and_mono_is_repeated() -> None:
    x = sound(CODECS["stereo"], 300)[None]
    with pytest.warns(UserWarning, match="averaged"):
        mixed = CODECS["frames"].encode(x)
    assert torch.equal(mixed.tokens, CODECS["frames"].encode(x.mean(1, keepdim=True)).tokens)
    assert torch.equal(
        CODECS["stereo"].encode(x[:, :1]).tokens, CODECS["stereo"].encode(x[:, :1].expand(-1, 2, -1)).tokens
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(1, 1, 0), "shape"),
        (torch.zeros(5), "shape"),
        (torch.full((1, 1, 50), float("nan")), "NaN"),
        (torch.zeros(1, 3, 50), "3 channels"),
    ],
)
def test_bad_sound_is_named(bad: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CODECS["stereo"].encode(bad)


def test_bad_codes_are_refused() -> None:
    codec = CODECS["frames"]
    codes = codec.encode(sound(codec, 100)[None])
    for change, message in [
        ({"weights_hash": "f" * 64}, "codec"),
        ({"tokens": codes.tokens + 16}, "0 to 15"),
        ({"tokens": codes.tokens[..., :2]}, "shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            codec.decode(dataclasses.replace(codes, **change))
    with pytest.raises(ValueError, match="between 1 and 3"):
        codec.decode(codes, 4)
    with pytest.raises(ValueError, match="between 1 and 3"):
        codec.encode(sound(codec, 100)[None], codebooks=0)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_saved_codec_gives_the_same_codes(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    codec = build(name)
    codec.load_state_dict(
        {k: v.to(dtype).to(v.dtype) if v.is_floating_point() else v for k, v in codec.state_dict().items()}
    )
    codec.save(tmp_path / "c", dtype=dtype)
    again = load_codec(tmp_path / "c")
    assert again.weights_hash and isinstance(again, VQVAE) and again.config == codec.config
    x = sound(codec, 600)[None]
    assert torch.equal(codec.encode(x).tokens, again.encode(x).tokens)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    from solfa import checkpoint

    codec = build("frames")
    codec.save(tmp_path / "c")
    stored = checkpoint.load(tmp_path / "c")
    tensors = dict(stored.tensors)
    tensors.pop(sorted(tensors)[0])
    checkpoint.save(tmp_path / "c", "codec", stored.config, tensors)
    with pytest.raises(ValueError, match="do not fit the configuration"):
        load_vqvae(tmp_path / "c")
    stored.config["frames"]["width"] = 8192
    stored.config["frames"]["blocks"] = 256
    checkpoint.save(tmp_path / "c", "codec", stored.config, stored.tensors)
    with pytest.raises(ValueError, match="parameters"):
        load_vqvae(tmp_path / "c")
    with pytest.raises(ValueError, match="no codec named 'nothing'"):
        load_codec("nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": None}, "exactly one"),
        ({"seanet": SEANET}, "exactly one"),
        ({"frames": None, "seanet": dataclasses.replace(SEANET, lstm_layers=1)}, "LSTM"),
        ({"frames": None, "seanet": dataclasses.replace(SEANET, dimension=9)}, "dimension 9"),
        ({"chunk": 0}, "chunk"),
    ],
)
def test_illegal_configurations_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(FRAMES, **change)
