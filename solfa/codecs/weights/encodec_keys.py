"""Names of EnCodec's tensors: ours, those of transformers, and those of the original package (AudioCraft's are the same).

| ours                                             | transformers                   | original                              |
|--------------------------------------------------|--------------------------------|---------------------------------------|
| encoder.layers.N, decoder.layers.N               | the same                       | encoder.model.N, decoder.model.N      |
| .conv.                                           | the same                       | .conv.conv. or .convtr.convtr.        |
| .norm.                                           | the same                       | .conv.norm. or .convtr.norm.          |
| .parametrizations.weight.original0 and 1         | the same, or weight_g, _v      | .weight_g, .weight_v                  |
| quantizer.books.K.layer._codebook.initted        | quantizer.layers.K.codebook.inited | quantizer.vq.layers.K._codebook.inited |
| ... .cluster_size, .embed, .embed_avg            | ...                            | ...                                   |

Our codebooks have a first axis of 1, and `initted` is one bool. LSTMs are called alike everywhere. All functions take and give
state dicts and change no number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from solfa.codecs.weights.weight_norm import legacy, modern

_BOOK = "quantizer.books.{}.layer._codebook.{}"
_THEIRS = re.compile(
    r"quantizer\.(?:vq\.)?layers\.(\d+)\.(?:_codebook|codebook)\.(inited|cluster_size|embed|embed_avg)"
)
_OURS = re.compile(r"quantizer\.books\.(\d+)\.layer\._codebook\.(initted|cluster_size|embed|embed_avg)")
_WRAPPED = re.compile(r"\.(?:conv\.conv|convtr\.convtr)\.")
_WRAPPED_NORM = re.compile(r"\.(?:conv|convtr)\.norm\.")
_OUTER = re.compile(r"decoder\.layers\.(\d+)\.(?:conv|norm)\.")


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of transformers' EncodecModel under our names."""
    return _books_in(modern(tensors))


def to_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under the names of transformers."""
    return _books_out(tensors, "quantizer.layers.{}.codebook.{}")


def from_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of encodec's EncodecModel, or of AudioCraft's, under our names."""
    renamed = {}
    for name, tensor in modern(tensors).items():
        name = _WRAPPED_NORM.sub(".norm.", _WRAPPED.sub(".conv.", name))
        renamed[re.sub(r"^(encoder|decoder)\.model\.", r"\1.layers.", name)] = tensor
    return _books_in(renamed)


def to_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under the names of encodec's EncodecModel."""
    last = max((int(found[1]) for name in tensors if (found := _OUTER.match(name))), default=0)
    renamed = {}
    for name, tensor in _books_out(legacy(tensors), "quantizer.vq.layers.{}._codebook.{}").items():
        outer = _OUTER.match(name)
        # In the decoder every convolution outside a block is transposed, but for the first and the last.
        kind = "convtr" if outer and 0 < int(outer[1]) < last else "conv"
        name = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", name)
        name = name.replace(".norm.", f".{kind}.norm.").replace(".conv.", f".{kind}.{kind}.", ".norm." not in name)
        renamed[name] = tensor
    return renamed


def _books_in(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ours = {}
    for name, tensor in tensors.items():
        found = _THEIRS.fullmatch(name)
        if found is None:
            ours[name] = tensor
        elif found[2] == "inited":
            ours[_BOOK.format(found[1], "initted")] = tensor.bool().all()
        else:
            ours[_BOOK.format(found[1], found[2])] = tensor[None]
    return ours


def _books_out(tensors: Mapping[str, Tensor], pattern: str) -> dict[str, Tensor]:
    theirs = {}
    for name, tensor in tensors.items():
        found = _OURS.fullmatch(name)
        if found is None:
            theirs[name] = tensor
        elif found[2] == "initted":
            theirs[pattern.format(found[1], "inited")] = tensor.to(torch.float32).reshape(1)
        else:
            theirs[pattern.format(found[1], found[2])] = tensor[0]
    return theirs
