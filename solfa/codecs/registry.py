"""Codecs by name: those that ship with the package, and any checkpoint folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solfa import checkpoint
from solfa.codecs.codec import Codec
from solfa.codecs.vqvae import VQVAEConfig, load_vqvae

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
DEFAULT = "solfa-24khz"


@dataclass(frozen=True)
class CodecEntry:
    """A codec that `load_codec` knows by name."""

    name: str
    folder: Path
    sample_rate: int  # Hz
    channels: int
    codebooks: int
    codebook_size: int
    frame_rate: float  # Hz
    weights_hash: str
    metadata: dict[str, Any]


def list_codecs() -> list[CodecEntry]:
    """The codecs in the package, by name; reads their configurations only."""
    folders = sorted(p.parent for p in WEIGHTS.glob("*/config.json")) if WEIGHTS.is_dir() else []
    documents = [(folder, checkpoint.read_config(folder)) for folder in folders]
    return [_entry(folder, document) for folder, document in documents if document["kind"] == "codec"]


def load_codec(name: str | Path = DEFAULT, device: str = "cpu") -> Codec:
    """The codec of that name, or in that folder, ready to encode and decode.

    Raises ValueError where there is none, naming those that there are.
    """
    names = {entry.name: entry.folder for entry in list_codecs()}
    folder = names.get(str(name), Path(name))
    if not folder.is_dir():
        raise ValueError(
            f"no codec named {str(name)!r}: the names are {', '.join(names) or '(none)'}, or a folder that holds config.json"
        )
    return load_vqvae(folder).to(device)


def _entry(folder: Path, document: dict[str, Any]) -> CodecEntry:
    config = checkpoint.config_from_dict(VQVAEConfig, document["config"])
    return CodecEntry(
        config.name,
        folder,
        config.sample_rate,
        config.channels,
        config.quantizer.codebooks,
        config.quantizer.codebook_size,
        config.sample_rate / config.hop,
        document["sha256"],
        document["metadata"],
    )
