"""Writing on a GPU with one CUDA graph over the whole step: embedding, transformer, heads, guidance, sampling, and the writing itself.

A step of a language model is a few hundred small kernels, and starting them one by one takes longer than they do. Here nothing depends on
the host: the place in the sequence is a number on the GPU, keys and values are written there, attention hears a fixed number of places of
which those ahead are masked, and what the pattern forces is a table. So a step is recorded once and played back; the host only counts.

`StaticWriter.step` is that step, for any device; `GraphWriter` records it. A graph hears the first 256, 512, ... places, whichever are
enough, each recorded when first needed. `Writing` in lm/generate.py takes it by itself on a GPU, for what `static_writer` says.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.lm.fast import FastHead, FastLM
from solfa.lm.model import Conditions, FlatHead, TokenLM
from solfa.lm.patterns import NOTHING, make_pattern
from solfa.lm.sampling import USUAL, SamplingOptions, generators, guided, probabilities
from solfa.nn.transformer import Block, Transformer, attend, joined, rotations, sinusoids, turned

LEAST = 256  # places that the smallest graph hears
_TINY = torch.finfo(torch.float32).tiny


class StaticWriter:
    """Writes `frames` frames of B rows with buffers of fixed shapes; conditions as `Writing` in lm/generate.py has them.

    known: codes [B, K, t] that are forced, NOTHING where one is to be written. Row b draws from a generator seeded with seeds[b], at
    every step, also of known codes. For models in torch with one head matrix and without a prefix; ValueError for others.
    """

    def __init__(
        self,
        model: TokenLM | FastLM,
        conditions: Conditions,
        frames: int,
        seeds: list[int],
        options: SamplingOptions = USUAL,
        known: Tensor | None = None,
        ways: int = 1,
    ) -> None:
        transformer = model.transformer
        if not fits(model, conditions) or transformer is None:
            raise ValueError("a whole step in one graph needs a model in torch with one head matrix, and no prefix")
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
        self._prepare(transformer, conditions)

    @torch.no_grad()
    def _prepare(self, transformer: Transformer, conditions: Conditions) -> None:
        config, like = transformer.config, transformer.norm.weight
        self.transformer = transformer
        rows, size = self.ways * self.batch, config.width // config.heads
        capacity = -(-self.steps // LEAST) * LEAST
        shape = (config.layers, 2, rows, config.heads, capacity, size)
        self.past = like.new_zeros(shape)
        self.ahead = torch.arange(capacity, device=like.device)
        added = conditions.added
        if added is not None:
            added = F.pad(added[:, :capacity], (0, 0, 0, max(0, capacity - added.shape[1])))
        self.added, self.always = added, conditions.always
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

    @torch.no_grad()
    def step(self, heard: int) -> None:
        """Read the column at `place`, write the next, go on. `heard`: how many places attention looks at, more than `place`."""
        column = self.sequence.index_select(2, self.place).repeat(self.ways, 1, 1)
        x = self.model.embed(column)
        if self.added is not None:
            x = x + self.added.index_select(1, self.place).to(x.dtype)
        if self.always is not None:
            x = x + self.always.to(x.dtype)
        hidden = self._hidden(x.to(self.past.dtype), heard)[:, 0]
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
        transformer = self.transformer
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
            mixed = attend(turned(q, turns), keys[:, :, :heard], values[:, :, :heard], mask)
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

    def write(self) -> Tensor:
        """All steps; codes [B, K, T]."""
        for _ in self.written():
            pass
        return self.read(0, self.pattern.frames)

    def written(self) -> Iterator[int]:
        """All steps, one at a time; after each how many frames are whole."""
        whole = torch.searchsorted(self.pattern.complete, torch.arange(1, self.steps + 1), right=True).tolist()
        for place in range(self.steps):
            self._play(self.heard(place))
            yield whole[place]

    def read(self, start: int, stop: int) -> Tensor:
        """Codes [B, K, stop - start] of whole frames."""
        return self.pattern.revert(self.sequence[:, :, 1:])[:, :, start:stop]

    def _play(self, heard: int) -> None:
        self.step(heard)


class GraphWriter(StaticWriter):
    """The same on a GPU, its steps played back from CUDA graphs. Where one cannot be recorded its steps are taken as they are, and said."""

    _graphs: dict[int, torch.cuda.CUDAGraph | None]

    def read(self, start: int, stop: int) -> Tensor:
        """As above; waits for the GPU, so that who counts frames counts what is done."""
        codes = super().read(start, stop)
        torch.cuda.current_stream().synchronize()
        return codes

    def _play(self, heard: int) -> None:
        graphs = self.__dict__.setdefault("_graphs", {})
        if heard not in graphs:
            graphs[heard] = self._recorded(heard)
        graph = graphs[heard]
        if graph is None:
            self.step(heard)
        else:
            graph.replay()

    def _recorded(self, heard: int) -> torch.cuda.CUDAGraph | None:
        """The step as a graph; place and generators are then where they were. What else a step writes the next one writes anew."""
        place, states = self.place.clone(), [generator.get_state() for generator in self.generators]

        def back() -> None:
            self.place.copy_(place)
            for generator, state in zip(self.generators, states, strict=True):
                generator.set_state(state)

        try:
            self._warm_up(heard)
            back()
            return self._record(heard)
        except RuntimeError as error:  # of a driver, or for want of memory: the step itself may well run
            back()
            warnings.warn(f"no CUDA graph of a step, each is started anew: {error}", RuntimeWarning, stacklevel=2)
            return None

    def _warm_up(self, heard: int) -> None:
        """Two steps: what torch makes when it first computes must not be made while a graph is recorded."""
        place, stream = self.place.clone(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self.step(heard)
                self.place.copy_(place)
        torch.cuda.current_stream().wait_stream(stream)

    def _record(self, heard: int) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            self.step(heard)
        return graph


FORMS: dict[str, type[StaticWriter]] = {
    "cuda": GraphWriter
}  # by the type of device; elsewhere steps are taken one by one


def fits(model: TokenLM | FastLM, conditions: Conditions) -> bool:
    """Whether a whole step can be one graph: of a model in torch with one head matrix, and nothing before the first step."""
    flat = isinstance(model.head, FlatHead | FastHead)
    return flat and model.transformer is not None and conditions.prefix is None


def static_writer(
    model: object, conditions: Conditions, frames: int, seeds: list[int], options: SamplingOptions, ways: int
) -> StaticWriter | None:
    """What writes this with fixed shapes: on a GPU, where it `fits`. None elsewhere."""
    if not isinstance(model, TokenLM | FastLM) or not fits(model, conditions):
        return None
    form = FORMS.get(model.device.type)
    return None if form is None else form(model, conditions, frames, seeds, options, ways=ways)


def _blocks(transformer: Transformer) -> list[Block]:
    return list(transformer.blocks)  # type: ignore[arg-type]
