"""Nearest codebook vector, and the sums that an EMA codebook needs: one matrix product and one pass each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows searched at once: the [rows, N] distances stay in the processor's cache, and memory stays bounded on long inputs.
_ROWS = 1024


def nearest(vectors: Tensor, codebook: Tensor, handicap: Tensor | None = None) -> Tensor:
    """Index [V] of the row of codebook [N, D] nearest to each of vectors [V, D], Euclidean; the first of equals.

    |x - e|^2 / 2 differs from |e|^2 / 2 - x.e by |x|^2 / 2, the same for all e. `handicap` [N] is added to these half squares.
    """
    half_norm = codebook.square().sum(dim=1) * 0.5  # [N]
    if handicap is not None:
        half_norm = half_norm + handicap
    transposed = codebook.t()
    rows = _ROWS if vectors.device.type == "cpu" else max(len(vectors), 1)
    found = [torch.addmm(half_norm, part, transposed, alpha=-1).min(dim=1).indices for part in vectors.split(rows)]
    return torch.cat(found)


def assigned_sums(vectors: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """How many of vectors [V, D] have each code, [N], and their sums, [N, D]; the same bits every run."""
    if vectors.device.type == "cpu":
        counts = torch.bincount(codes, minlength=size).to(vectors.dtype)
        return counts, vectors.new_zeros(size, vectors.shape[1]).index_add_(0, codes, vectors)
    # index_add_ and bincount on a GPU add in any order; a product with the one-hot matrix does not.
    onehot = F.one_hot(codes, size).to(vectors.dtype)  # [V, N]
    return onehot.sum(dim=0), onehot.t() @ vectors
