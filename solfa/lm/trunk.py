"""A language model's hidden states of codes, frame by frame: what other heads may hear instead of the codes."""

from __future__ import annotations

import torch
from torch import Tensor

from solfa.lm.model import TokenLM
from solfa.lm.patterns import make_pattern


@torch.no_grad()
def trunk_states(trunk: TokenLM, codes: Tensor) -> Tensor:
    """Hidden states [B, D, T] of a language model that is told nothing: of each frame where all its codes [B, K, T] were read."""
    pattern = make_pattern(trunk.config.pattern, codes.shape[2])
    last = pattern.places.max(0).values + 1  # [T]; the special column stands at the front
    steps = pattern.build(codes, trunk.config.special)
    return trunk.hidden(steps)[:, last.to(codes.device)].transpose(1, 2)
