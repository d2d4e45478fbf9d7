"""A language model from released weights: a folder of transformers, or AudioCraft's `state_dict.bin`, without either package's model.

Both come with the codec whose codes they write. This room knows no codecs: `codec_inside` hands over what there is, and the floors above
make a codec of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from solfa.checkpoint import read_json
from solfa.foreign import hub
from solfa.foreign.carried import CARRIERS, CodecInside, carried_codec, model_type
from solfa.foreign.files import plain_tensors, read_torch, read_weights
from solfa.lm.adapters import adapters_in
from solfa.lm.conditioners.t5 import FrozenT5
from solfa.lm.conditioners.text import T5Text
from solfa.lm.model import LMConfig, TokenLM, with_weights
from solfa.lm.weights import configs, keys
from solfa.nn.unmade import unmade

AUDIOCRAFT, AUDIOCRAFT_CODEC = "state_dict.bin", "compression_state_dict.bin"
ADAPTERS = "solfa_adapters"  # in config.json: those that lie in the weights


def layout_of(folder: Path) -> Literal["solfa", "transformers", "audiocraft"]:
    """Whose layout the folder of a model has."""
    if model_type(folder) in CARRIERS:
        return "transformers"
    return "audiocraft" if (folder / AUDIOCRAFT).is_file() else "solfa"


def config_of(folder: Path) -> LMConfig:
    """The configuration of a folder in either layout."""
    if model_type(folder) in CARRIERS:
        return configs.of_transformers(read_json(folder / hub.CONFIG), str(folder / hub.CONFIG))
    return _open(folder / AUDIOCRAFT).config


def load(folder: Path) -> TokenLM:
    """The model in a folder of either layout, in float32. Raises ValueError where anything is missing, damaged or does not fit."""
    return load_transformers(folder) if model_type(folder) in CARRIERS else load_audiocraft(folder / AUDIOCRAFT)


def load_transformers(folder: Path) -> TokenLM:
    """The model in a folder as `save_pretrained` of transformers writes it; its T5 is read when the first text is."""
    config, files = config_of(folder), hub.weight_files(folder)
    if not files:
        raise ValueError(
            f"{folder}: not all of its weights are there ({' or '.join(hub.WEIGHTS)}, or those that an index names)"
        )
    stored = read_weights(files, lambda name: not name.startswith(keys.FOREIGN))
    try:
        tensors = keys.from_transformers(_projected(stored, config), parameters(config), config.codebooks)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    model = with_weights(config, tensors, str(folder))
    assert isinstance(model.text, T5Text)
    model.text.frozen = FrozenT5(model.text.config.name, folder)
    model.adapters = adapters_in(read_json(folder / hub.CONFIG).get(ADAPTERS))
    return model


def load_audiocraft(path: Path) -> TokenLM:
    """The model in a `state_dict.bin`, as AudioCraft exports it, or in a checkpoint of its training. Its T5 is loaded by name."""
    found = _open(path)
    try:
        tensors = keys.from_audiocraft(found.tensors, parameters(found.config), found.config.codebooks)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    model = with_weights(found.config, tensors, str(path))
    model.adapters = found.adapters
    return model


def codec_inside(folder: Path) -> CodecInside | Path | None:
    """The codec that a folder carries: of transformers, its parts; of AudioCraft, the file that holds it. None where there is none."""
    if model_type(folder) in CARRIERS:
        return carried_codec(folder)
    return folder / AUDIOCRAFT_CODEC if (folder / AUDIOCRAFT_CODEC).is_file() else None


def parameters(config: LMConfig) -> list[str]:
    """The names of the model's tensors."""
    with unmade():
        return [name for name, _ in TokenLM(config).named_parameters()]


def _projected(tensors: Mapping[str, Tensor], config: LMConfig) -> dict[str, Tensor]:
    """With the projections that transformers leaves out where both widths are equal: they change nothing."""
    tensors, width = dict(tensors), config.transformer.width
    for name, inner in _projections(config):
        if inner == width and f"{name}.weight" not in tensors:
            tensors |= {f"{name}.weight": torch.eye(width), f"{name}.bias": torch.zeros(width)}
    return tensors


def without_projections(tensors: Mapping[str, Tensor], config: LMConfig) -> dict[str, Tensor]:
    """The reverse. Raises ValueError where one that is to be left out does change something."""
    tensors, width = dict(tensors), config.transformer.width
    for name, inner in _projections(config):
        if inner == width:
            weight, bias = tensors.pop(f"{name}.weight"), tensors.pop(f"{name}.bias")
            if not torch.equal(weight, torch.eye(width).to(weight)) or bool(bias.any()):
                raise ValueError(f"transformers has no {name} between two widths of {width}, and this one was trained")
    return tensors


def _projections(config: LMConfig) -> Iterable[tuple[str, int]]:
    if config.text is not None:
        yield "enc_to_dec_proj", config.text.width
    if config.melody is not None:
        yield "audio_enc_to_dec_proj", 12


@dataclass(frozen=True)
class _AudioCraft:
    """What a file of AudioCraft holds, and the hashes of the adapters that lie in its weights."""

    config: LMConfig
    tensors: dict[str, Tensor]
    adapters: tuple[str, ...]


def _open(path: Path) -> _AudioCraft:
    stored = read_torch(path)
    if not isinstance(stored, Mapping) or "xp.cfg" not in stored:
        raise ValueError(f"{path}: not a model of AudioCraft, it holds no xp.cfg")
    state = stored.get("best_state") or stored.get("fsdp_best_state")
    state = state.get("model", state) if isinstance(state, Mapping) else state
    config = configs.of_audiocraft(stored["xp.cfg"], f"{path}: xp.cfg")
    return _AudioCraft(config, plain_tensors(state, path), adapters_in(stored.get(ADAPTERS)))
