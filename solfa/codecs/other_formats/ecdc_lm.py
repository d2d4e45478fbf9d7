"""The language model with which EnCodec compresses its files further (arXiv 2210.13438, section 3.3), as a step model.

A transformer guesses the codes of a frame from those before it, all codebooks at once. Two machines must come to the same probabilities
to the last bits, or what one wrote the other cannot read: so each step does what the reference does, operation by operation and in
float32 on one thread. It keeps each layer's inputs and not their keys and values, as the product of one row is not always that row of
the product of many.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.codecs.other_formats.arithmetic import ArithmeticDecoder, ArithmeticEncoder, quantized_cdf
from solfa.codecs.weights.files import read_torch
from solfa.nn.unmade import unmade

MAX_PERIOD = 10_000.0  # of the positions' sines


@dataclass(frozen=True)
class EncodecLMConfig:
    """Shape of the model; the defaults are those of the released one for 24 kHz. context: frames that a layer looks back.

    Raises ValueError for a field below 1, or a dim that is not even and a multiple of the heads.
    """

    codebooks: int = 32
    codebook_size: int = 1024
    dim: int = 200
    layers: int = 5
    heads: int = 8
    context: int = 262  # int(3.5 * frame rate)

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: at least 1")
        if self.dim % self.heads or self.dim % 2 or self.dim < 4:
            raise ValueError(f"dim is {self.dim}: it must be even, at least 4, and a multiple of heads, {self.heads}")


CONFIGS = {
    "encodec-24khz": EncodecLMConfig(),
    "encodec-48khz": EncodecLMConfig(codebooks=16, context=525),
}


@dataclass(frozen=True)
class LMState:
    """What the model remembers between two frames: each layer's inputs, oldest first, and how many frames there were."""

    pasts: tuple[Tensor, ...]  # [B, H, D] each, H at most the context
    position: int


class _Layer(nn.Module):
    """A transformer layer with its norms after the sums."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """x: [B, 1, D]. past: [B, H, D]. All of the past may be seen; the mask that says so chooses the reference's kernel."""
        seen = torch.cat([past, x], 1)
        hidden = torch.zeros(1, seen.shape[1], dtype=torch.bool, device=x.device)
        x = self.norm1(x + self.self_attn(x, seen, seen, attn_mask=hidden, need_weights=False)[0])
        return self.norm2(x + self.linear2(F.gelu(self.linear1(x))))


class EncodecLM(nn.Module):
    """Probabilities of a frame's codes, given the frames before it. Tensors are named as in the released files."""

    def __init__(self, config: EncodecLMConfig) -> None:
        super().__init__()
        self.config = config
        layers = nn.ModuleList(_Layer(config.dim, config.heads) for _ in range(config.layers))
        self.transformer = nn.ModuleDict({"norm_in": nn.LayerNorm(config.dim), "layers": layers})
        self.emb = nn.ModuleList(nn.Embedding(config.codebook_size + 1, config.dim) for _ in range(config.codebooks))
        self.linears = nn.ModuleList(nn.Linear(config.dim, config.codebook_size) for _ in range(config.codebooks))
        self.eval()

    def start(self, batch: int = 1) -> LMState:
        """The state before the first frame: every layer has seen one vector of zeros."""
        blank = torch.zeros(batch, 1, self.config.dim)
        return LMState((blank,) * self.config.layers, 0)

    def step(self, tokens: Tensor, state: LMState) -> tuple[Tensor, LMState]:
        """The frame before, tokens [B, K] (its first k codebooks), to probabilities [B, N, K] of the next one and the state after.

        For the first frame, which has none before it, tokens are -1.
        """
        assert 1 <= tokens.shape[1] <= self.config.codebooks
        books = tokens.shape[1]
        x = self.emb[0](tokens[:, :1] + 1)
        for k in range(1, books):
            x = x + self.emb[k](tokens[:, k : k + 1] + 1)
        x = self.transformer["norm_in"](x) + self._positions(state.position)
        pasts = []
        for layer, past in zip(cast(nn.ModuleList, self.transformer["layers"]), state.pasts, strict=True):
            pasts.append(torch.cat([past, x], 1)[:, -self.config.context :])
            x = layer(x, past)
        logits = torch.stack([self.linears[k](x) for k in range(books)], 1)  # [B, K, 1, N]
        # A softmax over the last axis would sum in another order.
        return logits.permute(0, 3, 1, 2).softmax(1)[..., 0], LMState(tuple(pasts), state.position + 1)

    def _positions(self, position: int) -> Tensor:
        half = self.config.dim // 2
        phase = torch.tensor([[[position]]]) / (MAX_PERIOD ** (torch.arange(half).view(1, 1, -1) / (half - 1)))
        return torch.cat([phase.cos(), phase.sin()], -1)


def load_ecdc_lm(path: str | os.PathLike[str], codec: str = "encodec-24khz") -> EncodecLM:
    """The model for the codec of that name, from a file that `released.LANGUAGE_MODELS` names; nothing in it is executed.

    Raises ValueError for another codec, and for a file that does not hold these weights.
    """
    if codec not in CONFIGS:
        raise ValueError(f"there is no language model for the codec {codec!r}: there is for {', '.join(CONFIGS)}")
    tensors = read_torch(Path(path))
    with unmade():
        model = EncodecLM(CONFIGS[codec])
    found = dict(tensors) if isinstance(tensors, Mapping) else {}
    wrong = _misfit(model.state_dict(), found)
    if wrong is not None:
        raise ValueError(f"{os.fspath(path)}: not the language model of {codec}: {wrong!r} is not as it should be")
    model.load_state_dict(found, assign=True)
    return model.requires_grad_(False)


def encode_segment(lm: EncodecLM, tokens: Tensor) -> bytes:
    """Codes of one segment [K, T] as bytes."""
    coder = ArithmeticEncoder()
    state, before = lm.start(), torch.full((1, len(tokens)), -1)
    with torch.no_grad(), _one_thread():
        for frame in tokens.T:
            probabilities, state = lm.step(before, state)
            for symbol, cdf in zip(frame.tolist(), quantized_cdf(probabilities[0]), strict=True):
                coder.push(symbol, cdf)
            before = frame[None]
    return coder.finish()


def decode_segment(
    lm: EncodecLM, data: bytes, start: int, codebooks: int, frames: int, spare: int = 0
) -> tuple[Tensor, int]:
    """Codes [K, T] of one segment, whose bytes start at `start`, and the byte after it.

    spare: frames that may follow, up to the end of the data, and are left out. Raises ValueError where the bytes cannot come from the
    same model: damage, other weights, or a machine that rounds in another way. (The end of a segment shows it, to one in 2^24.)
    """
    coder = ArithmeticDecoder(data, start)
    rows: list[list[int]] = []
    state, before = lm.start(), torch.full((1, codebooks), -1)
    with torch.no_grad(), _one_thread():
        while len(rows) < frames or (len(rows) < frames + spare and coder.end != len(data)):
            probabilities, state = lm.step(before, state)
            rows.append([coder.pull(cdf) for cdf in quantized_cdf(probabilities[0])])
            before = torch.tensor(rows[-1:])
    if coder.end is None:
        raise ValueError("its bits do not end where its symbols do")
    return torch.tensor(rows[:frames]).T, coder.end


def warn_not_portable() -> None:
    """Say (once) what such a file is worth."""
    warnings.warn(
        "codes that EnCodec's language model compressed can often not be read on another machine: it depends on the last bits of floating-"
        "point sums. Write without it what must last",
        stacklevel=3,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _misfit(ours: Mapping[str, Tensor], theirs: Mapping[str, object]) -> str | None:
    """The first tensor that is missing, unknown, or of another shape or type; None where all fit."""
    for name in sorted(ours.keys() | theirs.keys()):
        tensor = theirs.get(name)
        if (
            name not in ours
            or not isinstance(tensor, Tensor)
            or (tensor.shape, tensor.dtype) != (ours[name].shape, torch.float32)
        ):
            return name
    return None
