"""What a codec plays of codes: rows alone, padding unheard, any codec."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from solfa.audio.bands import bands
from solfa.codecs import played as module
from solfa.codecs.codec import Codes
from solfa.codecs.played import played, played_width
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE


@pytest.fixture(scope="module")
def codec(tiny_music: Callable[..., tuple[Path, Path]]) -> VQVAE:
    found = load_codec(tiny_music()[0])
    assert isinstance(found, VQVAE)
    return found


def codes(codec: VQVAE, batch: int, frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(codec.codebook_size, (batch, codec.codebooks, frames), generator=generator)


def test_it_is_the_spectrum_of_what_is_decoded(codec: VQVAE) -> None:
    tokens = codes(codec, 1, 40)
    sound = codec.decode_whole(tokens[0])
    found = played(codec, tokens)
    assert found.shape == (1, played_width(codec.sample_rate), 40)
    torch.testing.assert_close(found[0], bands(sound.mean(0), codec.sample_rate, codec.hop).flatten(0, 1))
    assert found.std() > 0.01


def test_rows_and_padding(codec: VQVAE) -> None:
    tokens = codes(codec, 3, 40)
    alone = played(codec, tokens[1:2])
    torch.testing.assert_close(played(codec, tokens)[1:2], alone, atol=1e-4, rtol=1e-4)
    other = tokens.clone()
    other[:, :, 30:] = 0
    context = codec.decode_context + 1
    first, second = (played(codec, each, [30, 30, 40])[0] for each in (tokens, other))
    quiet = played(codec, tokens, [1, 40, 40])[0, :, 39]
    torch.testing.assert_close(first[:, : 30 - context - 10], second[:, : 30 - context - 10], atol=1e-3, rtol=1e-3)
    assert quiet.max() < first.max() - 0.2


def test_fewer_codebooks_are_heard(codec: VQVAE) -> None:
    tokens = codes(codec, 1, 40)
    assert (played(codec, tokens[:, :1]) - played(codec, tokens)).abs().max() > 0.01


def test_the_canonical_path_sounds_alike(codec: VQVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = codes(codec, 2, 40)
    whole = played(codec, tokens)
    monkeypatch.setattr(module, "VQVAE", Codes)  # no VQ-VAE then
    torch.testing.assert_close(played(codec, tokens), whole, atol=2e-3, rtol=1e-3)
