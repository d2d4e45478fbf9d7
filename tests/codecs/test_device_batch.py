"""Batches of windows for a GPU, run on the CPU here: the codes and sounds of one recording at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.codecs.device_batch import DeviceBatch
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.segments import SegmentConfig
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.frames import FrameConfig, FrameDecoder
from solfa.nn.seanet import SEANetConfig

DAC = SEANetConfig(
    dimension=6,
    n_filters=4,
    ratios=(3, 2),
    n_residual_layers=2,
    compress=1,
    true_skip=True,
    activation="snake",
    causal=False,
)
SHORT = replace(DAC, symmetric=True)
ENCODEC = SEANetConfig(dimension=6, n_filters=4, ratios=(3, 2), lstm_layers=1, pad_mode="reflect")
BOTH_WAYS = replace(ENCODEC, causal=False)
SHAPES = {
    "dac": {"seanet": DAC},
    "short": {"seanet": DAC, "decoder": SHORT},
    "encodec": {"seanet": ENCODEC},
    "both ways": {"seanet": BOTH_WAYS},
    "frames": {"frames": FrameConfig(hop=6, width=12, blocks=3, kernel=5, bands=3)},
    "stereo frames": {"frames": FrameConfig(hop=6, width=12, blocks=2, kernel=3, bands=3), "channels": 2},
}


def build(name: str) -> VQVAE:
    torch.manual_seed(0)
    quantizer = QuantizerConfig(codebooks=2, codebook_size=16)
    config = VQVAEConfig(name=name, latent_dim=6, quantizer=quantizer, chunk=24, **SHAPES[name])  # type: ignore[arg-type]
    codec = VQVAE(config).eval()
    latents = codec.encoder(torch.randn(1, codec.channels, 240)).detach()[0].T  # [40, D]
    for key, codebook in codec.named_buffers():
        if key.endswith(".embed"):  # all zeros before training
            codebook.copy_(latents[:16])
            latents = 0.5 * (latents - latents.mean(0))  # about what one level leaves to the next
    return codec


codecs = {name: build(name) for name in SHAPES}


def sounds(lengths: list[int], channels: int = 1) -> list[Tensor]:
    return [torch.randn(channels, n, generator=torch.Generator().manual_seed(n)) for n in lengths]


@pytest.mark.parametrize("name", list(SHAPES))
@settings(max_examples=4, deadline=None, derandomize=True)  # near-ties are allowed to differ, and are rare
@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=5),
    st.integers(1, 4),
    st.sampled_from([16, 40]),
)
def test_codes_and_sounds_are_those_of_one_at_a_time(name: str, lengths: list[int], lanes: int, chunk: int) -> None:
    codec = codecs[name]
    batch = DeviceBatch(codec, "cpu", lanes=lanes, chunk=chunk, dtype=torch.float32)
    items = sounds(lengths, codec.channels)
    coded = {done.index: done.data for done in batch.encode(items)}
    single = [codec.encode(item[None]) for item in items]
    assert sorted(coded) == list(range(len(items)))
    for index, codes in enumerate(single):
        assert torch.equal(coded[index], codes.tokens[0])
        assert codes.tokens.unique().numel() > 4 or lengths[index] < 60
    decoded = {done.index: done.data for done in batch.decode((codes.tokens[0], codes.samples[0]) for codes in single)}
    for index, codes in enumerate(single):
        sound = codec.decode(codes).samples[0]
        assert decoded[index].shape == sound.shape
        assert (decoded[index] - sound).abs().max() < 1e-5


def test_lanes_take_the_next_recording_and_give_each_as_it_ends() -> None:
    taken: list[int] = []

    def items() -> Iterator[Tensor]:
        for index, item in enumerate(sounds([600, 10, 20, 30])):
            taken.append(index)
            yield item

    done = []
    for each in DeviceBatch(codecs["dac"], "cpu", lanes=2, chunk=16).encode(items(), codebooks=1):
        done.append(each.index)
        assert each.data.shape[0] == 1
        assert len(taken) <= len(done) + 2 + 1  # the lanes, and a tick that is still under way
    assert done == [1, 2, 3, 0]


@pytest.mark.parametrize("name", ["encodec", "frames"])
def test_bfloat16_decoder_is_near(name: str) -> None:
    codec = codecs[name]
    codes = codec.encode(sounds([500])[0][None])
    (near,) = DeviceBatch(codec, "cpu", lanes=1, chunk=30).decode([(codes.tokens[0], 500)])
    sound = codec.decode(codes).samples[0]
    assert near.data.dtype == torch.float32
    assert 0 < (near.data - sound).abs().max() < 0.05 * sound.abs().max()


@pytest.mark.parametrize("name", ["short", "frames"])
def test_one_graph_of_each_stage(name: str) -> None:
    """What `torch.compile` would compile on a GPU is traced whole: "eager" runs the traced graph as it is."""
    codec = codecs[name]
    items = sounds([300, 40])
    batch = DeviceBatch(codec, "cpu", lanes=2, chunk=30, backend="eager")
    for done in batch.encode(items):
        assert torch.equal(done.data, codec.encode(items[done.index][None]).tokens[0])


def test_a_lapped_transform_stays_in_float32() -> None:
    """Its sums over hundreds of samples are what bfloat16 would be heard in."""
    codec = codecs["frames"]
    decoder = DeviceBatch(codec, "cpu", lanes=1, chunk=30)._decoder.stack
    assert isinstance(decoder, FrameDecoder) and isinstance(codec.decoder, FrameDecoder)
    assert (decoder.basis.dtype, decoder.bands.dtype, decoder.outward.weight.dtype) == (
        torch.float32,
        torch.float32,
        torch.bfloat16,
    )
    assert codec.decoder.outward.weight.dtype == torch.float32  # the codec's own are as they were


def test_errors() -> None:
    codec = codecs["encodec"]
    with pytest.raises(ValueError, match="lanes is 0"):
        DeviceBatch(codec, "cpu", lanes=0)
    with pytest.raises(ValueError, match="chunk is 1"):
        DeviceBatch(codecs["dac"], "cpu", chunk=1)
    with pytest.raises(ValueError, match="at least 7 are needed"):
        DeviceBatch(codecs["frames"], "cpu", chunk=6)
    segmented = VQVAE(replace(codec.config, seanet=BOTH_WAYS, decoder=BOTH_WAYS, segment=SegmentConfig(600, 594)))
    with pytest.raises(ValueError, match="no batches"):
        DeviceBatch(segmented, "cpu")
    batch = DeviceBatch(codec, "cpu", chunk=30)
    with pytest.raises(ValueError, match=r"samples\] is needed"):
        list(batch.encode([torch.zeros(2, 9)]))
    with pytest.raises(ValueError, match=r"samples are torch\.int16"):
        list(batch.encode([torch.zeros(1, 9), torch.ones(1, 9, dtype=torch.int16)]))
    with pytest.raises(ValueError, match="NaN or infinity"):
        list(batch.encode([torch.full((1, 9), float("nan"))]))
    with pytest.raises(ValueError, match="not those of 9 samples"):
        list(batch.decode([(torch.zeros(2, 9, dtype=torch.int64), 9)]))
    with pytest.raises(ValueError, match="0 to 15 are legal"):
        list(batch.decode([(torch.full((2, 2), 16), 9)]))
