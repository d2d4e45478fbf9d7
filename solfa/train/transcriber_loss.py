"""What a transcriber's outputs cost: cross-entropies of the frame outputs, of the instruments, and of the events."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.train.transcriber_targets import FrameTargets
from solfa.transcription.frames import FrameOutputs

CLOSE = 0.05  # frames: where the error of an onset's shift goes over from squares to amounts


@dataclass(frozen=True)
class LossWeights:
    """The weight of each loss in their sum; 0 leaves it out.

    onset, frame, offset: binary cross-entropies of the pitches, summed over them and averaged over the frames; drum: that of the onsets of
    drums. velocity: the same where notes begin, against the velocity as a share of 127, less what is left where all are right (so about
    twice the squared error), averaged over the notes. shift: smooth L1 of the onset's place between frames, over the notes. program:
    cross-entropy of the instrument, over the pitched notes. events: cross-entropy of the event tokens, over the tokens. positive: how much
    a missed onset, drum or offset counts beside an invented one.
    """

    onset: float = 1.0
    drum: float = 1.0
    frame: float = 0.5
    offset: float = 0.2
    velocity: float = 5.0
    shift: float = 0.5
    program: float = 0.1
    events: float = 1.0
    positive: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            if not 0 <= getattr(self, each.name) <= 1000:
                raise ValueError(f"{each.name} is {getattr(self, each.name)}: it must lie between 0 and 1000")
        if not self.positive:
            raise ValueError("positive is 0: nothing would ask for an onset")

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """The weighted sum of losses by name."""
        return torch.stack([value * getattr(self, name) for name, value in losses.items()]).sum()


def frame_losses(outputs: FrameOutputs, targets: FrameTargets, real: Tensor, positive: float) -> dict[str, Tensor]:
    """The losses of the frame outputs (logits), by the names of `LossWeights`. real: [B, T] 1 where there is sound, 0 behind its end."""
    pitched, count = outputs.columns.pitched, outputs.columns.count
    losses = {"onset": _binary(outputs.onset[..., :pitched], targets.onset[..., :pitched], real, positive)}
    if count > pitched:
        losses["drum"] = _binary(outputs.onset[..., pitched:], targets.onset[..., pitched:], real, positive)
    losses["frame"] = _binary(outputs.frame[..., :pitched], targets.frame, real)
    losses["offset"] = _binary(outputs.offset[..., :pitched], targets.offset, real, positive)
    place, notes = targets.cells.unbind(1), max(1, len(targets.cells))
    losses["velocity"] = _velocity(outputs.velocity[place].float(), targets.velocity)
    shift = outputs.shift[place].float()
    losses["shift"] = F.smooth_l1_loss(shift, targets.shift, reduction="sum", beta=CLOSE) / notes
    return losses


def _binary(logits: Tensor, wanted: Tensor, real: Tensor, positive: float = 1.0) -> Tensor:
    """Summed over the columns, averaged over the frames that are real."""
    logits = logits.float()
    weight = None if positive == 1 else logits.new_tensor(positive)
    each = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight, reduction="none")
    return (each.sum(2) * real).sum() / real.sum().clamp(min=1)


def _velocity(logits: Tensor, wanted: Tensor) -> Tensor:
    """Averaged over the notes whose velocity is known; 0 where all are right."""
    known = wanted > 0
    logits, wanted = logits[known], wanted[known]
    least = -(torch.xlogy(wanted, wanted) + torch.xlogy(1 - wanted, 1 - wanted)).sum()
    return (F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") - least) / max(1, len(wanted))


def program_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of instruments, [n, 129] of [n]; 0 of none."""
    return F.cross_entropy(logits.float(), wanted, reduction="sum") / max(1, len(wanted))


def event_loss(logits: Tensor, ids: Tensor, pad: int) -> Tensor:
    """Cross-entropy of event tokens: logits [B, L, V] of ids [B, L]; padding takes no part."""
    total = F.cross_entropy(logits.float().flatten(0, 1), ids.flatten(), ignore_index=pad, reduction="sum")
    return total / (ids != pad).sum().clamp(min=1)
