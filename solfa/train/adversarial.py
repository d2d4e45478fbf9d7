"""Adversarial losses over the outputs of `discriminators`: hinge (EnCodec), least squares (DAC), feature matching.

Every term is first averaged over the elements of a tensor. `over` says how sub-discriminators (and, for feature
matching, their layers) come together: "mean" as EnCodec is trained, "sum" as DAC is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.train.discriminators import DiscriminatorOutput

KINDS = ("hinge", "least_squares")
REDUCTIONS = ("mean", "sum")


def _check(kind: str, over: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if over not in REDUCTIONS:
        raise ValueError(f"over must be one of {', '.join(REDUCTIONS)}, got {over!r}")


def _join(terms: Sequence[Tensor], over: str) -> Tensor:
    total = torch.stack(list(terms)).sum()
    return total / len(terms) if over == "mean" else total


def discriminator_loss(
    real: Sequence[DiscriminatorOutput], fake: Sequence[DiscriminatorOutput], kind: str = "hinge", over: str = "mean"
) -> Tensor:
    """What the discriminators minimise; `fake` comes from detached audio. A scalar.

    hinge: mean(max(0, 1 - real)) + mean(max(0, 1 + fake)). least_squares: mean((1 - real)^2) + mean(fake^2).
    Raises ValueError for another kind or `over`.
    """
    _check(kind, over)
    if kind == "hinge":
        terms = [F.relu(1 - r.logits).mean() + F.relu(1 + f.logits).mean() for r, f in zip(real, fake, strict=True)]
    else:
        terms = [(1 - r.logits).square().mean() + f.logits.square().mean() for r, f in zip(real, fake, strict=True)]
    return _join(terms, over)


def generator_loss(fake: Sequence[DiscriminatorOutput], kind: str = "hinge", over: str = "mean") -> Tensor:
    """What the generator minimises. A scalar.

    hinge: -mean(fake). least_squares: mean((1 - fake)^2). Raises ValueError for another kind or `over`.
    """
    _check(kind, over)
    if kind == "hinge":
        return _join([-f.logits.mean() for f in fake], over)
    return _join([(1 - f.logits).square().mean() for f in fake], over)


def feature_loss(
    fake: Sequence[DiscriminatorOutput], real: Sequence[DiscriminatorOutput], over: str = "mean"
) -> Tensor:
    """Feature matching: the mean absolute difference of the features, the real ones held constant. A scalar.

    over "mean": averaged over the layers of a sub-discriminator, then over sub-discriminators; "sum": summed over both.
    Raises ValueError for another `over`.
    """
    _check(KINDS[0], over)
    terms = [
        _join([F.l1_loss(b, a.detach()) for a, b in zip(r.features, f.features, strict=True)], over)
        for r, f in zip(real, fake, strict=True)
    ]
    return _join(terms, over)
