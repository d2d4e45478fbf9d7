"""How well a model of codes predicts true ones, a codebook at a time: perplexity from its nats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Perplexity:
    """codebooks: of each, in order; all: of all codes together, the geometric mean weighted by how many were counted; counts: how many."""

    codebooks: tuple[float, ...]
    all: float
    counts: tuple[int, ...]


def model_perplexity(nats: ArrayLike, counts: ArrayLike) -> Perplexity:
    """Perplexity of a model over codes, from the sum of -ln p of the true codes `nats` [K] and how many were counted `counts` [K].

    exp(nats / counts): 1 for a model that is sure and right, N for one that knows nothing of N codes, lower is better. p is
    conditional on the true codes that stand before in the model's pattern. Other than `codebooks.perplexity`, which tells how evenly codes
    are used and needs no model. AudioCraft's `ppl` is `all` of one batch, averaged over batches after the exponential, and so larger.
    NaN for a codebook of which nothing was counted. Raises ValueError for other shapes and for negative numbers.
    """
    total, often = np.asarray(nats, np.float64), np.asarray(counts)
    if total.ndim != 1 or total.shape != often.shape or not len(total) or often.dtype.kind not in "iu":
        raise ValueError(
            f"nats of shape {total.shape}, counts {often.dtype} of shape {often.shape}: numbers and integers [K]"
        )
    if not (total >= 0).all() or (often < 0).any():
        raise ValueError("nats and counts must be 0 or more")
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(often > 0, np.exp(total / often), np.nan)
        over_all = np.exp(total.sum() / often.sum()) if often.sum() else np.nan
    return Perplexity(tuple(each.tolist()), float(over_all), tuple(often.tolist()))
