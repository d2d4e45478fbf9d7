"""Transcribers by name: those that ship with the package, and folders. Listing them loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from solfa.shipped import LICENCE, Shipped, list_shipped, resolve

if TYPE_CHECKING:
    from solfa.transcription.model import TokenTranscriber

DEFAULT = "solfa-notes"
KIND = "transcriber"


@dataclass(frozen=True)
class TranscriberEntry:
    """A transcriber that `load_transcriber` knows by name."""

    name: str
    folder: Path  # where its weights are
    codec: str
    sample_rate: int  # Hz
    frame_rate: float  # Hz
    codebooks: int  # that it reads
    source: str  # codes, latents, trunk or sound
    events: bool  # whether it writes events, beside the frame outputs
    licence: str  # of the weights
    bytes: int  # of the weights


def list_transcribers() -> list[TranscriberEntry]:
    """The transcribers that have a name here."""
    return [*map(_shipped, list_shipped(KIND))]


def knows(name: str | Path) -> bool:
    """Whether `load_transcriber` would take this for a transcriber, by name or by what its folder says."""
    return _folder(name) is not None


def find_transcriber(name: str | Path = DEFAULT) -> Path:
    """The folder of the transcriber of that name, or the folder of that path. Raises ValueError where there is none, with the names."""
    folder = _folder(name)
    if folder is not None:
        return folder
    if Path(name).is_dir():
        raise ValueError(f"{name}: {_instead(Path(name))}")
    names = ", ".join(entry.name for entry in list_transcribers()) or "none yet"
    raise ValueError(f"no transcriber named {str(name)!r}: the names are {names}; or give a folder of weights")


def load_transcriber(name: str | Path = DEFAULT, device: str = "cpu") -> TokenTranscriber:
    """The transcriber of that name or folder, in float32, ready to hear. Raises ValueError where there is none or it is damaged, and for a
    device that is not there; "auto" is cuda where there is one."""
    from solfa.nn.devices import in_float32, pick_device
    from solfa.transcription.model import load_transcriber_model

    place = str(pick_device(device))
    folder = find_transcriber(name)
    with in_float32():
        return load_transcriber_model(folder, place)


def _folder(name: str | Path) -> Path | None:
    """A shipped transcriber's folder, or one that says that it is a transcriber's."""
    shipped = resolve(name, None)
    folder = shipped if isinstance(shipped, Path) else Path(name)
    return folder if _says_so(folder) else None


def _instead(folder: Path) -> str:
    """What a folder that is no transcriber's is. Raises CheckpointError for a broken checkpoint, saying what is wrong with it."""
    from solfa.checkpoint import read_config

    if (folder / "config.json").is_file():
        return f"holds no transcriber but a {read_config(folder)['kind']}"
    return f"this folder holds no transcriber (a config.json of kind {KIND!r} and model.safetensors)"


def _says_so(folder: Path) -> bool:
    from solfa.checkpoint import CheckpointError, read_config

    if not (folder / "config.json").is_file():
        return False
    try:
        return read_config(folder)["kind"] == KIND
    except CheckpointError:
        return False


def _shipped(found: Shipped) -> TranscriberEntry:
    config = found.document["config"]
    return TranscriberEntry(
        found.name,
        found.folder,
        config["codec"],
        config["sample_rate"],
        config["frame_rate"],
        config["codebooks"],
        config["source"],
        config["decoder_layers"] > 0,
        LICENCE,
        found.bytes,
    )
