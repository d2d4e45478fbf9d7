"""From codes to what is heard, frame for frame: embeddings of the codebooks summed, then an encoder that sees its whole segment.

A layer of the encoder is x + near(x), x + far(x), x + feed-forward(x): a convolution over a few frames, in each channel by itself, where
onsets are found; attention over the segment with rotary positions, for what a whole passage tells (tuning, instruments, room), not in the
first layers; and a gated feed-forward layer (T5.1.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.nn.gated import EPSILON, GatedFeed
from solfa.nn.transformer import attend, joined, rotations, turned
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.frames import INSTRUMENTS


class Front(nn.Module):
    """Codes [B, K, T] or vectors [B, D, T] to the encoder's input [B, T, W]."""

    offsets: Tensor

    def __init__(self, config: TranscriberConfig) -> None:
        super().__init__()
        self.config = config
        books, size = config.codebooks, config.codebook_size
        if config.source == "codes":
            self.embedding = nn.Embedding(books * size, config.embedded)  # of all codebooks, one after the other
            nn.init.normal_(self.embedding.weight, 0.0, books**-0.5)
            self.register_buffer("offsets", torch.arange(books, device="cpu")[:, None] * size, persistent=False)
        self.inward = nn.Linear(config.embedded, config.width)  # its bias is what loudness is measured against
        if config.hints:
            self.told = nn.Embedding(INSTRUMENTS + 1, config.width)  # the last: nothing was told
            nn.init.normal_(self.told.weight, 0.0, 0.1)

    def forward(self, source: Tensor, hint: Tensor | None, codebooks: int | None) -> Tensor:
        x = self._embed(source, codebooks) if self.config.source == "codes" else source.transpose(1, 2)
        kind = self.inward.weight.dtype
        x = self.inward(x.to(kind)).to(kind)  # also where products are in bfloat16: all that follows is added to it
        return x + self._hint(hint, len(x)) if self.config.hints else x

    def _embed(self, codes: Tensor, codebooks: int | None) -> Tensor:
        count = codebooks or self.config.codebooks
        x = self.embedding.weight.new_zeros(())
        for k in range(count):  # one by one: all at once would take K times the memory
            x = x + self.embedding(codes[:, k] + self.offsets[k])
        return x

    def _hint(self, hint: Tensor | None, batch: int) -> Tensor:
        """[B, 1, W]: the mean of the vectors of what plays, or the one of nothing told."""
        device = self.told.weight.device
        given = (
            torch.zeros(batch, INSTRUMENTS, device=device, dtype=torch.float32)
            if hint is None
            else hint.to(device).float()
        )
        silent = (given.sum(1, keepdim=True) == 0).float()
        table = torch.cat([given, silent], 1)
        return ((table / table.sum(1, keepdim=True)) @ self.told.weight)[:, None]

    def check(self, source: Tensor, codebooks: int | None) -> None:
        """Raise ValueError for a source that the model cannot read."""
        config = self.config
        if config.source != "codes":
            if source.ndim != 3 or source.shape[1] != config.embedded or not source.is_floating_point():
                raise ValueError(
                    f"{config.source} of shape {tuple(source.shape)}: {config.name} reads [B, {config.embedded}, T]"
                )
            if codebooks is not None:
                raise ValueError(
                    f"codebooks is {codebooks}: {config.name} reads {config.source}, made of as many as were used"
                )
            return
        least = config.codebooks if codebooks is None else codebooks
        if not 1 <= least <= config.codebooks:
            raise ValueError(f"codebooks is {codebooks}: legal are 1 to {config.codebooks}")
        fits = source.ndim == 3 and (source.shape[1] == least if codebooks is None else source.shape[1] >= least)
        if not fits or source.is_floating_point():
            raise ValueError(f"codes of shape {tuple(source.shape)}: {config.name} reads integers [B, {least}, T]")
        used = source[:, :least]
        low, high = (int(used.min()), int(used.max())) if used.numel() else (0, 0)
        if low < 0 or high >= config.codebook_size:
            raise ValueError(f"codes from {low} to {high}: legal are 0 to {config.codebook_size - 1}")

    @torch.no_grad()
    def start_from(self, vectors: Sequence[Tensor]) -> None:
        """Begin with what is known of the codes: each codebook's vectors [N, C], on one scale, so that embeddings add up to the latents.

        C wider than the embeddings is projected at random. Raises ValueError for other numbers and sizes, and where the vectors are all
        alike, as before training.
        """
        config = self.config
        shapes = {tuple(vector.shape) for vector in vectors}
        if (
            config.source != "codes"
            or len(vectors) != config.codebooks
            or len(shapes) != 1
            or len(vectors[0]) != config.codebook_size
        ):
            raise ValueError(
                f"vectors of {len(vectors)} codebooks, of shapes {sorted(shapes)}: {config.name} has {config.codebooks} of "
                f"[{config.codebook_size}, C] as its {config.source}"
            )
        table = torch.cat([vector.float() - vector.float().mean(0) for vector in vectors])
        scale = table.square().sum(0).mean().sqrt() / math.sqrt(config.codebook_size)  # of the sum of one code of each
        if not scale > 0:
            raise ValueError("the code vectors are all alike: the codec was not trained")
        table, wide = table / scale, table.shape[1]
        if wide > config.embedded:
            generator = torch.Generator().manual_seed(0)
            table = table @ (torch.randn(wide, config.embedded, generator=generator) * wide**-0.5)
        self.embedding.weight.zero_()[:, : table.shape[1]] = table


class Encoder(nn.Module):
    """Layers over [B, T, W], the frame rate kept; a last norm."""

    def __init__(self, config: TranscriberConfig) -> None:
        super().__init__()
        attending = [layer >= config.conv_layers for layer in range(config.encoder_layers)]
        self.layers = nn.ModuleList(EncoderLayer(config, each) for each in attending)
        self.norm = nn.LayerNorm(config.width)
        for depth, layer in enumerate(self.layers, 1):
            for weight in layer.parameters():
                if weight.ndim == 2:  # smaller in later layers, as in nn/transformer.py
                    std = 1 / math.sqrt(weight.shape[1]) / math.sqrt(2 * depth)
                    nn.init.trunc_normal_(weight, 0.0, std, -3 * std, 3 * std)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """mask: [B, T] bool, True is sound; None: all is. What is not sound takes no part."""
        places = torch.arange(x.shape[1], device=x.device)
        for layer in self.layers:
            x = layer(x, mask, places)
        return self.norm(x)


class EncoderLayer(nn.Module):
    """A convolution in time, attention to the whole segment (where `attending`), a gated feed-forward layer."""

    def __init__(self, config: TranscriberConfig, attending: bool) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout, self.attending = config.heads, config.dropout, attending
        self.norm_near = nn.RMSNorm(width, EPSILON)
        self.near = nn.Conv1d(width, width, config.kernel, padding=config.kernel // 2, groups=width, bias=False)
        if attending:
            self.norm_far = nn.RMSNorm(width, EPSILON)
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
        self.feed = GatedFeed(width, config.inner)

    def forward(self, x: Tensor, mask: Tensor | None, places: Tensor) -> Tensor:
        x = x + self._near(self.norm_near(x), mask)
        if self.attending:
            x = x + self._drop(self._far(self.norm_far(x), mask, places))
        return x + self._drop(self.feed(x))

    def _near(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            x = x * mask[..., None]
        # A 2-D convolution over [B, W, 1, T]: the same sums as conv1d, twice as fast on a CPU.
        weight, around = self.near.weight.unsqueeze(2), (0, self.near.kernel_size[0] // 2)
        y = F.conv2d(x.transpose(1, 2).unsqueeze(2), weight, padding=around, groups=x.shape[-1])
        return y.squeeze(2).transpose(1, 2)

    def _far(self, x: Tensor, mask: Tensor | None, places: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, T, d]
        turns = rotations(places, q.shape[-1])
        return self.out(
            joined(attend(turned(q, turns), turned(k, turns), v, None if mask is None else mask[:, None, None]))
        )

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x
