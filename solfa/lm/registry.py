"""Language models by name: those that ship with the package, the released ones, hub names and folders. Listing loads no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa.foreign import hub
from solfa.lm.weights import released
from solfa.lm.weights.released import Released
from solfa.shipped import LICENCE, Shipped, list_shipped, resolve

if TYPE_CHECKING:
    from solfa.lm.model import TokenLM

DEFAULT = "solfa-music"
KIND = "lm"
ADAPTER = "adapter_config.json"  # of peft, and of `lm.lora`, which loads torch


@dataclass(frozen=True)
class LMEntry:
    """A language model that `load_lm` knows by name."""

    name: str
    folder: Path | None  # where its weights are; None if not on this machine
    codec: str
    sample_rate: int  # Hz
    channels: int
    codebooks: int  # that it writes, of all channels
    frame_rate: float  # Hz
    licence: str  # of the weights
    how: str = ""  # how to get the weights, where they are not in the package

    @property
    def bytes(self) -> int | None:
        """Of its weights, where they are on this machine."""
        return _size(self.folder)


def list_lms() -> list[LMEntry]:
    """The language models that have a name here, those in the package first."""
    return [*map(_shipped, list_shipped(KIND)), *released_lms()]


def released_lms() -> list[LMEntry]:
    """Of these, the released ones."""
    return [*map(_released, released.RELEASED)]


def knows(name: str | Path) -> bool:
    """Whether `load_lm` would take this for a language model, by name or by what its folder says; asks no network."""
    known = _known(name)
    folder = known if isinstance(known, Path) else Path(name)
    return isinstance(known, Released) or (folder.is_dir() and _layout(folder) is not None)


def find_lm(name: str | Path = DEFAULT, *, fetch: bool = True) -> Path:
    """The folder of the model of that name, as `load_lm` finds it. Raises ValueError where there is none, saying what to do."""
    known = _known(name)
    if isinstance(known, Path):
        return known
    if known is not None:
        return released.obtain(known, fetch)
    if Path(name).is_dir():
        return Path(name)
    if hub.is_repo(str(name)) and fetch:
        return _fetch_repo(str(name))
    names = ", ".join(entry.name for entry in list_lms())
    raise ValueError(
        f"no language model named {str(name)!r}: the names are {names}, a hub repository or a folder of weights"
    )


def load_lm(name: str | Path = DEFAULT, device: str = "cpu", *, fetch: bool = True) -> TokenLM:
    """The language model of that name, in float32, ready to write.

    name: one that `list_lms` gives, a hub repository (owner/model), or a folder: a checkpoint of ours, one of transformers, or one with
    AudioCraft's state_dict.bin. What a hub name stands for is taken from the user's cache, or else fetched, unless `fetch` is false or
    HF_HUB_OFFLINE is set. Raises ValueError where there is none, or where what is there does not fit or is damaged, saying what to do, and
    for a device that is not there; "auto" is cuda where there is one.
    """
    from solfa.lm import model
    from solfa.lm.weights import layouts
    from solfa.nn.devices import in_float32, pick_device

    place = pick_device(device)
    folder = find_lm(name, fetch=fetch)
    _check_place(folder)
    load = layouts.load if _layout(folder) == "released" else model.load_lm
    with in_float32():
        return load(folder).to(place)


def describe_lm(name: str | Path) -> dict[str, Any]:
    """What is known of a model by name or folder: its kind, its configuration, where its weights are. ValueError where there is none."""
    from solfa import checkpoint
    from solfa.lm.weights import layouts

    known = _known(name)
    if isinstance(known, Released):
        place = released.on_disk(known)
        facts = {"licence": known.licence, "folder": place, "how": known.how}
        return {"kind": KIND, **facts, "config": asdict(known.config()), "bytes": _size(place)}
    folder = known or Path(name)
    if _layout(folder) == "released":
        return {"kind": KIND, "folder": folder, "config": asdict(layouts.config_of(folder)), "bytes": _size(folder)}
    document = checkpoint.read_config(folder)
    facts = {key: document[key] for key in ("kind", "config", "metadata", "sha256")}
    return {"folder": folder, **facts, "bytes": _size(folder)}


def _known(name: str | Path) -> Path | Released | None:
    return resolve(name, released.find(str(name)))


def _layout(folder: Path) -> str | None:
    """Whose layout a folder has: "ours", "released", or None if it holds no language model."""
    from solfa.checkpoint import read_json

    path = folder / hub.CONFIG
    document = read_json(path) if path.is_file() else {}
    if isinstance(document, dict) and document.get("kind") == KIND:
        return "ours"
    family = isinstance(document, dict) and str(document.get("model_type", "")).startswith("musicgen")
    return "released" if family or (folder / "state_dict.bin").is_file() else None


def _check_place(folder: Path) -> None:
    """ValueError for a folder that belongs to a model, saying what to name instead."""
    if _layout(folder) is None and (folder / ADAPTER).is_file():
        raise ValueError(f"{folder}: holds adapters alone; name the model that they are of, and this as its adapter")


def _fetch_repo(repo: str) -> Path:
    """A hub repository of transformers; its weights are fetched only after its configuration has said that they can be read."""
    try:
        folder = hub.configuration(repo).parent
        if _layout(folder) is None:
            raise ValueError("its config.json is of no language model that can be read")
        return hub.fetch(repo)
    except ValueError as error:
        raise ValueError(f"{repo} is no folder here, and as a hub repository: {error}") from error


def _shipped(found: Shipped) -> LMEntry:
    config = found.document["config"]
    return LMEntry(
        found.name,
        found.folder,
        config["codec"],
        config["sample_rate"],
        config["channels"],
        config["codebooks"],
        config["frame_rate"],
        LICENCE,
        "in the package",
    )


def _released(entry: Released) -> LMEntry:
    books = entry.codebooks * entry.channels
    place = released.on_disk(entry)
    return LMEntry(
        entry.name,
        place,
        entry.codec,
        entry.sample_rate,
        entry.channels,
        books,
        entry.frame_rate,
        entry.licence,
        entry.how,
    )


def _size(folder: Path | None) -> int | None:
    """Bytes of the weights in a folder."""
    if folder is None:
        return None
    files = hub.weight_files(folder) or [path for path in [folder / "state_dict.bin"] if path.is_file()]
    return sum(path.stat().st_size for path in files) or None
