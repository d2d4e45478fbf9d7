"""Which events may come next: the rules by which `events` writes segments, as masks over all ids at once.

For each of R rows a few numbers are kept (where in time it is, what program and velocity are in force, what was written last) and what
sounds. Every sequence that `EventWriter` writes is legal, and of a legal one `EventReader` drops nothing but ties of what does not sound:

    [tie section: program pitch ..., ascending; tie] [shift [program] [velocity] pitch | [velocity] drum | [program] pedal] ... eos

- Shifts go forwards, within the segment, and something must follow them; more than the longest is said by several, the longest first.
- Only what sounds can end. A program or velocity that is in force is not said again, and not said for nothing.
- With a vocabulary whose order is the grid's, events of one step come in that order: a step has an end.

Stricter than the writer in one place: of drum hits on one step, whatever their kit, keys ascend (a token says no kit). More lenient in
another: what sounds may begin anew without having ended, as `EventReader` reads it, or one missed end would hide all repetitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from solfa.transcription.vocabulary import Vocabulary

KINDS = ("begin", "shift", "pitch", "velocity", "tie", "program", "drum", "pedal", "eos")
BEGIN, SHIFT, PITCH, VELOCITY, TIE, PROGRAM, DRUM, PEDAL, EOS = range(len(KINDS))
PLACES = 129  # what an instrument can do: its pedal, then pitches 0 to 127


@dataclass(frozen=True)
class GrammarState:
    """Where R rows are. Steps count from the segment's start; `key` places the last event in the order of its step, -1 is before all."""

    last: Tensor  # [R] the kind of the last id; BEGIN before the first
    ties: Tensor  # [R] bool, in the tie section
    program: Tensor  # [R] in force, as an index; -1 is none
    velocity: Tensor  # [R] bin in force; -1 is none
    owed: Tensor  # [R] bool, a program was said whose event has not come
    now: Tensor  # [R] step of the last event
    run: Tensor  # [R] sum of the last shifts
    key: Tensor  # [R]
    sounding: Tensor  # [R, programs, PLACES] bool, written in place
    some: Tensor  # [R, programs] bool, whether anything of it sounds; written in place

    def select(self, rows: Tensor) -> GrammarState:
        """The state of these rows."""
        return replace(self, **{each.name: getattr(self, each.name)[rows] for each in fields(self)})


class Grammar:
    """The rules for R rows, on one device.

    steps: of each row's segment; events lie on steps 0 to steps - 1. onsets: what may begin where, [R, S, PLACES + 128] bool with S at
    least the longest of `steps`: the pedal, pitches, drum keys; None is all. programs: which may play, by General MIDI number, 128 for
    drums; None is all.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        steps: Sequence[int],
        onsets: Tensor | None = None,
        programs: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.vocabulary, self.device, self.onsets = vocabulary, device, onsets
        self.steps = torch.tensor(list(steps), device=device)
        self.flat, self.ordered = vocabulary.granularity == "flat", vocabulary.order == "grid"
        self.names = _names(vocabulary)
        self._tables({name: index for index, name in enumerate(self.names)})
        self._playing(programs)
        # Keys of events that end something; of those that begin something, `begins` more; of drum hits, half as much again.
        self.keys = torch.arange(len(self.names) * PLACES, device=device).view(len(self.names), PLACES)
        self.pitches, self.rows = torch.arange(128, device=device), torch.arange(len(self.steps), device=device)
        self.begins, self.hits = 2 * self.keys.numel(), 3 * self.keys.numel()
        self.state = self._start(len(self.steps))

    def _tables(self, index: dict[int, int]) -> None:
        """Kind and value of each id, a program's value its index, and the ids of each kind with their values."""
        vocabulary = self.vocabulary
        kinds, values = torch.zeros(2, vocabulary.size, dtype=torch.int64)
        for id, event in enumerate(vocabulary.events):
            if event is None or event.kind not in KINDS or (event.kind == "program" and event.value not in index):
                continue  # never legal
            kinds[id] = KINDS.index(event.kind)
            values[id] = index[event.value] if event.kind == "program" else event.value
        kinds[vocabulary.eos] = EOS
        self.complete = torch.tensor(
            [kind in (BEGIN, PITCH, TIE, DRUM, PEDAL) for kind in range(len(KINDS))], device=self.device
        )
        self.kinds, self.values = kinds.to(self.device), values.to(self.device)
        self.ids = {kind: torch.nonzero(self.kinds == kind)[:, 0] for kind in range(1, len(KINDS))}
        self.said = {kind: self.values[ids] for kind, ids in self.ids.items()}

    def _playing(self, programs: Sequence[int] | None) -> None:
        """What may be played at all: [programs, PLACES], and whether drums may."""
        vocabulary = self.vocabulary
        wanted = None if programs is None or self.flat else {vocabulary.program_of(p) for p in programs if p < 128}
        names = torch.tensor([wanted is None or name in wanted for name in self.names], device=self.device)
        places = [vocabulary.has("pedal"), *(vocabulary.find("pitch", pitch) is not None for pitch in range(128))]
        self.playing = names[:, None] & torch.tensor(places, device=self.device)
        self.drums = vocabulary.has("drum") and (programs is None or 128 in programs)

    def _start(self, rows: int) -> GrammarState:
        zeros = torch.zeros(rows, dtype=torch.int64, device=self.device)
        no = torch.zeros(rows, dtype=torch.bool, device=self.device)
        ties = torch.full_like(no, self.vocabulary.ties)
        # Without ties nothing says what sounds from before: anything may end.
        sounding = (~ties)[:, None, None] & self.playing
        program = zeros if self.flat else zeros - 1
        some = sounding.any(2)
        return GrammarState(zeros, ties, program, zeros - 1, no, zeros, zeros, zeros - 1, sounding.clone(), some)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows only, in this order, perhaps several times."""
        self.state, self.steps = self.state.select(rows), self.steps[rows]
        self.rows = torch.arange(len(rows), device=self.device)
        self.onsets = None if self.onsets is None else self.onsets[rows]

    def legal(self) -> Tensor:
        """The ids that may come next: [R, V] bool, at least one in each row."""
        state = self.state
        mask = torch.zeros(len(state.last), self.vocabulary.size, dtype=torch.bool, device=self.device)
        tied = self._tied() if state.ties.any() else {}
        for kind, some in self._body().items():
            if tied:
                some = torch.where(state.ties[:, None], tied.get(kind, some.new_zeros(1)), some)
            mask[:, self.ids[kind]] = some & (state.last != EOS)[:, None]
        mask[:, self.vocabulary.eos] |= ~mask.any(1)  # over, or (a guide that leaves nothing) to be ended
        return mask

    def _tied(self) -> dict[int, Tensor]:
        """What is legal in a tie section, by kind: [R, ids of that kind]."""
        state = self.state
        whole = (state.last != PROGRAM)[:, None]
        own = self._of_own(self.playing) & (self._of_own(self.keys) > state.key[:, None])  # [R, PLACES]
        own &= (state.program >= 0)[:, None]
        further = (self.said[PROGRAM] > state.program[:, None]) & self.playing.any(1)[self.said[PROGRAM]]
        return {
            PROGRAM: whole & further,
            PITCH: own[:, 1 + self.said[PITCH]],
            PEDAL: own[:, :1] & (self.said[PEDAL] == 1),
            TIE: whole.expand(-1, len(self.ids[TIE])),
        }

    def _body(self) -> dict[int, Tensor]:
        """What is legal after the tie section, by kind: [R, ids of that kind]."""
        state, said = self.state, self.said
        shifted, done = state.last == SHIFT, self.complete[state.last]
        fresh = (done | (shifted & (state.run > state.now)))[:, None]  # a group may begin
        key = (state.key.masked_fill(shifted, -1) if self.ordered else torch.full_like(state.key, -1))[:, None]
        here = self._onsets_at(torch.where(shifted, state.run, state.now))
        here, drums = here.split([PLACES, 128], 1)
        drums = drums & (self.pitches + self.hits > key) & ~state.owed[:, None] & self.drums
        ends, begins = self._own_events(key, here)
        quiet, loud = state.velocity[:, None] == 0, state.velocity[:, None] > 0
        struck = (begins[:, 1:].any(1) | drums.any(1))[:, None]
        useful = torch.where(said[VELOCITY] > 0, struck, ends[:, 1:].any(1, keepdim=True))
        within = fresh | (state.last == PROGRAM)[:, None]
        ready = within | (state.last == VELOCITY)[:, None]
        other = (said[PROGRAM] != state.program[:, None]) & self._programs(key, here)[:, said[PROGRAM]]
        return {
            SHIFT: self._shifts(done),
            PROGRAM: fresh & other,
            VELOCITY: within & (said[VELOCITY] != state.velocity[:, None]) & useful,
            PITCH: ready & ((begins & loud) | (ends & quiet))[:, 1 + said[PITCH]],
            DRUM: (fresh | (state.last == VELOCITY)[:, None]) & loud & drums[:, said[DRUM]],
            PEDAL: within & torch.stack([ends[:, 0], begins[:, 0]], 1)[:, said[PEDAL]],
            TIE: torch.zeros(1, len(self.ids[TIE]), dtype=torch.bool, device=self.device),
            EOS: done[:, None],
        }

    def _own_events(self, key: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
        """What of the program in force may end and begin now, [R, PLACES] each; nothing where there is none."""
        keys, playing = self._of_own(self.keys), self._of_own(self.playing)
        playing &= (self.state.program >= 0)[:, None]
        sounding = self.state.sounding[self.rows, self.state.program.clamp_min(0)] & playing
        begins = here & playing & (keys + self.begins > key)
        begins[:, 0] &= ~sounding[:, 0]  # a pedal that is down
        return sounding & (keys > key), begins

    def _programs(self, key: Tensor, here: Tensor) -> Tensor:
        """Programs that have something to do now, behind that of the last event of this step: [R, programs]."""
        state, index = self.state, torch.arange(len(self.names), device=self.device)
        last = torch.where(key < 0, -1, key // PLACES)
        begun = torch.where(key < self.begins, -1, (key - self.begins) // PLACES)
        pitches = (here & self.playing.any(0))[:, 1:].any(1, keepdim=True)
        pedals = here[:, :1] & self.playing[:, 0] & ~state.sounding[:, :, 0]
        begins = (index > begun) & self.playing.any(1) & (pitches | pedals)
        return begins | ((index > last) & state.some)

    def _shifts(self, done: Tensor) -> Tensor:
        """Legal shifts: [R, ids of shifts]."""
        state, most, values = self.state, self.vocabulary.max_shift, self.said[SHIFT]
        going_on = (state.last == SHIFT) & (state.run > 0) & (state.run % most == 0)
        base = (state.run * (state.last == SHIFT))[:, None]
        total, end = base + values, self.steps[:, None] - 1
        arrives = (values > 0) & (total > state.now[:, None]) & (total <= end) & self._something_at(total)
        passes = (values == most) & (total < end) & (state.now[:, None] < end)
        return (done | going_on)[:, None] & (arrives | passes)

    def _something_at(self, steps: Tensor) -> Tensor:
        """Whether anything can happen at later steps [R, n]: something begins there, or something sounds that can end."""
        if self.onsets is None:
            return torch.ones_like(steps, dtype=torch.bool)
        begins = self.onsets.any(2).gather(1, steps.clamp(0, self.onsets.shape[1] - 1))
        return begins | self.state.some.any(1, keepdim=True)

    def _onsets_at(self, step: Tensor) -> Tensor:
        """What may begin now: [R, PLACES + 128]."""
        if self.onsets is None:
            return torch.ones(len(step), PLACES + 128, dtype=torch.bool, device=self.device)
        return self.onsets[self.rows, step.clamp(0, self.onsets.shape[1] - 1)]

    def _of_own(self, table: Tensor) -> Tensor:
        """Of a table [programs, PLACES], what is of each row's program: [R, PLACES]."""
        return table[self.state.program.clamp_min(0)]

    def advance(self, ids: Tensor) -> None:
        """Each row's next id, [R]."""
        state, kind, value = self.state, self.kinds[ids], self.values[ids]
        shifted, shift = state.last == SHIFT, kind == SHIFT
        arrives = shifted & ~shift
        now = torch.where(arrives, state.run, state.now)
        run = torch.where(shift, state.run * shifted + value, state.run)
        program = torch.where(kind == PROGRAM, value, state.program)
        velocity = torch.where(kind == VELOCITY, value, state.velocity)
        note, drum = (kind == PITCH) | (kind == PEDAL), kind == DRUM
        place = (value + 1) * (kind == PITCH)
        begins = state.ties | torch.where(kind == PEDAL, value == 1, velocity > 0)
        own, sounding, some = program.clamp_min(0), state.sounding, state.some
        sounding[self.rows, own, place] = torch.where(note, begins, sounding[self.rows, own, place])
        some[self.rows, own] = sounding[self.rows, own].any(1)
        key = state.key.masked_fill(arrives, -1)
        written = self.keys[own, place] + torch.where(begins & ~state.ties, self.begins, 0)
        key = torch.where(note, written, torch.where(drum, self.hits + value, key))
        tie = kind == TIE
        self.state = GrammarState(
            last=kind,
            ties=state.ties & ~tie,
            program=program,
            velocity=velocity,
            owed=(state.owed | (kind == PROGRAM)) & ~note & ~drum,
            now=now,
            run=run,
            key=key.masked_fill(tie, -1),
            sounding=sounding,
            some=some,
        )


def _names(vocabulary: Vocabulary) -> tuple[int, ...]:
    """The programs that the vocabulary says, as they are said; one, 0, where it says none."""
    if vocabulary.granularity == "flat":
        return (0,)
    said = {vocabulary.program_of(program) for program in range(128)}
    return tuple(sorted(program for program in said if vocabulary.find("program", program) is not None))
