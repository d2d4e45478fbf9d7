"""CLAP as a condition (Wu et al., 2023, arXiv 2211.06687): one vector of a text or of a sound, in a space that both share.

A model trained on the vectors of its own recordings, where these have no captions, can then be told in words. The encoder is frozen and
stands outside the model, as T5 does. A sound longer than ten seconds is heard in pieces of ten, and their vectors averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solfa.foreign.clap import FrozenClap, refuse_broken
from solfa.lm.conditioners.cache import EmbeddingCache
from solfa.lm.conditioners.memory import null_where_empty
from solfa.lm.conditioners.sound import Sound, mono
from solfa.nn.transformer import Memory


@dataclass(frozen=True)
class ClapConfig:
    """A released CLAP, by hub repository or folder; width of its vectors."""

    name: str = "laion/clap-htsat-unfused"
    width: int = 512

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 1 << 16:
            raise ValueError(f"width is {self.width}: it must lie between 1 and {1 << 16}")
        refuse_broken(self.name)


class Clap(nn.Module):
    """Texts or sounds to a memory [B, 1, D]: CLAP, a projection with bias, zeros where there is neither."""

    def __init__(self, config: ClapConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.frozen = FrozenClap(config.name)
        self.kept = EmbeddingCache()  # of texts
        self.project = nn.Linear(config.width, width)

    def vectors(self, items: Sequence[str | Sound | Tensor | None]) -> tuple[Tensor, Tensor]:
        """CLAP's vectors [B, width] and which rows have one [B]; a tensor [width] is one. ValueError for a text longer than CLAP reads."""
        vectors, there = torch.zeros(len(items), self.config.width), torch.zeros(len(items), dtype=torch.bool)
        for row, item in enumerate(items):
            if item is None or (isinstance(item, str) and not item):
                continue
            vector = item if isinstance(item, Tensor) else self._of(item)
            if len(vector) != self.config.width:
                raise ValueError(
                    f"{self.config.name} gives vectors of {len(vector)}, the model reads {self.config.width}"
                )
            vectors[row], there[row] = vector, True
        return vectors, there

    def check(self) -> None:
        """ValueError where the encoder is not there or damaged; it is loaded otherwise only when it is first needed."""
        self.frozen.sample_rate  # noqa: B018

    def _of(self, item: str | Sound) -> Tensor:
        if isinstance(item, str):
            return self.kept.get(item, lambda: self.frozen.of_text(item))
        return self.frozen.of_sound(mono(item, self.frozen.sample_rate))

    def forward(self, vectors: Tensor, there: Tensor) -> Memory:
        """What `vectors` gave, as a memory of one place."""
        return null_where_empty(self.project(vectors.to(self.project.weight))[:, None], there[:, None])
