"""Quantizers without a stored codebook: the codes are points of a fixed grid (FSQ, residual FSQ) or signs (LFQ).

Their straight-through rounding x + (q - x) is exactly q in floating point: q is an integer nearest to x or below it, or 1
or -1 of its sign. So training sees what is decoded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import FSQ, LFQ, ResidualFSQ

from solfa.codecs.quantizers.base import Quantizer
from solfa.codecs.quantizers.config import QuantizerConfig


class FSQQuantizer(Quantizer):
    """Finite scalar quantization (arXiv 2309.15505): K codes side by side, each a point of a grid of `levels` steps.

    Learned linear maps lead to the K x len(levels) grid coordinates and back. It has no loss of its own.
    """

    def __init__(self, config: QuantizerConfig, input_dim: int) -> None:
        super().__init__(config, input_dim)
        self.layer = FSQ(
            levels=list(config.levels),
            dim=input_dim,
            num_codebooks=config.codebooks,
            keep_num_codebooks_dim=True,
            scale=None,
            channel_first=False,
            projection_has_bias=True,
            return_indices=True,
            force_quantization_f32=True,
            preserve_symmetry=False,
            noise_dropout=0.0,
            bound_hard_clamp=False,
            orthogonal_rotation=False,
        )

    def _quantize(self, latents: Tensor, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        quantized, indices = self.layer(latents.transpose(1, 2))
        return quantized.transpose(1, 2), indices.long().transpose(1, 2), latents.new_zeros(())

    def _encode(self, latents: Tensor, count: int) -> Tensor:
        return self.layer(latents.transpose(1, 2))[1].long().transpose(1, 2)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.layer.indices_to_codes(codes.transpose(1, 2)).transpose(1, 2)


class ResidualFSQQuantizer(Quantizer):
    """Residual FSQ: each level rounds what is left to a grid `levels` times finer; one learned map leads to the grid.

    A softened clamp keeps the first level's input in range. The residual keeps its gradient, so that over all levels
    the straight-through gradient is the identity once, not once a level.
    """

    def __init__(self, config: QuantizerConfig, input_dim: int) -> None:
        super().__init__(config, input_dim)
        self.layer = ResidualFSQ(
            levels=list(config.levels),
            num_quantizers=config.codebooks,
            dim=input_dim,
            is_channel_first=False,
            quantize_dropout=False,
            soft_clamp_input_value=None,
            bound_hard_clamp=True,
            scale=None,
            force_quantization_f32=True,
            noise_dropout=0.0,
            orthogonal_rotation=False,
        )

    def _quantize(self, latents: Tensor, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        residual = self._bounded(latents)
        total = torch.zeros_like(residual)
        codes: list[Tensor] = []
        for depth in range(self.codebooks):
            point, indices = self._level(depth, residual)
            residual = residual - point
            plays = (active > depth).to(latents.device, latents.dtype)
            total = total + point * plays[:, None, None]
            codes.append(indices)
        return self.layer.project_out(total).transpose(1, 2), torch.stack(codes, dim=1), latents.new_zeros(())

    def _encode(self, latents: Tensor, count: int) -> Tensor:
        residual = self._bounded(latents)
        codes: list[Tensor] = []
        for depth in range(count):
            point, indices = self._level(depth, residual)
            residual = residual - point
            codes.append(indices)
        return torch.stack(codes, dim=1)

    def _decode(self, codes: Tensor) -> Tensor:
        total = torch.zeros((), device=codes.device)
        for depth, indices in enumerate(codes.unbind(1)):
            total = total + self.layer.layers[depth].implicit_codebook[indices] * self.layer.scales[depth]
        return self.layer.project_out(total).transpose(1, 2)

    def _bounded(self, latents: Tensor) -> Tensor:
        limit = self.layer.soft_clamp_input_value
        return (self.layer.project_in(latents.transpose(1, 2)) / limit).tanh() * limit  # [B, T, d]

    def _level(self, depth: int, residual: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.layer.scales[depth]
        rounded, indices = self.layer.layers[depth](residual / scale)
        return rounded * scale, indices.long()  # [B, T, d], [B, T]


class LFQQuantizer(Quantizer):
    """Lookup-free quantization (arXiv 2310.05737): K codes side by side, each the signs of log2 N mapped coordinates.

    Its loss rewards a sure decision for each vector and even use of the codes over the batch, and pulls the coordinates
    to 1 and -1.
    """

    def __init__(self, config: QuantizerConfig, input_dim: int) -> None:
        super().__init__(config, input_dim)
        self.layer = LFQ(
            dim=input_dim,
            codebook_size=config.codebook_size,
            entropy_loss_weight=config.entropy,
            commitment_loss_weight=config.commitment,
            diversity_gamma=config.diversity,
            straight_through_activation=nn.Identity(),
            num_codebooks=config.codebooks,
            keep_num_codebooks_dim=True,
            codebook_scale=1.0,
            frac_per_sample_entropy=1.0,
            has_projections=None,
            projection_has_bias=True,
            soft_clamp_input_value=None,
            cosine_sim_project_in=False,
            cosine_sim_project_in_scale=None,
            channel_first=False,
            experimental_softplus_entropy_loss=False,
            entropy_loss_offset=5.0,
            spherical=False,
            force_quantization_f32=True,
            orthogonal_rotation=False,
        )

    def _quantize(self, latents: Tensor, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.layer(latents.transpose(1, 2))
        return found.quantized.transpose(1, 2), found.indices.long().transpose(1, 2), found.entropy_aux_loss

    def _encode(self, latents: Tensor, count: int) -> Tensor:
        mapped = self.layer.project_in(latents.transpose(1, 2))
        coordinates = mapped.unflatten(2, (self.codebooks, -1))  # [B, T, K, log2 N]
        return ((coordinates > 0) * self.layer.mask).sum(dim=3).transpose(1, 2)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.layer.indices_to_codes(codes.transpose(1, 2)).transpose(1, 2)
