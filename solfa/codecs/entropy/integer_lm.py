"""The code LM in whole numbers: what it gives is the same on any machine, however many threads there are.

Products of 8-bit integers are summed in float32, whose matrix products are fast everywhere. `IntegerLM` refuses weights with which a
partial sum could reach 2^24: all of them are then exact, and a sum has the same bits in whatever order it is taken. What is not a
matrix product is exact by itself, or a table that comes with the weights: nothing depends on a machine's exponential.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache

import numpy as np

from solfa.codecs.entropy.lm_config import (
    ACTIVATION_BITS,
    EMBEDDING_BITS,
    EXPONENTS,
    LOGIT_BITS,
    STREAM,
    STREAM_BITS,
    WEIGHT,
    CodeLMConfig,
)

_SHARE_BITS = 18  # of the likeliest code's share
# Below it float32 holds whole numbers, and those to which half a step of rounding was added.
_EXACT = (1 << 24) - (1 << EXPONENTS[1])


def share_table() -> np.ndarray:
    """The share of a code whose logit is i steps below the highest: 2^18 exp(-i / 2^LOGIT_BITS), down to 1; int32."""
    steps = math.ceil(_SHARE_BITS * math.log(2) * 2**LOGIT_BITS)
    return np.array([max(1, round(math.exp(-i / 2**LOGIT_BITS) * 2**_SHARE_BITS)) for i in range(steps + 1)], np.int32)


class IntegerLM:
    """Tensors of a code LM, checked.

    tensors: what `CodeLM.integers` gives, and "shares", a table such as `share_table`'s. name: for messages.
    Raises ValueError where they do not fit the configuration, or sums might not be exact.
    """

    def __init__(self, config: CodeLMConfig, tensors: Mapping[str, np.ndarray], name: str = "code LM") -> None:
        self.config, self.name, self.tensors = config, name, dict(tensors)
        _check(config, tensors, name)
        self.first = lru_cache(maxsize=2)(self._first)

    def check_codec(self, codec: str, weights_hash: str, codebooks: int, codebook_size: int) -> None:
        """Raises ValueError unless the model knows codes of this codec."""
        config = self.config
        if (codec, weights_hash, codebook_size) != (config.codec, config.weights_hash, config.codebook_size):
            raise ValueError(
                f"{self.name} is a language model of codes of {config.codec} ({config.weights_hash[:12]}), {config.codebook_size} a "
                f"codebook: these are of {codec} ({weights_hash[:12]}), {codebook_size} a codebook"
            )
        if codebooks > config.codebooks:
            raise ValueError(f"{self.name} knows {config.codebooks} codebooks of {config.codec}: there are {codebooks}")

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that its shares depend on, in hex: shape and tensors."""
        digest = hashlib.sha256(repr(sorted(asdict(self.config).items())).encode())
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor).tobytes())
        return digest.hexdigest()

    def _first(self, codebooks: int) -> LMNetwork:
        """The network for the first codebooks: no more of the weights than they need."""
        return LMNetwork(self.config, self.tensors, codebooks)


@dataclass(frozen=True)
class LMState:
    """What the layers remember of the frames before: for each, activations [R, dilation, C], oldest first."""

    pasts: tuple[np.ndarray, ...]


class LMNetwork:
    """Shares of the codes of the first `codebooks` codebooks, given the codes before them; R rows (blocks) at a time."""

    def __init__(self, config: CodeLMConfig, tensors: Mapping[str, np.ndarray], codebooks: int) -> None:
        self.config, self.codebooks = config, codebooks
        self.channels = heard = config.heard(codebooks - 1)
        both = np.concatenate([np.arange(heard), config.channels + np.arange(heard)])
        books, groups = range(codebooks), range(min(codebooks, len(config.widths)))
        self._past = [tensors[f"past.{g}"][:, :heard].astype(np.float32) for g in groups]
        self._lower = [tensors[f"lower.{k}"].astype(np.float32) for k in range(codebooks - 1)]
        self._taps = [
            _Layer.of(tensors, f"blocks.{i}.taps", ACTIVATION_BITS, heard, both) for i in range(len(config.dilations))
        ]
        self._outs = [
            _Layer.of(tensors, f"blocks.{i}.out", STREAM_BITS, heard, both[:heard])
            for i in range(len(config.dilations))
        ]
        self._hidden = [_Layer.of(tensors, f"hidden.{k}", ACTIVATION_BITS) for k in books]
        self._logits = [_Layer.of(tensors, f"logits.{k}", LOGIT_BITS) for k in books]
        self._shares = tensors["shares"].astype(np.float64)

    def start(self, rows: int) -> LMState:
        """The state before the first frame."""
        return LMState(tuple(np.zeros((rows, d, self.channels), np.float32) for d in self.config.dilations))

    def hear(self, before: np.ndarray, state: LMState) -> tuple[np.ndarray, LMState]:
        """What is known of the past at each of F frames, [R, F, C], and the state after them.

        before: the codes [R, K, F] of the frames that are one earlier; N stands before the first frame.
        """
        rows, _, frames = before.shape
        stream = np.zeros((rows, frames, self.channels), np.float32)
        for table, codes in zip(self._past, before.swapaxes(0, 1), strict=False):
            stream += table[codes]
        stream *= np.float32(1 << STREAM_BITS - EMBEDDING_BITS)
        pasts = []
        for past, taps, out in zip(state.pasts, self._taps, self._outs, strict=True):
            now = _activation(stream, STREAM_BITS)
            known = np.concatenate([past, now], 1)
            pasts.append(known[:, frames:])
            hidden = np.clip(taps(np.concatenate([now, known[:, :frames]], 2)), 0, WEIGHT)
            stream = np.clip(stream + out(hidden), -STREAM, STREAM)
        return _activation(stream, STREAM_BITS), LMState(tuple(pasts))

    def shares(self, codebook: int, heard: np.ndarray, lower: np.ndarray | None) -> np.ndarray:
        """The share of each code of a codebook, 1 to 2^18, whole numbers as float64 [..., N].

        heard: what `hear` gives, [..., C]. lower: the sum of `tell` over the frame's codebooks below, [..., inner]; None if there are none.
        """
        heard = heard[..., : self.config.heard(codebook)]
        if lower is not None:
            heard = np.concatenate([heard, _activation(lower, EMBEDDING_BITS)], -1)
        logits = self._logits[codebook](np.clip(self._hidden[codebook](heard), 0, WEIGHT))
        below = np.minimum(logits.max(-1, keepdims=True) - logits, len(self._shares) - 1)
        return self._shares.take(below.astype(np.int32))

    def tell(self, codebook: int, codes: np.ndarray) -> np.ndarray:
        """What the codes [...] of this codebook tell those above it in their frame: [..., inner]."""
        return self._lower[codebook][codes]


@dataclass(frozen=True)
class _Layer:
    """A linear layer that takes activations; its outputs are rounded to whole steps."""

    weight: np.ndarray  # [in, out]
    bias: np.ndarray  # [out]
    scale: np.ndarray  # [out], powers of two

    @staticmethod
    def of(
        tensors: Mapping[str, np.ndarray],
        name: str,
        bits: int,
        outputs: int | None = None,
        inputs: np.ndarray | None = None,
    ) -> _Layer:
        """Its first outputs, of some inputs only, in steps of 2^-bits."""
        weight = tensors[f"{name}.weight"][:outputs]
        weight = weight if inputs is None else weight[:, inputs]
        exponent = tensors[f"{name}.exponent"][:outputs].astype(np.int32)
        return _Layer(
            np.ascontiguousarray(weight.T.astype(np.float32)),
            tensors[f"{name}.bias"][:outputs].astype(np.float32),
            np.ldexp(np.float32(1), bits - ACTIVATION_BITS - exponent).astype(np.float32),
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[..., in] to [..., out]."""
        y = x.reshape(-1, x.shape[-1]) @ self.weight
        y += self.bias
        y *= self.scale
        y += np.float32(0.5)
        return np.floor(y, out=y).reshape(*x.shape[:-1], -1)


def _activation(x: np.ndarray, bits: int) -> np.ndarray:
    """x, in steps of 2^-bits, as activations."""
    y = x * np.float32(2.0 ** (ACTIVATION_BITS - bits)) + np.float32(0.5)
    return np.clip(np.floor(y, out=y), -WEIGHT, WEIGHT, out=y)


def _check(config: CodeLMConfig, tensors: Mapping[str, np.ndarray], name: str) -> None:
    expected = tensor_shapes(config)
    if wrong := sorted(tensors.keys() ^ expected.keys()):
        raise ValueError(f"{name}: tensors are missing or unknown: {', '.join(wrong[:3])}")
    for key, (shape, kind) in expected.items():
        found = tensors[key]
        if found.dtype != kind or found.shape != tuple(n or found.size for n in shape):
            raise ValueError(f"{name}: {key} is {found.dtype} {list(found.shape)}: it must be {kind} {list(shape)}")
        if (found[unheard(config, key, found.shape)] != 0).any():
            raise ValueError(f"{name}: {key} lets a codebook hear those above it")
    shares = tensors["shares"]
    if not (1 <= len(shares) <= 1 << 16 and shares.min() >= 1 and shares.max() <= 1 << _SHARE_BITS):
        raise ValueError(f"{name}: shares must be 1 to 65536 numbers from 1 to {1 << _SHARE_BITS}")
    for key in (key for key in expected if key.endswith(".weight")):
        layer = key.removesuffix(".weight")
        exponent = tensors[f"{layer}.exponent"]
        if exponent.min() < EXPONENTS[0] or exponent.max() > EXPONENTS[1]:
            raise ValueError(f"{name}: {layer}.exponent must lie between {EXPONENTS[0]} and {EXPONENTS[1]}")
        largest = WEIGHT * np.abs(tensors[key].astype(np.int64)).sum(1) + np.abs(
            tensors[f"{layer}.bias"].astype(np.int64)
        )
        if largest.max() >= _EXACT:
            raise ValueError(
                f"{name}: sums of {layer} can reach {largest.max()}, which float32 may round: below {_EXACT} is needed"
            )


def tensor_shapes(config: CodeLMConfig) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of each tensor; 0 stands for any length."""
    books, size, channels = config.codebooks, config.codebook_size, config.channels
    layers: dict[str, tuple[int, int]] = {}
    for i in range(len(config.dilations)):
        layers[f"blocks.{i}.taps"] = channels, 2 * channels
        layers[f"blocks.{i}.out"] = channels, channels
    for k in range(books):
        layers[f"hidden.{k}"] = config.hidden, config.heard(k) + (config.inner if k else 0)
        layers[f"logits.{k}"] = size, config.hidden
    shapes: dict[str, tuple[tuple[int, ...], str]] = {"shares": ((0,), "int32")}
    shapes |= {f"past.{g}": ((size + 1, channels), "int8") for g in range(len(config.widths))}
    shapes |= {f"lower.{k}": ((size, config.inner), "int8") for k in range(books - 1)}
    for layer, (outputs, inputs) in layers.items():
        shapes |= {
            f"{layer}.weight": ((outputs, inputs), "int8"),
            f"{layer}.exponent": ((outputs,), "int8"),
            f"{layer}.bias": ((outputs,), "int32"),
        }
    return shapes


def unheard(config: CodeLMConfig, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Where a tensor must be 0, as a group hears the past of its own codebook and of those below only; bool, of that shape."""
    groups = np.repeat(np.arange(len(config.widths)), config.widths)  # [C]
    kind, _, rest = name.partition(".")
    if kind == "past":
        return np.broadcast_to(groups < int(rest), shape)
    if name.startswith("blocks.") and name.endswith(".weight"):
        return np.resize(groups, shape[1]) > groups[:, None]
    return np.zeros(shape, bool)
