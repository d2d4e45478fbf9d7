"""The loss balancer of EnCodec (arXiv 2210.13438, section 3.4): each loss gets a fixed share of the gradient.

With g_i = d loss_i / d output and n_i a running mean of its norm, the output receives

    sum_i  (w_i / sum_j w_j) * g_i / (n_i + 1e-12)

so a weight says what part of the gradient a loss contributes, whatever its scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn

DECAY = 0.999  # of the running means of the norms


class Balancer(nn.Module):
    """Balances losses that depend on one model output. Call it on every step, then `backward` on what it returns.

    If all losses agreed, the balanced gradient would have norm 1. The running means of the norms are corrected for their
    start; each loss has a count of its own, so one may join later. They lie in one buffer `norm_NAME` a loss, (sum, count)
    `[2]`, made when the loss is first seen and saved and loaded with the module.
    """

    def forward(self, losses: Mapping[str, Tensor], weights: Mapping[str, float], output: Tensor) -> Tensor:
        """A scalar whose gradient with respect to `output` `[B, ...]` is the balanced one.

        Its value is the weighted sum of the losses, for the log. One backward pass from each loss to `output`, whose
        graph is kept; parameters on the way (a discriminator's) get no gradient. The norm is the L2 norm of an item,
        averaged over the batch and, under torch.distributed, over ranks. One that is not finite stays out of the mean.
        Raises ValueError unless every loss has a positive weight and depends on the output.
        """
        if not losses or not all(weights.get(name, 0) > 0 for name in losses):
            raise ValueError(f"every loss needs a positive weight, got {', '.join(losses) or 'no loss'} and {weights}")
        gradients = {name: _gradient(name, loss, output) for name, loss in losses.items()}
        averages = self._update(gradients)
        share = 1 / sum(weights[name] for name in losses)
        balanced = torch.zeros_like(output, dtype=torch.promote_types(output.dtype, torch.float32))
        for name, gradient in gradients.items():
            balanced += weights[name] * share / (1e-12 + averages[name]) * gradient
        value = torch.stack([weights[name] * loss.detach() for name, loss in losses.items()]).sum()
        carrier = (output * balanced).sum()
        return carrier - carrier.detach() + value

    @torch.no_grad()
    def _update(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Count the norms of this step in; the running means after it."""
        norms = torch.stack([g.float().flatten(1).norm(dim=1).mean() for g in gradients.values()])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(norms)
            norms /= distributed.get_world_size()
        averages = {}
        for name, norm in zip(gradients, norms, strict=True):
            running = self._buffers.get(f"norm_{name}")
            if running is None or running.device != norm.device:
                running = torch.zeros(2, device=norm.device) if running is None else running.to(norm.device)
                self.register_buffer(f"norm_{name}", running)
            seen = torch.stack([norm, torch.ones_like(norm)])
            running.copy_(torch.where(norm.isfinite(), DECAY * running + seen, running))
            averages[name] = running[0] / running[1]
        return averages

    def norms(self) -> dict[str, float]:
        """The running mean of each loss's gradient norm, of the losses seen so far."""
        pairs = {name: buffer.tolist() for name, buffer in self.named_buffers()}
        return {name.removeprefix("norm_"): total / count for name, (total, count) in pairs.items() if count}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """As every module loads, but first the buffers that the saved losses need are made, and others dropped."""
        device = next((buffer.device for buffer in self.buffers()), torch.device("cpu"))
        self._buffers.clear()
        for key in state_dict:
            if key.startswith(f"{prefix}norm_"):
                self.register_buffer(key.removeprefix(prefix), torch.zeros(2, device=device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _gradient(name: str, loss: Tensor, output: Tensor) -> Tensor:
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss, [output], retain_graph=True, allow_unused=True)
        if gradient is not None:
            return gradient.detach()
    raise ValueError(f"loss {name!r} does not depend on the output, so it has no gradient to balance")
