"""A trained language model in the layout that it is to have: ours, that of transformers, or AudioCraft's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from solfa.lm.model import LMConfig, TokenLM
from solfa.lm.registry import find_lm
from solfa.lm.weights import layouts
from solfa.lm.weights.export import check_audiocraft, check_transformers, save_audiocraft, save_transformers
from solfa.train.initial_lm import inside

Layout = Literal["solfa", "transformers", "audiocraft"]
Wanted = Layout | Literal["auto"]


def layout_for(wanted: Wanted, init: str | None, config: LMConfig) -> Layout:
    """The layout that a model goes into; "auto" is that of `init`, or ours. Raises ValueError, before training, where it does not fit."""
    layout = wanted
    if layout == "auto":
        layout = "solfa" if init is None else layouts.layout_of(find_lm(init))
    if layout == "transformers" and inside(init) is None:
        raise ValueError(
            f"export_as is {wanted}: init {init} carries no codec in transformers' layout; set export_as to solfa"
        )
    try:
        if layout != "solfa":
            (check_transformers if layout == "transformers" else check_audiocraft)(config)
    except ValueError as error:
        of = f", which is {layout} of init {init}" if wanted == "auto" else ""
        raise ValueError(f"export_as is {wanted}{of}: {error}; set export_as to solfa") from error
    return layout


def export_lm(
    model: TokenLM, folder: Path, layout: Layout, init: str | None, half: bool, facts: dict[str, Any]
) -> None:
    """Write a model without adapters of its own. half: weights in float16, but those of transformers, which are always float32."""
    dtype = torch.float16 if half else torch.float32
    if layout == "audiocraft":
        save_audiocraft(model, folder, dtype)
    elif layout == "solfa":
        model.save(folder, facts, dtype)
    else:
        carried = inside(init)
        assert carried is not None  # `layout_for` has looked
        save_transformers(model, folder, carried)
