"""Text as vectors that the model listens to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solfa.lm.conditioners.byte_encoder import ByteEncoder
from solfa.lm.conditioners.memory import null_where_empty
from solfa.lm.conditioners.t5 import FrozenT5
from solfa.nn.transformer import Memory

BYTES = 256
PAD, END, FIRST = (
    0,
    1,
    3,
)  # ids of ByT5 (padding and end are those of all T5): padding, the end of a text, byte 0 (Xue et al., 2021, arXiv 2105.13626)
VOCABULARY = 384


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids [B, L] of texts, L the longest and at least 1, and where they stand [B, L]."""
    longest = max(1, *map(len, rows)) if rows else 1
    ids, mask = torch.full((len(rows), longest), PAD), torch.zeros(len(rows), longest, dtype=torch.bool)
    for row, (tokens, there) in zip(rows, zip(ids, mask, strict=True), strict=True):
        tokens[: len(row)], there[: len(row)] = torch.tensor(row, dtype=torch.int64), True
    return ids, mask


@dataclass(frozen=True)
class ByteTextConfig:
    """A small T5 encoder over bytes that is trained with the model. longest: bytes of a text that are read; the rest is cut, and said."""

    width: int = 192
    layers: int = 3
    heads: int = 6
    hidden: int = 512
    longest: int = 512

    def __post_init__(self) -> None:
        for name, most in (("width", 8192), ("layers", 96), ("heads", 128), ("hidden", 1 << 16), ("longest", 1 << 14)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 1 and {most}")
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}: it must be a multiple of the heads, {self.heads}")


class ByteText(nn.Module):
    """Texts to a memory [B, L, D]: bytes, a T5 encoder (Raffel et al., 2020), a projection to the model's width."""

    def __init__(self, config: ByteTextConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = ByteEncoder(VOCABULARY, config.width, config.layers, config.heads, config.hidden)
        self.project = nn.Linear(config.width, width)

    def tokenize(self, texts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        """Ids [B, L] and where they stand [B, L], L the longest. None and empty texts stand nowhere: they are the null condition."""
        rows = []
        for text in texts:
            data = (text or "").encode("utf-8", "replace")
            if len(data) > self.config.longest:
                warnings.warn(
                    f"a text of {len(data)} bytes: the first {self.config.longest} are read",
                    RuntimeWarning,
                    stacklevel=2,
                )
            rows.append([byte + FIRST for byte in data[: self.config.longest]] + [END] if data else [])
        return padded(rows)

    def forward(self, ids: Tensor, mask: Tensor) -> Memory:
        """What `tokenize` gave, as a memory. A row of which nothing stands is the null condition, zeros that are heard."""
        there = mask.any(1, keepdim=True)
        return null_where_empty(self.project(self.encoder(ids, mask | ~there)), mask)


@dataclass(frozen=True)
class T5TextConfig:
    """A released T5 encoder, frozen, and a projection that is trained.

    name: t5-small to t5-11b, flan-t5-small to flan-t5-xxl, a hub repository or a folder. width: of its vectors. longest: tokens that a
    text may have; more is an error. pad_attended: hear what pads shorter texts of a batch, as AudioCraft does; its weights were trained
    so, but then a text's effect depends on its neighbours. Without, padding is masked.
    """

    name: str
    width: int = 768
    longest: int = 1024
    pad_attended: bool = False

    def __post_init__(self) -> None:
        for name, most in (("width", 1 << 16), ("longest", 1 << 14)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between 1 and {most}")


class T5Text(nn.Module):
    """Texts to a memory [B, L, D], as MusicGen has it: T5, a projection with bias, zeros where there is no text."""

    def __init__(self, config: T5TextConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.frozen = FrozenT5(config.name)
        self.project = nn.Linear(config.width, width)

    def tokenize(self, texts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        """Ids [B, L] and where they stand [B, L], L the longest. None and empty texts stand nowhere: they are the null condition.

        Raises ValueError for a text of more than `longest` tokens: none is cut.
        """
        rows = [self.frozen.tokens(text) if text else [] for text in texts]
        length = max(map(len, rows), default=0)
        if length > self.config.longest:
            raise ValueError(f"a text of {length} tokens: at most {self.config.longest} are read")
        return padded(rows)

    def forward(self, ids: Tensor, mask: Tensor) -> Memory:
        """What `tokenize` gave, as a memory. A row of which nothing stands is the null condition, zeros that are heard."""
        values = self.project.weight.new_zeros(*ids.shape, self.config.width)
        for row, tokens, length in zip(values, ids.tolist(), mask.sum(1).tolist(), strict=True):
            if length:
                row[:length] = self._embedded(tuple(tokens[:length]), ids.device)
        projected = self.project(values)
        if self.config.pad_attended:
            return Memory(projected * mask[..., None].to(projected.dtype))
        return null_where_empty(projected, mask)

    def _embedded(self, ids: tuple[int, ...], device: torch.device) -> Tensor:
        vectors = self.frozen.embed(ids, device)
        if vectors.shape[1] != self.config.width:
            raise ValueError(
                f"{self.config.name} gives vectors of {vectors.shape[1]}, the model reads {self.config.width}"
            )
        return vectors
