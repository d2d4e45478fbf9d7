"""Levels whose codebooks are frozen: SimVQ, which learns one linear map of all codes, and random projection."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from vector_quantize_pytorch import RandomProjectionQuantizer, SimVQ

from solfa.codecs.quantizers.config import QuantizerConfig
from solfa.codecs.quantizers.level import Level, LevelOutput, mean_square
from solfa.codecs.quantizers.search import nearest

# Every default of vector-quantize-pytorch 1.32's layer that no kind sets, written out: they change between versions.
LIBRARY_DEFAULTS: dict[str, Any] = {
    "freeze_codebook": False,
    "sync_kmeans": False,
    "layernorm_after_project_in": False,
    "channel_last": True,
    "accept_image_fmap": False,
    "accept_3d_fmap": False,
    "commitment_use_cross_entropy_loss": False,
    "orthogonal_reg_active_codes_only": False,
    "orthogonal_reg_max_codes": None,
    "codebook_diversity_loss_weight": 0.0,
    "codebook_diversity_temperature": 100.0,
    "stochastic_sample_codes": False,
    "sample_codebook_temp": 1.0,
    "straight_through": False,
    "rotation_trick": False,
    "directional_reparam": False,
    "directional_reparam_variance": 5e-3,
    "sync_codebook": False,
    "sync_affine_param": False,
    "vq_bridge": None,
    "manual_ema_update": False,
    "in_place_codebook_optimizer": None,
    "manual_in_place_optimizer_update": False,
    "affine_param": False,
    "affine_param_batch_decay": 0.99,
    "affine_param_codebook_decay": 0.9,
    "sync_update_v": 0.0,
    "return_zeros_for_masked_padding": True,
    "route_gradients_to_input": True,
}


class SimVQLevel(Level):
    """Codes: a learned linear map of frozen vectors. A gradient to one moves all, and none dies (arXiv 2411.02038)."""

    def __init__(self, config: QuantizerConfig, width: int) -> None:
        super().__init__()
        self.commitment = config.commitment
        self.layer = SimVQ(
            dim=width,
            codebook_size=config.codebook_size,
            codebook_transform=None,
            init_fn=lambda codebook: codebook,
            channel_first=False,
            rotation_trick=False,
            input_to_quantize_commit_loss_weight=config.commitment,
            commitment_weight=1.0,
            frozen_codebook_dim=config.dim or width,
        )

    def forward(self, residual: Tensor) -> LevelOutput:
        codebook = self.layer.codebook  # [N, D]
        codes = nearest(residual.detach().flatten(0, 1), codebook.detach()).view(residual.shape[:2])
        chosen = F.embedding(codes, codebook)
        loss = mean_square(residual.detach(), chosen) + self.commitment * mean_square(residual, chosen.detach())
        return LevelOutput(chosen.detach(), codes[..., None], loss)

    def encode(self, residual: Tensor) -> Tensor:
        return nearest(residual.flatten(0, 1), self.layer.codebook).view(*residual.shape[:2], 1)

    def decode(self, codes: Tensor) -> Tensor:
        return F.embedding(codes[..., 0], self.layer.codebook)


class RandomProjectionLevel(Level):
    """The code is the nearest of frozen random directions to a frozen random projection of the normalised input.

    In arXiv 2202.01855 it is only a target to predict; a learned linear map of the direction makes this a quantizer.
    """

    def __init__(self, config: QuantizerConfig, width: int) -> None:
        super().__init__()
        self.commitment = config.commitment
        dim = config.dim or width
        self.layer = RandomProjectionQuantizer(
            dim=width,
            codebook_size=config.codebook_size,
            codebook_dim=dim,
            num_codebooks=1,
            norm=True,
            decay=0.0,
            eps=config.epsilon,
            kmeans_init=False,
            kmeans_iters=0,
            threshold_ema_dead_code=0,
            commitment_weight=0.0,
            orthogonal_reg_weight=0.0,
            ema_update=False,
            learnable_codebook=False,
            **{**LIBRARY_DEFAULTS, "freeze_codebook": True},
        )
        self.project_out = nn.Linear(dim, width)

    @property
    def codebook(self) -> Tensor:
        """The frozen directions, [N, d]."""
        return self.layer.vq._codebook.embed[0]

    def forward(self, residual: Tensor) -> LevelOutput:
        codes = self.encode(residual.detach())
        quantized = self.decode(codes)
        loss = mean_square(residual.detach(), quantized) + self.commitment * mean_square(residual, quantized.detach())
        return LevelOutput(quantized, codes, loss)

    def encode(self, residual: Tensor) -> Tensor:
        projected = F.normalize(self.layer.norm(residual) @ self.layer.rand_projs[0], dim=2, eps=1e-6)
        return nearest(projected.flatten(0, 1), self.codebook).view(*residual.shape[:2], 1)

    def decode(self, codes: Tensor) -> Tensor:
        return self.project_out(F.embedding(codes[..., 0], self.codebook))
