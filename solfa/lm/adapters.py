"""What a model is told of adapters (`lora`): whether it has some that are not in its weights, and which are in them."""

from __future__ import annotations

from typing import Any

from torch import nn


def check_merged(model: nn.Module) -> None:
    """ValueError for a model with adapters that are not in its weights."""
    for name, module in model.named_modules():
        if "parametrizations" in name or "lora" in type(module).__name__.lower():
            raise ValueError(f"{name} has an adapter: merge it first (lora.merged), or save it alone (save_adapter)")


def adapters_in(document: Any) -> tuple[str, ...]:
    """The hashes of the adapters that lie in the weights of a model, as a file of it says; none where it says nothing that is legal."""
    named = isinstance(document, list) and all(isinstance(each, str) for each in document)
    return tuple(document) if named else ()
