"""A checkpoint is a folder that holds `config.json` and `model.safetensors`; this module knows no model.

`config.json` has the fields `format`, `version`, `kind` (what sort of model the folder holds), `config` (the model's
own configuration), `config_sha256` (of kind and config), `sha256` (of model.safetensors) and `metadata` (free,
informative). A folder appears whole or not at all, also where it replaces an older one; nothing in it is ever executed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from solfa import strict_json
from solfa.files import file_hash, replace_folder

FORMAT = "solfa-checkpoint"
VERSION = 1
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
MAX_JSON_BYTES = 16 << 20
_KEYS = ("format", "version", "kind", "config", "config_sha256", "sha256", "metadata")
_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".th")


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written: the message names the folder or file and the reason."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What `load` returns: tensors live on the CPU; `weights_hash` is the sha256 of model.safetensors, in hex."""

    kind: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]
    weights_hash: str


def save(
    folder: str | Path,
    kind: str,
    config: dict[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a checkpoint folder atomically.

    An older checkpoint of that name stays valid until the new one takes its place in one rename; other files in it (a
    model card) are carried over. Raises CheckpointError where the folder holds something that is not a checkpoint, the
    configuration is not plain JSON, or a tensor holds NaN or infinity (perhaps since it was cast to a narrower type).
    """
    folder = Path(os.path.abspath(folder))
    _check_replaceable(folder)
    text = {"kind": kind, "config": config, "metadata": metadata or {}}
    _canonical(text, f"{folder}: config or metadata")
    ready = _independent(tensors)
    _refuse_infinite(ready, str(folder))

    def fill(temporary: Path) -> None:
        try:
            save_file(ready, temporary / WEIGHTS_NAME)
        except SafetensorError as error:
            raise CheckpointError(f"{folder}: cannot write {WEIGHTS_NAME}: {error}") from error
        hashes = {"config_sha256": _config_hash(kind, config), "sha256": file_hash(temporary / WEIGHTS_NAME)}
        document = {"format": FORMAT, "version": VERSION, **text, **hashes}
        written = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (temporary / CONFIG_NAME).write_text(written, encoding="utf-8")
        shutil.copymode(temporary / CONFIG_NAME, temporary / WEIGHTS_NAME)  # safetensors writes 0600 whatever the umask

    replace_folder(folder, fill)


def load(folder: str | Path, kind: str | None = None, *, verify: bool = True) -> Checkpoint:
    """Read a checkpoint folder. `kind` demands that kind; `verify=False` skips the hashes and the search for NaN and infinity.

    Raises CheckpointError for anything that is missing, damaged, of another kind, or too large to be honest.
    """
    folder = Path(folder)
    document = read_config(folder)
    if kind is not None and document["kind"] != kind:
        raise CheckpointError(f"{folder}: holds a checkpoint of kind {document['kind']!r}, but {kind!r} is needed")
    weights = folder / WEIGHTS_NAME
    if not weights.is_file():
        raise CheckpointError(f"{folder}: {WEIGHTS_NAME} is missing")
    _check_header(weights)
    if verify:
        if _config_hash(document["kind"], document["config"]) != document["config_sha256"]:
            raise CheckpointError(f"{folder / CONFIG_NAME}: kind or config was changed after it was written")
        actual = file_hash(weights)
        if actual != document["sha256"]:
            raise CheckpointError(f"{weights}: damaged, sha256 is {actual} where {document['sha256']} was written")
    try:
        tensors = load_file(weights)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{weights}: not a readable safetensors file: {error}") from error
    if verify:
        _refuse_infinite(tensors, str(weights))
    return Checkpoint(document["kind"], document["config"], tensors, document["metadata"], document["sha256"])


def read_config(folder: str | Path) -> dict[str, Any]:
    """The whole of `config.json` without the weights, its fields and their types checked."""
    folder = Path(folder)
    path = folder / CONFIG_NAME
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder")
    if not path.is_file():
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
        hint = f" (it holds {pickles[0]}; pickled weights are never opened)" if pickles else ""
        raise CheckpointError(f"{folder}: not a checkpoint, {CONFIG_NAME} is missing{hint}")
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        if (folder / "model" / CONFIG_NAME).is_file():
            raise CheckpointError(f"{folder}: is the folder of a run; its model is {folder / 'model'}")
        raise CheckpointError(f"{path}: not a solfa checkpoint (format is not {FORMAT!r})")
    if document.get("version") != VERSION:
        raise CheckpointError(f"{path}: version {document.get('version')!r}; this solfa reads version {VERSION}")
    wrong = sorted(set(document) ^ set(_KEYS))
    if wrong:
        raise CheckpointError(f"{path}: missing or unknown keys {wrong}; the keys are {list(_KEYS)}")
    for key, value in document.items():
        legal = {"version": int, "config": dict, "metadata": dict}.get(key, str)
        if type(value) is not legal:
            raise CheckpointError(f"{path}: {key} has the wrong type, {type(value).__name__}")
    return document


def read_json(path: Path) -> Any:
    """Strict JSON (see `solfa.strict_json`) of at most 16 MiB. Raises CheckpointError."""
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise CheckpointError(f"{path}: {size} bytes; at most {MAX_JSON_BYTES} are read")
    try:
        return strict_json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file, a checkpoint is a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG_NAME).is_file():
        raise CheckpointError(f"{folder}: holds other files and no checkpoint; name a new folder")


def misfits(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors that one has and the other has not, or in another shape; sorted."""
    wrong = [name for name in ours.keys() & theirs.keys() if ours[name].shape != theirs[name].shape]
    return sorted([*wrong, *(ours.keys() ^ theirs.keys())])


def fitted(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Tensors from a file for a model that has `ours` (made of nothing, see `nn.unmade`): in float32 where they are floats, not copied
    where they are already. Raises ValueError, with `where`, unless names and shapes are the same and all numbers are finite.
    """
    if wrong := misfits(ours, theirs):
        raise ValueError(
            f"{where}: {len(wrong)} tensors are missing, unknown or of another shape, {wrong[0]} the first"
        )
    ready = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in theirs.items()}
    for name, tensor in ready.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{where}: tensor {name!r} holds NaN or infinity")
    return ready


def _check_header(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(MAX_JSON_BYTES, size - 8):
        raise CheckpointError(f"{path}: damaged, {size} bytes cannot hold a header of {length}")


def _independent(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors none of which share memory: safetensors stores no views."""
    ready: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != plain.numel() * plain.element_size():
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        ready[name] = plain
    return ready


def _refuse_infinite(tensors: Mapping[str, Tensor], where: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        if not bool((tensor if tensor.itemsize > 1 else tensor.float()).isfinite().all()):
            kind, most = str(tensor.dtype).removeprefix("torch."), torch.finfo(tensor.dtype).max
            raise CheckpointError(f"{where}: tensor {name!r} holds NaN or infinity ({kind} ends at {most:g})")


def _canonical(value: Any, where: str) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is not plain JSON: {error}") from error


def _config_hash(kind: str, config: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical([kind, config], "config")).hexdigest()


def config_from_dict(cls: type, data: Any, *, where: str = "") -> Any:
    """A (frozen) dataclass from JSON data, strictly.

    Unknown and missing keys are errors, lists become tuples, nested dataclasses are built, scalars must have the
    annotated type (a bool is no int; an int will do for a float; NaN is refused). Of a union of dataclasses the one
    that fits is taken. Raises ValueError naming the dotted field; bounds are the business of `cls.__post_init__`.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{where or cls.__name__}: expected an object, got {data!r}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    unknown = sorted(str(key) for key in set(data) - set(fields))
    if unknown:
        raise ValueError(f"{where or cls.__name__}: unknown keys {unknown}; the keys are {list(fields)}")
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in data:
            values[name] = from_plain(hints[name], data[name], f"{where}.{name}" if where else name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where or cls.__name__}: {name} is missing")
    return cls(**values)


def from_plain(hint: Any, value: Any, where: str) -> Any:
    """`value` (plain JSON) as the annotated type `hint`; ValueError names `where`, the value and the type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, value, where)
    if origin is typing.Literal:
        if any(value == legal and type(value) is type(legal) for legal in arguments):
            return value
        raise ValueError(f"{where}: {value!r} is none of {list(arguments)}")
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return config_from_dict(hint, value, where=where)
    if origin in (tuple, list) and isinstance(value, list | tuple):
        return origin(_items(origin, arguments, value, where))
    if origin is dict and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: from_plain(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) <= sys.float_info.max:
            return float(value)
    elif hint is type(None) or hint is None:
        if value is None:
            return None
    elif hint in (int, str, bool) and type(value) is hint:
        return value
    elif isinstance(hint, type):
        if issubclass(hint, PurePath) and isinstance(value, str):
            return hint(value)
        if issubclass(hint, Enum) and value in [each.value for each in hint]:
            return hint(value)
    raise ValueError(f"{where}: {value!r} is not {getattr(hint, '__name__', hint) if origin is None else hint}")


def _items(origin: type, hints: tuple[Any, ...], value: Any, where: str) -> list[Any]:
    if origin is tuple and not (len(hints) == 2 and hints[1] is Ellipsis):
        if len(value) != len(hints):
            raise ValueError(f"{where}: {value!r} has {len(value)} items where {len(hints)} are needed")
    else:
        hints = (hints[0],) * len(value)
    return [from_plain(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(hints, value, strict=True))]


def _one_of(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if type(value) in hints:  # int | float keeps an int
        return from_plain(type(value), value, where)
    fits, errors = [], []
    for hint in hints:
        try:
            fits.append(from_plain(hint, value, where))
        except ValueError as error:
            errors.append(str(error))
    if not fits:
        raise ValueError("; or ".join(dict.fromkeys(errors)))
    if len(fits) > 1 and dataclasses.is_dataclass(fits[0]):
        names = [type(fit).__name__ for fit in fits]
        raise ValueError(f"{where}: {value!r} fits each of {names}; give a field that tells them apart")
    return fits[0]
