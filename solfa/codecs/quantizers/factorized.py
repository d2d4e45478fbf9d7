"""DAC's factorised residual VQ (arXiv 2306.06546, section 3.2): every level searches in a few dimensions, by angle."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from solfa.codecs.quantizers.config import QuantizerConfig
from solfa.codecs.quantizers.level import Level, LevelOutput, mean_square
from solfa.codecs.quantizers.residual import ResidualQuantizer
from solfa.codecs.quantizers.search import nearest


class FactorizedLevel(Level):
    """One codebook [N, dim] between two weight-normed 1x1 convolutions, D -> dim and dim -> D.

    The search compares directions: both sides on the unit sphere. The code's vector goes on as it is, with its length.
    The codebook starts from N(0, 1) and learns from the codebook loss; no moving averages, no replacement of codes.
    """

    def __init__(self, config: QuantizerConfig, width: int) -> None:
        super().__init__()
        self.commitment = config.commitment
        dim = config.dim or width
        self.in_proj = parametrizations.weight_norm(nn.Conv1d(width, dim, 1))
        self.out_proj = parametrizations.weight_norm(nn.Conv1d(dim, width, 1))
        self.codebook = nn.Embedding(config.codebook_size, dim)

    def forward(self, residual: Tensor) -> LevelOutput:
        """Unlike other levels', `quantized` has a gradient to the residual too: the one straight through the code."""
        inner = _pointwise(self.in_proj, residual)  # [B, T, dim]
        codes = self._search(inner.detach())
        chosen = self.codebook(codes)
        loss = self.commitment * mean_square(inner, chosen.detach()) + mean_square(inner.detach(), chosen)
        # Value: the code's vector, exactly. DAC has inner + (chosen - inner), which rounds.
        quantized = _pointwise(self.out_proj, chosen.detach() + (inner - inner.detach()))
        return LevelOutput(quantized, codes[..., None], loss)

    def encode(self, residual: Tensor) -> Tensor:
        return self._search(_pointwise(self.in_proj, residual))[..., None]

    def decode(self, codes: Tensor) -> Tensor:
        return _pointwise(self.out_proj, self.codebook(codes[..., 0]))

    def _search(self, inner: Tensor) -> Tensor:
        """Codes [B, T]. The unit rows' own squares, 1 but for rounding, count as in descript-audio-codec."""
        unit, rows = F.normalize(inner, dim=2), F.normalize(self.codebook.weight.detach(), dim=1)
        return nearest(unit.flatten(0, 1), rows).view(inner.shape[:2])


def _pointwise(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A 1x1 convolution of vectors [B, T, D], which may be none at all."""
    return F.linear(x, conv.weight[..., 0], conv.bias)


class FactorizedQuantizer(ResidualQuantizer):
    """Residual levels of kind "factorized", with DAC's gradients.

    Elsewhere here the encoder gets the gradient of the sum as it is (one identity for all levels) and residuals are detached. In DAC
    it passes through each level's two maps, so that the encoder is not asked for what dim channels cannot carry, and residuals keep
    their gradient: every level's commitment reaches the encoder, less what the levels before it already carry.
    """

    def __init__(self, config: QuantizerConfig, input_dim: int) -> None:
        super().__init__(config, input_dim, lambda width: FactorizedLevel(config, width))

    def _quantize(self, latents: Tensor, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        residual = latents.transpose(1, 2)  # [B, T, D]
        total = torch.zeros_like(residual)
        codes: list[Tensor] = []
        loss = latents.new_zeros(())
        for index, book in enumerate(self.books):
            out = cast(LevelOutput, book(residual))
            residual = residual - out.quantized
            plays = (active > index).to(latents.device, latents.dtype)  # [B]
            total = total + out.quantized * plays[:, None, None]
            loss = loss + (out.loss * plays).mean()
            codes.append(out.codes)
        return total.transpose(1, 2), torch.cat(codes, dim=2).transpose(1, 2), loss
