"""What the frame outputs say of each event that could be written, so that the decoder of events need not find it again.

Peaks of the onset output, as `frames` reads notes from them, stand where shifts can lead: at `phases` places a frame. An id's clues are a
few numbers that are alike for all pitches, places or programs, and `ClueReader` weighs them by the decoder's vector: what is learned of one
pitch is known of all. It is the copying of Gu et al. (2016), arXiv 1603.06393, from a map rather than from a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.transcription.config import TranscriberConfig
from solfa.transcription.frames import INSTRUMENTS
from solfa.transcription.heard import Heard
from solfa.transcription.vocabulary import Vocabulary

Chances = Callable[[Heard, Tensor, Tensor, Tensor], Tensor]  # rows, frames, columns [n] to logits [n, 129] of programs

LEAST = 0.1  # the height of a peak that is one; with its neighbours, as `FrameOptions.neighbours`
SURE = 0.5  # that of one that is rather a note than not
MOST = 0.98  # what is counted of a probability where its logarithm is taken
LONGEST = 12.0  # of what has begun or ended since, in nats
FAINT = 0.01  # the chance of a program that no note here has
REACH = 0.03  # seconds by which a note and its peak may differ
JUST = 0.05  # seconds for which what was struck has been struck: its peak is not another note's
GAIN = 8.0  # of the weights: they are learned by small steps, and what is sure is worth many nats
STRUCK, OF_PITCHES, OF_PLACES, OF_WAYS = (
    3,
    7,
    7,
    4,
)  # how many clues; of pitches the first `STRUCK` say that a note begins


@dataclass(frozen=True)
class Clues:
    """Of B segments, N places and P columns (see `Columns`). No gradient leads back from them."""

    pitches: Tensor  # [B, N, OF_PITCHES, P]
    program: Tensor  # [B, N, P] int64 whose note begins near here, if one does
    sure: Tensor  # [B, N, P] how likely it is one, and of that program
    programs: Tensor  # [B, N, 129] how likely one of each begins near here
    places: Tensor  # [B, N, OF_PLACES]
    begin: Tensor  # [B, N, P] beginnings as hazards: minus the logarithm of the chance that there is none
    end: Tensor  # [B, N] ends, likewise, of all columns together
    loud: Tensor  # [B, N] the velocity of what begins near here, as a share of 127

    def rows(self, chosen: Tensor) -> Clues:
        """Those of rows [n] of the batch, as they are named."""
        rows: dict[str, Any] = {each.name: getattr(self, each.name)[chosen] for each in fields(self)}
        return Clues(**rows)


@dataclass(frozen=True)
class Past:
    """What has been written before ids [B, S] are chosen."""

    program: Tensor  # [B, S] int64 in force, -1 for none
    just: Tensor  # [B, S, P] bool: struck within `JUST`


@torch.no_grad()
def find_clues(heard: Heard, chances: Chances, phases: int, reach: int) -> Clues:
    """The clues of segments, at `phases` places a frame. chances: of the programs of notes, as `TokenTranscriber` hears them. reach: places
    by which a note and its peak may differ."""
    frames = heard.frames.probabilities()
    batch, count, columns = frames.onset.shape
    real = frames.onset.new_ones(()) if heard.mask is None else heard.mask[..., None].float()
    onset, sounds, offset = frames.onset * real, frames.frame * real, frames.offset * real
    heights = _peaks(onset)
    rows, at, column = found = (heights >= LEAST).nonzero(as_tuple=True)
    place = ((at + frames.shift[found]) * phases + 0.5).floor().long().clamp(0, count * phases - 1)
    here = (rows * count * phases + place) * columns + column

    size, height = (batch, count * phases, columns), heights[found]
    struck, loud, sure = (height.new_zeros(size) for _ in range(3))
    struck.view(-1).scatter_reduce_(0, here, height, "amax")
    loud.view(-1)[here] = height * frames.velocity[found]
    likely = chances(heard, rows, at, column).softmax(1) * height[:, None]
    best, program = likely.max(1), here.new_zeros(size)
    program.view(-1)[here], sure.view(-1)[here] = best.indices, best.values
    programs = height.new_zeros(batch * count * phases, INSTRUMENTS)
    programs.scatter_reduce_(0, (here // columns)[:, None].expand(-1, INSTRUMENTS), likely, "amax")

    falls = (F.pad(sounds, (0, 0, 1, 0))[:, :-1] - sounds).clamp_min(0)
    ends = height.new_zeros(batch, 2, *size[1:])
    ends[:, :, ::phases] = torch.stack([_peaks(offset), falls], 1)
    frame = torch.arange(count * phases, device=ends.device) // phases
    after, before = F.pad(sounds, (0, 0, 0, 2))[:, frame + 2], F.pad(sounds, (0, 0, 2, 0))[:, frame]  # two frames away
    spread = _widest(ends.flatten(0, 1), phases // 2).unflatten(0, (batch, 2)).unbind(1)
    near = _widest(struck, reach)
    ended, begin, end = ends.amax(1), *(-torch.log1p(-each.clamp_max(MOST)) for each in (struck, ends.amax(1)))
    pitched = heard.frames.columns.pitched
    keys, drums = struck[..., :pitched].amax(2), F.pad(struck[..., pitched:], (0, 1)).amax(2)
    wide = _widest(keys[..., None], reach)[..., 0]
    total, last = struck.sum(2).log1p(), ended.amax(2)
    return Clues(
        torch.stack([struck, near, _widest(loud, reach), *spread, after, before], 2),
        *_nearest(program, sure, reach),
        _widest(programs.view(*size[:2], -1), reach),
        torch.stack([total, keys, (keys >= SURE).float(), wide, drums, ended.sum(2).log1p(), last], -1),
        begin,
        end.sum(2),
        _around(loud.sum(2), reach) / _around(struck.sum(2), reach).clamp_min(1e-6),
    )


def _peaks(output: Tensor) -> Tensor:
    """The heights [B, T, P] of peaks over the frames, with their neighbours', 1 at most; 0 elsewhere."""
    padded = F.pad(output, (0, 0, 1, 1))
    before, after = padded[:, :-2], padded[:, 2:]
    return (before + output + after).clamp_max(1.0) * ((output > before) & (output >= after))


def _widest(x: Tensor, reach: int) -> Tensor:
    """The largest within `reach` places: [B, N, P] of the same."""
    return F.max_pool1d(x.transpose(1, 2), 2 * reach + 1, 1, reach).transpose(1, 2) if reach else x


def _nearest(program: Tensor, sure: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """The surest of the programs [B, N, P] within `reach` places, and how sure it is."""
    best = program, sure
    for step in [each for away in range(1, reach + 1) for each in (-away, away)]:
        moved, known = (F.pad(x, (0, 0, step, -step)) for x in (program, sure))
        surer = known > best[1]
        best = torch.where(surer, moved, best[0]), torch.where(surer, known, best[1])
    return best


def _around(x: Tensor, reach: int) -> Tensor:
    """Means [B, N] within `reach` places."""
    return F.avg_pool1d(x[:, None], 2 * reach + 1, 1, reach)[:, 0]


class ClueReader(nn.Module):
    """What clues add to logits, by weights that the decoder's vector gives; nothing to begin with.

    A shift's: those of the place it leads to, and what would begin and end on the way. A pitch's and a drum's: those of the key where it
    would stand, but for the beginning of what was just struck, and whether what begins there is of the program in force. A program's: the
    chance that one of its notes begins there. A velocity's: how far it is from the mean of what begins.
    """

    ids: Tensor
    columns: Tensor
    said: Tensor
    classes: Tensor
    shares: Tensor

    def __init__(self, config: TranscriberConfig, vocabulary: Vocabulary, phases: int) -> None:
        super().__init__()
        self.sizes = [OF_PLACES + OF_WAYS, OF_PITCHES + 1, 1, 1]  # weights of shifts, pitches, programs, velocities
        self.reach = round(REACH * config.frame_rate * phases)
        self.weights = nn.Linear(config.width, sum(self.sizes))
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        keys = config.columns.keys(np.arange(config.columns.count)).tolist()
        kinds = ["pitch"] * config.columns.pitched + ["drum"] * (config.columns.count - config.columns.pitched)
        named = [vocabulary.find(kind, key) for kind, key in zip(kinds, keys, strict=True)]
        programs = sorted({vocabulary.program_of(program) for program in range(128)})
        programs = [program for program in programs if vocabulary.find("program", program) is not None]
        bins = range(1, vocabulary.velocity_bins + 1)
        ids = [
            *(id for id in named if id is not None),
            *(vocabulary.id("program", program) for program in programs),
            *(vocabulary.id("velocity", each) for each in bins),
        ]
        place = {program: index for index, program in enumerate(programs)}
        classes = [place.get(vocabulary.program_of(program), -1) for program in range(128)]
        tables = {
            "ids": ids,  # to which something is added, those of shifts apart
            "columns": [column for column, id in enumerate(named) if id is not None],
            "said": [vocabulary.program_of(program) for program in range(128)] + [128],  # of programs, as they are said
            "classes": [each if each >= 0 else len(programs) for each in classes]
            + [len(programs)],  # their place among ids
            "shares": [vocabulary.velocity_of(each) / 127 for each in bins],
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table, device="cpu"), persistent=False)

    def forward(self, hidden: Tensor, places: Tensor, past: Past, clues: Clues) -> tuple[Tensor, Tensor]:
        """What is added for the ids that are chosen next, of the decoder's vectors [B, S, W], which stand at places [B, S].

        The first, [B, S, N], is for shifts to each place, the second, [B, S, n], for the ids `ids`.
        """
        of_shifts, of_pitches, of_programs, of_velocities = (GAIN * self.weights(hidden)).split(self.sizes, -1)
        (batch, count), shape = clues.loud.shape, places.shape
        here = (torch.arange(batch, device=places.device)[:, None] * count + places).flatten()
        loud = clues.loud.flatten()[here].view(*shape, 1)
        said = [
            self._pitches(of_pitches, here, past, clues),
            of_programs * self._programs(clues.programs.flatten(0, 1)[here]).view(*shape, -1),
            of_velocities * (self.shares - loud).square() * -100,
        ]
        return self._shifts(of_shifts, places, past, clues), torch.cat(said, -1)

    def _shifts(self, weights: Tensor, places: Tensor, past: Past, clues: Clues) -> Tensor:
        plain, ways = weights.split([OF_PLACES, OF_WAYS], -1)
        away = torch.arange(clues.end.shape[1], device=weights.device) - places[..., None]  # [B, S, N]
        # What is there to begin: a peak near to here is not that of a note that was just struck.
        known = (past.just.to(clues.begin.dtype) @ clues.begin.mT) * (away.abs() <= self.reach)
        begin = (clues.begin.sum(2)[:, None] - known).clamp(0, LONGEST)
        clue = [begin.clamp_max(4.0)]
        for each in (begin, clues.end[:, None]):
            after = each * (away > 0)
            clue.append(-(after.cumsum(2) - after).clamp_max(LONGEST))
        clue.append(-(away <= 0).to(begin.dtype))
        worth = plain @ clues.places.to(plain.dtype).mT
        return worth + sum(ways[..., index, None] * each for index, each in enumerate(clue))

    def _pitches(self, weights: Tensor, here: Tensor, past: Past, clues: Clues) -> Tensor:
        plain, own = weights.split([OF_PITCHES, 1], -1)
        each = clues.pitches.flatten(0, 1)[here].view(*past.program.shape, OF_PITCHES, -1)  # [B, S, OF_PITCHES, P]
        each[..., :STRUCK, :] *= ~past.just[..., None, :]
        whose = self.said[clues.program.flatten(0, 1)[here]].view(past.just.shape)
        fits = clues.sure.flatten(0, 1)[here].view(whose.shape) * (whose == past.program[..., None]) * ~past.just
        worth = (plain[..., None, :] @ each.to(plain.dtype))[..., 0, :] + own * fits
        return worth[..., self.columns]

    def _programs(self, chances: Tensor) -> Tensor:
        """How likely each program that can be said begins, [n, programs], in nats above nothing."""
        most = chances.new_zeros(len(chances), int(self.classes.max()) + 1)
        most.scatter_reduce_(1, self.classes.expand(len(chances), -1), chances, "amax")
        return torch.log1p(most[:, :-1] / FAINT)
