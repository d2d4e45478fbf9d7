"""A program around solfa may have another default dtype: everything is loaded and computed in float32 all the same."""

from collections.abc import Iterator

import pytest
import torch

import solfa

RATE = 24_000


@pytest.fixture(params=[torch.float64, torch.bfloat16], ids=str)
def default(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    yield request.param
    torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def sound() -> solfa.Audio:
    time = torch.arange(2 * RATE) / RATE
    return solfa.Audio((0.2 * torch.sin(2 * torch.pi * 440 * time) * torch.exp(-((2 * time) % 1)))[None, None], RATE)


def test_codec(sound: solfa.Audio, default: torch.dtype) -> None:
    here = solfa.load_codec()
    codes = here.encode(sound)
    again = here.decode(codes)
    torch.set_default_dtype(default)
    for codec in (here, solfa.load_codec()):
        stream = codec.stream()
        streamed = torch.cat([stream.push(sound.samples[0]), stream.finish()], -1)
        assert torch.equal(codec.encode(sound).tokens, codes.tokens) and torch.equal(streamed, codes.tokens[0])
        assert torch.equal(codec.decode(codes).samples, again.samples)
    assert torch.get_default_dtype() == default  # loading leaves it as it was


def test_transcriber(sound: solfa.Audio, default: torch.dtype) -> None:
    here = solfa.Transcriber.load()
    notes = here(sound).notes
    torch.set_default_dtype(default)
    assert notes and here(sound).notes == notes == solfa.Transcriber.load()(sound).notes


def test_text_to_music(default: torch.dtype) -> None:
    """In 16 bits the kernels' memory was half of what they write to."""
    words = {"duration": 0.5, "seed": 3}
    samples = solfa.TextToMusic.load().generate("waltz for piano, 90 bpm", **words).samples
    torch.set_default_dtype(default)
    assert torch.equal(solfa.TextToMusic.load().generate("waltz for piano, 90 bpm", **words).samples, samples)
