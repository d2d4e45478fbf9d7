"""Watches for losses and gradients that are not finite."""

from __future__ import annotations

import torch
from torch import Tensor


class NotFinite(ValueError):
    """Training cannot go on: the message names step, phase and values."""


class FiniteGuard:
    """Remembers the first step at which a phase's loss or gradient norm was not finite.

    On the CPU it raises at once, before the weights are touched. On a GPU asking costs a wait for the device, so that
    the memory stays there until `check`, which the loop calls before it logs, saves or evaluates.
    """

    def __init__(self, phase: str, device: torch.device) -> None:
        self.phase = phase
        self.immediate = device.type == "cpu"
        self.first = torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64, device=device)  # step, loss, gradient norm

    def watch(self, step: int, loss: Tensor, norm: Tensor | None) -> None:
        """`norm` is None where the loss scaler may legally see an overflow."""
        loss = loss.detach().double()
        norm = torch.zeros_like(loss) if norm is None else norm.detach().double()
        bad = ~(torch.isfinite(loss) & torch.isfinite(norm)) & (self.first[0] < 0)
        seen = torch.stack([torch.full_like(loss, step), loss, norm])
        self.first = torch.where(bad, seen, self.first)
        if self.immediate:
            self.check()

    def check(self) -> None:
        step, loss, norm = self.first.tolist()
        if step >= 0:
            raise NotFinite(f"step {step:.0f}, phase {self.phase}: loss {loss:g}, gradient norm {norm:g}")
