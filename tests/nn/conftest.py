"""The law step == batch, for every causal model of this room."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def _tensors(state) -> list[Tensor]:
    return [*state.tensors, *(t for part in state.parts for t in _tensors(part))]


def pieces(total: int, least: int, seed: int) -> list[int]:
    """`total` cut into random pieces of 1 to 4, the first at least `least` (or everything)."""
    rng = random.Random(seed)
    sizes = [min(total, max(least, rng.randint(1, 4)))]
    while sum(sizes) < total:
        sizes.append(min(rng.randint(1, 4), total - sum(sizes)))
    return sizes


@pytest.fixture
def step_equals_batch() -> Callable[..., None]:
    """Call with a model that has `start(batch)` and `step(x, state)`, and an input `[B, ., n * unit]`.

    Running the model in random pieces of whole units must give what running it at once gives, each step must give its
    full share of the output at once, and a step must leave the state it was given untouched.
    """

    def check(model, x: Tensor, unit: int = 1, first: int = 1, seed: int = 0, tolerance: float = 1e-10) -> None:
        with torch.no_grad():
            whole = model(x)
            sizes = pieces(x.shape[-1] // unit, first, seed)
            state = model.start(len(x))
            parts = []
            for piece in x.split([size * unit for size in sizes], dim=-1):
                before = [t.clone() for t in _tensors(state)]
                y, after = model.step(piece, state)
                assert y.shape[-1] * x.shape[-1] == piece.shape[-1] * whole.shape[-1]
                assert all(torch.equal(t, kept) for t, kept in zip(_tensors(state), before, strict=True))
                parts.append(y)
                state = after
        torch.testing.assert_close(torch.cat(parts, dim=-1), whole, rtol=0, atol=tolerance)

    return check
