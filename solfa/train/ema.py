"""Exponential moving average of weights (Polyak averaging), kept in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from solfa.train.sharding import divided_as, mine


class WeightAverage:
    """Averages the parameters of `model` that are trained. Buffers (EMA codebooks, statistics) are not averaged.

    Of a model that is divided among processes each averages its share.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.shadow: dict[str, Tensor] = {
            name: parameter.detach().float().clone()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after update `step` (from 0); early steps weigh more, so that no start is kept."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        parameters = dict(self.model.named_parameters())
        current = [mine(parameters[name].detach()).float() for name in self.shadow]
        torch._foreach_lerp_([mine(average) for average in self.shadow.values()], current, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """The model with averaged weights, in evaluation mode; on exit weights, buffers and modes are as before."""
        parameters = dict(self.model.named_parameters())
        tensors = {**{name: parameters[name] for name in self.shadow}, **dict(self.model.named_buffers())}
        kept = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        modes = {module: module.training for module in self.model.modules()}
        try:
            with torch.no_grad():
                for name, average in self.shadow.items():
                    tensors[name].copy_(average)
            self.model.eval()
            yield self.model
        finally:
            with torch.no_grad():
                for name, tensor in tensors.items():
                    tensor.copy_(kept[name])
            for module, mode in modes.items():
                module.training = mode

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.shadow)

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        if set(state) != set(self.shadow):
            raise ValueError(f"averaged weights do not fit: {sorted(set(state) ^ set(self.shadow))[:5]}")
        for name, tensor in state.items():
            self.shadow[name].copy_(divided_as(tensor, self.shadow[name]))
