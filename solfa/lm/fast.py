"""A language model's inference form: the same interface, its matrices in float32, bfloat16, int8 or int4, a step in one call.

    lm = fast_lm(load_lm("solfa-music"), "int8")
    codes = generate(lm, conditions, frames, seeds=[1])

It has what writing needs, `config`, `device`, `start`, `advance`, `head.write` and `describe`, so it stands wherever a TokenLM writes. A
state may hold sequences that are at different places: `join` puts states together, `FastState.groups` takes them apart.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from solfa.lm.adapters import check_merged
from solfa.lm.conditioners.added import Added
from solfa.lm.model import Conditions, DepthHead, Draw, LMConfig, TokenLM
from solfa.nn.decoding import AnyDecoder, Decoder, Past, make_decoder, make_linear
from solfa.nn.quantized import Precision, checked_precision
from solfa.nn.transformer import Transformer, TransformerState

NOTHING_TOLD = Conditions()
MATRICES = ("transformer", "head")  # of a model, which its inference form has in forms of its own


@dataclass(frozen=True)
class Group:
    """The past of sequences that are at one place, how many they are, and what is added to their next columns."""

    past: Past | TransformerState
    rows: int
    added: Added | None = None

    @property
    def position(self) -> int:
        """Columns that were read, of the prefix too."""
        return self.past.position


@dataclass(frozen=True)
class FastState:
    """The past of groups of sequences; rows are those of the groups, one after the other."""

    groups: tuple[Group, ...]


def join(states: Sequence[FastState]) -> FastState:
    """One state for all their sequences; the states themselves must not be used any more."""
    return FastState(tuple(group for state in states for group in state.groups))


def fast_lm(model: TokenLM, precision: str = "float32") -> FastLM:
    """The inference form of a model: "float32" (the same numbers to rounding), "bfloat16", "int8" or "int4".

    Weights that have the precision already are shared, not copied, so the model must not be trained on meanwhile; of others nothing is
    kept, and `del model` frees them. Raises ValueError for another precision, int8 and int4 on a GPU, and a model with adapters that
    are not merged.
    """
    return FastLM(model, checked_precision(precision))


class FastLM:
    """What `fast_lm` gives."""

    def __init__(self, model: TokenLM, precision: Precision) -> None:
        check_merged(model)
        self.config: LMConfig = model.config
        self.precision = precision
        self._reader = copy.copy(model)  # what reads texts and embeds codes, without the matrices
        self._reader._modules = {name: part for name, part in model._modules.items() if name not in MATRICES}
        self._table = model.embedding.weight.detach()
        self._offsets = model.offsets
        self._decoder = make_decoder(model.transformer, precision)
        self.head = (
            FastDepthHead(model.head, precision) if isinstance(model.head, DepthHead) else FastHead(model, precision)
        )

    @property
    def device(self) -> torch.device:
        return self._table.device

    @property
    def transformer(self) -> Transformer | None:
        """The transformer where it runs in torch, as on a GPU."""
        return None if isinstance(self._decoder, Decoder) else self._decoder.transformer

    def describe(self, texts: Sequence[str | None], **more: Any) -> Conditions:
        """As TokenLM.describe."""
        with torch.no_grad():
            return self._reader.describe(texts, **more)

    def embed(self, ids: Tensor) -> Tensor:
        """Steps [B, K, S] as vectors [B, S, D], float32."""
        return nn.functional.embedding(ids + self._offsets, self._table).float().sum(1)

    @torch.no_grad()
    def start(self, batch: int, steps: int, conditions: Conditions = NOTHING_TOLD) -> FastState:
        """As TokenLM.start."""
        prefix = conditions.prefix
        length = 0 if prefix is None else prefix.shape[1]
        group = Group(self._decoder.start(batch, steps + length, conditions.memory), batch)
        if prefix is not None:
            _, (group,) = self._advance(prefix.float(), (group,))
        return FastState((replace(group, added=conditions.onto_columns),))

    @torch.no_grad()
    def advance(self, columns: Tensor, state: FastState) -> tuple[Tensor, FastState]:
        """As TokenLM.advance; columns [B, K, S] of the rows of all groups."""
        hidden, groups = self._advance(self.embed(columns), state.groups)
        return hidden, FastState(groups)

    def _advance(self, x: Tensor, groups: Sequence[Group]) -> tuple[Tensor, tuple[Group, ...]]:
        if any(group.added is not None for group in groups):
            x, groups = _with_added(x, groups)
        hidden, pasts = cast(Callable[..., Any], self._decoder.advance)(x, tuple(group.past for group in groups))
        return hidden, tuple(replace(group, past=past) for group, past in zip(groups, pasts, strict=True))


def _with_added(x: Tensor, groups: Sequence[Group]) -> tuple[Tensor, list[Group]]:
    """Vectors [B, S, D] of the rows of all groups with what is added to them."""
    parts, after = [], []
    for part, group in zip(x.split([group.rows for group in groups]), groups, strict=True):
        if group.added is not None:
            part, added = group.added.onto(part)
            group = replace(group, added=added)
        parts.append(part)
        after.append(group)
    return torch.cat(parts), after


class FastHead:
    """As FlatHead: all logits of a step by one matrix."""

    def __init__(self, model: TokenLM, precision: Precision) -> None:
        self.codebooks = model.config.codebooks
        self._linear = make_linear(cast(Any, model.head).linear.weight, precision)

    @torch.no_grad()
    def write(self, hidden: Tensor, draw: Draw) -> Tensor:
        """Codes [B, K] of one step, as `draw` takes them from logits [B, K, N]."""
        return draw(self.logits(hidden), None)

    @torch.no_grad()
    def logits(self, hidden: Tensor) -> Tensor:
        """[B, K, N] from hidden [B, D]."""
        return self._linear(hidden).unflatten(-1, (self.codebooks, -1))


class FastDepthHead:
    """As DepthHead: codebook after codebook."""

    def __init__(self, head: DepthHead, precision: Precision) -> None:
        self.codebooks = head.codebooks
        self._enter = make_linear(head.enter.weight, precision)
        self._out = [make_linear(weight, precision) for weight in head.weight.detach()]
        self._table, self._offsets = head.embedding.weight.detach(), head.offsets
        self._decoder: AnyDecoder = make_decoder(head.transformer, precision)

    @torch.no_grad()
    def write(self, hidden: Tensor, draw: Draw) -> Tensor:
        """Codes [B, K] of one step; `draw` takes each from its logits [B, N]."""
        groups: Any = (self._decoder.start(len(hidden), self.codebooks),)
        x, codes = self._enter(hidden), []
        for k, linear in enumerate(self._out):
            out, groups = cast(Callable[..., Any], self._decoder.advance)(x[:, None], groups)
            codes.append(draw(linear(out[:, 0]), k))
            x = nn.functional.embedding(codes[-1] + self._offsets[k], self._table).float()
        return torch.stack(codes, 1)
