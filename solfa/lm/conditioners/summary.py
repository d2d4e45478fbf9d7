"""What a text says on the whole, added to every step: a second way in, beside listening to its words.

A small model is slow to find the words that matter; the mean of the text's memory, which `train.caption_encoder` teaches to tell a piece's
attributes, reaches each step at once. Diffusion models hear a pooled text beside cross-attention so (SDXL, Podell et al., 2023).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from solfa.nn.transformer import Memory

EPSILON = 1e-6


class Summary(nn.Module):
    """The memory of texts [B, L, D] to vectors [B, 1, D]: its mean on one scale, projected. A row that is told nothing has zeros.

    The layer begins at zero: a model that gets it is what it was.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, text: Memory) -> Tensor:
        there = text.values.shape[1] if text.mask is None else text.mask.sum(1, keepdim=True)[..., None]
        mean = text.values.float().sum(1, keepdim=True) / there
        return self.project(F.rms_norm(mean, mean.shape[-1:], eps=EPSILON).to(self.project.weight))
