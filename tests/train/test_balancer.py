"""The balancer against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from solfa.train.balancer import Balancer


def pulls(output: torch.Tensor) -> dict[str, torch.Tensor]:
    """Losses whose gradients are known: 6 on the first axis of each item, -2 on the second."""
    return {"a": 6 * output[:, 0].sum(), "b": -2 * output[:, 1].sum()}


def gradient(balancer, losses, weights, output) -> torch.Tensor:
    return torch.autograd.grad(balancer(losses, weights, output), [output])[0]


def test_first_step_gives_each_loss_its_share_whatever_its_scale():
    output = torch.zeros(2, 2, requires_grad=True)
    balanced = gradient(Balancer(), pulls(output), {"a": 3.0, "b": 1.0}, output)
    # each item: 3/4 along +axis 0, 1/4 along -axis 1
    torch.testing.assert_close(balanced, torch.tensor([[0.75, -0.25]] * 2))


def test_running_norm_is_a_bias_corrected_average(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("solfa.train.balancer.DECAY", 0.5)
    balancer = Balancer()
    output = torch.zeros(1, 1, requires_grad=True)
    found = [gradient(balancer, {"a": slope * output.sum()}, {"a": 1.0}, output).item() for slope in (1.0, 4.0, 2.0)]
    # norms 1; (0.5 * 1 + 4) / 1.5 = 3; (0.5 * 4.5 + 2) / 1.75 = 17 / 7
    assert found == pytest.approx([1.0, 4 / 3, 14 / 17])
    assert balancer.norms() == {"a": pytest.approx(17 / 7)}


def test_norm_is_per_item_then_averaged():
    output = torch.zeros(2, 1, 2, requires_grad=True)
    slopes = torch.tensor([[[3.0, 4.0]], [[0.0, 1.0]]])  # norms 5 and 1, mean 3
    balanced = gradient(Balancer(), {"a": (slopes * output).sum()}, {"a": 1.0}, output)
    torch.testing.assert_close(balanced, slopes / 3)


def test_many_steps_follow_the_published_formula():
    """AudioCraft's: sum of g_i / (1e-12 + avg |g_i|) * w_i / sum w, avg = (sum of 0.999^age * norm) / (sum of 0.999^age)."""
    weights = {"adversarial": 4.0, "feature": 4.0, "mae": 0.1, "mel": 2.0}
    draw = torch.Generator().manual_seed(0)
    balancer = Balancer()
    norms = []
    for step in range(40):
        scale = 10 ** (4 * torch.rand(4, 1, 1, 1, generator=draw) - 2)
        slopes = torch.randn(4, 3, 2, 9, generator=draw) * scale
        output = torch.zeros(3, 2, 9, requires_grad=True)
        losses = {name: (slope * output).sum() for name, slope in zip(weights, slopes, strict=True)}
        found = gradient(balancer, losses, weights, output)
        norms.append(slopes.double().flatten(2).norm(dim=2).mean(1))  # of an item, averaged over the batch
        ages = 0.999 ** torch.arange(step, -1, -1, dtype=torch.float64)
        averages = (torch.stack(norms) * ages[:, None]).sum(0) / ages.sum()
        shares = torch.tensor(list(weights.values()), dtype=torch.float64) / sum(weights.values())
        wanted = ((shares / (1e-12 + averages))[:, None, None, None] * slopes.double()).sum(0)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-6)


def test_a_loss_may_join_later_and_stay_away():
    balancer = Balancer()
    weights = {"a": 1.0, "b": 1.0}
    output = torch.zeros(1, 2, requires_grad=True)
    losses = pulls(output)
    torch.testing.assert_close(gradient(balancer, {"a": losses["a"]}, weights, output), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(gradient(balancer, losses, weights, output), torch.tensor([[0.5, -0.5]]))
    torch.testing.assert_close(gradient(balancer, {"b": losses["b"]}, weights, output), torch.tensor([[0.0, -1.0]]))


def test_value_is_the_weighted_sum_of_the_losses():
    output = torch.tensor([[1.5, 0.5]], requires_grad=True)
    assert Balancer()(pulls(output), {"a": 2.0, "b": 3.0}, output).item() == pytest.approx(2 * 9 - 3 * 1)


def test_gradient_goes_on_to_the_generator_only():
    generator, discriminator = torch.nn.Linear(3, 4), torch.nn.Linear(4, 1)
    x = torch.randn(5, 3)
    output = generator(x)
    Balancer()({"a": discriminator(output).mean()}, {"a": 1.0}, output).backward()
    direction = discriminator.weight[0] / discriminator.weight[0].norm()  # each item gets a unit gradient along it
    torch.testing.assert_close(generator.weight.grad, direction[:, None] * x.sum(0)[None])
    assert discriminator.weight.grad is None


def test_state_resumes_to_the_same_bits_in_a_fresh_balancer():
    torch.manual_seed(0)
    slopes = torch.randn(8, 2, 3)

    def run(balancer, steps):
        results = []
        for slope in slopes[steps]:
            output = torch.zeros(2, 3, requires_grad=True)
            losses = {"a": (slope[0] * output).sum(), "b": (slope[1] * output).sum()}
            results.append(gradient(balancer, losses, {"a": 1.0, "b": 4.0}, output))
        return torch.stack(results)

    whole = run(Balancer(), slice(0, 8))
    first = Balancer()
    run(first, slice(0, 4))
    saved = {f"balancer.{key}": value.clone() for key, value in first.state_dict().items()}
    second = torch.nn.ModuleDict({"balancer": Balancer()})
    second.load_state_dict(saved)
    assert torch.equal(run(second["balancer"], slice(4, 8)), whole[4:])


def test_a_norm_that_is_not_finite_is_not_remembered():
    balancer = Balancer()
    output = torch.zeros(1, 2, requires_grad=True)
    gradient(balancer, {"a": pulls(output)["a"]}, {"a": 1.0}, output)
    assert not gradient(balancer, {"a": output.sum() * torch.inf}, {"a": 1.0}, output).isfinite().all()
    assert balancer.norms() == {"a": 6.0}


def test_half_precision_output_gets_a_gradient_of_its_own_dtype():
    output = torch.zeros(2, 2, dtype=torch.bfloat16, requires_grad=True)
    balanced = gradient(Balancer(), pulls(output), {"a": 1.0, "b": 1.0}, output)
    assert balanced.dtype == torch.bfloat16
    torch.testing.assert_close(balanced.float(), torch.tensor([[0.5, -0.5]] * 2))


def test_norms_are_averaged_over_ranks(tmp_path, monkeypatch):
    """One process stands in for two: the other rank's norm is three times ours."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda norms: norms.mul_(1 + 3))
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        output = torch.zeros(1, 2, requires_grad=True)
        balancer = Balancer()
        balanced = gradient(balancer, {"a": pulls(output)["a"]}, {"a": 1.0}, output)
    finally:
        torch.distributed.destroy_process_group()
    assert balancer.norms() == {"a": 12.0}
    torch.testing.assert_close(balanced, torch.tensor([[0.5, 0.0]]))


def test_errors_name_the_loss():
    output = torch.zeros(1, 2, requires_grad=True)
    with pytest.raises(ValueError, match="positive weight, got a, b"):
        Balancer()(pulls(output), {"a": 1.0}, output)
    with pytest.raises(ValueError, match="no loss"):
        Balancer()({}, {"a": 1.0}, output)
    for other in (torch.zeros(()), torch.zeros(1, requires_grad=True).sum()):
        with pytest.raises(ValueError, match="'a' does not depend"):
            Balancer()({"a": other}, {"a": 1.0}, output)
