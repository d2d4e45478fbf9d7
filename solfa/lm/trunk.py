"""A language model's hidden states of codes, frame by frame: what other heads may hear instead of the codes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor

from solfa.lm.model import TokenLM
from solfa.lm.patterns import make_pattern

OWN_TRUNK = "./trunk"  # how a model says that the language model it hears was trained with it and lies in its folder


class Reader(Protocol):
    """What a model that hears a trunk says of it."""

    @property
    def name(self) -> str: ...

    @property
    def codec(self) -> str: ...

    @property
    def frame_rate(self) -> float: ...

    @property
    def codebook_size(self) -> int: ...

    @property
    def codebooks(self) -> int: ...

    @property
    def source_width(self) -> int: ...


def own_trunk(named: str, folder: Path) -> Path | None:
    """Where the language model lies that a model in `folder` hears, if it was trained with it; None where `named` is another one."""
    return folder / OWN_TRUNK if named == OWN_TRUNK else None


def check_trunk(trunk: TokenLM, reader: Reader) -> None:
    """ValueError where a language model does not read the codes that a head hears through it, or is of another width."""
    shape = trunk.config
    facts = (shape.codec, shape.frame_rate, shape.codebook_size, shape.codebooks, shape.transformer.width)
    wanted = (reader.codec, reader.frame_rate, reader.codebook_size, reader.codebooks, reader.source_width)
    if facts != wanted:
        raise ValueError(
            f"{shape.name} has (codec, frame rate, codebook size, codebooks, width) {facts}, but {reader.name} needs {wanted}"
        )


def trunk_states(trunk: TokenLM, codes: Tensor) -> Tensor:
    """Hidden states [B, D, T] of a language model that is told nothing: of each frame where all its codes [B, K, T] were read.

    Gradients go through them to those of its weights that ask for one.
    """
    pattern = make_pattern(trunk.config.pattern, codes.shape[2])
    last = pattern.places.max(0).values + 1  # [T]; the special column stands at the front
    steps = pattern.build(codes, trunk.config.special)
    return trunk.hidden(steps)[:, last.to(codes.device)].transpose(1, 2)
