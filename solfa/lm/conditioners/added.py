"""What is added to the columns that a model reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Added:
    """Vectors [B, S, D] for the columns of sequences from `place` on, nothing for those beyond them; and `always` [B, 1, D] for each."""

    vectors: Tensor | None = None
    always: Tensor | None = None
    place: int = 0

    def onto(self, x: Tensor) -> tuple[Tensor, Added]:
        """The next columns [B, n, D] with what is added to them, and what is left for those after them."""
        steps = x.shape[1]
        if self.vectors is not None:
            there = self.vectors[:, self.place : self.place + steps].to(x.dtype)
            x = x + F.pad(there, (0, 0, 0, steps - there.shape[1]))
        if self.always is not None:
            x = x + self.always.to(x.dtype)
        return x, replace(self, place=self.place + steps)
