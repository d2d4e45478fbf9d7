"""The decoder transformer of token language models: causal self-attention, cross-attention to a memory, feed-forward.

Pre-norm blocks as MusicGen has them (Copet et al., 2023): x + self(norm(x)), x + cross(norm(x)), x + feed-forward(norm(x)); LayerNorm with
bias, linear layers without, exact GELU; a last norm at the end. Since nothing in cross-attention has a bias, a memory of zeros adds
nothing: that is the null condition.

`forward` runs a whole sequence. `start` and `advance` run it piece by piece with a state that is passed in and out, and give the same: the
keys and values of the past lie in buffers of a fixed capacity, written in place, so a state is good for one continuation only. The
memory's keys and values, and the positions, are made once. `advance_together` does it for sequences that are at different places.

What a memory holds may have a place of its own, in time say. Queries that are told where they are then listen by how far away it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a decoder.

    width: D, a multiple of heads. hidden: width of the feed-forward layers; 0 is 4 D. positions: "sinusoidal" are added to the input
    ([cos, sin] halves, base 10000, as MusicGen), "rotary" turn queries and keys (Su et al., 2021). cross: whether there is a memory.
    """

    width: int
    layers: int
    heads: int
    hidden: int = 0
    positions: Literal["sinusoidal", "rotary"] = "sinusoidal"
    cross: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("width", 1 << 16), ("layers", 1024), ("heads", 1024)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 1 and {most}")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width is {self.width}: it must be an even multiple of the heads, {self.heads}")
        if not 0 <= self.hidden <= 1 << 18:
            raise ValueError(f"hidden is {self.hidden}: it must lie between 0 (four times the width) and {1 << 18}")
        if self.positions not in ("sinusoidal", "rotary"):
            raise ValueError(f"positions is {self.positions!r}: it must be sinusoidal or rotary")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: it must lie in [0, 1)")

    @property
    def inner(self) -> int:
        return self.hidden or 4 * self.width


@dataclass(frozen=True)
class Memory:
    """What a sequence listens to beside itself. A row with no condition holds zeros, which add nothing."""

    values: Tensor  # [B, L, D]
    mask: Tensor | None = None  # [B, L] bool, True is heard; None: all. A row of no True at all is not legal.
    places: Tensor | None = None  # [B, L] where each lies; what listens then says at every step where it is. None: order means nothing

    def turns(self, width: int) -> Tensor | None:
        """Of the keys of heads of this width, as `rotations`."""
        return None if self.places is None else rotations(self.places, width)


@dataclass(frozen=True)
class TransformerState:
    """What `advance` needs of the past of sequences that are at one place: `position` steps are in the buffers."""

    keys: tuple[Tensor, ...]  # a layer each, [B, H, capacity, d], written in place
    values: tuple[Tensor, ...]
    memory: tuple[tuple[Tensor, Tensor], ...]  # a layer each, keys and values [B, H, L, d]
    mask: Tensor | None  # [B, 1, 1, L]
    places: Tensor  # what positions add, [capacity, D], or the turns of queries and keys, [2, capacity, d / 2]
    position: int = 0

    @property
    def batch(self) -> int:
        return len(self.keys[0])

    @property
    def capacity(self) -> int:
        return self.keys[0].shape[2]


class Transformer(nn.Module):
    """The decoder's blocks. Input and output are vectors [B, S, D]."""

    def __init__(self, config: TransformerConfig, form: type[Block] | None = None) -> None:
        """form: of the blocks, where it is not `Block`."""
        super().__init__()
        self.config = config
        self.blocks: nn.ModuleList = nn.ModuleList((form or Block)(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.checkpointed = False  # recompute each block in the backward pass: less memory, more time
        for layer, block in enumerate(self.blocks, 1):
            for weight in block.parameters():
                if weight.ndim == 2:  # truncated normal, smaller in later layers ("current" of AudioCraft)
                    std = 1 / math.sqrt(weight.shape[1]) / math.sqrt(2 * layer)
                    nn.init.trunc_normal_(weight, 0.0, std, -3 * std, 3 * std)

    def forward(self, x: Tensor, memory: Memory | None = None, places: Tensor | None = None) -> Tensor:
        """x: [B, S, D], position 0 first. places: [B, S] where each step is among the places of the memory. Gives [B, S, D]."""
        x, turns = self._placed(x)
        mask = None if memory is None or memory.mask is None else memory.mask[:, None, None]
        heard = None if memory is None else memory.values.to(x.dtype)
        across = (self._where(places), None if memory is None else memory.turns(self._head_width))
        for block in self.blocks:
            if self.checkpointed and self.training:
                x = checkpoint(block, x, heard, mask, turns, across, use_reentrant=False)
            else:
                x = block(x, heard, mask, turns, across)
        return self.norm(x)

    def start(self, batch: int, capacity: int, memory: Memory | None = None) -> TransformerState:
        """The state before the first step of `batch` sequences of at most `capacity` steps."""
        blocks, like = [cast(Block, block) for block in self.blocks], self.norm.weight
        shape = (batch, self.config.heads, capacity, self.config.width // self.config.heads)
        keys, values = ([like.new_zeros(shape) for _ in blocks] for _ in range(2))
        mask = None if memory is None or memory.mask is None else memory.mask[:, None, None]
        heard = []
        if memory is not None:
            turns = memory.turns(self._head_width)
            heard = [block.memory(memory.values.to(like.dtype), turns) for block in blocks]
        return TransformerState(tuple(keys), tuple(values), tuple(heard), mask, self._table(capacity).to(like.device))

    def advance(
        self, x: Tensor, state: TransformerState, places: Tensor | None = None
    ) -> tuple[Tensor, TransformerState]:
        """The next steps, [B, S, D] for any S that the capacity leaves room for. places: as in `forward`."""
        y, (after,) = self.advance_together(x, [state], places)
        return y, after

    def advance_together(
        self, x: Tensor, states: Sequence[TransformerState], places: Tensor | None = None
    ) -> tuple[Tensor, tuple[TransformerState, ...]]:
        """The same for the sequences of several states, [sum of their B, S, D], each at its own place."""
        steps, spans = x.shape[1], [slice(state.position, state.position + x.shape[1]) for state in states]
        for state in states:
            assert state.position + steps <= state.capacity, f"{state.position} + {steps} of {state.capacity} steps"
        sizes, turns = [state.batch for state in states], None
        if self.config.positions == "sinusoidal":
            added = [state.places[span].to(x.dtype) for state, span in zip(states, spans, strict=True)]
            x = x + (added[0] if len(added) == 1 else _rows(added, sizes))
        else:
            turns = [state.places[:, span] for state, span in zip(states, spans, strict=True)]
        where = self._where(places)
        for layer, block in enumerate(self.blocks):
            x = cast(Block, block).advance(x, states, layer, turns, where)
        return self.norm(x), tuple(replace(state, position=state.position + steps) for state in states)

    @property
    def _head_width(self) -> int:
        return self.config.width // self.config.heads

    def _where(self, places: Tensor | None) -> Tensor | None:
        """Turns of the queries to a memory."""
        return None if places is None else rotations(places, self._head_width)

    def _table(self, capacity: int) -> Tensor:
        places = torch.arange(capacity)
        if self.config.positions == "sinusoidal":
            return sinusoids(places, self.config.width)
        return rotations(places, self._head_width)

    def _placed(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The input with its positions, or the turns for queries and keys."""
        places = torch.arange(x.shape[1], device=x.device)
        if self.config.positions == "sinusoidal":
            return x + sinusoids(places, self.config.width).to(x.dtype), None
        return x, rotations(places, self._head_width)


def _rows(added: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """[S, D] of each group as [B, S, D] of their rows."""
    return torch.cat([part.expand(size, -1, -1) for part, size in zip(added, sizes, strict=True)])


class Block(nn.Module):
    """Self-attention, cross-attention, feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, config.dropout
        self.norm_self = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        if config.cross:
            self.norm_cross = nn.LayerNorm(width)
            self.cross_q = nn.Linear(width, width, bias=False)
            self.cross_kv = nn.Linear(width, 2 * width, bias=False)
            self.cross_out = nn.Linear(width, width, bias=False)
        self.norm_feed = nn.LayerNorm(width)
        self.up = nn.Linear(width, config.inner, bias=False)
        self.down = nn.Linear(config.inner, width, bias=False)
        self.cross = config.cross

    def forward(
        self,
        x: Tensor,
        heard: Tensor | None,
        mask: Tensor | None,
        turns: Tensor | None,
        across: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> Tensor:
        """turns: of queries and keys among the steps; across: of the steps' queries to what is heard, and of its keys."""
        q, k, v = self.split(self.qkv(self.norm_self(x)), 3)
        q, k = turned(q, turns), turned(k, turns)
        drop = self.dropout if self.training else 0.0
        x = x + self._drop(self.out(joined(attend_causally(q, k, v, drop))))
        if self.cross and heard is not None:
            x = x + self._drop(self.listen(x, *self.memory(heard, across[1]), mask, across[0]))
        return x + self._drop(self.feed(x))

    def advance(
        self,
        x: Tensor,
        states: Sequence[TransformerState],
        layer: int,
        turns: Sequence[Tensor] | None,
        where: Tensor | None = None,
    ) -> Tensor:
        """The same for steps that follow those in the states, whose buffers it writes."""
        sizes = [state.batch for state in states]
        q, k, v = (part.split(sizes) for part in self.split(self.qkv(self.norm_self(x)), 3))
        mixed = []
        for i, state in enumerate(states):
            turn = None if turns is None else turns[i]
            start, end = state.position, state.position + x.shape[1]
            keys, values = state.keys[layer], state.values[layer]
            keys[:, :, start:end], values[:, :, start:end] = turned(k[i], turn), v[i]
            mixed.append(attend_to_past(turned(q[i], turn), keys[:, :, :end], values[:, :, :end]))
        x = x + self.out(joined(mixed[0] if len(mixed) == 1 else torch.cat(mixed)))
        if self.cross and any(state.memory for state in states):
            x = x + self._listen_together(x, states, layer, where)
        return x + self.feed(x)

    def _listen_together(
        self, x: Tensor, states: Sequence[TransformerState], layer: int, where: Tensor | None
    ) -> Tensor:
        (q,) = self.split(self.cross_q(self.norm_cross(x)), 1)
        q = turned(q, where)
        mixed = [
            attend(part, *state.memory[layer], state.mask) if state.memory else torch.zeros_like(part)
            for part, state in zip(q.split([state.batch for state in states]), states, strict=True)
        ]
        return self.cross_out(joined(mixed[0] if len(mixed) == 1 else torch.cat(mixed)))

    def memory(self, heard: Tensor, turns: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values of the memory: [B, H, L, d] each."""
        keys, values = self.split(self.cross_kv(heard), 2)
        return turned(keys, turns), values

    def listen(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, where: Tensor | None = None
    ) -> Tensor:
        (q,) = self.split(self.cross_q(self.norm_cross(x)), 1)
        return self.cross_out(joined(attend(turned(q, where), keys, values, mask)))

    def feed(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(self.norm_feed(x))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x

    def split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """[B, S, parts * D] into `parts` of [B, H, S, d]."""
        batch, steps, width = x.shape
        return x.view(batch, steps, parts, self.heads, width // parts // self.heads).permute(2, 0, 3, 1, 4).unbind(0)


BLOCK = 128  # queries at a time: what lies ahead of a block of them is never computed


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of q [B, H, S, d] to k and v [B, H, L, d] where the mask (bool, of a shape that broadcasts to [B, H, S, L]) is True.

    With gradients on a CPU it is written out as products: torch's fused attention takes two to five times as long in its backward pass.
    So it is there for one query, for which the fused one is slow in bfloat16.
    """
    if q.is_cuda or (not torch.is_grad_enabled() and q.shape[2] > 1):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).to(v.dtype) @ v


def attend_causally(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Attention of each place [B, H, S, d] to itself and those before it."""
    steps = q.shape[2]
    if dropout or q.is_cuda or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
    mask = torch.ones(steps, steps, dtype=torch.bool, device=q.device).tril()
    ends = [(start, min(start + BLOCK, steps)) for start in range(0, steps, BLOCK)]
    return torch.cat([attend(q[:, :, a:b], k[:, :, :b], v[:, :, :b], mask[a:b, :b]) for a, b in ends], 2)


def attend_to_past(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of the last places [B, H, S, d] to themselves and all before them, k and v [B, H, L, d]."""
    steps, length = q.shape[2], k.shape[2]
    if steps == 1:
        return attend(q, k, v, None)
    if steps == length:
        return attend_causally(q, k, v)
    return attend(q, k, v, torch.ones(steps, length, dtype=torch.bool, device=q.device).tril(length - steps))


def joined(x: Tensor) -> Tensor:
    """[B, H, S, d] to [B, S, D]."""
    return x.transpose(1, 2).flatten(2)


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Positions [...] as vectors [..., D]: cosines of all phases, then sines; phase i is place / 10000^(i / (D / 2 - 1)).

    In float32 whatever the activations are in: half floats drift near the end of a long sequence.
    """
    half = width // 2
    rates = torch.arange(half, device=places.device, dtype=torch.float32) / max(half - 1, 1)
    phase = places.float()[..., None] / 10_000**rates
    return torch.cat([phase.cos(), phase.sin()], -1)


def rotations(places: Tensor, width: int) -> Tensor:
    """Turns of a head's pairs (i, i + d / 2), cosine and sine: of places [S] [2, S, d / 2], of rows of them [B, S] [2, B, 1, S, d / 2]."""
    rates = 10_000 ** -(torch.arange(0, width, 2, device=places.device, dtype=torch.float32) / width)
    phase = places.float()[..., None] * rates
    if places.ndim == 2:
        phase = phase[:, None]
    return torch.stack([phase.cos(), phase.sin()])


def turned(x: Tensor, turns: Tensor | None) -> Tensor:
    """Queries or keys [B, H, S, d], turned by their places."""
    if turns is None:
        return x
    cos, sin = turns.to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
