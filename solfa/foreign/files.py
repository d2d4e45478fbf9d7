"""Files of tensors, read without executing anything: safetensors, and the zip archives of torch.save with `weights_only`."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from solfa.files import file_hash

_BLOB = re.compile(r"[0-9a-f]{64}")  # the hub's cache keeps large files under their sha256
MAX_STRUCTURE = 64 << 20  # bytes of an archive that describe its tensors


def read_weights(paths: Sequence[Path], keep: Callable[[str], bool] = lambda name: True) -> dict[str, Tensor]:
    """The tensors of one or more files, .safetensors or of torch.save, whose names `keep` wants. Raises ValueError as below."""
    found: dict[str, Tensor] = {}
    for path in paths:
        if path.suffix == ".safetensors":
            found |= read_safetensors(path, keep)
        else:
            found |= {name: tensor for name, tensor in plain_tensors(read_torch(path), path).items() if keep(name)}
    return found


def read_safetensors(path: Path, keep: Callable[[str], bool] = lambda name: True) -> dict[str, Tensor]:
    """The tensors of a .safetensors file whose names `keep` wants; others are not read. Raises ValueError for a damaged one."""
    check_hash(path)
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if keep(name)}  # noqa: SIM118, it is no mapping
    except (SafetensorError, ValueError, RuntimeError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file: {error}") from error


def read_torch(path: Path, known: str | None = None) -> Any:
    """What torch.save wrote, if it is made of tensors, containers, strings and numbers only.

    known: how the sha256 of the file begins, where that is known.
    Nothing in the file is called, and its tensors stay on disk until they are used. Raises ValueError for a file that holds anything
    else, that is damaged, that has not the hash that is known of it, or that unpacks to more than its own size.
    """
    check_hash(path, known)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = next((entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
            structure = sum(entry.file_size for entry in entries if entry.filename.endswith(".pkl"))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path}: not a whole file of torch.save (or of one before torch 1.6): {error}") from error
    if packed is not None:
        raise ValueError(f"{path}: {packed} is compressed, which torch.save never does")
    if structure > MAX_STRUCTURE:
        raise ValueError(f"{path}: {structure} bytes describe its tensors, at most {MAX_STRUCTURE} are read")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # the reader of torch raises all sorts of errors for what is not its own
        raise ValueError(f"{path}: not opened, {_reason(error)}") from error


def plain_tensors(state: Any, path: Path) -> dict[str, Tensor]:
    """A state dict as such: names and dense tensors of real numbers. Raises ValueError for anything else."""
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{path}: holds no named tensors")
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()):
        raise ValueError(f"{path}: not every entry of its state dict is a tensor with a name")
    if any(tensor.layout != torch.strided or tensor.is_complex() for tensor in state.values()):
        raise ValueError(f"{path}: holds tensors that are not plain arrays of real numbers")
    return dict(state)


def check_hash(path: Path, known: str | None = None) -> None:
    """See that the file's sha256 is what is known of it: `known`, its beginning, or its own name in the hub's cache."""
    real = path.resolve()
    in_cache = real.parent.name == "blobs" and _BLOB.fullmatch(real.name)
    expected = real.name if in_cache else known
    if expected is None:
        return
    found = real.stat()
    actual = _sha256(real, found.st_size, found.st_mtime_ns)
    if not actual.startswith(expected):
        raise ValueError(f"{path}: damaged or cut short, its sha256 begins {actual[: len(expected)]}, not {expected}")


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, time: int) -> str:
    """Of a file as it was at that time: several gigabytes are read for their language model, for their codec and for their T5."""
    return file_hash(path)


def _reason(error: Exception) -> str:
    """What was wrong, without torch's advice to open the file in a way that executes it."""
    found = re.search(r"GLOBAL (\S+)|Unsupported (?:global|operand|class)[: ]*(?:GLOBAL )?(\S+)", str(error))
    if found:
        return f"it asks for the object {next(filter(None, found.groups()))}, and only tensors are read"
    if type(error).__name__ == "UnpicklingError":
        return "it holds more than tensors, containers, strings and numbers"
    return f"damaged ({type(error).__name__})"
