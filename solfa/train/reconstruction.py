"""Reconstruction losses of the codec task: how far a decoded sound is from its original.

All take estimate and reference [B, C, S] and return a scalar, the mean over items, so that a batch split in two has the mean of
the halves' losses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from solfa.audio.spectra import mel_filterbank, stft_magnitude

# (window in samples, mel bands); hops are a quarter of the window.
RESOLUTIONS = ((256, 20), (512, 40), (1024, 80), (2048, 160))
LOG_FLOOR = 1e-5


@dataclass(frozen=True)
class SpectralLosses:
    """mel: L1 of log10 mel magnitudes. stft: spectral convergence plus L1 of log10 magnitudes (Yamamoto et al., 2020)."""

    mel: Tensor
    stft: Tensor


def spectral_losses(
    estimate: Tensor,
    reference: Tensor,
    sample_rate: int,
    resolutions: tuple[tuple[int, int], ...] = RESOLUTIONS,
    stft: bool = True,
) -> SpectralLosses:
    """Multi-scale mel and multi-resolution STFT losses, on one set of transforms.

    Magnitudes are floored at 1e-5 before the logarithm, so what lies 100 dB below full scale does not count. With stft=False only
    the mel loss is computed.
    """
    mels, stfts = [], []
    both = torch.cat([estimate, reference]).flatten(0, 1).float()
    for n_fft, bands in resolutions:
        magnitude = stft_magnitude(both, n_fft=n_fft, hop=n_fft // 4)  # [2 B C, F, T]
        bank = mel_filterbank(sample_rate, n_fft, bands).to(magnitude)
        ours, theirs = (bank @ magnitude).clamp_min(LOG_FLOOR).log10().chunk(2)
        mels.append((ours - theirs).abs().mean())
        if stft:
            ours, theirs = magnitude.chunk(2)
            convergence = (ours - theirs).square().sum((1, 2)).add(1e-9).sqrt() / theirs.square().sum((1, 2)).add(
                1e-3
            ).sqrt()
            distance = (ours.clamp_min(LOG_FLOOR).log10() - theirs.clamp_min(LOG_FLOOR).log10()).abs().mean()
            stfts.append(convergence.mean() + distance)
    zero = estimate.new_zeros(())
    return SpectralLosses(torch.stack(mels).mean(), torch.stack(stfts).mean() if stft else zero)


def waveform_losses(estimate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """(error to signal ratio in bels, L1 of the error over L1 of the signal).

    The first is the negative signal-to-distortion ratio over 10: -1 means 10 dB. Its logarithm gives soft and loud items, and
    items already well coded, gradients of one size. Both are bounded where the signal is (nearly) silent, at about -70 dB.
    """
    error = (estimate - reference).float()
    noise = error.square().mean((1, 2)) + 1e-8
    signal = reference.float().square().mean((1, 2)) + 1e-7
    relative = error.abs().mean((1, 2)) / (reference.float().abs().mean((1, 2)) + 1e-4)
    return (noise / signal).log10().mean(), relative.mean()
