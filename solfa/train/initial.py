"""A codec to train on: one that is there already, as the configuration wants it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.codecs.weights.weight_norm import FUSED, LENGTH, unfuse

# What a codec's weights do not depend on: its name, how a file is cut, and how its quantizer learns.
_LEARNING = ("dropout", "commitment", "decay", "epsilon", "kmeans_iters", "dead_code_threshold", "conscience")
FREE = {
    "name",
    "chunk",
    "resampler",
    *(f"quantizer.{name}" for name in (*_LEARNING, "orthogonal", "entropy", "diversity")),
}


def initial_codec(name: str, config: VQVAEConfig) -> VQVAE:
    """The codec that `load_codec` finds under this name or in this folder or file, to train on under `config`.

    Weights, EMA codebooks and their counts go on from where they are; weight norm that was fused is put back. The name, the chunk, the
    resampler and how the quantizer learns are the config's. Raises ValueError where anything else differs, naming the fields.
    """
    found = load_codec(name)
    if not isinstance(found, VQVAE):
        raise ValueError(
            f"init {name}: a {type(found).__name__} cannot be trained here, only codecs of solfa's own families can"
        )
    wrong = [path for path in _differences(found.config, config) if path not in FREE]
    if wrong:
        theirs, ours = (", ".join(f"{path} {_at(c, path)!r}" for path in wrong[:4]) for c in (found.config, config))
        raise ValueError(
            f"init {name} is another codec than the one configured: it has {theirs}; the recipe has {ours}"
        )
    model = VQVAE(config)
    model.load_state_dict(_with_weight_norm(found.state_dict(), model))
    return model


def _with_weight_norm(tensors: dict[str, Tensor], model: VQVAE) -> dict[str, Tensor]:
    normed = (name.removesuffix(LENGTH) for name in model.state_dict() if name.endswith(LENGTH))
    return unfuse(tensors, [name for name in normed if name + FUSED in tensors])


def _differences(a: Any, b: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of the fields in which two configurations differ."""
    for field in fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if is_dataclass(one) and is_dataclass(other):
            yield from _differences(one, other, f"{prefix}{field.name}.")
        elif one != other:
            yield prefix + field.name


def _at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config
