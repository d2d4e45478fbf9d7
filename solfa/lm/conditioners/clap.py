"""CLAP as a condition (Wu et al., 2023, arXiv 2211.06687): one vector of a text or of a sound, in a space that both share.

A model trained on the vectors of its own recordings, which need no captions, can then be told in words. The encoder is frozen and stands
outside the model, as T5 does. A sound longer than ten seconds is heard in pieces of ten, and their vectors averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.checkpoint import read_json
from solfa.foreign import hub
from solfa.foreign.files import read_weights
from solfa.lm.conditioners.cache import EmbeddingCache
from solfa.lm.conditioners.memory import null_where_empty
from solfa.lm.conditioners.sound import Sound, mono
from solfa.nn.transformer import Memory

if TYPE_CHECKING:
    from transformers import ClapFeatureExtractor, ClapModel

BROKEN = "laion/larger_clap_music"  # as published, its vectors of any two texts are all but the same
_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "preprocessor_config.json")
_COUNTED = ".position_ids"  # 0, 1, 2 ...: in some files, in others not


@dataclass(frozen=True)
class ClapConfig:
    """A released CLAP, by hub repository or folder; width of its vectors."""

    name: str = "laion/clap-htsat-unfused"
    width: int = 512

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 1 << 16:
            raise ValueError(f"width is {self.width}: it must lie between 1 and {1 << 16}")
        if self.name == BROKEN:
            raise ValueError(
                f"{BROKEN}: its text embeddings are all alike; laion/larger_clap_general or laion/clap-htsat-unfused"
            )


class Clap(nn.Module):
    """Texts or sounds to a memory [B, 1, D]: CLAP, a projection with bias, zeros where there is neither."""

    def __init__(self, config: ClapConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.frozen = FrozenClap(config.name)
        self.project = nn.Linear(config.width, width)

    def vectors(self, items: Sequence[str | Sound | None]) -> tuple[Tensor, Tensor]:
        """CLAP's vectors [B, width] and which rows have one [B]. Raises ValueError for a text longer than CLAP reads."""
        vectors, there = torch.zeros(len(items), self.config.width), torch.zeros(len(items), dtype=torch.bool)
        for row, item in enumerate(items):
            if item is None or item == "":
                continue
            vector = self.frozen.of_text(item) if isinstance(item, str) else self.frozen.of_sound(item)
            if len(vector) != self.config.width:
                raise ValueError(
                    f"{self.config.name} gives vectors of {len(vector)}, the model reads {self.config.width}"
                )
            vectors[row], there[row] = vector, True
        return vectors, there

    def forward(self, vectors: Tensor, there: Tensor) -> Memory:
        """What `vectors` gave, as a memory of one place."""
        return null_where_empty(self.project(vectors.to(self.project.weight))[:, None], there[:, None])


class FrozenClap:
    """CLAP itself, loaded when it is first needed: from a folder, the hub's cache or the hub. Its vectors have length 1."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cache = EmbeddingCache()
        self._loaded: tuple[ClapModel, Any, ClapFeatureExtractor] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenClap:
        return self

    def of_text(self, text: str) -> Tensor:
        """The vector [width] of a text, kept."""
        return self.cache.get(text, lambda: self._of_text(text))

    @torch.no_grad()
    def _of_text(self, text: str) -> Tensor:
        model, tokenizer, _ = self._load()
        ids = tokenizer(text, return_tensors="pt")
        # RoBERTa counts its positions from the padding's id on.
        shape: Any = model.config.text_config
        most = shape.max_position_embeddings - shape.pad_token_id - 1
        if ids.input_ids.shape[1] > most:
            raise ValueError(f"a text of {ids.input_ids.shape[1]} tokens: {self.name} reads at most {most}")
        return model.get_text_features(**ids).pooler_output[0]

    @torch.no_grad()
    def of_sound(self, sound: Sound) -> Tensor:
        """The vector [width] of a sound."""
        model, _, extract = self._load()
        rate = extract.sampling_rate
        pieces = mono(sound, rate).split(int(extract.nb_max_samples))
        # A rest of under a second says little, repeated to ten even less.
        kept = [piece for piece in pieces if len(piece) >= rate] or list(pieces[:1])
        features = [extract(piece.numpy(), sampling_rate=rate, return_tensors="pt") for piece in kept]
        vectors = torch.cat([model.get_audio_features(**piece).pooler_output for piece in features])
        return F.normalize(vectors.mean(0), dim=0)

    def _load(self) -> tuple[ClapModel, Any, ClapFeatureExtractor]:
        if self._loaded is None:
            try:
                self._loaded = load_clap(find_clap(self.name))
            except ValueError as error:
                raise ValueError(f"CLAP, {self.name}: {error}") from error
        return self._loaded


def find_clap(name: str) -> Path:
    """The folder of a CLAP on this machine, fetched from the hub if need be. Raises ValueError that says what to do."""
    if Path(name).is_dir():
        return Path(name)
    if not hub.is_repo(name):
        raise ValueError("no such folder, and no hub repository")
    try:
        folder = hub.fetch(name)
        for file in _FILES:
            hub.obtain_file(name, file)
        return folder
    except ValueError as error:
        raise ValueError(f"not on this machine, and {error}: hf download {name}") from error


def load_clap(folder: Path) -> tuple[ClapModel, Any, ClapFeatureExtractor]:
    """Model, tokenizer and feature extractor of a folder of transformers. Raises ValueError where anything does not fit."""
    from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel

    document = read_json(folder / hub.CONFIG)
    if not isinstance(document, dict) or document.get("model_type") != "clap":
        raise ValueError(f"{folder / hub.CONFIG}: not the configuration of a CLAP")
    tensors = read_weights(hub.weight_files(folder), lambda name: not name.endswith(_COUNTED))
    try:
        model = ClapModel(ClapConfig.from_dict(document))
        counted = {name: tensor for name, tensor in model.state_dict().items() if name.endswith(_COUNTED)}
        model.load_state_dict(tensors | counted)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        extract = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # of all sorts, for a configuration of all sorts
        raise ValueError(f"{folder}: {' '.join(str(error).split())[:300]}") from error
    return model.requires_grad_(False).eval(), tokenizer, extract
