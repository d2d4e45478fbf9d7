"""Muon beside AdamW: each parameter moves as its own optimizer alone would move it, and a state comes back whole."""

import copy

import pytest
import torch
from torch import nn

from solfa.train.config import TrainConfig
from solfa.train.optimizer import load_optimizer_tensors, make_optimizer, optimizer_tensors

CONFIG = TrainConfig(learning_rate=1e-2, weight_decay=0.1, betas=(0.9, 0.95), muon="1.*")


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 8), nn.Linear(8, 2))


def step(net: nn.Module, *optimizers: torch.optim.Optimizer, seed: int = 0) -> None:
    net.zero_grad()
    net(torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()


def test_each_parameter_moves_as_its_own_optimizer_moves_it():
    ours, theirs = model(), model()
    optimizer = make_optimizer(dict(ours.named_parameters()), CONFIG, 1e-2)
    hidden = theirs[1].weight
    rest = [p for p in theirs.parameters() if p is not hidden]
    muon = torch.optim.Muon([hidden], 1e-2, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    groups = [
        {"params": [p for p in rest if p.ndim == 2]},
        {"params": [p for p in rest if p.ndim == 1], "weight_decay": 0},
    ]
    adam = torch.optim.AdamW(groups, 1e-2, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for seed in range(3):
        step(ours, optimizer, seed=seed)
        step(theirs, muon, adam, seed=seed)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_saved_state_goes_on_as_the_unbroken_run():
    whole = model()
    optimizer = make_optimizer(dict(whole.named_parameters()), CONFIG, 1e-2)
    step(whole, optimizer, seed=0)
    again = copy.deepcopy(whole)
    parameters = dict(again.named_parameters())
    resumed = make_optimizer(parameters, CONFIG, 1e-2)
    saved = {k: v.clone() for k, v in optimizer_tensors(optimizer, dict(whole.named_parameters())).items()}
    assert "1.weight/momentum_buffer" in saved and "0.weight/exp_avg" in saved
    load_optimizer_tensors(resumed, parameters, saved, "generator")
    for group in (*optimizer.param_groups, *resumed.param_groups):
        group["lr"] = 5e-3  # as the loop sets it: the parts must see it
    step(whole, optimizer, seed=1)
    step(again, resumed, seed=1)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_name_of_no_matrix_is_an_error():
    with pytest.raises(ValueError, match=r"no weight matrix .* 0\.weight"):
        make_optimizer(dict(model().named_parameters()), TrainConfig(muon="9.*"), 1e-2)


def test_adapters_have_no_matrices_for_muon():
    adapters = {"blocks.0.up.lora_a": torch.nn.Parameter(torch.zeros(1, 4, 8))}
    with pytest.raises(ValueError, match=r"no weight matrix has such a name; none is trained .*set muon to none"):
        make_optimizer(adapters, TrainConfig(muon="*block*"), 1e-2)
