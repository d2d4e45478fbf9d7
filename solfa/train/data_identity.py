"""Which recordings a run learns from, in a few bytes: so that one that is resumed notices that they are others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Frames of a held-out recording, of the first codebook: few, since a recording that is encoded again, on another device, may differ in one
# code of 100,000.
HEARD = 25


@dataclass(frozen=True)
class Recordings:
    """How many, and a hash of what tells them apart, in their order."""

    count: int
    sha256: str


@dataclass(frozen=True)
class DataIdentity:
    """What is trained on, and what is held out."""

    train: Recordings
    held_out: Recordings


def of_files(train: Sequence[Path], held_out: Sequence[Path]) -> DataIdentity:
    """Of sound files: by their paths."""
    return DataIdentity(*(_hashed(len(paths), (str(path).encode() for path in paths)) for paths in (train, held_out)))


def of_codes(train: Iterable[int], held_out: Sequence[NDArray[Any]]) -> DataIdentity:
    """Of codes: by their lengths in frames, and held-out ones [K, at least HEARD frames, or all] by their first codes."""
    lengths = np.fromiter(train, np.int64)
    heard = (each[0, :HEARD].astype(np.int64).tobytes() for each in held_out)
    return DataIdentity(_hashed(len(lengths), [lengths.tobytes()]), _hashed(len(held_out), heard))


def identity_of(task: Any) -> dict[str, Any] | None:
    """What a task's `identity` says, as JSON data; None of a task that has none."""
    found = getattr(task, "identity", None)
    return None if found is None else asdict(found())


def _hashed(count: int, parts: Iterable[bytes]) -> Recordings:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return Recordings(count, digest.hexdigest())
