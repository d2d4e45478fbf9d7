"""What a codec plays of codes: rows alone, padding unheard, any codec."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from solfa.audio.bands import bands
from solfa.codecs import played as module
from solfa.codecs.codec import Codes
from solfa.codecs.played import lifted, played, played_width
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


def test_quiet_sound_is_lifted_and_loud_sound_left() -> None:
    generator = torch.Generator().manual_seed(0)
    sound = torch.randn(3, 24_000, generator=generator) * 0.1  # -20 dB
    sound[1, :18_000] = 0  # of which a short part is not quiet either
    assert torch.equal(lifted(sound, 8_000), sound)
    level = lifted(sound[:1] * 1e-3, 8_000).square().mean().sqrt()
    assert 20 * level.log10() == pytest.approx(-50, abs=0.3)  # 30 dB, and no more
    for gain in (0.1, 0.01):
        soft = lifted(sound * gain, 8_000)
        torch.testing.assert_close(soft, lifted(sound * 0.05, 8_000), rtol=1e-4, atol=1e-7)
        for row in range(3):
            assert torch.equal(lifted(sound[row : row + 1] * gain, 8_000)[0], soft[row])
    silence = torch.zeros(2, 100)
    assert torch.equal(lifted(silence, 8_000), silence) and lifted(sound[:, :1], 8_000).shape == (3, 1)
