"""Size and hashes of a file, by which a changed byte is found."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import xxhash

from solfa.tokenize_audio.store.records import TokenStoreError, check_regular

_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class FileHash:
    """A file's name (without folder), size, and hashes in hex: xxh3-128 is quick, sha256 holds against intent too."""

    name: str
    bytes: int
    xxh3: str
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or type(self.bytes) is not int or self.bytes < 0:
            raise ValueError("a file has a name and a number of bytes")
        for value, letters in ((self.xxh3, 32), (self.sha256, 64)):
            if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{letters}}}", value):
                raise ValueError(f"a hash must be {letters} hexadecimal digits")

    def check(self, path: str | os.PathLike[str]) -> None:
        """TokenStoreError where the file at `path`, whatever its name, is not this one."""
        size = check_regular(Path(path))
        if size != self.bytes:
            raise TokenStoreError(f"{os.fspath(path)}: damaged, {size} bytes where {self.bytes} were written")
        found = file_record(path)
        for name in ("xxh3", "sha256"):
            if getattr(found, name) != getattr(self, name):
                raise TokenStoreError(
                    f"{os.fspath(path)}: damaged, its {name} is {getattr(found, name)} where {getattr(self, name)} was written"
                )


def file_record(path: str | os.PathLike[str]) -> FileHash:
    """Raises TokenStoreError where the file cannot be read or is not a regular one."""
    path = Path(path)
    check_regular(path)
    quick, strong, size = xxhash.xxh3_128(), hashlib.sha256(), 0
    try:
        with open(path, "rb") as file:
            while data := file.read(_BYTES_AT_ONCE):
                quick.update(data)
                strong.update(data)
                size += len(data)
    except OSError as error:
        raise TokenStoreError(f"{path}: {error.strerror}") from error
    return FileHash(path.name, size, quick.hexdigest(), strong.hexdigest())
