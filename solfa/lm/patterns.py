"""Codebook patterns: at which step of a sequence each codebook of each frame is written.

A pattern of T frames is a table [S, K]: row s holds, for each codebook, the frame that is written at step s, or NOTHING. Every code stands
in it once. The model reads one column more, at the front: all special (id N). What is written at step s hears the columns before it.

All kinds come from one description, `PatternConfig`: stages, one after the other; in a stage, codebooks at the same `inner` step are
written together, each `delays[k]` frames late. Delay, partial delay, parallel and (partial) flattening follow MusicGen (Copet et al., 2023,
arXiv 2306.05284), coarse-first VALL-E (Wang et al., 2023), two stages of flattened pairs MusicLM (Agostinelli et al., 2023). The numbers of
steps and their order are AudioCraft's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

NOTHING = -1  # in a pattern: no frame; in codes: not known yet


@dataclass(frozen=True)
class PatternConfig:
    """What is written when. One number a codebook in each field.

    stages: the stage of a codebook; a stage begins when the one before it has written all its frames. inner: its place within a frame;
    codebooks of a stage that share it are written at one step. delays: frames that it waits for.
    """

    stages: tuple[int, ...]
    inner: tuple[int, ...]
    delays: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.stages) == len(self.inner) == len(self.delays) <= 1024:
            raise ValueError(
                f"stages, inner and delays have {len(self.stages)}, {len(self.inner)} and {len(self.delays)} numbers: "
                "each needs one a codebook, 1 to 1024"
            )
        for name in ("stages", "inner", "delays"):
            values = getattr(self, name)
            if min(values) < 0 or max(values) > 1 << 16:
                raise ValueError(f"{name} is {values}: each number must lie between 0 and {1 << 16}")
        if sorted(self.stages) != list(self.stages):
            raise ValueError(f"stages is {self.stages}: a later codebook cannot come in an earlier stage")

    @property
    def codebooks(self) -> int:
        return len(self.stages)

    @property
    def causal(self) -> bool:
        """Whether frame after frame is written: a prefix of the frames needs a prefix of the steps only, whatever the length."""
        return len(set(self.stages)) == 1


def delay(codebooks: int, delays: tuple[int, ...] | None = None) -> PatternConfig:
    """Codebook k at step t + d_k; by default d = 0, 1, ... K - 1. T + max(d) steps."""
    delays = tuple(range(codebooks)) if delays is None else delays
    return PatternConfig((0,) * codebooks, (0,) * codebooks, delays)


def partial_delay(codebooks: int) -> PatternConfig:
    """All codebooks but the first wait for one frame. T + 1 steps."""
    return delay(codebooks, (0,) + (1,) * (codebooks - 1))


def parallel(codebooks: int) -> PatternConfig:
    """All codebooks of a frame at once. T steps."""
    return delay(codebooks, (0,) * codebooks)


def unrolled(inner: tuple[int, ...], delays: tuple[int, ...] | None = None) -> PatternConfig:
    """Any flattening with any delays; codebooks of one inner step may also differ in their delays."""
    return PatternConfig((0,) * len(inner), inner, (0,) * len(inner) if delays is None else delays)


def flatten(codebooks: int) -> PatternConfig:
    """One code a step, frame after frame. K T steps."""
    return unrolled(tuple(range(codebooks)))


def partial_flatten(codebooks: int, delay: int = 0) -> PatternConfig:
    """The first codebook, then all others together, `delay` frames later. 2 T + delay steps."""
    others = codebooks - 1
    return unrolled((0,) + (1,) * others, (0,) + (delay,) * others)


def coarse_first(codebooks: int, delays: tuple[int, ...] | None = None) -> PatternConfig:
    """All frames of the first codebook, then the others in parallel, or with delays of theirs. 2 T + max(d) steps."""
    delays = (0,) * (codebooks - 1) if delays is None else delays
    return PatternConfig((0,) + (1,) * (codebooks - 1), (0,) * codebooks, (0, *delays))


def grouped(codebooks: int, group: int = 2) -> PatternConfig:
    """Groups of codebooks, each flattened, group after group (MusicLM). K T steps."""
    if not 1 <= group <= codebooks or codebooks % group:
        raise ValueError(f"group is {group}: it must divide the {codebooks} codebooks")
    stages = tuple(k // group for k in range(codebooks))
    return PatternConfig(stages, tuple(k % group for k in range(codebooks)), (0,) * codebooks)


def stereo(mono: PatternConfig) -> PatternConfig:
    """The same pattern for twice the codebooks, left and right by turns: [1L, 1R, 2L, 2R, ...], each pair written as one was."""

    def twice(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(value for value in values for _ in range(2))

    return PatternConfig(twice(mono.stages), twice(mono.inner), twice(mono.delays))


def interleave(left: Tensor, right: Tensor) -> Tensor:
    """Codes of two channels [B, K, T] as one [B, 2K, T]: 1L, 1R, 2L, 2R ..."""
    if left.shape != right.shape:
        raise ValueError(f"left is {tuple(left.shape)} and right {tuple(right.shape)}: they must be alike")
    return torch.stack([left, right], 2).flatten(1, 2)


def separate(codes: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `interleave`."""
    if codes.shape[1] % 2:
        raise ValueError(f"{codes.shape[1]} codebooks: stereo needs an even number")
    return codes[:, 0::2], codes[:, 1::2]


@dataclass(frozen=True, eq=False)
class Pattern:
    """The table of a number of frames, and the ways between codes and sequences."""

    config: PatternConfig
    frames: int
    table: Tensor  # [S, K] int64, frames or NOTHING
    newest: Tensor  # [S] int64: the frame of the least delayed codebook of each step; in the last steps it may be one beyond the end

    @property
    def steps(self) -> int:
        """S, the special column at the front not counted."""
        return len(self.table)

    @property
    def mask(self) -> Tensor:
        """Where a code is written: [K, S] bool."""
        return self.table.T >= 0

    @property
    def places(self) -> Tensor:
        """The step at which each code is written: [K, T]."""
        places = torch.zeros(self.config.codebooks, self.frames, dtype=torch.int64)
        steps, books = torch.nonzero(self.table >= 0, as_tuple=True)
        places[books, self.table[steps, books]] = steps
        return places

    @property
    def complete(self) -> Tensor:
        """For each frame, how many steps have to be written until it and all frames before it are whole: [T]."""
        return (self.places.amax(0) + 1).cummax(0).values if self.frames else self.places.sum(0)

    def build(self, codes: Tensor, special: int) -> Tensor:
        """Codes [B, K, T] as a sequence [B, K, 1 + S]: the special column, then the steps; `special` where nothing is written."""
        batch, books, frames = codes.shape
        if (books, frames) != (self.config.codebooks, self.frames):
            raise ValueError(
                f"codes {tuple(codes.shape)}: the pattern has {self.config.codebooks} codebooks, {self.frames} frames"
            )
        table = self.table.to(codes.device)
        padded = torch.cat([codes, codes.new_full((batch, books, 1), special)], 2)  # frame T: nothing
        index = torch.where(table.T >= 0, table.T, frames).expand(batch, -1, -1)
        return torch.cat([codes.new_full((batch, books, 1), special), padded.gather(2, index)], 2)

    def revert(self, sequence: Tensor) -> Tensor:
        """Codes [B, K, T] of a sequence of steps [B, K, S]; what was not written yet, where it is shorter, is NOTHING.

        Also for logits, [B, K, S, N] to [B, K, T, N], filled with NaN.
        """
        places = self.places.to(sequence.device)
        steps, empty = sequence.shape[2], NOTHING if not sequence.is_floating_point() else float("nan")
        padded = torch.cat([sequence, torch.full_like(sequence[:, :, :1], empty)], 2) if steps else None
        if padded is None:
            return sequence.new_full((*sequence.shape[:2], self.frames, *sequence.shape[3:]), empty)
        books = torch.arange(self.config.codebooks, device=sequence.device)[:, None]
        return padded[:, books, torch.where(places < steps, places, steps)]


@lru_cache(maxsize=64)
def make_pattern(config: PatternConfig, frames: int) -> Pattern:
    """The pattern of `frames` frames (0 or more)."""
    if frames < 0:
        raise ValueError(f"frames is {frames}: it must not be negative")
    rows: list[tuple[int, list[int]]] = []
    for stage in sorted(set(config.stages)):
        rows += _stage(config, stage, frames)
    table = torch.tensor([row for _, row in rows], dtype=torch.int64).reshape(-1, config.codebooks)
    return Pattern(config, frames, table, torch.tensor([newest for newest, _ in rows], dtype=torch.int64))


def _stage(config: PatternConfig, stage: int, frames: int) -> list[tuple[int, list[int]]]:
    """The newest frame and the row of each step of one stage. At one time the most delayed step comes first: its frame is the earliest."""
    books = [k for k in range(config.codebooks) if config.stages[k] == stage]
    groups: dict[int, list[int]] = {}
    for k in books:
        groups.setdefault(config.inner[k], []).append(k)
    waits = {inner: min(config.delays[k] for k in group) for inner, group in groups.items()}
    order = sorted(groups, key=lambda inner: (-waits[inner], inner))
    rows = []
    for time in range(frames + max(config.delays[k] for k in books)) if frames else ():
        for inner in order:
            if time < waits[inner]:
                continue
            row = [NOTHING] * config.codebooks
            for k in groups[inner]:
                frame = time - config.delays[k]
                row[k] = frame if 0 <= frame < frames else NOTHING
            rows.append((time - waits[inner], row))
    return rows
