"""From logits to ids, as every model here draws them: the most likely ones, and a draw for each row from a generator of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_TINY = torch.finfo(torch.float32).tiny


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits [..., N] with minus infinity below the k-th largest; ties with it are kept. 0, or k above N, keeps all."""
    if not 0 < k < logits.shape[-1]:
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[..., -1:], -math.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits [..., N] with minus infinity outside the fewest codes, most likely first, that have probability p together."""
    if not 0 < p < 1:
        return logits
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probs = ordered.softmax(-1)
    before = probs.cumsum(-1) - probs
    outside = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= p)
    outside.scatter_(-1, order[..., :1], False)  # whatever rounding says, the most likely one stays
    return logits.masked_fill(outside, -math.inf)


def draw(probs: Tensor, generators: Sequence[torch.Generator | None]) -> Tensor:
    """Codes [B, ...] from probabilities [B, ..., N]; row b from its own generator, or, where that is None, the likeliest.

    The race argmax(p / e), e exponential: it is how torch.multinomial draws one, bit for bit, without its wait for a GPU.
    """
    race = torch.ones_like(probs)
    for row, generator in zip(race, generators, strict=True):
        if generator is not None:
            row.exponential_(generator=generator)
    return (probs / race.clamp_min_(_TINY)).argmax(-1)
