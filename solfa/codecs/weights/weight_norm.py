"""The three ways in which a weight-normed weight w = g v / ||v|| is stored.

`weight_g` and `weight_v` in older files, `parametrizations.weight.original0` and `.original1` in newer ones and in our models, or
w alone, `weight`, where the norm was taken out (fused).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

FUSED = ".weight"
LENGTH, DIRECTION = ".parametrizations.weight.original0", ".parametrizations.weight.original1"
_OLD_LENGTH, _OLD_DIRECTION = ".weight_g", ".weight_v"


def modern(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The old names made the new ones."""
    return _renamed(tensors, {_OLD_LENGTH: LENGTH, _OLD_DIRECTION: DIRECTION})


def legacy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The new names made the old ones."""
    return _renamed(tensors, {LENGTH: _OLD_LENGTH, DIRECTION: _OLD_DIRECTION})


def fuse(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every pair of g and v (of either name) made one weight, as torch's own weight norm makes it."""
    tensors = modern(tensors)
    fused = {name: tensor for name, tensor in tensors.items() if not name.endswith((LENGTH, DIRECTION))}
    for name in [name for name in tensors if name.endswith(DIRECTION)]:
        module = name.removesuffix(DIRECTION)
        if module + LENGTH not in tensors:
            raise ValueError(f"tensor {module + LENGTH!r} is missing: {name!r} needs it")
        fused[module + FUSED] = torch._weight_norm(tensors[name], tensors[module + LENGTH], 0)
    return fused


def unfuse(tensors: Mapping[str, Tensor], modules: Iterable[str]) -> dict[str, Tensor]:
    """The weights of the named modules, where they are fused, made v = w and g = ||w||: weight norm then gives w back, bit for bit.

    The norm is that of torch's own kernel: another sum of squares would be one rounding away, and so would every weight.
    """
    tensors = dict(tensors)
    for module in modules:
        weight = tensors.get(module + FUSED)
        if weight is None or weight.ndim != 3:
            continue  # the check of all names and shapes will say so
        del tensors[module + FUSED]
        weight = weight.float()
        ones = torch.ones(len(weight), 1, 1)
        tensors[module + LENGTH] = torch._weight_norm_interface(weight, ones, 0)[1].view(-1, 1, 1)
        tensors[module + DIRECTION] = weight
    return tensors


def _renamed(tensors: Mapping[str, Tensor], endings: Mapping[str, str]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        old = next((ending for ending in endings if name.endswith(ending)), "")
        renamed[name.removesuffix(old) + endings[old] if old else name] = tensor
    return renamed
