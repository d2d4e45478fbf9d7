"""Files of codecs' weights: those of the original packages must have the hash that is known of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from solfa.codecs.weights.released import known_hash
from solfa.foreign import files


def read_torch(path: Path) -> Any:
    """See `solfa.foreign.files`."""
    return files.read_torch(path, known_hash(path.name))
