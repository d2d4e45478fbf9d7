"""What every quantizer is: latents in, codes and quantized latents out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solfa.codecs.quantizers.config import QuantizerConfig


@dataclass(frozen=True)
class Quantized:
    """A quantizer's answer for a batch.

    latents: the quantized latents; gradients pass straight through to the input.
    codes: integer codes of all K codebooks, also of those an item does not use.
    loss: weighted sum of the quantizer's own losses. active: codebooks in use for each item.
    """

    latents: Tensor  # [B, D, T] float32
    codes: Tensor  # [B, K, T] int64
    loss: Tensor  # []
    active: Tensor  # [B] int64


class Quantizer(nn.Module, ABC):
    """Base of all kinds. Runs in float32 whatever the autocast around it.

    codebooks: K. codebook_size: N. input_dim: D, the width of the latents.
    step: the legal numbers of codebooks are its multiples up to K.
    """

    def __init__(self, config: QuantizerConfig, input_dim: int) -> None:
        super().__init__()
        if input_dim < 1:
            raise ValueError(f"quantizer input_dim={input_dim}: must be 1 or more")
        self.config = config
        self.codebooks = config.codebooks
        self.codebook_size = config.codebook_size
        self.input_dim = input_dim
        self.step = config.step

    def forward(self, latents: Tensor, codebooks: Tensor | int | None = None) -> Quantized:
        """Quantize latents [B, D, T] for training or evaluation.

        codebooks: how many play, one number or one an item; None means all, except in training, where each item is with
        probability `dropout` given a number drawn from torch's global generator. Raises ValueError for an illegal
        number.
        """
        self._check_latents(latents)
        active = self._active(latents.shape[0], codebooks)
        with torch.autocast(latents.device.type, enabled=False):
            quantized, codes, loss = self._quantize(latents.float(), active)
        return Quantized(quantized, codes, loss, active.to(latents.device))

    @torch.no_grad()
    def encode(self, latents: Tensor, codebooks: int | None = None) -> Tensor:
        """Codes [B, k, T] of latents [B, D, T], k = codebooks or K. Float32; it changes no buffer, even in training."""
        self._check_latents(latents)
        count = self._check_count(self.codebooks if codebooks is None else codebooks)
        with torch.autocast(latents.device.type, enabled=False):
            return self._encode(latents.float(), count)

    def decode(self, codes: Tensor) -> Tensor:
        """Latents [B, D, T] of codes [B, k, T], k any legal number.

        Raises ValueError for another shape, or for codes outside 0 to N - 1.
        """
        if codes.ndim != 3 or codes.is_floating_point():
            raise ValueError(f"codes {codes.dtype} of shape {list(codes.shape)}: must be integers [B, K, T]")
        self._check_count(codes.shape[1])
        if codes.numel() and not (int(codes.min()) >= 0 and int(codes.max()) < self.codebook_size):
            raise ValueError(f"codes {int(codes.min())} to {int(codes.max())}: must be 0 to {self.codebook_size - 1}")
        with torch.autocast(codes.device.type, enabled=False):
            return self._decode(codes.long())

    def codebook_usage(self) -> Tensor | None:
        """Moving counts of vectors a step for each code, [K, N] (heads share a row); None for kinds that keep none."""
        return None

    @abstractmethod
    def _quantize(self, latents: Tensor, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized latents [B, D, T], codes [B, K, T] and loss, with the first active[b] codebooks of each item."""

    @abstractmethod
    def _encode(self, latents: Tensor, count: int) -> Tensor:
        """Codes [B, count, T]."""

    @abstractmethod
    def _decode(self, codes: Tensor) -> Tensor:
        """Latents [B, D, T] of codes [B, k, T]."""

    def _active(self, batch: int, codebooks: Tensor | int | None) -> Tensor:
        """Codebooks in use for each item, [B] int64, on the CPU."""
        if codebooks is None:
            active = torch.full((batch,), self.codebooks)
            if self.training and self.config.dropout > 0:
                drawn = self.step * torch.randint(1, self.codebooks // self.step + 1, (batch,))
                active = torch.where(torch.rand(batch) < self.config.dropout, drawn, active)
            return active
        if isinstance(codebooks, int):
            return torch.full((batch,), self._check_count(codebooks))
        if codebooks.shape != (batch,) or codebooks.is_floating_point():
            raise ValueError(f"codebooks of shape {list(codebooks.shape)}: must be integers [{batch}], one an item")
        active = codebooks.to("cpu", torch.int64)
        for count in active.unique().tolist():
            self._check_count(count)
        return active

    def _check_count(self, count: int) -> int:
        if not 1 <= count <= self.codebooks or count % self.step:
            legal = range(self.step, self.codebooks + 1, self.step)
            raise ValueError(f"{count} codebooks: must be {' or '.join(map(str, legal)) if len(legal) < 9 else legal}")
        return count

    def _check_latents(self, latents: Tensor) -> None:
        if latents.ndim != 3 or latents.shape[1] != self.input_dim:
            raise ValueError(f"latents of shape {list(latents.shape)}: must be [B, {self.input_dim}, T]")
