"""The codec that a MusicGen of transformers carries: its part of the folder's configuration and weights.

Language models and codecs do not know each other, and both read such folders; what a codec is made of its parts is `codecs`' to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from solfa.checkpoint import read_json
from solfa.foreign import hub
from solfa.foreign.files import read_weights

MUSICGEN, MELODY = "musicgen", "musicgen_melody"  # model_type of transformers
CARRIERS = (MUSICGEN, MELODY)
_CODEC = "audio_encoder."


@dataclass(frozen=True)
class CodecInside:
    """The codec that a folder of transformers carries: its configuration and tensors, under the names of transformers' EncodecModel."""

    document: dict[str, Any]
    tensors: dict[str, Tensor]
    where: str


def model_type(folder: Path) -> str | None:
    """What the config.json of a folder says that it is; None where there is none, or it says nothing."""
    path = folder / hub.CONFIG
    document = read_json(path) if path.is_file() else None
    kind = document.get("model_type") if isinstance(document, dict) else None
    return kind if isinstance(kind, str) else None


def carried_codec(folder: Path) -> CodecInside | None:
    """The codec in a folder whose model_type is one of CARRIERS; None where it was left out."""
    document = read_json(folder / hub.CONFIG).get("audio_encoder")
    found = read_weights(hub.weight_files(folder), lambda name: name.startswith(_CODEC))
    if not isinstance(document, dict) or not found:
        return None
    tensors = {name.removeprefix(_CODEC): tensor for name, tensor in found.items()}
    return CodecInside({"model_type": "encodec"} | document, tensors, str(folder))
