"""The adversarial losses on numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from solfa.train.adversarial import discriminator_loss, feature_loss, generator_loss
from solfa.train.discriminators import DiscriminatorOutput


def says(logits: list[float], *features: list[float]) -> DiscriminatorOutput:
    return DiscriminatorOutput(torch.tensor([[logits]]), tuple(torch.tensor([[f]]) for f in features))


REAL = [says([2.0, 0.5], [1.0, 1.0], [0.0]), says([0.0], [4.0])]
FAKE = [says([-3.0, 1.0], [2.0, 4.0], [6.0]), says([0.25], [1.0])]


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("hinge", 0.25 + 1.0, 1.0 + 1.25),  # (0 + .5) / 2 + (0 + 2) / 2; 1 + 1.25
        ("least_squares", 0.625 + 5.0, 1.0 + 0.0625),  # (1 + .25) / 2 + (9 + 1) / 2
    ],
)
def test_discriminator_loss(kind, first, second):
    assert discriminator_loss(REAL, FAKE, kind, "sum").item() == pytest.approx(first + second)
    assert discriminator_loss(REAL, FAKE, kind).item() == pytest.approx((first + second) / 2)


@pytest.mark.parametrize(("kind", "first", "second"), [("hinge", 1.0, -0.25), ("least_squares", 8.0, 0.5625)])
def test_generator_loss(kind, first, second):
    assert generator_loss(FAKE, kind, "sum").item() == pytest.approx(first + second)
    assert generator_loss(FAKE, kind).item() == pytest.approx((first + second) / 2)


def test_feature_loss_averages_layers_then_discriminators_or_sums_them_all():
    # layers: (1 + 3) / 2 = 2 and 6; then 3
    assert feature_loss(FAKE, REAL).item() == pytest.approx(((2 + 6) / 2 + 3) / 2)
    assert feature_loss(FAKE, REAL, "sum").item() == pytest.approx(2 + 6 + 3)


def test_feature_loss_moves_the_fake_side_only():
    real, fake = torch.zeros(1, 1, 4, requires_grad=True), torch.ones(1, 1, 4, requires_grad=True)
    logits = torch.zeros(1)
    feature_loss([DiscriminatorOutput(logits, (fake,))], [DiscriminatorOutput(logits, (real,))]).backward()
    assert real.grad is None
    assert fake.grad.tolist() == [[[0.25] * 4]]


def test_choices_are_named():
    with pytest.raises(ValueError, match="hinge, least_squares"):
        generator_loss(FAKE, "wasserstein")
    with pytest.raises(ValueError, match="mean, sum"):
        feature_loss(FAKE, REAL, "max")
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        discriminator_loss(REAL, FAKE[:1])
