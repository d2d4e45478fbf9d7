"""A language model to train: new, or one that is there already, with adapters or without."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from solfa.codecs.codec import Codec
from solfa.codecs.fits import check_fits
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE
from solfa.codecs.weights.layouts import of_transformers
from solfa.foreign.carried import CodecInside
from solfa.lm.conditioners.beat import Beat, BeatConfig
from solfa.lm.conditioners.summary import Summary
from solfa.lm.lora import LoRAConfig, add_lora, load_adapter
from solfa.lm.model import LMConfig, TokenLM
from solfa.lm.registry import find_lm, load_lm
from solfa.lm.weights.layouts import codec_inside
from solfa.train.code_lm import code_vectors


@dataclass(frozen=True)
class LMStart:
    """The model, its codec, and how its channels are coded: `apart` is one after the other, by a mono codec."""

    model: TokenLM
    codec: Codec

    @property
    def apart(self) -> bool:
        return self.model.config.channels == 2 and self.codec.channels == 1

    @property
    def codebooks(self) -> int:
        """Of one channel."""
        return self.model.config.codebooks // (2 if self.apart else 1)


def start_lm(
    shape: LMConfig | None,
    init: str | None,
    codec: str | None,
    frames: int,
    init_codec: bool,
    lora: LoRAConfig,
    adapter: str | None,
    beat: BeatConfig | None = None,
    summary: bool = False,
) -> LMStart:
    """The model that `LMTaskConfig` describes, its `crop_frames` the longest that it was trained on: `frames`, or what one that goes on
    had, if that is more. A pattern in stages knows one length only, the last.

    Raises ValueError where neither shape nor init is there, or the codec does not fit. Warns of a model that writes more at once than it
    goes on to be trained on.
    """
    if init is None and shape is None:
        raise ValueError("init is none: name a checkpoint to go on from, or a shape (model) to begin anew")
    if init is None and (lora.rank or adapter):
        raise ValueError("lora without init: adapters need a model that has learned; name one with --task.init")
    model = TokenLM(shape) if init is None and shape is not None else load_lm(str(init))
    _give(model, not (lora.rank or adapter), beat, summary)
    model.config = config = _trained_on(model.config, frames, new=init is None)
    found = _codec(codec, init, config.codec)
    check_fits(found, config, config.channels)
    if init is None:
        model.config = replace(config, weights_hash=found.weights_hash)  # the codes are this codec's, and no other's
    if init is None and init_codec:
        if not isinstance(found, VQVAE):
            raise ValueError(f"init_codec: {config.codec} shows no code vectors; set it to false")
        model.start_from(code_vectors(found, LMStart(model, found).codebooks))
    if adapter is not None:
        load_adapter(model, Path(adapter))
    elif lora.rank:
        add_lora(model, lora)
    else:
        model.requires_grad_(True)
    return LMStart(model.train(), found)


def _trained_on(config: LMConfig, frames: int, new: bool) -> LMConfig:
    """The configuration with its `crop_frames` for crops of `frames` from now on."""
    if not new and config.pattern.causal and frames < config.crop_frames:
        warnings.warn(
            f"frames is {frames}: {config.name} writes {config.crop_frames} at once, and is trained on the first {frames} of them only",
            stacklevel=5,
        )
        return config
    return replace(config, crop_frames=frames)


def _give(model: TokenLM, trained: bool, beat: BeatConfig | None, summary: bool) -> None:
    """The model with what it is told from now on: beats, and what its text says on the whole.

    Raises ValueError where it is told beats in another way, or where a new layer, which begins at zero, would stay there.
    """
    config, width = model.config, model.config.transformer.width
    if beat is not None and config.beat not in (None, beat):
        raise ValueError(f"beat is {beat}: {config.name} has {config.beat} already; leave it out")
    new: dict[str, nn.Module] = {}
    if beat is not None and config.beat is None:
        new["beat"], config = Beat(beat, width), replace(config, beat=beat)
    if summary and not config.summary:
        new["summary"], config = Summary(width), replace(config, summary=True)
    for name, layer in new.items():
        if not trained:
            raise ValueError(
                f"{name} with adapters: they leave what is new as it is, and it begins at zero; train all weights"
            )
        setattr(model, name, layer)
    model.config = config


def inside(init: str | None) -> CodecInside | None:
    """The codec that the folder of a MusicGen in transformers' layout carries."""
    found = None if init is None else codec_inside(find_lm(init))
    return found if isinstance(found, CodecInside) else None


def _codec(place: str | None, init: str | None, name: str) -> Codec:
    """From where the user says, from the model's own folder, or by its name."""
    carried = None if place is not None or init is None else codec_inside(find_lm(init))
    if isinstance(carried, CodecInside):
        return of_transformers(carried.document, carried.tensors, carried.where)
    return load_codec(carried or place or name)
