"""Reconstruction losses of the codec task: how far a decoded sound is from its original.

All take estimate and reference [B, C, S] and return a scalar, the mean over items, so that a batch split in two has the mean of
the halves' losses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.audio.spectra import hann_window, mel_filterbank, reflect_pad, stft_magnitude

# The legal values of the fields that are words.
CHOICES = {
    "mel": ("slaney", "htk"),
    "framing": ("centre", "stride"),
    "distance": ("l1", "mse"),
    "floor_by": ("clamp", "add"),
    "over": ("mean", "sum"),
}


@dataclass(frozen=True)
class SpectralConfig:
    """The multi-scale spectral loss: at each resolution log * D(log10 a, log10 b) + linear * L1(a, b) of two spectra.

    windows, bands: samples and mel bands of each resolution; bands () compares the bins of the STFT themselves. hops: of each; () is a
        quarter of the window. weights: of each; () is 1.
    turns: the resolutions are shared out over so many steps in turn (half the transforms for nearly the same gradient).
    mel: "slaney" (its scale, triangles of one area: librosa, DAC) or "htk" (its scale, triangles of one height: torchaudio, EnCodec),
        from f_min Hz on.
    power: 1 magnitudes, 2 their squares. normalized: the spectrum is divided by the root of the window's energy first.
    framing: "centre", or "stride": frame t is centred on the samples of hop t and the last one is filled up with zeros, ceil(S / hop).
    log, distance, floor, floor_by: weight of the logarithms' distance D, "l1" or "mse" (mean square), of spectra not below `floor`
        ("clamp") or to which it is added. linear: weight of the L1 of the spectra as they are.
    over: "mean" or "sum" of resolutions.

    The defaults are solfa's. `dac_spectral` and `encodec_spectral` are the published ones. Raises ValueError for what is out of range.
    """

    windows: tuple[int, ...] = (256, 512, 1024, 2048)
    bands: tuple[int, ...] = (20, 40, 80, 160)
    hops: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    turns: int = 2
    mel: str = "slaney"
    f_min: float = 0.0
    power: int = 1
    normalized: bool = False
    framing: str = "centre"
    log: float = 1.0
    distance: str = "l1"
    floor: float = 1e-5
    floor_by: str = "clamp"
    linear: float = 0.0
    over: str = "mean"

    def __post_init__(self) -> None:
        for name in ("bands", "hops", "weights"):
            if getattr(self, name) and len(getattr(self, name)) != len(self.windows):
                raise ValueError(
                    f"{name} is {getattr(self, name)}: it needs one for each of the windows {self.windows}, or none"
                )
        if not self.windows or min((*self.windows, *self.bands, *self.hops)) < 1 or min(self.windows) < 4:
            raise ValueError(
                f"windows {self.windows}, bands {self.bands} and hops {self.hops}: 1 or more, windows 4 or more"
            )
        if not 1 <= self.turns <= len(self.windows):
            raise ValueError(
                f"turns is {self.turns}: it must lie between 1 and the number of windows, {len(self.windows)}"
            )
        for name, legal in CHOICES.items():
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be one of {', '.join(legal)}")
        if self.power not in (1, 2) or not self.floor > 0 or self.f_min < 0:
            raise ValueError(
                f"power {self.power}, floor {self.floor}, f_min {self.f_min}: power 1 or 2, floor above 0, f_min not below"
            )
        if min((self.log, self.linear, *self.weights)) < 0 or not self.log + self.linear:
            raise ValueError(
                f"log {self.log}, linear {self.linear}, weights {self.weights}: not negative, log or linear above 0"
            )

    def resolutions(self, step: int | None = None) -> list[int]:
        """Which resolutions (their places in `windows`) a step takes; None is all of them."""
        places = range(len(self.windows))
        return list(places if step is None else places[step % self.turns :: self.turns])

    def hop(self, place: int) -> int:
        return self.hops[place] if self.hops else self.windows[place] // 4


def dac_spectral() -> SpectralConfig:
    """DAC's: L1 of log10 mel magnitudes from very short windows on, summed over seven resolutions."""
    return SpectralConfig((32, 64, 128, 256, 512, 1024, 2048), (5, 10, 20, 40, 80, 160, 320), turns=1, over="sum")


def encodec_spectral() -> SpectralConfig:
    """AudioCraft's for EnCodec: L1 of mel powers plus mean square of their log10, divided by the number of terms.

    64 bands at every window, so that the lowest ones of the short windows lie between two bins and are empty, as in AudioCraft.
    """
    return SpectralConfig(
        (64, 128, 256, 512, 1024),
        (64,) * 5,
        turns=1,
        mel="htk",
        f_min=64.0,
        power=2,
        normalized=True,
        framing="stride",
        log=0.5,
        distance="mse",
        floor_by="add",
        linear=0.5,
    )


@dataclass(frozen=True)
class SpectralLosses:
    """mel: what the config says, by default L1 of log10 mel magnitudes. stft: spectral convergence plus L1 of log10 magnitudes
    (Yamamoto et al., 2020)."""

    mel: Tensor
    stft: Tensor


def spectral_losses(
    estimate: Tensor,
    reference: Tensor,
    sample_rate: int,
    config: SpectralConfig | None = None,
    step: int | None = None,
    stft: bool = True,
) -> SpectralLosses:
    """Multi-scale mel and multi-resolution STFT losses, on one set of transforms; at `step`, of the resolutions whose turn it is.

    With the default config magnitudes are floored at 1e-5 before the logarithm, so what lies 100 dB below full scale does not count.
    With stft=False only the mel loss is computed.
    """
    config = config or SpectralConfig()
    mels, stfts = [], []
    both = torch.cat([estimate, reference]).flatten(0, 1).float()
    for place in config.resolutions(step):
        magnitude = _magnitude(both, config, place)  # [2 B C, F, T]
        mels.append(_distance(magnitude, sample_rate, config, place))
        if stft:
            stfts.append(_convergence(magnitude, config.floor))
    zero = estimate.new_zeros(())
    mel = torch.stack(mels)
    return SpectralLosses(
        mel.mean() if config.over == "mean" else mel.sum(), torch.stack(stfts).mean() if stft else zero
    )


def _magnitude(sound: Tensor, config: SpectralConfig, place: int) -> Tensor:
    window, hop = config.windows[place], config.hop(place)
    if config.framing == "centre":
        magnitude = stft_magnitude(sound, n_fft=window, hop=hop)
    else:
        edge = (window - hop) // 2
        padded = reflect_pad(sound, edge, edge)
        short = window - padded.shape[-1]
        padded = F.pad(padded, (0, short if short > 0 else short % hop))
        magnitude = stft_magnitude(padded, n_fft=window, hop=hop, center=False)
    if not config.normalized:
        return magnitude
    return magnitude / hann_window(window, magnitude.device, magnitude.dtype).square().sum().sqrt()


def _distance(magnitude: Tensor, sample_rate: int, config: SpectralConfig, place: int) -> Tensor:
    """The config's distance of the first half of the spectra [2 n, F, T] to the second, at one resolution."""
    spectra = magnitude if config.power == 1 else magnitude.square()
    if config.bands:
        norm = "slaney" if config.mel == "slaney" else None
        bank = mel_filterbank(
            sample_rate, config.windows[place], config.bands[place], config.f_min, norm=norm, scale=config.mel
        )
        spectra = bank.to(magnitude) @ spectra
    total = magnitude.new_zeros(())
    if config.log:
        floored = spectra.clamp_min(config.floor) if config.floor_by == "clamp" else spectra + config.floor
        ours, theirs = floored.log10().chunk(2)
        error = ours - theirs
        total = total + config.log * (error.abs() if config.distance == "l1" else error.square()).mean()
    if config.linear:
        ours, theirs = spectra.chunk(2)
        total = total + config.linear * (ours - theirs).abs().mean()
    return config.weights[place] * total if config.weights else total


def _convergence(magnitude: Tensor, floor: float) -> Tensor:
    ours, theirs = magnitude.chunk(2)
    noise, signal = (ours - theirs).square().sum((1, 2)).add(1e-9), theirs.square().sum((1, 2)).add(1e-3)
    distance = (ours.clamp_min(floor).log10() - theirs.clamp_min(floor).log10()).abs().mean()
    return (noise.sqrt() / signal.sqrt()).mean() + distance


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
