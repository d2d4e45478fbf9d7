"""The blocks of T5.1.1 (Shazeer, 2020, arXiv 2002.05202) on the decoder of `nn/transformer.py`: RMS norms, gated feed-forward layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from solfa.nn.transformer import Block, Transformer, TransformerConfig

EPSILON = 1e-6


class GatedFeed(nn.Module):
    """RMS norm, then down(gelu(gate(x)) * up(x)); no biases. Input and output [..., D]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, EPSILON)
        self.up = nn.Linear(width, 2 * hidden, bias=False)  # the gate's half first
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.up(self.norm(x)).chunk(2, -1)
        return self.down(F.gelu(gate) * up)


class GatedBlock(Block):
    """A block with RMS norms and a gated feed-forward layer in the place of its own; attention and its state are the same."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        del self.norm_feed, self.up, self.down
        self.gated = GatedFeed(config.width, config.inner)
        self.norm_self = nn.RMSNorm(config.width, EPSILON)  # type: ignore[assignment]
        if config.cross:
            self.norm_cross = nn.RMSNorm(config.width, EPSILON)  # type: ignore[assignment]

    def feed(self, x: Tensor) -> Tensor:
        return self.gated(x)


class GatedTransformer(Transformer):
    """The decoder of such blocks; `forward`, `start` and `advance` are those of `Transformer`."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config, GatedBlock)
        self.norm = nn.RMSNorm(config.width, EPSILON)  # type: ignore[assignment]
