"""Optimizers: AdamW, with Muon beside it for the weight matrices of hidden layers; their tensors by parameter name.

Muon (Jordan et al., 2024) orthogonalises the momentum of each matrix. Its step is scaled to the size that AdamW's would have (Liu et
al., 2025, arXiv 2502.16982), so both share one learning rate and one weight decay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from solfa.train.config import TrainConfig

MOMENTUM = 0.95  # Muon's


class Together(torch.optim.Optimizer):
    """Several optimizers as one: the groups and states of all, in order."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Groups and states are those of the parts, not copies."""
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None if closure is None else closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()


def make_optimizer(parameters: Mapping[str, nn.Parameter], config: TrainConfig, rate: float) -> torch.optim.Optimizer:
    """The optimizer of a phase's parameters at this peak rate.

    Raises ValueError where `config.muon` is set and names no matrix, or where torch has no Muon (before 2.9).
    """
    hidden = {
        name: p for name, p in parameters.items() if config.muon and p.ndim == 2 and fnmatchcase(name, config.muon)
    }
    rest = [p for name, p in parameters.items() if name not in hidden]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": config.weight_decay if config.decay_all else 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    adam = [torch.optim.AdamW(groups, lr=rate, betas=config.betas, fused=True)] if groups else []
    if config.muon is None:
        return adam[0]
    if not hidden:
        there = matrices(parameters)
        legal = f"there are {there}" if there else "none is trained (adapters are no matrices); set muon to none"
        raise ValueError(f"muon is {config.muon!r}: no weight matrix has such a name; {legal}")
    if not hasattr(torch.optim, "Muon"):
        raise ValueError(f"muon is {config.muon!r}: torch {torch.__version__} has no Muon, 2.9 or newer has")
    muon = torch.optim.Muon(
        list(hidden.values()),
        lr=rate,
        weight_decay=config.weight_decay,
        momentum=MOMENTUM,
        adjust_lr_fn="match_rms_adamw",
    )
    return Together([*adam, muon])


def matrices(parameters: Mapping[str, nn.Parameter]) -> str:
    """Some names of the weight matrices, for a message."""
    names = [name for name, p in parameters.items() if p.ndim == 2]
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """What the optimizer remembers, as `NAME/KEY` -> tensor."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in parameters.items()}
    return {
        f"{names[parameter]}/{key}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], phase: str
) -> None:
    """Put back what `optimizer_tensors` gave. Raises ValueError for parameters that are not there."""
    states: dict[str, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        name, key = path.rsplit("/", 1)
        states.setdefault(name, {})[key] = tensor
    unknown = sorted(set(states) - set(parameters))
    if unknown:
        raise ValueError(f"phase {phase}: optimizer state for unknown parameters {unknown[:5]}")
    whole = optimizer.state_dict()
    order = [p for group in optimizer.param_groups for p in group["params"]]
    names = {parameter: name for name, parameter in parameters.items()}
    whole["state"] = {i: states[names[p]] for i, p in enumerate(order) if names[p] in states}
    optimizer.load_state_dict(whole)
