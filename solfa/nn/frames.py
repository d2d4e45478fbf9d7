"""A frame-domain encoder and decoder: MDCT frames in, ConvNeXt blocks over time, MDCT frames out.

Time-domain stacks (SEANet, DAC) spend most of their work at the full sample rate. Here a lapped transform brings the sound
to one vector a frame at once, so every layer runs at the frame rate: on a CPU this trains several times more audio a second.

The lapped transform of `T * hop` samples has `T + 1` frames (Princen and Bradley, 1986): frame t covers the blocks t - 1 and t.
Latent t stands for block t and therefore reads the frames t and t + 1, and the decoder writes to the same two; nothing is shifted,
and T latents carry exactly `T * hop` samples.

Exact chunks: outside the true signal every layer sees zeros, as its own zero padding gives at the ends of a whole file. A chunk
that reaches over an end says so with `span`, and then gives what the whole file gives. `context` is the number of frames a chunk
needs on either side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Span = tuple[int | Tensor, int | Tensor]  # tensors [B] where each item of the batch has its own


@dataclass(frozen=True)
class FrameConfig:
    """Geometry of a frame-domain stack; the encoder and the decoder share it.

    hop: samples a frame. width: channels of the blocks. blocks: ConvNeXt blocks. expansion: inner width over width.
    kernel: frames that each block's depthwise convolution sees (odd). bands: bands of log energy that the encoder reads and of
    gain that the decoder writes.
    """

    hop: int = 480
    width: int = 320
    blocks: int = 6
    expansion: int = 3
    kernel: int = 7
    bands: int = 32

    def __post_init__(self) -> None:
        limits = {"hop": 8192, "width": 8192, "blocks": 256, "expansion": 16, "kernel": 255, "bands": 512}
        for field, most in limits.items():
            value = getattr(self, field)
            if not 1 <= value <= most:
                raise ValueError(f"{field} is {value}: it must lie between 1 and {most}")
        if self.kernel % 2 == 0:
            raise ValueError(
                f"kernel is {self.kernel}: it must be odd, so that a frame sees as much before as after it"
            )
        if not 2 <= self.bands <= self.hop:
            raise ValueError(f"bands is {self.bands}: it must lie between 2 and the hop, {self.hop}")

    @property
    def context(self) -> int:
        """Frames needed on either side of a chunk: half a kernel a block, and one for the overlap of the transform."""
        return self.blocks * (self.kernel // 2) + 1


def mdct_basis(hop: int) -> Tensor:
    """The orthonormal MDCT of `hop` bins with a sine window, as a matrix [2 * hop, hop]."""
    n = _count(2 * hop)
    k = _count(hop)
    window = torch.sin(math.pi * (n + 0.5) / (2 * hop))
    phase = math.pi / hop * (n[:, None] + 0.5 + hop / 2) * (k[None] + 0.5)
    return (window[:, None] * math.sqrt(2 / hop) * torch.cos(phase)).float()


def band_basis(hop: int, bands: int) -> Tensor:
    """Triangles that are even on a warped scale over the bins, [bands, hop]; in each bin they sum to one.

    The warp is log(1 + bin / 28): at 24 kHz and hop 480 that is the mel scale's 700 Hz knee.
    """
    bins = _count(hop) + 0.5
    place = torch.log1p(bins / 28) / math.log1p(hop / 28) * (bands - 1)
    return (1 - (place[None] - _count(bands)[:, None]).abs()).clamp(min=0).float()


def _count(n: int) -> Tensor:
    """0 to n - 1. A real tensor also where a model is built without memory: there, arange would load torch's compiler, a second's work."""
    return torch.arange(n, dtype=torch.float64, device="cpu")


def inside(span: Span | None, frames: int, like: Tensor) -> Tensor | None:
    """1 for the frames of a chunk that lie in the true signal, 0 outside: [1 or B, T, 1]; None where there is no span."""
    if span is None:
        return None
    start, end = (edge[:, None] if isinstance(edge, Tensor) else edge for edge in span)
    t = torch.arange(frames, device=like.device)
    return ((t >= start) & (t < end)).to(like.dtype).reshape(-1, frames, 1)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron a frame, added to the input (Liu et al., 2022)."""

    def __init__(self, width: int, inner: int, kernel: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:  # [B, T, W]
        if mask is not None:
            x = x * mask
        # A 2-D convolution over [B, W, 1, T]: the same sums as conv1d, twice as fast on a CPU.
        y = F.conv2d(
            x.transpose(1, 2).unsqueeze(2),
            self.depthwise.weight.unsqueeze(2),
            self.depthwise.bias,
            padding=(0, self.depthwise.padding[0]),  # type: ignore[arg-type]
            groups=x.shape[-1],
        )
        y = self.norm(y.squeeze(2).transpose(1, 2))
        return x + self.scale * self.down(F.gelu(self.up(y)))


class _Blocks(nn.Module):
    """The trunk that both directions share."""

    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        inner = config.width * config.expansion
        blocks = [ConvNeXtBlock(config.width, inner, config.kernel, 1 / config.blocks) for _ in range(config.blocks)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:  # [B, T, W]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


class FrameEncoder(nn.Module):
    """Samples [B, C, T * hop] to latents [B, D, T].

    It reads the MDCT coefficients of the two frames that overlap a block, square-root companded (so that soft sounds count), and
    the log energy of each band in both.
    """

    basis: Tensor
    bands: Tensor

    def __init__(self, config: FrameConfig, channels: int, dim: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("basis", mdct_basis(config.hop), persistent=False)
        self.register_buffer("bands", band_basis(config.hop, config.bands), persistent=False)
        self.inward = nn.Linear(2 * channels * (config.hop + config.bands), config.width)
        self.trunk = _Blocks(config)
        self.outward = nn.Linear(config.width, dim)

    @property
    def context(self) -> int:
        return self.config.context

    def features(self, samples: Tensor) -> Tensor:
        """What the first layer reads: [B, T, 2 * C * (hop + bands)]."""
        hop = self.config.hop
        frames = (
            F.pad(samples.to(self.basis.dtype), (hop, hop)).unfold(-1, 2 * hop, hop) @ self.basis
        )  # [B, C, T + 1, hop]
        power = frames.square() @ self.bands.T
        energy = (power + 1e-9).log() * 0.15 + 1  # about -2 to 1.5 from the floor to a loud band
        both = torch.cat([frames.sign() * frames.abs().sqrt(), energy], -1).transpose(1, 2).flatten(2)
        return torch.cat([both[:, :-1], both[:, 1:]], -1)

    def forward(self, samples: Tensor, span: Span | None = None) -> Tensor:
        """span: the samples of a chunk that lie in the true signal (start, stop); None means all."""
        hop = self.config.hop
        frames = samples.shape[-1] // hop
        inner = None if span is None else (span[0] // hop, -(-span[1] // hop))
        mask = inside(inner, frames, samples)
        with torch.autocast(samples.device.type, enabled=False):
            features = self.features(samples)
        return self.outward(self.trunk(self.inward(features), mask)).transpose(1, 2)


class FrameDecoder(nn.Module):
    """Latents [B, D, T] to samples [B, C, T * hop].

    Each frame writes a shape (signed coefficients) and a log gain a band to both MDCT frames that overlap its block; where two
    blocks write to one frame, their shapes and their log gains add.
    """

    basis: Tensor
    bands: Tensor

    def __init__(self, config: FrameConfig, channels: int, dim: int) -> None:
        super().__init__()
        self.config = config
        self.channels = channels
        self.register_buffer("basis", mdct_basis(config.hop), persistent=False)
        self.register_buffer("bands", band_basis(config.hop, config.bands), persistent=False)
        self.inward = nn.Linear(dim, config.width)
        self.trunk = _Blocks(config)
        self.outward = nn.Linear(config.width, 2 * channels * (config.hop + config.bands))

    @property
    def context(self) -> int:
        return self.config.context

    def coefficients(self, latents: Tensor, span: Span | None = None) -> Tensor:
        """MDCT coefficients [B, C, T + 1, hop]; span in frames, as in `forward`."""
        hop, bands = self.config.hop, self.config.bands
        mask = inside(span, latents.shape[-1], latents)
        both = self.outward(self.trunk(self.inward(latents.transpose(1, 2)), mask)).to(self.basis.dtype)
        if mask is not None:
            both = both * mask
        first, second = both.chunk(2, -1)
        frames = F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))  # [B, T + 1, C * (hop + bands)]
        frames = frames.unflatten(-1, (self.channels, hop + bands)).transpose(1, 2)
        shape, gain = frames.split([hop, bands], -1)
        return shape * (gain @ self.bands - 2).clamp(-14, 6).exp()

    def forward(self, latents: Tensor, span: Span | None = None) -> Tensor:
        """span: the frames of a chunk that lie in the true signal (start, stop); None means all."""
        return self.synthesis(self.coefficients(latents, span))

    def synthesis(self, coefficients: Tensor) -> Tensor:
        """MDCT coefficients [B, C, T + 1, hop] to samples [B, C, T * hop] by overlap-add."""
        hop = self.config.hop
        blocks = coefficients @ self.basis.T
        return (blocks[..., :-1, hop:] + blocks[..., 1:, :hop]).flatten(-2)
