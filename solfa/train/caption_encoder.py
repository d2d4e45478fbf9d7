"""The task of a caption encoder: tell from a caption what the piece is, so that a language model finds words that it can use.

An encoder that begins at random beside a language model is not heard for long: what was written so far says nearly all that a caption
says, in all but the first second, and the model learns to do without (LOG.md has figures). Some minutes of reading captions first, their
pieces' attributes told from the mean of the memory, give it words that mean something from the first step on. The T5 of released models
was trained on text for the same reason.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from solfa import checkpoint
from solfa.lm.conditioners.text import ByteText, ByteTextConfig
from solfa.lm.registry import load_lm
from solfa.tokenize_audio.store.place import is_store
from solfa.train.attributes import UNKNOWN, AttributeGuesses, classes_of
from solfa.train.captions import CaptionConfig, Said, draw_caption
from solfa.train.recordings import TRAINED, find_recordings, validated_on
from solfa.train.store_source import recordings_in
from solfa.train.task import Loss

KIND = "caption-encoder"
TRIES = 8  # for a caption that is not too long


@dataclass(frozen=True)
class CaptionEncoderConfig:
    """What the encoder is trained on. text: its shape. width: that of the language model. train, valid: places as `LMTaskConfig` has them.

    batch: captions a step over all shards. captions: how they are drawn. longest: bytes of a caption; longer ones are drawn anew, for
    speed, since work grows with the square of the longest in a batch.
    init: an encoder of this shape to go on from, see `load_caption_encoder`.
    """

    text: ByteTextConfig
    width: int = 256
    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    batch: int = 64
    seed: int = 0
    captions: CaptionConfig = CaptionConfig()  # noqa: RUF009  (frozen)
    longest: int = 120
    init: str | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "width", "longest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")

    def build(self) -> CaptionEncoderTask:
        return CaptionEncoderTask(self)


class CaptionReader(nn.Module):
    """The encoder, and guesses from the mean of its memory."""

    def __init__(self, text: ByteText, guesses: AttributeGuesses) -> None:
        super().__init__()
        self.text, self.guesses = text, guesses

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The mean of the memory: [B, D]."""
        there = mask[..., None].float()
        return (self.text(ids, mask).values * there).sum(1) / there.sum(1).clamp_min(1)


@dataclass(frozen=True)
class CaptionBatch:
    """Captions as the encoder's tokens, and the class of each attribute [B, attributes]."""

    ids: Tensor
    mask: Tensor
    classes: Tensor


class CaptionEncoderTask:
    """Trains a `ByteText` by the cross-entropy of all attributes; what a caption does not say cannot be told, and costs what it costs."""

    name = "caption_encoder"

    def __init__(self, config: CaptionEncoderConfig) -> None:
        self.config = config
        self.said, self.valid = _said(config.train, False), _said(config.valid, True) or _said(config.valid, False)
        classes = classes_of(self.said)
        if not classes:
            raise ValueError(
                f"no attributes (key, bpm, genre, instrument ...) are told of the recordings in {list(config.train)}"
            )
        guesses = AttributeGuesses(config.width, classes)
        self.model = CaptionReader(ByteText(config.text, config.width), guesses)
        if config.init is not None:
            load_caption_encoder(config.init, self.model.text, config.width)
        self.classes = guesses.targets(self.said)

    def phases(self) -> dict[str, nn.Module]:
        return {"text": self.model}

    def batch(self, step: int, rank: int, world: int) -> CaptionBatch:
        c, drawn = self.config, []
        for row in range(rank * c.batch // world, (rank + 1) * c.batch // world):
            drawn.append(self._drawn(np.random.default_rng([c.seed, step, row])))
        ids, mask = self.model.text.tokenize([text for _, text in drawn])
        return CaptionBatch(ids, mask, self.classes[[index for index, _ in drawn]])

    def _drawn(self, rng: np.random.Generator) -> tuple[int, str | None]:
        """A recording and a caption of it."""
        for _ in range(TRIES):
            index = int(rng.integers(len(self.said)))
            text = draw_caption(self.said[index], self.config.captions, rng)
            if len((text or "").encode()) <= self.config.longest:
                break
        return index, text

    def loss(self, phase: str, batch: CaptionBatch, step: int) -> Loss:
        mean = self.model(batch.ids, batch.mask)
        total, logs = self.model.guesses.loss(mean[:, None], batch.classes)
        return Loss(total, {**logs})

    def evaluate(self, model: nn.Module, step: int, folder: Path) -> dict[str, float]:
        """How often each attribute is told right from the last caption of held-out recordings."""
        assert isinstance(model, CaptionReader)
        if not self.valid:
            return {}
        device = next(model.parameters()).device
        ids, mask = model.text.tokenize([said.texts[-1] if said.texts else None for said in self.valid])
        guessed = model.guesses(model(ids.to(device), mask.to(device)))
        right = {}
        for (name, logits), target in zip(guessed.items(), model.guesses.targets(self.valid).unbind(1), strict=True):
            known = target != UNKNOWN
            if bool(known.any()):
                right[f"right_{name}"] = float((logits.argmax(-1).cpu() == target)[known].float().mean())
        return right

    def export(self, model: nn.Module, folder: Path) -> None:
        assert isinstance(model, CaptionReader)
        tensors = {name: weight.detach().cpu() for name, weight in model.text.named_parameters()}
        checkpoint.save(folder, KIND, {"text": asdict(self.config.text), "width": self.config.width}, tensors)


def load_caption_encoder(place: str | Path, text: ByteText, width: int) -> None:
    """Put the weights of a trained caption encoder into `text`: of the model/ of a run, or a language model's, by name or folder.

    Raises ValueError where there is none, or it is of another shape.
    """
    alone = (Path(place) / checkpoint.CONFIG_NAME).is_file() and checkpoint.read_config(place)["kind"] == KIND
    shape, weights = _alone(place) if alone else _inside(place)
    wanted = {"text": asdict(text.config), "width": width}
    if shape != wanted:
        raise ValueError(f"{place} has a caption encoder of the shape {shape}: {wanted} is needed")
    with torch.no_grad():
        for name, weight in text.named_parameters():
            weight.copy_(weights[name])


def _alone(place: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Shape and weights of an encoder that lies by itself."""
    loaded = checkpoint.load(place, KIND)
    return loaded.config, loaded.tensors


def _inside(place: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Those of a language model's. Raises ValueError for a model that reads no bytes."""
    model = load_lm(str(place))
    if not isinstance(model.text, ByteText):
        raise ValueError(f"{place} has no caption encoder: {model.config.name} does not read bytes")
    shape = {"text": asdict(model.text.config), "width": model.config.transformer.width}
    return shape, dict(model.text.named_parameters())


def _said(places: tuple[str, ...], held_out: bool) -> list[Said]:
    """What is said of the recordings that are validated on, or of those that are trained on; their instruments too."""
    said: list[Said] = []
    for place in places:
        found = list((recordings_in if is_store(place) else find_recordings)(place, True))
        splits = validated_on(each.split for each in found) if held_out else TRAINED
        said += [each.said for each in found if each.split in splits and each.said]
    return said
