"""A small causal language model over a codec's codes, trained in floating point on the numbers that integers can hold.

    past codes -> embeddings, summed -> layers of dilated two-tap convolutions -> for each codebook: hidden units -> logits

Frame t is guessed from the frames before it, and codebook k of it from its codebooks 0 to k - 1. Channels come in groups, one for each
of the first codebooks; group g hears the past of codebooks 0 to g only, and codebook k the groups 0 to k: so the first k codebooks of a
file are guessed, and read, without the rest. The past of the codebooks that have no group is not heard.

Every number in `forward` is an integer times a power of two, small enough for float32 to hold it and all sums exactly: weights of 8 bits
with an exponent for each output, activations of 8 bits, a residual stream of 16. `integers` gives those integers, and `integer_lm` computes
with them. Rounding lets gradients through as it stands (Bengio et al., 2013, arXiv 1308.3432).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.codecs.entropy.lm_config import (
    ACTIVATION_BITS,
    EMBEDDING_BITS,
    EXPONENTS,
    LOGIT_BITS,
    STREAM,
    STREAM_BITS,
    WEIGHT,
    CodeLMConfig,
)


class CodeLM(nn.Module):
    """Logits of codes, given the codes before them."""

    def __init__(self, config: CodeLMConfig) -> None:
        super().__init__()
        self.config = config
        books, size, channels = config.codebooks, config.codebook_size, config.channels
        # One row more: what stands before the first frame.
        self.past = nn.ParameterList(nn.Parameter(0.3 * torch.randn(size + 1, channels)) for _ in config.widths)
        self.blocks = nn.ModuleList(_Block(config, dilation) for dilation in config.dilations)
        self.lower = nn.ParameterList(nn.Parameter(0.3 * torch.randn(size, config.inner)) for _ in range(books - 1))
        self.hidden = nn.ModuleList(
            _Linear(config.heard(k) + (config.inner if k else 0), config.hidden) for k in range(books)
        )
        self.logits = nn.ModuleList(_Linear(config.hidden, size) for _ in range(books))
        groups = [0, *accumulate(config.widths)]
        hears = torch.arange(channels)[None] >= torch.tensor(groups[:-1])[:, None]
        self.register_buffer("hears", hears.float(), persistent=False)  # [groups, C]

    @torch.no_grad()
    def start_from(self, vectors: Sequence[Tensor]) -> None:
        """Begin with what is known of the codes: vectors [N, D] of each codebook, such that like codes have like ones.

        Embeddings and last layers become random projections of them; their scale is that of random ones.
        Raises ValueError where a codebook's vectors are all alike, as before training.
        """
        generator = torch.Generator().manual_seed(0)
        for k, vector in enumerate(vectors):
            if not vector.std() > 0:
                raise ValueError(f"the code vectors of codebook {k} are all alike: the codec was not trained")

        def projected(vector: Tensor, width: int) -> Tensor:
            directions = torch.randn(vector.shape[1], width, generator=generator) * vector.shape[1] ** -0.5
            return vector @ directions

        unit = vectors[0].std()
        for table, vector in zip(self.past, vectors, strict=False):
            table[:-1] = projected(vector / unit, table.shape[1])
        for table, vector in zip(self.lower, vectors, strict=False):
            table[:] = projected(vector / unit, table.shape[1])
        for layer, vector in zip(self.logits, vectors, strict=True):
            weight = cast(_Linear, layer).weight
            weight[:] = projected(vector / vector.std(), weight.shape[1]) * weight.shape[1] ** -0.5

    def forward(self, codes: Tensor) -> list[Tensor]:
        """codes: [B, K, T], K at most all of them. Gives for each codebook the logits [B, T, N] of its codes."""
        books = codes.shape[1]
        stream = self._stream(codes)
        heard = activation(stream, -WEIGHT)
        lower: Tensor | None = None
        logits = []
        for k in range(books):
            parts = [heard[..., : self.config.heard(k)]]
            if k:
                row = F.embedding(codes[:, k - 1], _grid(self.lower[k - 1], EMBEDDING_BITS, WEIGHT))
                lower = row if lower is None else lower + row
                parts.append(activation(lower, -WEIGHT))
            hidden = activation(self.hidden[k](torch.cat(parts, -1)), 0)
            logits.append(_grid(self.logits[k](hidden), LOGIT_BITS))
        return logits

    def _stream(self, codes: Tensor) -> Tensor:
        """What is known of the past at each frame: [B, T, C]."""
        before = F.pad(codes[:, : len(self.past), :-1], (1, 0), value=self.config.codebook_size)
        stream: Tensor | int = 0
        for row, table, hears in zip(before.unbind(1), self.past, cast(Tensor, self.hears), strict=False):
            stream = stream + F.embedding(row, _grid(table * hears, EMBEDDING_BITS, WEIGHT))
        for block in self.blocks:
            stream = block(stream)
        return cast(Tensor, stream)

    @torch.no_grad()
    def integers(self) -> dict[str, Tensor]:
        """The tensors of an integer model: weights and embeddings int8, biases int32, exponents int8."""
        tensors: dict[str, Tensor] = {}
        for g, table in enumerate(self.past):
            tensors[f"past.{g}"] = _integers(table * cast(Tensor, self.hears)[g], EMBEDDING_BITS, WEIGHT).to(torch.int8)
        for k, table in enumerate(self.lower):
            tensors[f"lower.{k}"] = _integers(table, EMBEDDING_BITS, WEIGHT).to(torch.int8)
        for name, module in self.named_modules():
            if isinstance(module, _Linear):
                weight, exponent = module.integers()
                tensors[f"{name}.weight"] = weight.to(torch.int8)
                tensors[f"{name}.exponent"] = exponent.to(torch.int8)
                tensors[f"{name}.bias"] = module.integer_bias(exponent).to(torch.int32)
        return tensors


class _Linear(nn.Module):
    """A linear layer on the grid: weights of 8 bits, the exponent of each row as large as its largest weight allows.

    Weights are 0 where the mask is.
    """

    mask: Tensor | None

    def __init__(self, inputs: int, outputs: int, mask: Tensor | None = None, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * gain * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("mask", mask, persistent=False)

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weights [out, in] and exponents [out], as whole numbers in float32."""
        weight = self.weight if self.mask is None else self.weight * self.mask
        largest = weight.detach().abs().amax(1).clamp(min=1e-9)
        exponent = (WEIGHT / largest).log2().floor().clamp(*EXPONENTS)
        return _integers(weight, exponent[:, None], WEIGHT), exponent

    def integer_bias(self, exponent: Tensor) -> Tensor:
        return _integers(self.bias, exponent + ACTIVATION_BITS, 1 << 22)

    def forward(self, x: Tensor) -> Tensor:
        weight, exponent = self.integers()
        bias = self.integer_bias(exponent) * torch.exp2(-exponent - ACTIVATION_BITS)
        return F.linear(x, weight * torch.exp2(-exponent)[:, None]) + bias


class _Block(nn.Module):
    """stream + linear(relu(linear(this frame, an earlier frame))), each group fed by itself and the groups before."""

    def __init__(self, config: CodeLMConfig, dilation: int) -> None:
        super().__init__()
        group = torch.repeat_interleave(torch.arange(len(config.widths)), torch.tensor(config.widths))
        mask = (group[:, None] >= group[None]).float()  # [C, C]
        channels = config.channels
        self.dilation = dilation
        self.taps = _Linear(2 * channels, channels, mask.repeat(1, 2))
        self.out = _Linear(channels, channels, mask, gain=0.3)

    def forward(self, stream: Tensor) -> Tensor:
        """stream: [B, T, C]."""
        now = activation(stream, -WEIGHT)
        earlier = F.pad(now, (0, 0, self.dilation, 0))[:, : now.shape[1]]
        hidden = activation(self.taps(torch.cat([now, earlier], -1)), 0)
        return _grid(stream + _grid(self.out(hidden), STREAM_BITS), STREAM_BITS, STREAM)


class _Round(torch.autograd.Function):
    """To the nearest whole number, halves up; the gradient passes as if nothing was done."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def activation(x: Tensor, low: int) -> Tensor:
    """x as an activation, not below `low` steps."""
    step = 2.0**-ACTIVATION_BITS
    return cast(Tensor, _Round.apply(x.clamp(low * step, WEIGHT * step) / step)) * step


def _integers(x: Tensor, bits: int | Tensor, most: int | None = None) -> Tensor:
    """x in steps of 2^-bits, as whole numbers of at most `most`."""
    scale = torch.exp2(bits) if isinstance(bits, Tensor) else 2.0**bits
    scaled = x * scale
    return cast(Tensor, _Round.apply(scaled if most is None else scaled.clamp(-most, most)))


def _grid(x: Tensor, bits: int, most: int | None = None) -> Tensor:
    """x to the nearest multiple of 2^-bits."""
    return _integers(x, bits, most) * 2.0**-bits
