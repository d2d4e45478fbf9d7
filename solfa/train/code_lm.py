"""The task of the code LM: guess a codec's codes from those before them, so that token files need fewer bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa.codecs.entropy.code_lm import CodeLM
from solfa.codecs.entropy.integer_lm import IntegerLM, share_table
from solfa.codecs.entropy.lm_checkpoint import save_lm
from solfa.codecs.entropy.lm_config import CodeLMConfig
from solfa.codecs.registry import load_codec
from solfa.codecs.token_file import TokenFile, TokenHeader
from solfa.codecs.vqvae import VQVAE
from solfa.data.folders import files_in
from solfa.tokenize_audio.store.place import is_store
from solfa.train.data_identity import HEARD, DataIdentity, of_codes
from solfa.train.store_source import StoredCodes, StoredItem, stored_items
from solfa.train.task import Loss, Origin

ABSENT = -100  # a code that is not there, in a crop that is longer than its recording


@dataclass(frozen=True)
class CodeLMTaskConfig:
    """What a code LM is trained on, and its shape.

    train, valid: token files, folders of them (searched through) or token stores, all of one codec. Without `valid`, every `hold_out`-th
        recording of `train` is held out. Of a store in `train` the split "train" is used, or what is of none; of one in `valid` what is
        held out.
    batch: crops a step over all shards. frames: length of a crop.
    init: the codec, by name or folder, whose code vectors the embeddings and the last layers begin with; None begins at random.
    widths, dilations, inner, hidden: see `CodeLMConfig`.
    """

    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    hold_out: int = 20
    batch: int = 8
    frames: int = 256
    seed: int = 0
    init: str | None = None
    valid_items: int = 24  # recordings, each up to its first `valid_frames`
    valid_frames: int = 1024
    widths: tuple[int, ...] = (128, 64, 64, 64)
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    inner: int = 128
    hidden: int = 192

    def __post_init__(self) -> None:
        for name in ("batch", "frames", "valid_items", "valid_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.hold_out < 2:
            raise ValueError(f"hold_out is {self.hold_out}: it must be at least 2, or nothing is left to train on")

    def build(self) -> CodeLMTask:
        return CodeLMTask(self)


class CodeLMTask:
    """Trains a `CodeLM` by the mean cross-entropy of all codes, with its numbers rounded as they are when it codes."""

    name = "code_lm"

    def __init__(self, config: CodeLMTaskConfig) -> None:
        self.config = config
        found = token_files(config.train)
        held_out = token_files(config.valid, True) if config.valid else found[config.hold_out // 2 :: config.hold_out]
        left_out = set(held_out)
        kept = [each for each in found if each not in left_out]
        if not kept or not held_out:
            raise ValueError(
                f"{len(found)} recordings in {', '.join(config.train)}: too few to train and to validate on; name others as valid, or have "
                f"hold_out (every so many-th, now {config.hold_out}) hold out more"
            )
        self.header, trained = read_codes(kept)
        self.places, self.codes = [place for place, _ in trained], [codes for _, codes in trained]
        header, validated = read_codes(held_out[: config.valid_items])
        self.valid = [codes for _, codes in validated]
        if _identity(header) != _identity(self.header):
            raise ValueError(f"valid has codes of {_identity(header)}, train of {_identity(self.header)}")
        self._shares = np.cumsum([codes.shape[1] for codes in self.codes]) / sum(c.shape[1] for c in self.codes)
        name, weights_hash, codebooks, size = _identity(self.header)
        self.model = CodeLM(
            CodeLMConfig(
                name, weights_hash, codebooks, size, config.widths, config.dilations, config.inner, config.hidden
            )
        )
        if config.init is not None:
            codec = load_codec(config.init)
            if (codec.weights_hash, codec.codebook_size) != (weights_hash, size):
                raise ValueError(
                    f"init {config.init}: the token files are of {name} ({weights_hash[:12]}), this is another codec"
                )
            if not isinstance(codec, VQVAE) or codec.codebooks < codebooks:
                raise ValueError(f"init {config.init}: it has no {codebooks} codebooks to begin with")
            self.model.start_from(code_vectors(codec, codebooks))

    def identity(self) -> DataIdentity:
        return of_codes((each.shape[1] for each in self.codes), [each[:, :HEARD] for each in self.valid])

    def phases(self) -> dict[str, nn.Module]:
        return {"lm": self.model}

    def batch(self, step: int, rank: int, world: int) -> Tensor:
        """Crops [B, K, T]; what is not there is ABSENT."""
        c = self.config
        rows = range(rank * c.batch // world, (rank + 1) * c.batch // world)
        crops = np.full((len(rows), self.header.codebooks, c.frames), ABSENT, np.int64)
        for crop, row in zip(crops, rows, strict=True):
            index, start = self._place(step, row)
            piece = self.codes[index][:, start : start + c.frames]
            crop[:, : piece.shape[1]] = piece
        return torch.from_numpy(crops)

    def origins(self, step: int, rank: int, world: int) -> list[Origin]:
        batch, rate = self.config.batch, self.header.frame_rate
        rows = range(rank * batch // world, (rank + 1) * batch // world)
        places = ((row, *self._place(step, row)) for row in rows)
        return [Origin(row, _name(self.places[index]), start / rate) for row, index, start in places]

    def _place(self, step: int, row: int) -> tuple[int, int]:
        """A recording and a frame of it where a crop begins."""
        rng = np.random.default_rng([self.config.seed, step, row])
        index = min(int(np.searchsorted(self._shares, rng.random(), side="right")), len(self.codes) - 1)
        return index, int(rng.integers(0, max(1, self.codes[index].shape[1] - self.config.frames + 1)))

    def loss(self, phase: str, batch: Tensor, step: int) -> Loss:
        bits = self._bits(self.model, batch)  # [K]
        total = bits.mean()
        return Loss(total * math.log(2), {"bits": total.detach(), "bits_first": bits[0].detach()})

    def evaluate(self, model: nn.Module, step: int, folder: Path) -> dict[str, float]:
        """Bits a code on the held-out recordings, by codebook and in all, and what share of packed codes they save."""
        assert isinstance(model, CodeLM)
        total, frames = torch.zeros(self.header.codebooks), 0
        for codes in self.valid:
            piece = torch.from_numpy(codes[:, : self.config.valid_frames].astype(np.int64))[None]
            total += self._bits(model, piece.to(next(model.parameters()).device)).cpu() * piece.shape[2]
            frames += piece.shape[2]
        bits = total / frames
        values = {f"bits_{k}": float(value) for k, value in enumerate(bits)}
        return values | {"bits": float(bits.mean()), "saving": 1 - float(bits.mean()) / self.header.bits}

    def export(self, model: nn.Module, folder: Path) -> None:
        """Write the integer model, which `solfa encode --lm` takes."""
        assert isinstance(model, CodeLM)
        tensors = {name: tensor.cpu().numpy() for name, tensor in model.integers().items()}
        lm = IntegerLM(model.config, tensors | {"shares": share_table()}, self.name)
        hours = sum(codes.shape[1] for codes in self.codes) / self.header.frame_rate / 3600
        save_lm(folder, lm, {"hours_of_codes": round(hours, 2), "recordings": len(self.codes)})

    def _bits(self, model: nn.Module, codes: Tensor) -> Tensor:
        """Mean bits of the codes of each codebook: [K]."""
        logits = model(codes.clamp(min=0))
        nats = [
            F.cross_entropy(row.float().flatten(0, 1), codes[:, k].flatten(), ignore_index=ABSENT)
            for k, row in enumerate(logits)
        ]
        return torch.stack(nats) / math.log(2)


def token_files(places: tuple[str, ...], held_out: bool = False) -> list[Path | StoredItem]:
    """Token files, those named and those in folders (searched through) in order of their names, and items of stores.

    held_out: of stores what is held out, or all of one that marks nothing so; else what is not. ValueError where nothing is found.
    """
    found: list[Path | StoredItem] = []
    for place in places:
        if is_store(place):
            found += stored_items(place, held_out)
        elif not Path(place).exists():
            raise ValueError(f"{place}: no such file or folder")
        else:
            found += files_in(Path(place), (".solfa",)) if Path(place).is_dir() else [Path(place)]
    if not found:
        raise ValueError(
            f"no token files in {', '.join(places)}: name .solfa files, folders that hold some, or token stores"
        )
    return list(dict.fromkeys(found))


def read_codes(
    places: Sequence[Path | StoredItem],
) -> tuple[TokenHeader, list[tuple[Path | StoredItem, np.ndarray | StoredCodes]]]:
    """The header of the first, and each that is not empty with its codes [K, T], those of stores not read yet. ValueError where they are
    not of one codec."""
    first: TokenHeader | None = None
    codes: list[tuple[Path | StoredItem, np.ndarray | StoredCodes]] = []
    for place in places:
        header, found = (place.header(), place.codes()) if isinstance(place, StoredItem) else _read_file(place)
        first = first or header
        if _identity(header) != _identity(first):
            raise ValueError(
                f"{_name(place)} has codes of {_identity(header)}, {_name(places[0])} of {_identity(first)}"
            )
        if found.shape[1]:
            codes.append((place, found))
    assert first is not None  # whoever asks has found some
    return first, codes


def _read_file(path: Path) -> tuple[TokenHeader, np.ndarray]:
    with TokenFile(path) as file:
        if file.header.segment_samples:
            raise ValueError(f"{path}: its segments are coded each by itself; give recordings of a codec without them")
        return file.header, file.read().astype(np.uint16)


def _name(place: Path | StoredItem) -> str:
    return place.name() if isinstance(place, StoredItem) else str(place)


def code_vectors(codec: VQVAE, codebooks: int) -> list[Tensor]:
    """What each code of each codebook adds to the latents, less the mean over the codebook: [N, D]."""
    size, step = codec.codebook_size, codec.quantizer.step
    vectors = []
    with torch.no_grad():
        for k in range(codebooks):
            tokens = torch.zeros(1, -(-(k + 1) // step) * step, size, dtype=torch.int64)
            tokens[0, k] = torch.arange(size)
            latents = codec.quantizer.decode(tokens)[0].T
            vectors.append(latents - latents.mean(0))
    return vectors


def _identity(header: TokenHeader) -> tuple[str, str, int, int]:
    return header.codec, header.weights_hash, header.codebooks, header.codebook_size
