"""The decoder of events: a T5.1.1-like transformer (as MT3's: Gardner et al., 2021, arXiv 2111.03017) that listens to a segment.

Where we differ: it hears the frame outputs beside the encoder's vectors, so it need not find the notes again; and it listens by
distance in time. MT3 adds positions to what is heard, and the decoder has to learn which token of time means which frame. Here a query
stands where the last shift before it has led, a frame where it lies, and rotary positions (Su et al., 2021, arXiv 2104.09864) tell them
how far apart they are. What is learned at one time is so known at all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from solfa.nn.gated import GatedTransformer
from solfa.nn.transformer import Memory, TransformerState
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.heard import Heard
from solfa.transcription.vocabulary import Vocabulary

SAID = 5  # numbers of each column of the frame outputs that it hears


@dataclass(frozen=True)
class EventState:
    """The past of events that are written step by step. Its buffers are written in place: it is good for one continuation."""

    transformer: TransformerState
    first: Tensor  # [B] the frame at which the events begin
    now: Tensor  # [B] int64: steps from there to where the last shift led
    shifted: Tensor  # [B] bool: the last id was a shift

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
        place = (self.first[chosen], self.now[chosen], self.shifted[chosen])
        if not memory:
            return EventState(replace(old, keys=keys, values=values), *place)
        heard = tuple((keys[chosen], values[chosen]) for keys, values in old.memory)
        mask = None if old.mask is None else old.mask[chosen]
        return EventState(replace(old, keys=keys, values=values, memory=heard, mask=mask), *place)


class EventDecoder(nn.Module):
    """Logits of events [B, L, V]: `forward` reads all ids at once, `start` and `advance` step by step, and they give the same."""

    shifts: Tensor

    def __init__(self, config: TranscriberConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        width = config.width
        self.frames_a_step = config.frame_rate / vocabulary.steps_per_second
        self.embedding = nn.Embedding(vocabulary.size, width)
        self.outputs = nn.Linear(SAID * config.columns.count, width, bias=False)
        self.transformer = GatedTransformer(config.transformer)
        self.head = nn.Linear(width, vocabulary.size, bias=False)  # not the embedding again, as in T5.1.1
        nn.init.normal_(self.head.weight, 0.0, width**-0.5)
        steps = [-1 if event is None or event.kind != "shift" else event.value for event in vocabulary.events]
        self.register_buffer("shifts", torch.tensor(steps, device="cpu"), persistent=False)  # [V] -1: no shift

    def forward(self, ids: Tensor, heard: Heard) -> Tensor:
        """ids: [B, L]."""
        zeros = torch.zeros_like(ids[:, 0])
        steps, _ = self._steps(ids, zeros, zeros > 0)
        hidden = self.transformer(self.embedding(ids), self._memory(heard), self._places(steps, self._first(heard)))
        return self.head(hidden)

    def start(self, heard: Heard, capacity: int) -> EventState:
        """The state before the first of at most `capacity` ids."""
        first = self._first(heard)
        state = self.transformer.start(len(first), capacity, self._memory(heard))
        return EventState(state, first, torch.zeros_like(first), torch.zeros_like(first, dtype=torch.bool))

    def advance(self, ids: Tensor, state: EventState) -> tuple[Tensor, EventState]:
        """The next ids [B, S] read. The state that was given is used up."""
        steps, shifted = self._steps(ids, state.now, state.shifted)
        places = self._places(steps, state.first)
        hidden, transformer = self.transformer.advance(self.embedding(ids), state.transformer, places)
        return self.head(hidden), EventState(transformer, state.first, steps[:, -1], shifted)

    def _memory(self, heard: Heard) -> Memory:
        """What is listened to. The frame outputs are taken as they are: the loss of the events does not bend them."""
        frames = heard.frames.probabilities()
        notes = [frames.onset, frames.onset * frames.velocity, frames.onset * frames.shift, frames.frame, frames.offset]
        places = torch.arange(heard.memory.shape[1], device=heard.memory.device).expand(len(heard.memory), -1)
        return Memory(heard.memory + self.outputs(torch.cat(notes, -1)), heard.mask, places)

    def _first(self, heard: Heard) -> Tensor:
        rows, device = len(heard.memory), heard.memory.device
        return torch.zeros(rows, dtype=torch.int64, device=device) if heard.first is None else heard.first.to(device)

    def _places(self, steps: Tensor, first: Tensor) -> Tensor:
        """[B, S] in frames, as those of the memory."""
        return first[:, None] + steps * self.frames_a_step

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
