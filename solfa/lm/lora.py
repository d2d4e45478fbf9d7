"""Low-rank adapters (Hu et al., 2021, arXiv 2106.09685): a frozen model learns in a few million weights, W + (alpha / r) B A.

Our attention layers hold queries, keys and values in one matrix; each of them gets a pair A, B of its own, so that an adapter is what peft
makes of the same model in transformers, and is kept in peft's format: `adapter_config.json` and `adapter_model.safetensors`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.checkpoint import read_json
from solfa.files import write_whole
from solfa.lm.adapters import check_merged
from solfa.lm.model import TokenLM

CONFIG_NAME, WEIGHTS_NAME = "adapter_config.json", "adapter_model.safetensors"
TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")  # as transformers calls them, in both attentions
# Our linear layers of a block, and what transformers calls their rows, part by part.
PARTS: dict[str, tuple[str, ...]] = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.out_proj",),
    "cross_q": ("encoder_attn.q_proj",),
    "cross_kv": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_out": ("encoder_attn.out_proj",),
    "up": ("fc1",),
    "down": ("fc2",),
}
PREFIX = "base_model.model.decoder.model.decoder.layers"  # of MusicgenForConditionalGeneration, in peft's names
_KEY = re.compile(r"(?:^|\.)layers\.(\d+)\.((?:(?:self|encoder)_attn\.)?\w+)\.lora_([AB])(?:\.default)?\.weight")
_PLAIN = {"bias": "none", "use_dora": False, "fan_in_fan_out": False, "rank_pattern": {}, "alpha_pattern": {}}


@dataclass(frozen=True)
class LoRAConfig:
    """rank: r, 0 is no adapter. alpha: the adapter is scaled by alpha / r. dropout: of what it hears. targets: of transformers' names."""

    rank: int = 0
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = TARGETS

    def __post_init__(self) -> None:
        if not 0 <= self.rank <= 4096:
            raise ValueError(f"rank is {self.rank}: it must lie between 0 (no adapter) and 4096")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"alpha is {self.alpha}: it must be above 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: it must lie in [0, 1)")
        wrong = sorted(set(self.targets) - set(TARGETS))
        if wrong or not self.targets:
            raise ValueError(f"targets is {self.targets}: one or more of {', '.join(TARGETS)}")


class LoRALinear(nn.Linear):
    """A frozen linear layer with adapters on some of its parts, which are equal shares of its rows."""

    def __init__(
        self, linear: nn.Linear, count: int, adapted: tuple[int, ...], rank: int, scale: float, dropout: float
    ) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.count, self.adapted, self.scale, self.dropout = count, adapted, scale, dropout
        self.requires_grad_(False)
        parts, device = len(adapted), linear.weight.device
        self.lora_a = nn.Parameter(torch.empty(parts, rank, linear.in_features, device=device))
        self.lora_b = nn.Parameter(torch.zeros(parts, linear.out_features // count, rank, device=device))
        bound = linear.in_features**-0.5
        nn.init.uniform_(self.lora_a, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        heard = F.dropout(x, self.dropout) if self.dropout and self.training else x
        low = F.linear(heard, self.lora_a.flatten(0, 1)) * self.scale  # [..., parts * r]
        return F.linear(x, self.weight, self.bias) + F.linear(low, self._upward())

    def _upward(self) -> Tensor:
        """B of all parts as one matrix [rows, parts * r]: zeros where a row hears another part's A, or none."""
        parts, size, rank = self.lora_b.shape
        if self.count == 1:
            return self.lora_b[0]
        upward = self.lora_b.new_zeros(self.count, size, parts, rank)
        upward[list(self.adapted), :, list(range(parts))] = self.lora_b
        return upward.flatten(2).flatten(0, 1)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer that gives the same."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        weight, size = self.weight.detach().clone(), self.out_features // self.count
        for part, a, b in zip(self.adapted, self.lora_a, self.lora_b, strict=True):
            weight[part * size : (part + 1) * size] += (self.scale * (b @ a)).to(weight.dtype)
        linear.weight, linear.bias = nn.Parameter(weight), self.bias
        return linear


def add_lora(model: TokenLM, config: LoRAConfig) -> None:
    """Freeze the model and give its decoder's blocks adapters, which change nothing until they are trained.

    Raises ValueError for rank 0, and for a model that has adapters: `merged` puts them into its weights.
    """
    if not config.rank:
        raise ValueError("rank is 0: an adapter has a rank of at least 1")
    check_merged(model)
    model.requires_grad_(False)
    for _, name, block in _layers(model):
        adapted = tuple(i for i, part in enumerate(PARTS[name]) if part.rpartition(".")[2] in config.targets)
        if adapted:
            _adapt(block, name, adapted, config.rank, config.alpha / config.rank, config.dropout)


def merged(model: TokenLM) -> TokenLM:
    """The model with its adapters in its weights: a copy that knows them by their hash, or the model itself where it has none."""
    pairs = _pairs_of(model)
    if not pairs:
        return model
    whole = copy.deepcopy(model)
    whole.adapters = (*model.adapters, _hash(pairs))
    for _, name, block in _layers(whole):
        layer = getattr(block, name)
        if isinstance(layer, LoRALinear):
            setattr(block, name, layer.merged())
    return whole


def save_adapter(model: TokenLM, folder: str | Path, base: str | None = None) -> None:
    """Write the adapters in peft's format. base: the model that they belong to, as peft names it.

    Raises ValueError where there are none, or layers differ in rank or scale, of which the format has one for all.
    """
    from safetensors.torch import save

    found = [layer for layer in model.modules() if isinstance(layer, LoRALinear)]
    if not found:
        raise ValueError(f"{model.config.name} has no adapters")
    kinds = sorted({(layer.lora_a.shape[1], layer.scale) for layer in found})
    if len(kinds) > 1:
        raise ValueError(f"{model.config.name} has adapters of several ranks and scales, {kinds}: one is needed")
    pairs = _pairs_of(model)
    tensors = {
        f"{PREFIX}.{index}.{part}.lora_{letter}.weight": tensor.detach().cpu().clone()
        for (index, part), pair in pairs.items()
        for letter, tensor in pair.items()
    }
    ((rank, scale),) = kinds
    document = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": scale * rank,
        "lora_dropout": found[0].dropout,
        "target_modules": sorted({part.rpartition(".")[2] for _, part in pairs}),
        "init_lora_weights": True,
        **_PLAIN,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS_NAME, save(tensors, metadata={"format": "pt"}))
    write_whole(folder / CONFIG_NAME, json.dumps(document, indent=2) + "\n")


def load_adapter(model: TokenLM, folder: str | Path) -> None:
    """Give a model the adapters in a folder, ours or peft's of the same model in transformers; then it may be trained on, or `merged`.

    Raises ValueError where the folder holds no such adapter, it needs what is not known here (DoRA, biases, ranks of layers by themselves),
    its tensors do not fit the model, or the model has it already, in its weights or beside them.
    """
    from solfa.foreign.files import read_safetensors

    folder = Path(folder)
    if not (folder / CONFIG_NAME).is_file() or not (folder / WEIGHTS_NAME).is_file():
        raise ValueError(f"{folder}: no adapter; {CONFIG_NAME} and {WEIGHTS_NAME} are needed")
    rank, scale, dropout = _settings(read_json(folder / CONFIG_NAME), folder)
    pairs = _pairs(read_safetensors(folder / WEIGHTS_NAME), rank, folder)
    if _hash(pairs) in model.adapters:
        raise ValueError(
            f"{folder}: {model.config.name} has this adapter in its weights already: leave it out, or name the model without it"
        )
    places = {(index, part): (name, block) for index, name, block in _layers(model) for part in PARTS[name]}
    unknown = [f"layers.{index}.{part}" for index, part in pairs if (index, part) not in places]
    if unknown:
        raise ValueError(f"{folder}: {model.config.name} has no {unknown[0]} ({len(unknown)} such layers)")
    model.requires_grad_(False)
    for index, name, block in list(_layers(model)):
        mine = {i: pairs[index, part] for i, part in enumerate(PARTS[name]) if (index, part) in pairs}
        if mine:
            _fill(block, name, mine, scale, dropout, f"{folder}: layers.{index}.{name}")


def _settings(document: Any, folder: Path) -> tuple[int, float, float]:
    """Rank, scale and dropout."""
    if not isinstance(document, Mapping) or document.get("peft_type") != "LORA":
        raise ValueError(f"{folder / CONFIG_NAME}: not a LoRA adapter of peft")
    for name, plain in _PLAIN.items():
        if document.get(name) not in (plain, None, False):
            raise ValueError(f"{folder / CONFIG_NAME}: {name} is {document[name]!r}, only {plain!r} can be read")
    rank, alpha, dropout = document.get("r"), document.get("lora_alpha"), document.get("lora_dropout", 0.0)
    numbers = (rank, alpha, dropout)
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
        raise ValueError(f"{folder / CONFIG_NAME}: r, lora_alpha and lora_dropout are {numbers}: numbers are needed")
    LoRAConfig(cast(int, rank), cast(float, alpha), cast(float, dropout))
    if not rank:
        raise ValueError(f"{folder / CONFIG_NAME}: r is {rank}")
    scale = alpha / (math.sqrt(rank) if document.get("use_rslora") else rank)  # type: ignore[operator, arg-type]
    return cast(int, rank), scale, float(dropout)  # type: ignore[arg-type]


def _pairs(tensors: Mapping[str, Tensor], rank: int, folder: Path) -> dict[tuple[int, str], dict[str, Tensor]]:
    """(layer, transformers' name of a part) to its tensors A [r, in] and B [out, r]."""
    pairs: dict[tuple[int, str], dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.search(key)
        if match is None or not match.end() == len(key):
            raise ValueError(f"{folder}: {key}: no adapter of a decoder's layer")
        pairs.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor
    for (index, part), pair in pairs.items():
        for name, axis in (("A", 0), ("B", 1)):
            matrix = pair.get(name)
            if matrix is not None and (matrix.ndim != 2 or matrix.shape[axis] != rank):
                raise ValueError(f"{folder}: layers.{index}.{part}: {name} is {list(matrix.shape)}, but r is {rank}")
            if matrix is not None and not bool(matrix.isfinite().all()):
                raise ValueError(f"{folder}: layers.{index}.{part}: {name} holds NaN or infinity")
    lone = [key for key, pair in pairs.items() if len(pair) != 2]
    if lone:
        raise ValueError(f"{folder}: layers.{lone[0][0]}.{lone[0][1]} has one of A and B only")
    return pairs


def _pairs_of(model: TokenLM) -> dict[tuple[int, str], dict[str, Tensor]]:
    """The adapters of a model, as `_pairs` has those of a file."""
    pairs: dict[tuple[int, str], dict[str, Tensor]] = {}
    for index, name, block in _layers(model):
        layer = getattr(block, name)
        if isinstance(layer, LoRALinear):
            for part, a, b in zip(layer.adapted, layer.lora_a, layer.lora_b, strict=True):
                pairs[index, PARTS[name][part]] = {"A": a, "B": b}
    return pairs


def _hash(pairs: Mapping[tuple[int, str], Mapping[str, Tensor]]) -> str:
    """Of the places and numbers of adapters, in whatever order and precision they are kept."""
    digest = hashlib.sha256()
    for place in sorted(pairs):
        digest.update(repr(place).encode())
        for letter in "AB":
            digest.update(pairs[place][letter].detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _fill(
    block: nn.Module, name: str, mine: dict[int, dict[str, Tensor]], scale: float, dropout: float, where: str
) -> None:
    rank = next(iter(mine.values()))["A"].shape[0]
    if isinstance(getattr(block, name), LoRALinear):
        raise ValueError(f"{where} has an adapter already")
    layer = _adapt(block, name, tuple(mine), rank, scale, dropout)
    with torch.no_grad():
        for i, pair in enumerate(mine.values()):
            for ours, theirs in ((layer.lora_a[i], pair["A"]), (layer.lora_b[i], pair["B"])):
                if ours.shape != theirs.shape:
                    raise ValueError(f"{where}: {list(theirs.shape)} where {list(ours.shape)} is needed")
                ours.copy_(theirs)


def _adapt(
    block: nn.Module, name: str, adapted: tuple[int, ...], rank: int, scale: float, dropout: float
) -> LoRALinear:
    layer = LoRALinear(getattr(block, name), len(PARTS[name]), adapted, rank, scale, dropout)
    setattr(block, name, layer)
    return layer


def _layers(model: TokenLM) -> Iterator[tuple[int, str, nn.Module]]:
    """Every linear layer of the decoder's blocks: the block's number, its name there, the block."""
    for index, block in enumerate(model.transformer.blocks):
        for name in PARTS:
            if hasattr(block, name):
                yield index, name, block
