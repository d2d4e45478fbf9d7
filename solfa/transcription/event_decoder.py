"""The decoder of events: a T5.1.1-like transformer (as MT3's: Gardner et al., 2021, arXiv 2111.03017) that listens to a segment.

Where we differ: time is not to be learned token by token. An id stands where the last shift before it has led. It is given what is heard
there, the frame outputs among it, so that notes need not be found again; it listens to the rest by distance (rotary positions: Su et al.,
2021, arXiv 2104.09864); a shift is chosen by pointing at the frame that it leads to (Vinyals et al., 2015, arXiv 1506.03134); and every id
is worth what the frame outputs say of it besides (`clues`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from solfa.nn.gated import GatedTransformer
from solfa.nn.transformer import Memory, TransformerState, rotations, sinusoids, turned
from solfa.transcription.clues import JUST, ClueReader, Clues, Past
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.heard import Heard
from solfa.transcription.vocabulary import Vocabulary

SAID = 5  # numbers of each column of the frame outputs that it hears


@dataclass(frozen=True)
class Field:
    """What events are written from: frames, and where in them the steps of shifts lie."""

    values: Tensor  # [B, T, W]
    mask: Tensor | None  # [B, T] bool
    first: Tensor  # [B] the frame at which the events begin
    keys: Tensor  # [B, 1, N, W] of the places that can be pointed at, `phases` a frame
    where: Tensor  # [B, S] int64 which of these places each shift leads to
    beyond: Tensor  # [B, S] bool: none of them
    clues: Clues  # of these places

    def rows(self, chosen: Tensor) -> Field:
        mask = None if self.mask is None else self.mask[chosen]
        first, keys, where, beyond = (part[chosen] for part in (self.first, self.keys, self.where, self.beyond))
        return Field(self.values[chosen], mask, first, keys, where, beyond, self.clues.rows(chosen))


@dataclass(frozen=True)
class EventState:
    """The past of events that are written step by step. Its buffers are written in place: it is good for one continuation."""

    transformer: TransformerState
    field: Field
    now: Tensor  # [B] int64: steps from the beginning to where the last shift led
    shifted: Tensor  # [B] bool: the last id was a shift
    program: Tensor  # [B] int64: the program in force, -1 for none
    velocity: Tensor  # [B] int64: the velocity in force, likewise
    struck: Tensor  # [B, P] int64: the step behind that at which each column's last note began, 0 for none

    @property
    def position(self) -> int:
        """How many ids have been read."""
        return self.transformer.position

    def rows(self, chosen: Tensor, memory: bool = True) -> EventState:
        """A copy of rows [n] of the batch, as they are named: for a beam, or to go on with those that have not ended.

        memory: False where every row hears already what the row that takes its place hears: that is then not copied.
        """
        old = self.transformer

        def past(part: Tensor) -> Tensor:  # [B, H, capacity, d]; what was not written yet is not copied
            copy = part.new_empty(len(chosen), *part.shape[1:])
            copy[:, :, : old.position] = part[:, :, : old.position][chosen]
            return copy

        keys, values = (tuple(past(part) for part in each) for each in (old.keys, old.values))
        place = [part[chosen] for part in (self.now, self.shifted, self.program, self.velocity, self.struck)]
        if not memory:
            return EventState(replace(old, keys=keys, values=values), self.field, *place)
        heard = tuple((keys[chosen], values[chosen]) for keys, values in old.memory)
        mask = None if old.mask is None else old.mask[chosen]
        new = replace(old, keys=keys, values=values, memory=heard, mask=mask)
        return EventState(new, self.field.rows(chosen), *place)


class EventDecoder(nn.Module):
    """Logits of events [B, L, V]: `forward` reads all ids at once, `start` and `advance` step by step, and they give the same."""

    shifts: Tensor
    shift_ids: Tensor
    programs: Tensor
    velocities: Tensor
    columns: Tensor

    def __init__(self, config: TranscriberConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        width, rate, steps = config.width, config.frame_rate, vocabulary.steps_per_second
        self.frames_a_step = rate / steps
        self.phases = max(1, round(steps / rate))  # places a frame that are told apart when a shift is chosen
        self.embedding = nn.Embedding(vocabulary.size, width)
        self.outputs = nn.Linear(SAID * config.columns.count, width, bias=False)
        self.here = nn.Linear(width, width, bias=False)
        self.transformer = GatedTransformer(config.transformer)
        self.head = nn.Linear(width, vocabulary.size, bias=False)  # not the embedding again, as in T5.1.1
        nn.init.normal_(self.head.weight, 0.0, width**-0.5)
        self.pointer = nn.Linear(width, width, bias=False)
        self.pointed = nn.Linear(width, self.phases * width, bias=False)
        self.clues = ClueReader(config, vocabulary, self.phases)
        for name, kind in (("shifts", "shift"), ("programs", "program"), ("velocities", "velocity")):  # [V] -1: none
            values = [-1 if event is None or event.kind != kind else event.value for event in vocabulary.events]
            self.register_buffer(name, torch.tensor(values, device="cpu"), persistent=False)
        columns = torch.full((vocabulary.size,), -1, device="cpu")
        columns[self.clues.ids[: len(self.clues.columns)]] = self.clues.columns
        self.register_buffer("columns", columns, persistent=False)  # [V] of what can be struck, -1: nothing
        self.just = round(JUST * steps)
        ids = torch.tensor(vocabulary.ids("shift"), device="cpu")
        self.register_buffer("shift_ids", ids, persistent=False)  # [S] of 0, 1, ... steps

    def forward(self, ids: Tensor, heard: Heard, clues: Clues) -> Tensor:
        """ids: [B, L]. clues: of `heard`."""
        field, zeros = self._field(heard, clues), torch.zeros_like(ids[:, 0])
        steps, _ = self._steps(ids, zeros, zeros > 0)
        places = self._places(steps, field)
        hidden = self.transformer(self._inward(ids, places, field), self._memory(field), places)
        none = zeros[:, None].expand(-1, clues.begin.shape[2])
        return self._logits(hidden, places, self._past(ids, steps, zeros - 1, zeros - 1, none)[0], field)

    def start(self, heard: Heard, clues: Clues, capacity: int) -> EventState:
        """The state before the first of at most `capacity` ids."""
        field = self._field(heard, clues)
        state, none = (
            self.transformer.start(len(field.first), capacity, self._memory(field)),
            torch.zeros_like(field.first),
        )
        struck = none[:, None].expand(-1, clues.begin.shape[2])
        return EventState(state, field, none, none > 0, none - 1, none - 1, struck)

    def advance(self, ids: Tensor, state: EventState) -> tuple[Tensor, EventState]:
        """The next ids [B, S] read. The state that was given is used up."""
        steps, shifted = self._steps(ids, state.now, state.shifted)
        places = self._places(steps, state.field)
        x = self._inward(ids, places, state.field)
        hidden, transformer = self.transformer.advance(x, state.transformer, places)
        past, velocity, struck = self._past(ids, steps, state.program, state.velocity, state.struck)
        after = EventState(transformer, state.field, steps[:, -1], shifted, past.program[:, -1], velocity, struck)
        return self._logits(hidden, places, past, state.field), after

    def _field(self, heard: Heard, clues: Clues) -> Field:
        """What is heard of segments, and time. The frame outputs are taken as they are: the loss of the events does not bend them."""
        frames, (batch, count, width), device = heard.frames.probabilities(), heard.memory.shape, heard.memory.device
        first = torch.zeros(batch, dtype=torch.int64) if heard.first is None else heard.first
        first = first.to(device)
        notes = [frames.onset, frames.onset * frames.velocity, frames.onset * frames.shift, frames.frame, frames.offset]
        times = torch.arange(count, device=device) - first[:, None]
        values = heard.memory + self.outputs(torch.cat(notes, -1)) + sinusoids(times, width)
        spots = torch.arange(count * self.phases, device=device).expand(batch, -1) / self.phases
        keys = self.pointed(values).unflatten(-1, (self.phases, width)).flatten(1, 2)[:, None]
        steps = torch.arange(len(self.shift_ids), device=device) * self.frames_a_step
        where = ((first[:, None] + steps) * self.phases + 0.5).long()
        beyond = where >= count * self.phases
        where = where.clamp_max(count * self.phases - 1)
        if heard.mask is not None:  # what is no sound cannot be pointed at
            beyond = beyond | ~heard.mask.gather(1, where // self.phases)
        return Field(values, heard.mask, first, turned(keys, rotations(spots, width)), where, beyond, clues)

    def _memory(self, field: Field) -> Memory:
        batch, count, _ = field.values.shape
        return Memory(field.values, field.mask, torch.arange(count, device=field.values.device).expand(batch, -1))

    def _inward(self, ids: Tensor, places: Tensor, field: Field) -> Tensor:
        """Each id with what is heard where it stands, [B, S, W]."""
        nearest = (places + 0.5).long().clamp_max(field.values.shape[1] - 1)
        found = field.values.gather(1, nearest[..., None].expand(-1, -1, field.values.shape[2]))
        if field.mask is not None:
            found = found * field.mask.gather(1, nearest)[..., None]
        return self.embedding(ids) + self.here(found)

    def _logits(self, hidden: Tensor, places: Tensor, past: Past, field: Field) -> Tensor:
        """[B, S, V]; those of shifts are the worth of the id plus that of the place it leads to (of the first in a run of them)."""
        width = hidden.shape[-1]
        query = turned(self.pointer(hidden)[:, None], rotations(places, width))
        scores = (query @ field.keys.transpose(-1, -2).to(query.dtype))[:, 0] * width**-0.5  # [B, S, N]
        spots = (places * self.phases + 0.5).long().clamp_max(field.keys.shape[2] - 1)
        led, said = self.clues(hidden, spots, past, field.clues)
        worth = (scores + led).gather(2, field.where[:, None].expand(-1, scores.shape[1], -1))
        worth = torch.cat([worth.masked_fill(field.beyond[:, None], 0.0), said], 2)
        logits = self.head(hidden)
        return logits.index_add(2, torch.cat([self.shift_ids, self.clues.ids]), worth.to(logits.dtype))

    def _past(
        self, ids: Tensor, steps: Tensor, program: Tensor, velocity: Tensor, struck: Tensor
    ) -> tuple[Past, Tensor, Tensor]:
        """What has been written after each of the ids, which stand at `steps`; the velocity in force and what was struck at their end."""
        programs, velocities = _in_force(self.programs[ids], program), _in_force(self.velocities[ids], velocity)
        column = self.columns[ids]
        begins = torch.where((column >= 0) & (velocities > 0), steps + 1, 0)
        each = begins.new_zeros(*ids.shape, struck.shape[1]).scatter_(
            2, column.clamp_min(0)[..., None], begins[..., None]
        )
        last = torch.cat([struck[:, None], each], 1).cummax(1).values[:, 1:]
        just = (last > 0) & (steps[..., None] + 1 - last <= self.just)
        return Past(programs, just), velocities[:, -1], last[:, -1]

    def _places(self, steps: Tensor, field: Field) -> Tensor:
        """[B, S] in frames, as those of the memory."""
        return field.first[:, None] + steps * self.frames_a_step

    def _steps(self, ids: Tensor, now: Tensor, shifted: Tensor) -> tuple[Tensor, Tensor]:
        """Where each id stands, [B, S]: at the sum of the last run of shifts up to it; and whether the last id was a shift."""
        values = self.shifts[ids]
        shift = values >= 0
        total = now[:, None] + values.clamp_min(0).cumsum(1)
        fresh = shift & ~torch.cat(
            [shifted[:, None], shift[:, :-1]], 1
        )  # a run begins: it counts from the segment's start
        base = (total - values).masked_fill(~fresh, 0).cummax(1).values
        return total - base, shift[:, -1]


def _in_force(said: Tensor, before: Tensor) -> Tensor:
    """The last value that was said up to each place of [B, S], where -1 says none; `before` [B] is in force at the beginning."""
    said = torch.cat([before[:, None], said], 1)
    place = torch.arange(said.shape[1], device=said.device).expand_as(said)
    return said.gather(1, place.masked_fill(said < 0, 0).cummax(1).values)[:, 1:]
