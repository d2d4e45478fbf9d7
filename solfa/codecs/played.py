"""What a codec plays of codes, as a spectrum by pitch: all that is in the codes, in a form from which notes are soon learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from solfa.audio.bands import WINDOWS, band_count, bands
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.vqvae import VQVAE

QUIET, LIFT = -36.0, 30.0  # dB; 0 is a square wave of full scale


def played_width(sample_rate: int) -> int:
    """D of `played`: bands through each window."""
    return len(WINDOWS) * band_count(sample_rate)


@torch.no_grad()
def played(codec: Codec, tokens: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
    """The sound of segments, decoded each by itself: codes [B, k, T] to levels [B, D, T], `bands` of its channels' mean, window by window.

    k: the first so many of the codec's codebooks. lengths: frames of each row; what follows them is not played. It is the codec's own
    decoder that is heard, so codes of any codec will do; where it is no VQ-VAE its canonical path is taken, which is slower. A quiet row
    is made louder, see `lifted`.
    """
    tokens = tokens.to(codec.device)
    batch, frames = tokens.shape[0], tokens.shape[2]
    counts = [frames] * batch if lengths is None else [int(n) for n in lengths]
    samples = _whole(codec, tokens) if isinstance(codec, VQVAE) else _canonical(codec, tokens)
    samples = samples.float().mean(1)
    places = torch.arange(samples.shape[1], device=samples.device)
    ends = torch.tensor(counts, device=samples.device)[:, None] * codec.hop
    return bands(lifted(samples * (places < ends), codec.sample_rate), codec.sample_rate, codec.hop).flatten(1, 2)


def lifted(samples: Tensor, sample_rate: int) -> Tensor:
    """Rows [B, S], each whose loudest half second lies below `QUIET` brought there, by `LIFT` at most; louder ones as they are.

    So soft recordings are heard like others, and what is next to silence does not become loud.
    """
    size = min(max(1, sample_rate // 2), samples.shape[1])
    loudest = samples.unfold(1, size, size).square().mean(2).amax(1).sqrt()
    gain = (10 ** (QUIET / 20) / loudest.clamp(min=1e-9)).clamp(1, 10 ** (LIFT / 20))
    return samples * gain[:, None]


def _whole(codec: VQVAE, tokens: Tensor) -> Tensor:
    """[B, C, S], all rows by one run of the decoder."""
    return codec.decoder(codec.quantizer.decode(tokens))


def _canonical(codec: Codec, tokens: Tensor) -> Tensor:
    samples = (tokens.shape[2] * codec.hop,) * tokens.shape[0]
    shape = codec.name, codec.weights_hash, codec.sample_rate, codec.channels, codec.hop, codec.codebook_size
    return codec.decode(Codes(tokens, *shape, samples)).samples
