"""A stream gives the codes and the sound of the whole recording, whatever the pieces, and resumes from any state."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.codecs.stream import DecodeStream, EncodeStream
from solfa.codecs.vqvae import VQVAE

KINDS = ["frames", "stereo", "seanet", "causal", "causal lstm", "encodec 24k", "encodec 32k", "dac"]


def sound(codec: VQVAE, samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(codec.channels, samples, generator=torch.Generator().manual_seed(seed)) * 0.3


def pieces(x: torch.Tensor, most: int, seed: int) -> list[torch.Tensor]:
    """`x` [., n] cut at random, with empty pieces among them."""
    rng, cut, at = random.Random(seed), [], 0
    while at < x.shape[-1]:
        size = rng.randint(0, most)
        cut.append(x[:, at : at + size])
        at += size
    return cut


def run(stream: EncodeStream | DecodeStream, parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([*(stream.push(part) for part in parts), stream.finish()], -1)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(samples=st.integers(1, 700), most=st.integers(1, 200), seed=st.integers(0, 99), books=st.integers(1, 3))
def test_streams_equal_the_whole(tiny_codecs, kind: str, samples: int, most: int, seed: int, books: int) -> None:
    codec = tiny_codecs[kind]
    x = sound(codec, samples, seed)
    codes = codec.encode(x[None], codebooks=books)
    tokens = run(codec.stream("encode", books), pieces(x, most, seed))
    assert torch.equal(tokens, codes.tokens[0])
    heard = run(codec.stream("decode", books), pieces(tokens, max(1, most // 20), seed))
    assert heard.shape == (codec.channels, codes.lengths[0] * codec.hop)
    # Sums of other shapes round otherwise, by up to 2.3e-5 in 5,000 examples; a wrong or missing frame is off by a hundredth and more.
    torch.testing.assert_close(heard[:, :samples], codec.decode(codes).samples[0], rtol=0, atol=5e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_latency_is_what_is_said_and_no_more(tiny_codecs, kind: str) -> None:
    codec = tiny_codecs[kind]
    hop = codec.hop
    encoder, decoder = codec.stream(), codec.stream("decode")
    x = sound(codec, 30 * hop)
    tokens, given = [], 0
    for taken, sample in enumerate(x.split(1, -1), 1):
        tokens.append(encoder.push(sample))
        given += tokens[-1].shape[-1]
        due = (taken - encoder.latency) // hop if taken >= encoder.first else 0
        assert given == max(0, due)
    tokens = torch.cat([*tokens, encoder.finish()], -1)
    given = 0
    for i, frame in enumerate(tokens.split(1, -1)):
        given += decoder.push(frame).shape[-1]
        due = (i + 1) * hop - decoder.latency if (i + 1) * hop >= decoder.first else 0
        assert given == max(0, due)
    assert given + decoder.finish().shape[-1] == 30 * hop
    assert (encoder.latency == decoder.latency == 0) == ("causal" in kind or "24k" in kind)
    if kind in ("frames", "seanet", "dac"):
        assert codec.encode_context * hop >= encoder.latency > 0 and decoder.latency == codec.decode_context * hop
    if "causal" in kind:
        assert encoder.first == decoder.first == hop


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_resumes_from_any_state_any_number_of_times(tiny_codecs, kind: str) -> None:
    codec = tiny_codecs[kind]
    x = sound(codec, 613)
    stream = codec.stream()
    begun = stream.push(x[:, :333])
    kept = stream.state
    first = torch.cat([begun, stream.push(x[:, 333:]), stream.finish()], -1)
    second = torch.cat([begun, run(codec.stream(state=kept), [x[:, 333:]])], -1)
    other = torch.cat([begun, run(codec.stream(state=kept), [sound(codec, 50, 9)])], -1)
    assert torch.equal(first, second) and torch.equal(first, codec.encode(x[None]).tokens[0])
    assert torch.equal(other, codec.encode(torch.cat([x[:, :333], sound(codec, 50, 9)], -1)[None]).tokens[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_another_stream_is_refused(tiny_codecs, kind: str) -> None:
    codec = tiny_codecs[kind]
    encoder = codec.stream()
    encoder.push(sound(codec, 333))
    with pytest.raises(ValueError, match="the state is of another stream"):
        codec.stream("decode", state=encoder.state)


def test_memory_of_a_stream_is_bounded(tiny_codecs) -> None:
    for kind in KINDS:
        stream = tiny_codecs[kind].stream()
        sizes = []
        for _ in range(20):
            stream.push(sound(tiny_codecs[kind], 210))
            sizes.append(
                sum(stage.held.untyped_storage().nbytes() for stage in stream.state.stages if stage is not None)
            )
        assert max(sizes[10:]) <= max(sizes[:10])


def test_misuse_is_named(tiny_codecs) -> None:
    codec = tiny_codecs["encodec 24k"]
    stream = codec.stream()
    assert stream.finish().shape == (3, 0)
    with pytest.raises(ValueError, match="finished"):
        stream.push(sound(codec, 5))
    for bad, message in [(torch.zeros(2, 5), r"\[1, n\]"), (torch.full((1, 3), torch.nan), "NaN")]:
        with pytest.raises(ValueError, match=message):
            codec.stream().push(bad)
    for bad, message in [(torch.zeros(3, 5), "integers"), (torch.zeros(2, 5, dtype=torch.int64), r"\[3, t\]")]:
        with pytest.raises(ValueError, match=message):
            codec.stream("decode").push(bad)
    with pytest.raises(ValueError, match="0 to 15"):
        codec.stream("decode").push(torch.full((3, 30), 16))
    with pytest.raises(ValueError, match="'encode' or 'decode'"):
        codec.stream("both")
    with pytest.raises(ValueError, match="segment"):
        tiny_codecs["encodec 48k"].stream()
    with pytest.raises(ValueError, match="between 1 and 3"):
        codec.stream(codebooks=4)
