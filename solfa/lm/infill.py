"""A gap between two pieces of music: several candidates are written, and the one that leads best to what follows is taken.

The model reads forward only. So while a gap is written what comes after it is not heard (but for codes that a delay pattern has already
put beside it); each candidate is judged afterwards, by how likely the model finds the beginning of the right piece after it. This chooses
among what came by chance: more candidates fit better, none is bent to meet the right piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from solfa.lm.generate import Decoder, Progress, Told, Writing, context_frames, window_and_stride
from solfa.lm.patterns import NOTHING
from solfa.lm.sampling import USUAL, SamplingOptions


@dataclass(frozen=True)
class Infilled:
    """codes [K, T]: left, gap and right. likelihoods: of each candidate, log p (nats) of the judged frames of the right piece."""

    codes: Tensor
    likelihoods: tuple[float, ...]
    chosen: int


def infill(
    model: Decoder,
    conditions: Told,
    left: Tensor,
    right: Tensor,
    gap: int,
    *,
    seeds: Sequence[int],
    options: SamplingOptions = USUAL,
    judged: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    progress: Progress | None = None,
) -> Infilled:
    """Fill `gap` frames between codes left [K, a] and right [K, b], with one candidate a seed, all in one batch.

    conditions: as for `generate`, rows of candidates; a function gives those of the window that begins so many frames after
    the beginning of the left piece. judged: frames of the right piece that candidates are judged by; a second of them by default, fewer
    where it is shorter. Left and right come back as they were. ValueError for codes or numbers that do not fit.
    """
    books, config = model.config.codebooks, model.config
    for name, codes in (("left", left), ("right", right)):
        if codes.ndim != 2 or codes.shape[0] != books or not codes.shape[1]:
            raise ValueError(f"{name} is {tuple(codes.shape)}: codes of {books} codebooks and at least one frame")
    if gap < 1:
        raise ValueError(f"gap is {gap} frames: at least 1")
    judged = max(1, round(config.frame_rate)) if judged is None else judged
    if judged < 1:
        raise ValueError(f"judged is {judged} frames: at least 1")
    head = right[:, :judged]
    size = window_and_stride(config, window, stride)
    near = left[:, max(0, left.shape[1] - max(1, context_frames(*size, gap + head.shape[1]))) :]
    begin = near.shape[1]
    unknown = torch.full((books, gap), NOTHING, device=left.device)
    known = torch.cat([near, unknown, head], 1).expand(len(seeds), -1, -1)
    told = _later(conditions, left.shape[1] - begin)
    writing = Writing(model, told, known.shape[2], seeds, options, known, *size, judge_from=begin + gap)
    for piece in writing:
        if progress is not None:
            progress(piece.start + piece.codes.shape[2], writing.total)
    chosen = int(writing.likelihood.argmax())
    filled = writing.codes[chosen, :, begin : begin + gap].to(left.device)
    return Infilled(torch.cat([left, filled, right], 1), tuple(writing.likelihood.tolist()), chosen)


def _later(conditions: Told, frames: int) -> Told:
    """What is told from that frame on, as if it were the first."""
    return (lambda begin: conditions(frames + begin)) if callable(conditions) else conditions
