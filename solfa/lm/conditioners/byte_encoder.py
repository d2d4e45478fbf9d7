"""The encoder of T5 1.1 (Raffel et al., 2020, arXiv 1910.10683; Shazeer, 2020, arXiv 2002.05202), small, for texts as bytes.

Its tensors have the names that they have in transformers, whose T5EncoderModel gives the same vectors; importing that takes longer than all
else that loading a language model does.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BUCKETS, FARTHEST = 32, 128  # classes of distance, half of them for each side; all that is farther is in the last


class ByteEncoder(nn.Module):
    """Tokens to vectors, with attention to all of a text and a learned bias for each distance; no dropout."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.shared = nn.Embedding(vocabulary, width)
        blocks = [_Block(width, heads, hidden, first=index == 0) for index in range(layers)]
        self.encoder = nn.ModuleDict({"block": nn.ModuleList(blocks), "final_layer_norm": _norm(width)})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Vectors [B, L, D] of tokens [B, L]; where the mask [B, L] is False nothing is heard. Each row must have something."""
        x, bias = self.shared(ids), None
        for block in cast(nn.ModuleList, self.encoder["block"]):
            x, bias = block(x, mask, bias)
        return self.encoder["final_layer_norm"](x)


class _Block(nn.Module):
    """Attention, then feed; the first block has the bias of all."""

    def __init__(self, width: int, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList([_Attention(width, heads, biased=first), _Feed(width, hidden)])

    def forward(self, x: Tensor, mask: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Vectors [B, L, D], and the bias [B, H, L, L] for the next block."""
        attention, feed = self.layer
        if bias is None:
            bias = cast(_Attention, attention).bias(x.shape[1]).masked_fill(~mask[:, None, None], -math.inf)
        return feed(attention(x, bias)), bias


class _Attention(nn.Module):
    """x + attention(norm(x)), its products not scaled: the weights' start makes up for it."""

    def __init__(self, width: int, heads: int, biased: bool) -> None:
        super().__init__()
        self.heads, size = heads, width // heads
        parts: dict[str, nn.Module] = {name: nn.Linear(width, width, bias=False) for name in "qkvo"}
        for name, linear in parts.items():
            nn.init.normal_(cast(nn.Linear, linear).weight, 0.0, (width * size if name == "q" else width) ** -0.5)
        if biased:
            parts["relative_attention_bias"] = nn.Embedding(BUCKETS, heads)
            nn.init.normal_(cast(nn.Embedding, parts["relative_attention_bias"]).weight, 0.0, width**-0.5)
        self.SelfAttention = nn.ModuleDict(parts)
        self.layer_norm = _norm(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        normed = self.layer_norm(x)
        q, k, v = (self.SelfAttention[name](normed).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v, bias.to(q.dtype), scale=1.0)
        return x + self.SelfAttention["o"](mixed.transpose(1, 2).flatten(2))

    def bias(self, length: int) -> Tensor:
        """What is added to each product, by how far the two are apart: [1, H, L, L]."""
        table = self.SelfAttention["relative_attention_bias"]
        places = torch.arange(length, device=cast(nn.Embedding, table).weight.device)
        return table(_bucket(places[None] - places[:, None])).permute(2, 0, 1)[None]


class _Feed(nn.Module):
    """x + feed(norm(x)), a gated unit."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        shapes = {"wi_0": (width, hidden), "wi_1": (width, hidden), "wo": (hidden, width)}
        self.DenseReluDense = nn.ModuleDict({name: nn.Linear(*shape, bias=False) for name, shape in shapes.items()})
        for linear in self.DenseReluDense.values():
            nn.init.normal_(cast(nn.Linear, linear).weight, 0.0, cast(nn.Linear, linear).in_features ** -0.5)
        self.layer_norm = _norm(width)

    def forward(self, x: Tensor) -> Tensor:
        parts, normed = self.DenseReluDense, self.layer_norm(x)
        return x + parts["wo"](F.gelu(parts["wi_0"](normed), approximate="tanh") * parts["wi_1"](normed))


def _norm(width: int) -> nn.RMSNorm:
    return nn.RMSNorm(width, eps=1e-6)


def _bucket(distances: Tensor) -> Tensor:
    """The class of each distance: those to the right behind those to the left; up to 7 each its own, then by its logarithm."""
    side = BUCKETS // 2
    near, far = side // 2, distances.abs()
    ratio = torch.log(far.clamp_min(1).float() / near) / math.log(FARTHEST / near)
    by_log = (near + (ratio * (side - near)).long()).clamp_max(side - 1)
    return (distances > 0) * side + torch.where(far < near, far, by_log)
