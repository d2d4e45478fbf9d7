"""Residual quantization: each level quantizes what the levels before it left over, in groups of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from solfa.codecs.quantizers.base import Quantizer
from solfa.codecs.quantizers.config import QuantizerConfig
from solfa.codecs.quantizers.level import Level, LevelOutput
from solfa.codecs.quantizers.vector import VectorLevel


class ResidualQuantizer(Quantizer):
    """Residual, product and grouped quantization over levels of any kind.

    The channels are cut into groups; a level holds one codebook (with heads, one code a head) for each group. Codes are
    ordered level by level, so the first k codebooks, k a multiple of `step`, are a coarser version of all. Dropped
    levels of an item add neither signal nor loss; its residuals there still feed the codebooks' moving averages.
    make_level: a level for vectors of the given width.
    Raises ValueError if the groups do not divide the channels.
    """

    def __init__(self, config: QuantizerConfig, input_dim: int, make_level: Callable[[int], Level]) -> None:
        super().__init__(config, input_dim)
        self.groups = config.codebooks // config.heads if config.kind == "product" else config.groups
        if input_dim % self.groups:
            raise ValueError(f"{self.groups} groups: must divide the {input_dim} channels of the latents")
        # One after the other in the order of their codes: level 0 of each group, level 1 of each group, ...
        self.books = nn.ModuleList(
            make_level(input_dim // self.groups) for _ in range(config.codebooks // config.heads)
        )

    def codebook_usage(self) -> Tensor | None:
        rows = [book.cluster_size for book in self.books if isinstance(book, VectorLevel)]
        return torch.stack(rows) if rows else None

    def _quantize(self, latents: Tensor, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        vectors = latents.transpose(1, 2)  # [B, T, D]
        residuals = self._split(vectors)
        totals = [torch.zeros_like(part) for part in residuals]
        codes: list[Tensor] = []
        loss = latents.new_zeros(())
        for index, book in enumerate(self.books):
            group = index % self.groups
            out: LevelOutput = book(residuals[group])
            # Detached: the straight-through value would cancel the commitment gradient of all later levels.
            residuals[group] = residuals[group] - out.quantized.detach()
            plays = (active > index * self.config.heads).to(latents.device, latents.dtype)  # [B]
            totals[group] = totals[group] + out.quantized * plays[:, None, None]
            loss = loss + (out.loss * plays).mean() + out.regularisation
            codes.append(out.codes)
        # Value: the codes' sum, exactly. Gradient: the identity to the latents, beside that to the levels' own weights.
        total = torch.cat(totals, dim=2) + (vectors - vectors.detach())
        return total.transpose(1, 2), torch.cat(codes, dim=2).transpose(1, 2), loss

    def _encode(self, latents: Tensor, count: int) -> Tensor:
        residuals = self._split(latents.transpose(1, 2))
        codes: list[Tensor] = []
        for index in range(count // self.config.heads):
            group = index % self.groups
            codes.append(self._book(index).encode(residuals[group]))
            residuals[group] = residuals[group] - self._book(index).decode(codes[-1])
        return torch.cat(codes, dim=2).transpose(1, 2)

    def _decode(self, codes: Tensor) -> Tensor:
        totals: list[Tensor] = []
        for index, part in enumerate(codes.transpose(1, 2).split(self.config.heads, dim=2)):  # each [B, T, H]
            vectors = self._book(index).decode(part)
            if index < self.groups:
                totals.append(vectors)
            else:
                totals[index % self.groups] = totals[index % self.groups] + vectors
        return torch.cat(totals, dim=2).transpose(1, 2)

    def _book(self, index: int) -> Level:
        return cast(Level, self.books[index])

    def _split(self, vectors: Tensor) -> list[Tensor]:
        return list(vectors.split(self.input_dim // self.groups, dim=2))
