"""Writing on a GPU with one CUDA graph over the whole step: embedding, transformer, heads, guidance, sampling, and the writing itself.

A step of a language model is a few hundred small kernels, and starting them one by one takes longer than they do. Here nothing depends on
the host: the place in the sequence is a number on the GPU, keys and values are written there, attention hears a fixed number of places of
which those ahead are masked, and what the pattern forces is a table. So a step is recorded once and played back; the host only counts.

`StaticWriter.step` is that step, for any device; `GraphWriter` records it. A graph hears the first 256, 512, ... places, whichever are
enough, each recorded when first needed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.lm.model import Conditions, FlatHead, TokenLM
from solfa.lm.patterns import NOTHING, make_pattern
from solfa.lm.sampling import USUAL, SamplingOptions, generators, guided, probabilities
from solfa.nn.transformer import Block, Transformer, joined, rotations, sinusoids, turned

LEAST = 256  # places that the smallest graph hears
_TINY = torch.finfo(torch.float32).tiny


class StaticWriter:
    """Writes `frames` frames of B rows with buffers of fixed shapes; conditions as `Writing` in lm/generate.py has them.

    known: codes [B, K, t] that are forced, NOTHING where one is to be written. Row b draws from a generator seeded with seeds[b]. For
    models with one head matrix and without a prefix; ValueError for others.
    """

    def __init__(
        self,
        model: TokenLM,
        conditions: Conditions,
        frames: int,
        seeds: list[int],
        options: SamplingOptions = USUAL,
        known: Tensor | None = None,
        ways: int = 1,
    ) -> None:
        if not isinstance(model.head, FlatHead) or conditions.prefix is not None:
            raise ValueError("a whole step in one graph needs a model with one head matrix, and no prefix")
        self.model, self.options, self.ways, self.batch = model, options, ways, len(seeds)
        config, device = model.config, model.device
        self.generators = generators(seeds, device)
        pattern = make_pattern(config.pattern, frames)
        self.pattern, self.steps = pattern, pattern.steps
        codes = torch.full((self.batch, config.codebooks, frames), NOTHING, device=device)
        if known is not None:
            codes[:, :, : known.shape[2]] = known
        self.sequence = pattern.build(codes, config.special)  # [B, K, 1 + S], written in place
        self.forced = self.sequence.clone()
        self.place = torch.zeros(1, dtype=torch.int64, device=device)  # of the column that is read next
        self._prepare(model.transformer, conditions)

    @torch.no_grad()
    def _prepare(self, transformer: Transformer, conditions: Conditions) -> None:
        config, like = transformer.config, transformer.norm.weight
        rows, size = self.ways * self.batch, config.width // config.heads
        capacity = -(-self.steps // LEAST) * LEAST
        shape = (config.layers, 2, rows, config.heads, capacity, size)
        self.past = like.new_zeros(shape)
        self.ahead = torch.arange(capacity, device=like.device)
        added = conditions.added
        if added is not None:
            added = F.pad(added[:, :capacity], (0, 0, 0, max(0, capacity - added.shape[1]))).to(like.dtype)
        self.added, self.always = added, None if conditions.always is None else conditions.always.to(like.dtype)
        self.table = (
            sinusoids(self.ahead, config.width).to(like.dtype)
            if config.positions == "sinusoidal"
            else rotations(self.ahead, size)
        )
        memory = conditions.memory
        self.mask = None if memory is None or memory.mask is None else memory.mask[:, None, None]
        self.memory = (
            [] if memory is None else [block.memory(memory.values.to(like.dtype)) for block in _blocks(transformer)]
        )

    def step(self, heard: int) -> None:
        """Read the column at `place`, write the next, go on. `heard`: how many places attention looks at, more than `place`."""
        column = self.sequence.index_select(2, self.place).repeat(self.ways, 1, 1)
        x = self.model.embed(column).to(self.past.dtype)
        if self.added is not None:
            x = x + self.added.index_select(1, self.place)
        if self.always is not None:
            x = x + self.always
        hidden = self._hidden(x, heard)[:, 0]
        self.place.add_(1)

        def draw(logits: Tensor, _: int | None) -> Tensor:
            return self._drawn(guided(logits, self.ways, self.options))

        drawn = self.model.head.write(hidden, draw)[..., None]  # type: ignore[operator, union-attr]
        forced = self.forced.index_select(2, self.place)
        self.sequence.index_copy_(2, self.place, torch.where(forced == NOTHING, drawn, forced))

    def _drawn(self, logits: Tensor) -> Tensor:
        """As `sample`: the race argmax(p / e), its numbers from a buffer that each row's generator fills."""
        if not self.options.temperature:
            return logits.argmax(-1)
        race = torch.empty_like(logits)
        for row, generator in zip(race, self.generators, strict=True):
            row.exponential_(generator=generator)
        return (probabilities(logits, self.options) / race.clamp_min_(_TINY)).argmax(-1)

    def _hidden(self, x: Tensor, heard: int) -> Tensor:
        """The transformer's step [B, 1, D]."""
        transformer = self.model.transformer
        turns = None
        if transformer.config.positions == "sinusoidal":
            x = x + self.table.index_select(0, self.place)
        else:
            turns = self.table.index_select(1, self.place)
        mask = (self.ahead[:heard] <= self.place)[None, None, None]
        for layer, block in enumerate(_blocks(transformer)):
            q, k, v = block.split(block.qkv(block.norm_self(x)), 3)
            keys, values = self.past[layer]
            keys.index_copy_(2, self.place, turned(k, turns))
            values.index_copy_(2, self.place, v)
            mixed = F.scaled_dot_product_attention(turned(q, turns), keys[:, :, :heard], values[:, :, :heard], mask)
            x = x + block.out(joined(mixed))
            if block.cross and self.memory:
                x = x + block.listen(x, *self.memory[layer], self.mask)
            x = x + block.feed(x)
        return transformer.norm(x)

    def heard(self, place: int) -> int:
        """How many places to look at from there: the least of 256, 512, ... that are enough."""
        heard = LEAST
        while heard <= place:
            heard *= 2
        return min(heard, len(self.ahead))

    @torch.no_grad()
    def write(self) -> Tensor:
        """All steps; codes [B, K, T]."""
        for place in range(self.steps):
            self._play(self.heard(place))
        return self.pattern.revert(self.sequence[:, :, 1:])

    def _play(self, heard: int) -> None:
        self.step(heard)


class GraphWriter(StaticWriter):
    """The same on a GPU, its steps played back from CUDA graphs."""

    _graphs: dict[int, torch.cuda.CUDAGraph]

    def _play(self, heard: int) -> None:
        graphs = self.__dict__.setdefault("_graphs", {})
        if heard not in graphs:
            graphs[heard] = self._record(heard)
        graphs[heard].replay()

    def _record(self, heard: int) -> torch.cuda.CUDAGraph:
        """The step as a graph. Warming up writes too: what it changed is put back before."""
        kept = [tensor.clone() for tensor in (self.place, self.sequence, self.past)]
        states = [generator.get_state() for generator in self.generators]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self.step(heard)
                self.place.copy_(kept[0])
        torch.cuda.current_stream().wait_stream(stream)
        for tensor, before in zip((self.place, self.sequence, self.past), kept, strict=True):
            tensor.copy_(before)
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            self.step(heard)
        return graph


def _blocks(transformer: Transformer) -> list[Block]:
    return list(transformer.blocks)  # type: ignore[arg-type]
