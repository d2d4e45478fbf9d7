"""The checkpoints that ship with the package, each a folder in `solfa/weights`. Loads no torch, and reads no weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

WEIGHTS = Path(__file__).resolve().parent / "weights"
LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Shipped:
    """A checkpoint of the package: `name` is its folder's, `kind` what reads it ("codec", "code-lm", "lm", ...)."""

    name: str
    kind: str
    folder: Path
    bytes: int  # of the weights
    document: dict[str, Any]  # the whole of its config.json


def list_shipped(kind: str | None = None) -> list[Shipped]:
    """The checkpoints of the package, in the order of their names; of one kind, where that is given."""
    found = []
    for path in sorted(WEIGHTS.glob("*/config.json")):
        folder = path.parent
        document = json.loads(path.read_text(encoding="utf-8"))
        if kind in (None, document["kind"]):
            size = (folder / "model.safetensors").stat().st_size
            found.append(Shipped(folder.name, document["kind"], folder, size, document))
    return found


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Released = TypeVar("Released", bound=_Named)


def resolve(name: str | Path, released: Released | None) -> Path | Released | None:
    """What a name stands for: the folder of a checkpoint of the package, or the released model that was found by it, if any.

    A model's name wins over a folder that is called so, ./ before it says the folder; a hub repository's name does not.
    """
    folder = WEIGHTS / name
    plain = str(name) == Path(name).name  # ./name is no name; a Path has lost its ./
    if plain and folder.parent == WEIGHTS and (folder / "config.json").is_file():
        return folder
    return released if released and (name == released.name or not Path(name).exists()) else None
