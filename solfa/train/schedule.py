"""The learning rate as a function of the step."""

from __future__ import annotations

import math


def learning_rate_factor(step: int, steps: int, warmup: int, floor: float, gamma: float | None = None) -> float:
    """Linear warm-up, then half a cosine from 1 down to `floor` (both fractions of the peak) at `steps`.

    `step` counts from 0; neither the first step nor the last, `steps` - 1, gets a rate of 0 (Loshchilov and Hutter,
    https://arxiv.org/abs/1608.03983, without restarts). With `gamma` the factor is multiplied by it after every step instead of
    following the cosine, down to `floor`, whatever `steps` is (torch's ExponentialLR, stepped once an update).
    """
    if step < warmup:
        return (step + 1) / warmup
    if gamma is not None:
        return max(gamma ** (step - warmup), floor)
    progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
