"""A frozen T5 encoder and its tokenizer (Raffel et al., 2020, arXiv 1910.10683; Flan-T5: Chung et al., 2022, arXiv 2210.11416).

It stands outside the model that listens to it: not trained, not among its parameters, shared by copies of the model, and loaded when the
first text is read: from a folder (of a T5, or of a MusicGen as transformers saves it, which carries one), or by name from the hub's
cache or the hub. Each text is encoded alone, in float32, so what it gives does not depend on its neighbours, and is kept for the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from solfa.checkpoint import fitted, read_json
from solfa.foreign import hub
from solfa.foreign.fields import Fields
from solfa.foreign.files import read_weights
from solfa.lm.conditioners.cache import EmbeddingCache
from solfa.nn.unmade import unmade

if TYPE_CHECKING:
    from transformers import T5EncoderModel, T5Tokenizer

TOKENIZER_FILES = ("tokenizer.json", "spiece.model")  # the first that is there is read
TOKENIZER_CONFIG = "tokenizer_config.json"
WIDTHS = {  # of the encoders that have a short name
    "t5-small": 512,
    "t5-base": 768,
    "t5-large": 1024,
    "t5-3b": 1024,
    "t5-11b": 1024,
    "flan-t5-small": 512,
    "flan-t5-base": 768,
    "flan-t5-large": 1024,
    "flan-t5-xl": 2048,
    "flan-t5-xxl": 4096,
}
_NUMBERS = {  # of T5's configuration: its default, the most that is read
    "vocab_size": (32_128, 1 << 20),
    "d_model": (512, 1 << 16),
    "d_kv": (64, 1 << 12),
    "d_ff": (2048, 1 << 18),
    "num_layers": (6, 256),
    "num_heads": (8, 1024),
    "relative_attention_num_buckets": (32, 1 << 12),
    "relative_attention_max_distance": (128, 1 << 16),
}
_FEEDS = {"relu": "relu", "gated-gelu": "gated-gelu"}


def repository(name: str) -> str:
    """The hub's repository of a short name; another name is one itself."""
    if name not in WIDTHS:
        return name
    return f"google/{name}" if name.startswith("flan") else f"google-t5/{name}"


class FrozenT5:
    """An encoder of texts. name: short, a hub repository, or a folder. folder: where it lies, if that is known; else the name says."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.name, self.folder = name, folder
        self.cache = EmbeddingCache()
        self._loaded: tuple[T5EncoderModel, T5Tokenizer] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenT5:
        return self

    @property
    def encoder(self) -> T5EncoderModel:
        return self._load()[0]

    @property
    def tokenizer(self) -> T5Tokenizer:
        return self._load()[1]

    def tokens(self, text: str) -> list[int]:
        """The ids of a text, the end of it among them."""
        return self.tokenizer(text).input_ids

    def embed(self, ids: tuple[int, ...], device: torch.device) -> Tensor:
        """What the encoder makes of a text's ids: [L, width], on that device; kept."""
        return self.cache.get((ids, device), lambda: self._encode(ids, device))

    @torch.no_grad()
    def _encode(self, ids: tuple[int, ...], device: torch.device) -> Tensor:
        encoder: Any = self.encoder
        encoder.to(device)
        with torch.autocast(device.type, enabled=False):
            return encoder(input_ids=torch.tensor([ids], device=device)).last_hidden_state[0]

    def save(self, folder: Path) -> None:
        """Write encoder and tokenizer as transformers does, in a folder that `FrozenT5` reads."""
        self.encoder.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _load(self) -> tuple[T5EncoderModel, T5Tokenizer]:
        if self._loaded is None:
            try:
                folder = self.folder or find_t5(self.name)
                self._loaded = load_encoder(folder), load_tokenizer(folder, self.name)
            except ValueError as error:
                raise ValueError(f"the text encoder {self.name}: {error}") from error
        return self._loaded


def find_t5(name: str) -> Path:
    """The folder of a T5 on this machine, fetched from the hub if need be. Raises ValueError that says what to do."""
    if Path(name).is_dir():
        return Path(name)
    repo = repository(name)
    if not hub.is_repo(repo):
        raise ValueError(f"no such folder, and none of {', '.join(WIDTHS)} or a hub repository")
    found = next((place for known in dict.fromkeys((name, repo)) if (place := hub.cached(known)) is not None), None)
    try:
        return found or hub.fetch(repo)
    except ValueError as error:
        raise ValueError(f"its weights are not on this machine, and {error}: hf download {repo}") from error


def load_encoder(folder: Path) -> T5EncoderModel:
    """The encoder in a folder of transformers, of a T5 or of a MusicGen. Raises ValueError where anything does not fit."""
    document, prefix, where = read_json(folder / hub.CONFIG), "", str(folder / hub.CONFIG)
    if isinstance(document, dict) and str(document.get("model_type", "")).startswith("musicgen"):
        document, prefix = document.get("text_encoder"), "text_encoder."
    wanted = (f"{prefix}shared.", f"{prefix}encoder.")
    tensors = read_weights(hub.weight_files(folder), lambda name: name.startswith(wanted))
    return build_encoder(document, {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}, where)


def build_encoder(document: Any, tensors: Mapping[str, Tensor], where: str) -> T5EncoderModel:
    """The encoder of a configuration of transformers (its text_encoder, in MusicGen's), with these weights, frozen."""
    from transformers import T5Config, T5EncoderModel

    fields = Fields(document, where)
    if fields.text("model_type", "t5") != "t5":
        raise ValueError(f"{where}: the text encoder is {fields.text('model_type', 't5')!r}, only 't5' can be read")
    shape: dict[str, Any] = {name: fields.number(name, *bounds) for name, bounds in _NUMBERS.items()}
    shape["feed_forward_proj"] = fields.choice("feed_forward_proj", "relu", _FEEDS)
    shape["layer_norm_epsilon"] = fields.real("layer_norm_epsilon", 1e-6, 1.0)
    with unmade():
        encoder = T5EncoderModel(T5Config(**shape, dropout_rate=0.0))
    tensors = dict(tensors)
    tied = tensors.pop("encoder.embed_tokens.weight", None)
    tensors.setdefault("shared.weight", tied if tied is not None else torch.empty(0))
    ready = fitted(dict(encoder.named_parameters()), tensors, f"{where}: of the text encoder")
    encoder.load_state_dict(ready, strict=False, assign=True)
    encoder.set_input_embeddings(encoder.shared)
    return encoder.requires_grad_(False).eval()


def load_tokenizer(folder: Path, name: str) -> T5Tokenizer:
    """The tokenizer in a folder; where that has none (weights alone were in the cache), that of the name."""
    from transformers import T5Tokenizer

    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        folder = _fetch_tokenizer(name)
    try:
        return T5Tokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library has no errors of its own
        raise ValueError(f"{folder}: no readable tokenizer: {' '.join(str(error).split())[:200]}") from error


def _fetch_tokenizer(name: str) -> Path:
    repo = repository(name)
    if hub.is_repo(repo):
        for file in TOKENIZER_FILES:
            path = hub.obtain_file(repo, file)
            if path is not None:
                hub.obtain_file(repo, TOKENIZER_CONFIG)
                return path.parent
    raise ValueError(f"there is no tokenizer ({' or '.join(TOKENIZER_FILES)}) beside its weights or at {repo}")
