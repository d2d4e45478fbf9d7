"""A transcriber to train, new or one that is there already, with its codec, and what it reads of the codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from solfa.codecs.codec import Codec
from solfa.codecs.fits import check_fits
from solfa.codecs.played import played, played_width
from solfa.codecs.registry import load_codec
from solfa.codecs.vqvae import VQVAE
from solfa.lm.model import TokenLM
from solfa.lm.registry import load_lm
from solfa.lm.trunk import OWN_TRUNK, check_trunk, own_trunk, trunk_states
from solfa.train.code_lm import code_vectors
from solfa.transcription.config import TranscriberConfig
from solfa.transcription.model import TokenTranscriber
from solfa.transcription.registry import find_transcriber, load_transcriber


@dataclass(frozen=True)
class TranscriberStart:
    """The model, its codec, and the language model whose hidden states it reads, where it does.

    All weights of the codec are frozen; of the language model those that make hidden states are not, where it is trained too.
    """

    model: TokenTranscriber
    codec: Codec
    trunk: TokenLM | None = None

    def source(self, codes: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """What the model reads of codes [B, k, T], k of them or fewer: themselves, or [B, D, T]. lengths: frames that are there."""
        kind = self.model.config.source
        if kind == "codes":
            return codes
        if kind == "latents":
            assert isinstance(self.codec, VQVAE)  # checked at the start
            return self.codec.quantizer.to(codes.device).decode(codes)
        if kind == "sound":
            return played(self.codec.to(codes.device), codes, lengths)
        assert self.trunk is not None
        # No dropout where it is trained: the model hears what it will hear then.
        return trunk_states(self.trunk.to(codes.device).eval(), codes)


def start_transcriber(
    shape: TranscriberConfig | None, init: str | None, codec: str | None, init_codec: bool, tune_trunk: bool = False
) -> TranscriberStart:
    """The model that `TranscriberTaskConfig` describes. Raises ValueError without shape and init, or where they or the codec do not fit."""
    if init is None and shape is None:
        raise ValueError("init is none: name a transcriber to go on from, or a shape (model) to begin anew")
    model = load_transcriber(init) if init is not None else None
    config = model.config if model is not None else shape
    assert config is not None
    found = load_codec(codec or config.codec)
    check_fits(found, config)
    _check_source(config, found)
    if model is not None and shape is not None:
        model = _extended(model, shape)
    if model is None:
        model = TokenTranscriber(replace(config, codec=found.name, weights_hash=found.weights_hash))
        if init_codec and config.source == "codes":
            if not isinstance(found, VQVAE):
                raise ValueError(f"init_codec: {found.name} shows no code vectors; set it to false")
            model.start_from(code_vectors(found, config.codebooks))
    trunk = _trunk(config, init, tune_trunk)
    if tune_trunk:
        model.config = replace(model.config, trunk=OWN_TRUNK)
    return TranscriberStart(model.train(), found.requires_grad_(False), trunk)


def _trunk(config: TranscriberConfig, init: str | None, tuned: bool) -> TokenLM | None:
    """The language model that a model hears; `tuned`: with gradients for what makes its hidden states. ValueError where it does not fit."""
    if config.source != "trunk":
        if tuned:
            raise ValueError(f"tune_trunk: {config.name} hears {config.source}, no language model's hidden states")
        return None
    own = None if init is None else own_trunk(config.trunk, find_transcriber(init))
    trunk = load_lm(own or config.trunk)
    check_trunk(trunk, config)
    trunk.requires_grad_(False).eval()
    if tuned:
        trunk.embedding.requires_grad_(True)
        trunk.transformer.requires_grad_(True)
    return trunk


def _extended(model: TokenTranscriber, shape: TranscriberConfig) -> TokenTranscriber:
    """A model of that shape that begins with all weights of the given one; the rest, a decoder say, is new."""
    old = model.config
    new = TokenTranscriber(replace(shape, codec=old.codec, weights_hash=old.weights_hash))
    ours, theirs = dict(new.named_parameters()), dict(model.named_parameters())
    if wrong := [name for name in theirs if name not in ours or ours[name].shape != theirs[name].shape]:
        raise ValueError(
            f"init and model do not fit: {len(wrong)} tensors of {old.name} are missing or of another shape in {shape.name}, "
            f"{wrong[0]} the first; leave model out to take the shape of {old.name}"
        )
    new.load_state_dict({**new.state_dict(), **{name: weight.detach() for name, weight in theirs.items()}})
    return new


def _check_source(config: TranscriberConfig, codec: Codec) -> None:
    """ValueError where the model reads latents that the codec does not have, or sound of another width."""
    if config.source == "sound" and config.source_width != played_width(codec.sample_rate):
        raise ValueError(
            f"source_width is {config.source_width}: the sound of {codec.name} is {played_width(codec.sample_rate)} wide"
        )
    if config.source == "latents":
        if not isinstance(codec, VQVAE):
            raise ValueError(f"source is latents: {codec.name} shows none; set it to codes")
        if codec.config.latent_dim != config.source_width:
            raise ValueError(
                f"source_width is {config.source_width}: the latents of {codec.name} are {codec.config.latent_dim} wide"
            )
