"""CLAP (Wu et al., 2023, arXiv 2211.06687) from transformers: vectors of texts and of sounds, in a space that both share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.checkpoint import read_json
from solfa.foreign import hub
from solfa.foreign.files import read_weights

if TYPE_CHECKING:
    from transformers import ClapFeatureExtractor, ClapModel

BROKEN = "laion/larger_clap_music"  # as published, its vectors of any two texts are all but the same
_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "preprocessor_config.json")
_COUNTED = ".position_ids"  # 0, 1, 2 ...: in some files, in others not


def refuse_broken(name: str) -> None:
    """Raises ValueError for a CLAP that is published but cannot be used, naming others."""
    if name == BROKEN:
        raise ValueError(
            f"{BROKEN}: its text embeddings are all alike; laion/larger_clap_general or laion/clap-htsat-unfused"
        )


class FrozenClap:
    """A CLAP, loaded when it is first needed: from a folder, the hub's cache or the hub. Its vectors have length 1.

    Raises ValueError for one that is known to be broken, and when it is loaded where it is not there or damaged.
    """

    def __init__(self, name: str) -> None:
        refuse_broken(name)
        self.name = name
        self._loaded: tuple[ClapModel, Any, ClapFeatureExtractor] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenClap:
        return self

    @property
    def sample_rate(self) -> int:
        """Hz of the sound that it hears: 48 kHz in the released ones."""
        return int(self._load()[2].sampling_rate)

    @torch.no_grad()
    def of_text(self, text: str) -> Tensor:
        """The vector [width] of a text. Raises ValueError for one longer than CLAP reads."""
        model, tokenizer, _ = self._load()
        ids = tokenizer(text, return_tensors="pt")
        # RoBERTa counts its positions from the padding's id on.
        shape: Any = model.config.text_config
        most = shape.max_position_embeddings - shape.pad_token_id - 1
        if ids.input_ids.shape[1] > most:
            raise ValueError(f"a text of {ids.input_ids.shape[1]} tokens: {self.name} reads at most {most}")
        return model.get_text_features(**ids).pooler_output[0]

    @torch.no_grad()
    def windows(self, samples: Tensor) -> Tensor:
        """The vectors [W, width] of the ten-second windows of samples [S] at `sample_rate`; a last one of under a second is left out."""
        model, _, extract = self._load()
        rate = extract.sampling_rate
        pieces = samples.split(int(extract.nb_max_samples))
        # A rest of under a second says little, repeated to ten even less.
        kept = [piece for piece in pieces if len(piece) >= rate] or list(pieces[:1])
        features = [extract(piece.numpy(), sampling_rate=rate, return_tensors="pt") for piece in kept]
        return torch.cat([model.get_audio_features(**piece).pooler_output for piece in features])

    def of_sound(self, samples: Tensor) -> Tensor:
        """The vector [width] of a whole sound: the mean of its windows."""
        return F.normalize(self.windows(samples).mean(0), dim=0)

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
