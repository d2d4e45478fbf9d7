"""From logits to codes: guidance, temperature, top-k, top-p, and a draw for each row from a generator of its own.

Pure functions, in the order of AudioCraft and transformers: guidance, temperature, the most likely codes, softmax, draw. A row's numbers
come from its own generator, all of its codebooks at once, so what a row gets does not depend on the rows beside it, and a batch of one
draws what `torch.multinomial` draws after `torch.manual_seed`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solfa.nn.drawing import draw, keep_top_k, keep_top_p

MAX_SEED = (1 << 63) - 1


@dataclass(frozen=True)
class SamplingOptions:
    """How codes are drawn.

    temperature: above 1 more surprising, below 1 less; 0 takes the most likely code each time. top_k: draw from that many most likely
    codes, and those as likely as the last of them; 0 from all. top_p: draw from the fewest codes that are together this likely, of those
    that top_k leaves; 0 or 1 from all. guidance: c of l = lu + c (lc - lu), logits without and with the conditions; 1 is none, 0 hears no
    condition. text_guidance: b of the form for two conditions, see `guided`; None is the form for one.
    Raises ValueError for a value that is not legal, NaN among them.
    """

    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    guidance: float = 3.0
    text_guidance: float | None = None

    def __post_init__(self) -> None:
        if not (_number(self.temperature) and (self.temperature == 0 or 0.01 <= self.temperature <= 100)):
            raise ValueError(f"temperature is {self.temperature}: it must be 0 (always the likeliest) or 0.01 to 100")
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, numbers.Integral) or self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}: it must be a whole number, at least 1, or 0 for all codes")
        if not (_number(self.top_p) and 0 <= self.top_p <= 1):
            raise ValueError(f"top_p is {self.top_p}: it must lie between 0 and 1 (both draw from all codes)")
        if not (_number(self.guidance) and 0 <= self.guidance <= 100):
            raise ValueError(f"guidance is {self.guidance}: it must lie between 0 and 100 (1 is none)")
        if self.text_guidance is not None and not (_number(self.text_guidance) and 0 <= self.text_guidance <= 100):
            raise ValueError(f"text_guidance is {self.text_guidance}: it must lie between 0 and 100, or be None")


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


USUAL = SamplingOptions()


def check_seed(seed: Any) -> int:
    """The seed; ValueError where it is no whole number from 0 to 2^63 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= int(seed) <= MAX_SEED:
        raise ValueError(f"seed is {seed}: it must be a whole number from 0 to {MAX_SEED}")
    return int(seed)


def generators(seeds: Sequence[int], device: torch.device | str = "cpu") -> list[torch.Generator]:
    """A generator for each row. Raises ValueError as `check_seed`."""
    return [torch.Generator(device).manual_seed(check_seed(seed)) for seed in seeds]


def guided(logits: Tensor, ways: int, options: SamplingOptions) -> Tensor:
    """Logits [ways * B, ..., N] of B rows under each of their conditions as what is drawn from: float32 [B, ..., N].

    One way: as they are. Two, [condition, null]: l = lu + c (lc - lu), classifier-free guidance (Ho and Salimans, 2022). Three,
    [text and melody, melody, null]: l = lu + a (lw + b (lc - lw) - lu), a guidance and b text_guidance (Rouard et al., 2024,
    arXiv 2407.12563).
    """
    logits = logits.float()
    if ways == 1:
        return logits
    if ways == 2:
        both, null = logits.chunk(2)
        return null + (both - null) * options.guidance
    assert ways == 3 and options.text_guidance is not None
    both, other, null = logits.chunk(3)
    return null + (other + (both - other) * options.text_guidance - null) * options.guidance


def probabilities(logits: Tensor, options: SamplingOptions) -> Tensor:
    """What is drawn from, of guided logits [..., N], at a temperature above 0."""
    return keep_top_p(keep_top_k(logits / options.temperature, options.top_k), options.top_p).softmax(-1)


def sample(
    logits: Tensor, generators: Sequence[torch.Generator | None], options: SamplingOptions, ways: int = 1
) -> Tensor:
    """Codes [B, ...] from logits [ways * B, ..., N]."""
    mixed = guided(logits, ways, options)
    return draw(probabilities(mixed, options), generators) if options.temperature else mixed.argmax(-1)
