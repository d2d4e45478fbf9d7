"""The null condition: what a row that is told nothing hears."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from solfa.nn.transformer import Memory


def null_where_empty(values: Tensor, mask: Tensor) -> Memory:
    """Vectors [B, L, D] with zeros where the mask [B, L] is False, as a memory; a row that is False throughout hears its zeros."""
    return Memory(values * mask[..., None].to(values.dtype), mask | ~mask.any(1, keepdim=True))


def joined(memories: Sequence[Memory]) -> Memory:
    """Several memories as one. Of a row only what is told is heard: the zeros of one that is told nothing take no part."""
    masks = [
        torch.ones_like(memory.values[..., 0], dtype=torch.bool) if memory.mask is None else memory.values.ne(0).any(-1)
        for memory in memories
    ]
    return null_where_empty(torch.cat([memory.values for memory in memories], 1), torch.cat(masks, 1))
