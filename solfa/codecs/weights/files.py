"""Files of tensors, read without executing anything: safetensors, and the zip archives of torch.save with `weights_only`."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from solfa.codecs.weights.released import known_hash

_BLOB = re.compile(r"[0-9a-f]{64}")  # the hub's cache keeps large files under their sha256
MAX_STRUCTURE = 64 << 20  # bytes of an archive that describe its tensors


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file. Raises ValueError for a damaged one."""
    _check_hash(path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: not a readable safetensors file: {error}") from error


def read_torch(path: Path) -> Any:
    """What torch.save wrote, if it is made of tensors, containers, strings and numbers only.

    Nothing in the file is called, and its tensors stay on disk until they are used. Raises ValueError for a file that holds anything
    else, that is damaged, that has not the hash that is known of it, or that unpacks to more than its own size.
    """
    _check_hash(path)
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


def _reason(error: Exception) -> str:
    """What was wrong, without torch's advice to open the file in a way that executes it."""
    found = re.search(r"GLOBAL (\S+)|Unsupported (?:global|operand|class)[: ]*(?:GLOBAL )?(\S+)", str(error))
    if found:
        return f"it asks for the object {next(filter(None, found.groups()))}, and only tensors are read"
    if type(error).__name__ == "UnpicklingError":
        return "it holds more than tensors, containers, strings and numbers"
    return f"damaged ({type(error).__name__})"


def _check_hash(path: Path) -> None:
    """Where it is known what the file's sha256 is, or how it begins, see that it is so."""
    real = path.resolve()
    in_cache = real.parent.name == "blobs" and _BLOB.fullmatch(real.name)
    expected = real.name if in_cache else known_hash(path.name)
    if expected is None:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if not actual.startswith(expected):
        raise ValueError(f"{path}: damaged or cut short, its sha256 begins {actual[: len(expected)]}, not {expected}")
