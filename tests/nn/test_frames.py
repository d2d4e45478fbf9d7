"""The frame-domain stack: the transform inverts, chunks equal the whole, the declared context is the true one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.nn.frames import FrameConfig, FrameDecoder, FrameEncoder, band_basis, mdct_basis

TINY = FrameConfig(hop=16, width=12, blocks=2, expansion=2, kernel=3, bands=4)


def stacks(config: FrameConfig = TINY, channels: int = 1) -> tuple[FrameEncoder, FrameDecoder]:
    torch.manual_seed(0)
    return FrameEncoder(config, channels, 8).double(), FrameDecoder(config, channels, 8).double()


@pytest.mark.parametrize("hop", [2, 15, 480])
def test_mdct_gives_the_samples_back(hop: int) -> None:
    basis = mdct_basis(hop)
    decoder = FrameDecoder(FrameConfig(hop=hop, width=4, blocks=1, bands=2), 1, 2)
    x = torch.randn(1, 1, 7 * hop)
    frames = torch.nn.functional.pad(x, (hop, hop)).unfold(-1, 2 * hop, hop) @ basis
    assert torch.allclose(decoder.synthesis(frames), x, atol=1e-5)


@pytest.mark.parametrize("bands", [2, 7, 32])
def test_bands_sum_to_one_in_every_bin(bands: int) -> None:
    assert torch.allclose(band_basis(480, bands).sum(0), torch.ones(480))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 24), st.integers(0, 23), st.integers(1, 24), st.integers(1, 2))
def test_chunk_with_context_equals_whole(frames: int, start: int, size: int, channels: int) -> None:
    """Whatever lies outside the span of a chunk (zeros at the encoder, garbage at the decoder) has no effect."""
    start = min(start, frames - 1)
    stop = min(start + size, frames)
    encoder, decoder = stacks(channels=channels)
    hop, context = TINY.hop, TINY.context
    x = torch.randn(1, channels, frames * hop, dtype=torch.float64)
    whole = encoder(x)
    first, last = start - context, stop + context
    inner = (max(0, first), min(frames, last))
    span = (inner[0] - first, inner[1] - first)
    chunk = torch.zeros(1, channels, (last - first) * hop, dtype=torch.float64)
    chunk[..., span[0] * hop : span[1] * hop] = x[..., inner[0] * hop : inner[1] * hop]
    latents = encoder(chunk, (span[0] * hop, span[1] * hop))[..., context : context + stop - start]
    assert torch.allclose(latents, whole[..., start:stop], atol=1e-5)

    z = torch.randn(1, 8, frames, dtype=torch.float64)
    sound = decoder(z)
    chunk = torch.randn(1, 8, last - first, dtype=torch.float64)
    chunk[..., span[0] : span[1]] = z[..., inner[0] : inner[1]]
    piece = decoder(chunk, span)[..., context * hop : (context + stop - start) * hop]
    assert torch.allclose(piece, sound[..., start * hop : stop * hop], atol=1e-5)


def test_context_is_what_the_gradient_reaches() -> None:
    encoder, decoder = stacks()
    frames, hop, context = 21, TINY.hop, TINY.context
    x = torch.randn(1, 1, frames * hop, dtype=torch.float64, requires_grad=True)
    (reach,) = torch.autograd.grad(encoder(x)[..., 10].sum(), x)
    touched = reach.view(frames, hop).abs().sum(-1).nonzero().flatten()
    assert (touched.min(), touched.max()) == (10 - context, 10 + context)
    z = torch.randn(1, 8, frames, dtype=torch.float64, requires_grad=True)
    (reach,) = torch.autograd.grad(decoder(z)[..., 10 * hop : 11 * hop].sum(), z)
    touched = reach[0].abs().sum(0).nonzero().flatten()
    assert (touched.min(), touched.max()) == (10 - context, 10 + context)


@pytest.mark.parametrize(("field", "value"), [("hop", 0), ("kernel", 4), ("bands", 1), ("width", 10**6)])
def test_illegal_geometry_is_named(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        FrameConfig(**{field: value})
