"""Names of MusicGen's tensors: ours, those of transformers, and AudioCraft's.

| ours                       | transformers                               | AudioCraft                                   |
|----------------------------|--------------------------------------------|----------------------------------------------|
| embedding                  | decoder.model.decoder.embed_tokens.K       | emb.K                                        |
| head.linear                | decoder.lm_heads.K                         | linears.K                                    |
| transformer.blocks.N       | decoder.model.decoder.layers.N             | transformer.layers.N                         |
| .qkv                       | .self_attn.{q,k,v}_proj                    | .self_attn.in_proj_weight                    |
| .out                       | .self_attn.out_proj                        | .self_attn.out_proj                          |
| .cross_q, .cross_kv        | .encoder_attn.q_proj, .{k,v}_proj          | .cross_attention.in_proj_weight (q, k, v)    |
| .cross_out                 | .encoder_attn.out_proj                     | .cross_attention.out_proj                    |
| .up, .down                 | .fc1, .fc2                                 | .linear1, .linear2                           |
| .norm_self                 | .self_attn_layer_norm                      | .norm1                                       |
| .norm_cross                | .encoder_attn_layer_norm                   | .norm_cross                                  |
| .norm_feed                 | .final_layer_norm                          | .norm2                                       |
| transformer.norm           | decoder.model.decoder.layer_norm           | out_norm                                     |
| text.project               | enc_to_dec_proj                            | condition_provider.conditioners.description.output_proj |
| melody.project             | audio_enc_to_dec_proj                      | condition_provider.conditioners.self_wav.output_proj    |

A tensor of ours that stands for several of theirs is their rows, one after the other. Both ways are pure and change no number. T5
(`text_encoder.*`) and the codec (`audio_encoder.*`) are no business of these functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

Names = Callable[[str, int], tuple[str, ...]]  # a name of ours, and how many codebooks, to names of theirs

_BLOCK = re.compile(r"transformer\.blocks\.(\d+)\.(\w+)\.(weight|bias)")
_TRANSFORMERS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.out_proj",),
    "cross_q": ("encoder_attn.q_proj",),
    "cross_kv": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_out": ("encoder_attn.out_proj",),
    "up": ("fc1",),
    "down": ("fc2",),
    "norm_self": ("self_attn_layer_norm",),
    "norm_cross": ("encoder_attn_layer_norm",),
    "norm_feed": ("final_layer_norm",),
}
_AUDIOCRAFT = {
    "qkv": "self_attn.in_proj_weight",
    "out": "self_attn.out_proj.weight",
    "cross_q": "cross_attention.in_proj_weight.q",  # the rows of one tensor of theirs, cut before and joined after
    "cross_kv": "cross_attention.in_proj_weight.kv",
    "cross_out": "cross_attention.out_proj.weight",
    "up": "linear1.weight",
    "down": "linear2.weight",
    "norm_self": "norm1.",
    "norm_cross": "norm_cross.",
    "norm_feed": "norm2.",
}
_CROSS = ".cross_attention.in_proj_weight"
_CONDITIONERS = "condition_provider.conditioners."
# Tables that both packages can make anew; old files hold them.
_TABLES = ("decoder.model.decoder.embed_positions.weights", f"{_CONDITIONERS}self_wav.chroma.spec.window")
FOREIGN = ("text_encoder.", "audio_encoder.")  # other models in a file of transformers


def transformers_names(name: str, codebooks: int) -> tuple[str, ...]:
    """The names in a MusicgenForConditionalGeneration (or its melody form) of a tensor of ours."""
    decoder = "decoder.model.decoder"
    block = _BLOCK.fullmatch(name)
    if block:
        return tuple(f"{decoder}.layers.{block[1]}.{part}.{block[3]}" for part in _TRANSFORMERS[block[2]])
    module, _, kind = name.rpartition(".")
    if module in ("embedding", "head.linear"):
        table = f"{decoder}.embed_tokens" if module == "embedding" else "decoder.lm_heads"
        return tuple(f"{table}.{k}.{kind}" for k in range(codebooks))
    outer = {"transformer.norm": f"{decoder}.layer_norm", "text.project": "enc_to_dec_proj"}
    return (f"{(outer | {'melody.project': 'audio_enc_to_dec_proj'})[module]}.{kind}",)


def audiocraft_names(name: str, codebooks: int) -> tuple[str, ...]:
    """The names in AudioCraft's LMModel of a tensor of ours."""
    block = _BLOCK.fullmatch(name)
    if block:
        part = _AUDIOCRAFT[block[2]]
        return (f"transformer.layers.{block[1]}.{part}{block[3] if part.endswith('.') else ''}",)
    module, _, kind = name.rpartition(".")
    if module in ("embedding", "head.linear"):
        return tuple(f"{'emb' if module == 'embedding' else 'linears'}.{k}.{kind}" for k in range(codebooks))
    outer = {"transformer.norm": "out_norm", "text.project": f"{_CONDITIONERS}description.output_proj"}
    return (f"{(outer | {'melody.project': f'{_CONDITIONERS}self_wav.output_proj'})[module]}.{kind}",)


def from_transformers(tensors: Mapping[str, Tensor], ours: Iterable[str], codebooks: int) -> dict[str, Tensor]:
    """Tensors of transformers under the names `ours`. Raises ValueError where one is missing, or one is too many."""
    rest = {name: tensor for name, tensor in tensors.items() if name not in _TABLES and not name.startswith(FOREIGN)}
    return _gather(rest, ours, transformers_names, codebooks)


def to_transformers(tensors: Mapping[str, Tensor], codebooks: int) -> dict[str, Tensor]:
    """Our tensors under the names of transformers."""
    return _scatter(tensors, transformers_names, codebooks)


def from_audiocraft(tensors: Mapping[str, Tensor], ours: Iterable[str], codebooks: int) -> dict[str, Tensor]:
    """Tensors of AudioCraft under the names `ours`. Raises ValueError where one is missing, or one is too many."""
    rest: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = name.replace("_attn.mha.", "_attn.").replace("cross_attention.mha.", "cross_attention.")  # older files
        if name.endswith(_CROSS):
            width = tensor.shape[0] // 3
            rest[f"{name}.q"], rest[f"{name}.kv"] = tensor[:width], tensor[width:]
        elif name not in _TABLES:
            rest[name] = tensor
    return _gather(rest, ours, audiocraft_names, codebooks)


def to_audiocraft(tensors: Mapping[str, Tensor], codebooks: int) -> dict[str, Tensor]:
    """Our tensors under the names of AudioCraft."""
    theirs = _scatter(tensors, audiocraft_names, codebooks)
    for name in [name for name in theirs if name.endswith(f"{_CROSS}.q")]:
        whole = name.removesuffix(".q")
        theirs[whole] = torch.cat([theirs.pop(name), theirs.pop(f"{whole}.kv")])
    return theirs


def _gather(tensors: dict[str, Tensor], ours: Iterable[str], names: Names, codebooks: int) -> dict[str, Tensor]:
    found, used = {}, set()
    for name in ours:
        theirs = names(name, codebooks)
        missing = next((part for part in theirs if part not in tensors), None)
        if missing is not None:
            raise ValueError(f"tensor {missing!r} is missing")
        parts = [tensors[part] for part in theirs]
        if len({part.shape for part in parts}) != 1 or not parts[0].ndim:
            raise ValueError(f"tensor {theirs[-1]!r} is of another shape than {theirs[0]!r}")
        found[name] = torch.cat(parts) if len(parts) > 1 else parts[0]
        used |= set(theirs)
    strange = sorted(tensors.keys() - used)
    if strange:
        raise ValueError(f"tensor {strange[0]!r} is nothing that the model has")
    return found


def _scatter(tensors: Mapping[str, Tensor], names: Names, codebooks: int) -> dict[str, Tensor]:
    theirs: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        parts = names(name, codebooks)
        theirs |= dict(zip(parts, tensor.chunk(len(parts)), strict=True))
    return theirs
