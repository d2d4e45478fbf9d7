"""What a piece is, guessed from vectors: an auxiliary loss that makes captions heard."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.train.captions import Said

UNKNOWN = -100
TEMPI = 12  # classes of tempo an octave
AS_THEY_ARE = ("genre", "mood", "metre")


class AttributeGuesses(nn.Module):
    """A linear guess of each attribute of what is said. classes: the values of each, by its name."""

    def __init__(self, width: int, classes: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.classes = {name: tuple(values) for name, values in classes.items()}
        self.linear = nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in self.classes.items()})

    def targets(self, said: Sequence[Said]) -> Tensor:
        """The class of each attribute of each piece, [B, attributes]; UNKNOWN where it is not known."""
        known = [labels(each) for each in said]
        rows = [
            [values.index(row[name]) if row.get(name) in values else UNKNOWN for name, values in self.classes.items()]
            for row in known
        ]
        return torch.tensor(rows, dtype=torch.int64).reshape(len(said), len(self.classes))

    def forward(self, vectors: Tensor) -> dict[str, Tensor]:
        """Logits [..., classes] of each attribute, from vectors [..., D]."""
        return {name: linear(vectors) for name, linear in self.linear.items()}

    def loss(self, vectors: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy over the attributes, from vectors [B, P, D] at P places of each piece; and each by its name."""
        parts = {}
        for (name, logits), target in zip(self(vectors).items(), targets.unbind(1), strict=True):
            if bool((target != UNKNOWN).any()):
                every = target[:, None].expand(-1, logits.shape[1])
                parts[name] = F.cross_entropy(logits.flatten(0, 1).float(), every.flatten(), ignore_index=UNKNOWN)
        total = torch.stack(list(parts.values())).mean() if parts else vectors.sum() * 0.0
        return total, {name: part.detach() for name, part in parts.items()}


def classes_of(said: Iterable[Said]) -> dict[str, tuple[str, ...]]:
    """The attributes that pieces have, and their values, in order."""
    known = [labels(each) for each in said]
    names = sorted({name for row in known for name in row})
    return {name: tuple(sorted({row[name] for row in known if name in row})) for name in names}


def labels(said: Said) -> dict[str, str]:
    """Attributes as classes: tonic and mode apart (any minor is minor), tempi in twelfths of an octave, the first two instruments."""
    told = said.attributes
    found: dict[str, str] = {}
    if key := re.fullmatch(r"([A-G](?:[#b♯♭]| sharp| flat)?) (?:.* )?(\w+)", told.get("key", "")):
        found |= {"tonic": key[1], "mode": key[2]}
    if (tempo := re.match(r"\d+(\.\d+)?", told.get("bpm", ""))) and float(tempo[0]) > 0:
        found["tempo"] = str(round(TEMPI * math.log2(float(tempo[0]))))
    for place, name in zip(("first", "second"), told.get("instrument", "").split(", "), strict=False):
        if name:
            found[place] = name
    return found | {name: told[name] for name in AS_THEY_ARE if told.get(name)}
