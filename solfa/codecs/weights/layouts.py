"""A codec from released weights, in any layout: a transformers folder, or a file of encodec, dac or AudioCraft."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from solfa.checkpoint import fitted, misfits, read_json
from solfa.codecs.vqvae import MAX_PARAMETERS, VQVAE, VQVAEConfig
from solfa.codecs.weights import configs, dac_keys, encodec_keys, released
from solfa.codecs.weights.files import read_torch
from solfa.codecs.weights.released import Released, find, obtain
from solfa.codecs.weights.weight_norm import DIRECTION, LENGTH
from solfa.foreign import hub
from solfa.foreign.carried import carried_codec, model_type
from solfa.foreign.files import plain_tensors, read_weights
from solfa.nn.unmade import unmade

_NAMES_IN_FOLDERS = ("compression_state_dict.bin", "weights.pth", "dac/weights.pth")
_TRAINING = ("._codebook.initted", "._codebook.cluster_size", "._codebook.embed_avg")

_Layout = tuple[Callable[[Any, str], VQVAEConfig], Callable[[Mapping[str, Tensor]], dict[str, Tensor]]]
# model_type of a config.json -> how its configuration and its tensors are read
_TRANSFORMERS: dict[str, _Layout] = {
    "encodec": (configs.encodec_of_transformers, encodec_keys.from_transformers),
    "dac": (configs.dac_of_transformers, dac_keys.from_transformers),
}
FAMILIES = tuple(_TRANSFORMERS)


def load_released(entry: Released, fetch: bool = True) -> VQVAE:
    """The released codec, from this machine or, with `fetch` and if the environment allows it, from the hub."""
    path = obtain(entry, fetch)
    return load_transformers(path) if path.is_dir() else load_original(path)


def config_of(folder: Path) -> VQVAEConfig:
    """The configuration of a transformers folder whose model_type is one of FAMILIES."""
    path = folder / hub.CONFIG
    document = read_json(path)
    return _TRANSFORMERS[document["model_type"]][0](document, str(path))


def load_transformers(folder: Path) -> VQVAE:
    """The codec in a folder as `save_pretrained` of transformers writes it. Raises ValueError where anything does not fit."""
    config, paths = config_of(folder), hub.weight_files(folder)
    if not paths:
        raise ValueError(f"{folder}: holds none of {', '.join(hub.WEIGHTS)}")
    rename = _TRANSFORMERS["dac" if config.decoder is not None else "encodec"][1]
    return build(config, rename(plain_tensors(read_weights(paths), paths[0])), str(paths[0]))


def of_transformers(document: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> VQVAE:
    """The codec of a config.json of transformers whose model_type is one of FAMILIES, and of its tensors: MusicGen's files carry one.

    Raises ValueError where anything does not fit.
    """
    if document.get("model_type") not in FAMILIES:
        raise ValueError(
            f"{where}: the codec's model_type is {document.get('model_type')!r}, none of {', '.join(FAMILIES)}"
        )
    configure, rename = _TRANSFORMERS[document["model_type"]]
    return build(configure(document, where), rename(tensors), where)


def load_carried(folder: Path) -> VQVAE:
    """The codec in a folder whose model_type is one of CARRIERS. Raises ValueError where it was left out, or does not fit."""
    inside = carried_codec(folder)
    if inside is None:
        raise ValueError(f"{folder}: a {model_type(folder)} that was saved without its codec: name the codec itself")
    return of_transformers(inside.document, inside.tensors, inside.where)


def original_in(folder: Path) -> Path | None:
    """The one file of original weights in a folder that is no transformers folder."""
    named = [folder / name for name in _NAMES_IN_FOLDERS if (folder / name).is_file()]
    found = named or sorted(folder.glob("*.th")) or sorted(folder.glob("*.pth"))
    return found[0] if len(found) == 1 else None


def load_original(path: Path) -> VQVAE:
    """The codec in a file of `encodec` (a state dict), `dac` (with its arguments) or AudioCraft (with its configuration)."""
    stored = read_torch(path)
    if not isinstance(stored, Mapping):
        raise ValueError(f"{path}: holds no named tensors")
    if "state_dict" in stored:
        metadata = stored.get("metadata")
        kwargs = metadata.get("kwargs") if isinstance(metadata, Mapping) else None
        config = configs.dac_of_original(kwargs, f"{path}: metadata.kwargs")
        return build(config, dac_keys.from_original(plain_tensors(stored["state_dict"], path)), str(path))
    if "pretrained" in stored:  # AudioCraft's way to say: the released one
        name = str(stored["pretrained"])
        entry = find(name) or find(f"descript/{name}")
        if entry is None:
            raise ValueError(f"{path}: refers to {name!r}, which is no released codec")
        return load_released(entry, fetch=False)  # a file may not send us to the network
    if "best_state" in stored:
        state = stored["best_state"]
        state = state.get("model", state) if isinstance(state, Mapping) else state
        config = configs.encodec_of_audiocraft(stored.get("xp.cfg"), f"{path}: xp.cfg")
        return build(config, encodec_keys.from_original(plain_tensors(state, path)), str(path))
    tensors = encodec_keys.from_original(plain_tensors(stored, path))
    return build(_preset_for(tensors, path), tensors, str(path))


def build(config: VQVAEConfig, tensors: Mapping[str, Tensor], where: str) -> VQVAE:
    """The codec with these weights, under our names. Raises ValueError unless names and shapes are exactly the configuration's."""
    ready = fitted(_asked(config), tensors, f"{where}: {config.name}")
    model = VQVAE(config, weights_hash(ready, config))
    model.load_state_dict(ready)
    return model.eval()


def weights_hash(tensors: Mapping[str, Tensor], config: VQVAEConfig) -> str:
    """sha256 of the weights under our names, the same for every layout that they are stored in.

    Left out is what only training reads, and, for DAC, the numbers (not the shapes) of weight-normed weights: transformers stores them
    fused, and their last bit depends on the machine that did it. Biases, slopes and codebooks tell models apart all the same.
    """
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if not name.endswith(_TRAINING)):
        tensor = tensors[name]
        digest.update(f"{name} {list(tensor.shape)}\n".encode())
        if config.decoder is None or not name.endswith((LENGTH, DIRECTION)):
            digest.update(tensor.detach().cpu().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _asked(config: VQVAEConfig) -> dict[str, Tensor]:
    """The tensors that a configuration asks for, made of nothing."""
    with unmade():
        ours = VQVAE(config).state_dict()
    count = sum(tensor.numel() for tensor in ours.values())
    if count > MAX_PARAMETERS:
        raise ValueError(f"a configuration that asks for {count} numbers, more than {MAX_PARAMETERS}")
    return ours


def _preset_for(tensors: Mapping[str, Tensor], path: Path) -> VQVAEConfig:
    """A state dict of `encodec` has no configuration: the released one whose shapes these are."""
    entries = [entry for entry in released.RELEASED if entry.family == "encodec"]
    fits = next((config for entry in entries if not misfits(_asked(config := entry.config()), tensors)), None)
    if fits is None:
        names = ", ".join(entry.name for entry in entries)
        raise ValueError(f"{path}: its tensors have the names and shapes of none of {names}")
    return fits
