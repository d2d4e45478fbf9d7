"""Codecs by name: those that ship with the package, the released ones, hub names, folders and files. Listing loads no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa.codecs.weights import released
from solfa.codecs.weights.released import Adapted, Released, find, on_disk
from solfa.foreign import hub
from solfa.shipped import LICENCE, Shipped, list_shipped, resolve

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec

DEFAULT = "solfa-24khz"


@dataclass(frozen=True)
class CodecEntry:
    """A codec that `load_codec` knows by name."""

    name: str
    folder: Path | None  # where its weights are: a checkpoint, a hub snapshot or an original file; None if not here
    sample_rate: int  # Hz
    channels: int
    codebooks: int
    codebook_size: int
    frame_rate: float  # Hz
    licence: str  # of the weights
    how: str = ""  # how to get the weights, where they are not in the package
    weights_hash: str = ""  # of what is in the package
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def bitrate(self) -> float:
        """Bits a second with all codebooks, packed."""
        return self.frame_rate * self.codebooks * (self.codebook_size - 1).bit_length()

    @property
    def bytes(self) -> int | None:
        """Of its weights, where they are on this machine."""
        return _size(self.folder)


def list_codecs() -> list[CodecEntry]:
    """The codecs that have a name here, those in the package first."""
    there = [_known_elsewhere(entry, on_disk(entry)) for entry in released.RELEASED]
    adapted = [_known_elsewhere(entry, hub.cached(entry.repo)) for entry in released.ADAPTED]
    return [*map(_shipped, list_shipped("codec")), *there, *adapted]


def load_codec(name: str | Path = DEFAULT, device: str = "cpu", *, fetch: bool = True) -> Codec:
    """The codec of that name, ready to encode and decode.

    name: one that `list_codecs` gives, a hub repository (owner/model), a checkpoint folder of ours or of transformers, or an original
    file of encodec (.th), dac (.pth) or AudioCraft (.bin), or a folder that holds one. Of a MusicGen it is the codec that lies inside.
    What a hub name stands for is taken from the user's cache, or else fetched, unless `fetch` is false or HF_HUB_OFFLINE is set.
    Raises ValueError where there is none, or where what is there does not fit or is damaged, saying what to do, and for a device that is
    not there; "auto" is cuda where there is one.
    """
    from solfa.nn.devices import in_float32, pick_device

    place = pick_device(device)
    with in_float32():
        return _load(name, fetch).to(place)


def _load(name: str | Path, fetch: bool) -> Codec:
    """As `load_codec`, on the CPU."""
    from solfa.codecs.weights import layouts

    known = _known(name)
    if isinstance(known, Path):
        return _load_folder(known)
    if known is not None:
        return layouts.load_released(known, fetch)
    if Path(name).is_dir():
        return _load_folder(Path(name))
    if Path(name).is_file():
        return layouts.load_original(Path(name))
    if hub.is_repo(str(name)):
        return _load_repo(str(name), fetch)
    names = ", ".join(entry.name for entry in list_codecs())
    raise ValueError(
        f"no codec named {str(name)!r}: the names are {names}, a hub repository, a folder or a file of weights"
    )


def describe(name: str) -> dict[str, Any]:
    """What is known of a codec by name, folder or file: its kind, its configuration, where its weights are.

    Raises ValueError where there is no such codec.
    """
    from solfa import checkpoint
    from solfa.codecs.weights import layouts
    from solfa.foreign.carried import model_type

    known = _known(name)
    if isinstance(known, Released):
        place = on_disk(known)
        facts = {"licence": known.licence, "folder": place, "how": known.how}
        return {"kind": "codec", **facts, "config": asdict(known.config()), "bytes": _size(place)}
    adapted = next((entry for entry in released.ADAPTED if name == entry.repo and not Path(name).exists()), None)
    if adapted is not None:
        place = hub.cached(adapted.repo)
        facts = {"licence": adapted.licence, "folder": place, "how": adapted.how}
        return {"kind": "codec", **facts, "config": asdict(adapted), "bytes": _size(place)}
    if Path(name).is_file():
        codec = layouts.load_original(Path(name))
        shape = {"config": asdict(codec.config), "weights_hash": codec.weights_hash}
        return {"kind": "codec", "folder": Path(name), **shape, "bytes": _size(Path(name))}
    folder = known or Path(name)
    if model_type(folder) in layouts.FAMILIES:
        return {"kind": "codec", "folder": folder, "config": asdict(layouts.config_of(folder)), "bytes": _size(folder)}
    if model_type(folder) is not None:  # for the adapter
        document = checkpoint.read_json(folder / hub.CONFIG)
        return {"kind": "codec", "folder": folder, "config": document, "bytes": _size(folder)}
    document = checkpoint.read_config(folder)
    facts = {key: document[key] for key in ("kind", "config", "metadata", "sha256")}
    return {"folder": folder, **facts, "bytes": _size(folder)}


def _known(name: str | Path) -> Path | Released | None:
    return resolve(name, find(str(name)))


def _load_folder(folder: Path) -> Codec:
    """A folder of ours, of transformers, or one that holds an original file."""
    from solfa.codecs.vqvae import load_vqvae
    from solfa.codecs.weights import layouts
    from solfa.foreign.carried import CARRIERS, model_type

    original = layouts.original_in(folder)
    kind = model_type(folder)
    if kind in layouts.FAMILIES:
        return layouts.load_transformers(folder)
    if kind in CARRIERS:
        return layouts.load_carried(folder)
    if original is not None:
        return layouts.load_original(original)
    if kind is not None:
        return _adapted(str(folder))
    return load_vqvae(folder)


def _load_repo(repo: str, fetch: bool) -> Codec:
    """A hub repository; its weights are fetched only after its configuration has said that they can be read."""
    from solfa.codecs.weights import layouts
    from solfa.foreign.carried import CARRIERS, model_type

    try:
        folder = hub.configuration(repo).parent if fetch else hub.cached(repo)
        if folder is None:
            raise ValueError("it is not in the cache of the hub")
        if (kind := model_type(folder)) not in (*layouts.FAMILIES, *CARRIERS):
            return _adapted(repo, fetch)
        load = layouts.load_carried if kind in CARRIERS else layouts.load_transformers
        return load(hub.fetch(repo))
    except ValueError as error:
        raise ValueError(f"{repo} is no folder or file here, and as a hub repository: {error}") from error


def _adapted(name: str, fetch: bool = False) -> Codec:
    """A codec of transformers that is not of our own families."""
    from solfa.codecs.adapter import load_adapter

    return load_adapter(name, fetch=fetch)


def _shipped(found: Shipped) -> CodecEntry:
    config = found.document["config"]
    hop = config["frames"]["hop"] if config["frames"] else math.prod(config["seanet"]["ratios"])
    quantizer = config["quantizer"]
    return CodecEntry(
        config["name"],
        found.folder,
        config["sample_rate"],
        config["channels"],
        quantizer["codebooks"],
        quantizer["codebook_size"],
        config["sample_rate"] / hop,
        LICENCE,
        "in the package",
        found.document["sha256"],
        found.document["metadata"],
    )


def _known_elsewhere(entry: Released | Adapted, folder: Path | None) -> CodecEntry:
    return CodecEntry(
        entry.name,
        folder,
        entry.sample_rate,
        entry.channels,
        entry.codebooks,
        entry.codebook_size,
        entry.sample_rate / entry.hop,
        entry.licence,
        entry.how,
    )


def _size(path: Path | None) -> int | None:
    """Bytes of the weights in a folder, or of a file."""
    if path is None or not path.exists():
        return None
    files = hub.weight_files(path) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) or None
