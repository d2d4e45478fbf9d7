"""Code LMs on disk: checkpoint folders of kind "code-lm", and those of the package by name or by hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from solfa import checkpoint
from solfa.codecs.entropy.integer_lm import IntegerLM
from solfa.codecs.entropy.lm_config import CodeLMConfig
from solfa.shipped import list_shipped

KIND = "code-lm"


def save_lm(folder: str | Path, lm: IntegerLM, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a checkpoint folder; the model's hash goes into its metadata."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(tensor)) for name, tensor in lm.tensors.items()}
    checkpoint.save(folder, KIND, asdict(lm.config), tensors, metadata={**(metadata or {}), "hash": lm.hash})


def load_lm(name: str | Path) -> IntegerLM:
    """A code LM of the package by its name, or from a checkpoint folder.

    Raises ValueError where there is none, or it is damaged.
    """
    shipped = {found.name: found.folder for found in list_shipped(KIND)}
    if str(name) in shipped:
        return _load(shipped[str(name)])
    if not Path(name).is_dir():
        names = ", ".join(shipped) or "none"
        raise ValueError(f"there is no language model {str(name)!r}: by name there is {names}; or give a folder")
    return _load(Path(name))


@lru_cache(maxsize=2)
def find_lm(digest: str) -> IntegerLM | None:
    """The code LM of the package that has this hash, if there is one."""
    for found in list_shipped(KIND):
        if found.document["metadata"].get("hash") == digest:
            return _load(found.folder)
    return None


def _load(folder: Path) -> IntegerLM:
    loaded = checkpoint.load(folder, KIND)
    config = checkpoint.config_from_dict(CodeLMConfig, loaded.config, where=str(folder))
    return IntegerLM(config, {key: tensor.numpy() for key, tensor in loaded.tensors.items()}, str(folder))
