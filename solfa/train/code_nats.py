"""How unlikely a model finds codes: the loss that language models are trained by, and by which they are judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from solfa.lm.conditioners.grid import Grid
from solfa.lm.model import Conditions, TokenLM
from solfa.lm.patterns import NOTHING, make_pattern
from solfa.train.prefetch import move

EARLY_SECONDS = 0.5


@dataclass(frozen=True)
class LMBatch:
    """Crops, and their texts as the model's tokens."""

    codes: Tensor  # [B, K, T] int64, NOTHING where a recording is shorter
    ids: Tensor  # [B, L]
    mask: Tensor  # [B, L] bool; a row of False is told nothing
    clap: tuple[Tensor, ...] = ()  # of a model that hears one: vectors [B, width], and which rows have one
    classes: Tensor | None = None  # [B, attributes], where they are guessed
    beats: Tensor | None = None  # [B, S, F], of a model that is told beats; a row of zeros is told none
    melody: Tensor | None = None  # [B, F, 12], of a model that follows one


def batch_of(
    model: TokenLM,
    crops: Sequence[np.ndarray],
    texts: Sequence[str | None],
    grids: Sequence[Grid | None] | None = None,
    melodies: Sequence[Tensor | None] | None = None,
    vectors: Sequence[Tensor | None] | None = None,
) -> LMBatch:
    """Crops of codes [K, T] as one batch, as long as the longest; a text of None tells nothing, nor does a grid or a melody of None.

    A grid's time 0 is its crop's first frame. melodies: pitch classes [F, 12] each; null melodies by default. vectors: CLAP's [width], of
    crops without text. Models are told nothing that they do not hear.
    """
    longest = max(crop.shape[1] for crop in crops)
    codes = torch.full((len(crops), model.config.codebooks, longest), NOTHING)
    for row, crop in zip(codes, crops, strict=True):
        row[:, : crop.shape[1]] = torch.from_numpy(crop.astype(np.int64))
    nothing = [None] * len(crops)
    told = [text or vector for text, vector in zip(texts, vectors or nothing, strict=True)]
    clap = () if model.clap is None else model.clap.vectors(told)
    none = torch.zeros(len(crops), 1, dtype=torch.int64)
    ids, mask = (none, none.bool()) if model.text is None else model.text.tokenize(texts)
    beats = None
    if model.beat is not None:
        frames = make_pattern(model.config.pattern, longest).newest
        beats = model.beat.features(grids or [None] * len(crops), frames, model.config.frame_rate)
    melody = None
    if model.melody is not None:
        (null,) = model.melody.features([None])
        melody = torch.stack([null if each is None else each for each in melodies or nothing])
    return LMBatch(codes, ids, mask, clap, beats=beats, melody=melody)


def code_nats(model: TokenLM, batch: LMBatch, early: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy (nats) of the codes of each codebook [K], and the vectors [B, S, D] that they were guessed from.

    Every code of the batch counts the same; `early` adds that much weight to the first steps, falling by e every half a second.
    """
    shape = model.config
    pattern = make_pattern(shape.pattern, batch.codes.shape[2])
    targets = pattern.build(batch.codes, NOTHING)[:, :, 1:]  # [B, K, S]
    sequence = pattern.build(batch.codes.where(batch.codes >= 0, shape.special), shape.special)
    hidden = model.hidden(sequence[:, :, :-1], _conditions(model, batch))
    logits = model.head(hidden, sequence[:, :, 1:])  # [B, K, S, N]
    places = torch.arange(logits.shape[2], device=logits.device)
    weight = 1 + early * torch.exp(-places / (EARLY_SECONDS * shape.frame_rate))
    nats = []
    for k in range(shape.codebooks):
        each = F.cross_entropy(
            logits[:, k].transpose(1, 2).float(), targets[:, k], ignore_index=NOTHING, reduction="none"
        )
        share = weight * (targets[:, k] != NOTHING)
        nats.append((each * share).sum() / share.sum())
    return torch.stack(nats), hidden


@torch.no_grad()
def nats_of_each(model: TokenLM, codes: Iterable[np.ndarray], texts: Sequence[str | None]) -> NDArray[np.float64]:
    """`code_nats` of recordings [n, K], each by itself and told no beat: of its first frames, as many as the model was trained on."""
    found = []
    for each, text in zip(codes, texts, strict=True):
        batch = batch_of(model, [each[:, : model.config.crop_frames]], [text])
        found.append(code_nats(model, move(batch, model.device))[0].double().cpu().numpy())
    return np.stack(found)


def _conditions(model: TokenLM, batch: LMBatch) -> Conditions:
    """What the crops of a batch are told."""
    text = None if model.text is None else model.text(batch.ids, batch.mask)
    clap = None if model.clap is None else model.clap(*batch.clap)
    return model.fuse(text, batch.melody, clap, batch.beats)
