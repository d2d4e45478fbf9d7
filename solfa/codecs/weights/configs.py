"""Our configuration of an EnCodec or a DAC, from the one that is stored with its weights.

A field that is absent has the default of the package that wrote the file; one that our stack does not know how to follow is a
ValueError that names it. What concerns training only is our preset's.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import yaml

from solfa.codecs.dac import dac_44khz
from solfa.codecs.encodec import encodec_24khz
from solfa.codecs.segments import SegmentConfig
from solfa.codecs.vqvae import VQVAEConfig
from solfa.codecs.weights import released
from solfa.foreign.fields import MAX_WIDTH, Fields, resolved
from solfa.nn.seanet import SEANetConfig

_NORMS = {"weight_norm": "weight_norm", "time_group_norm": "time_group_norm"}
_PADS = {"reflect": "reflect", "constant": "zero"}


def encodec_of_transformers(document: Any, where: str) -> VQVAEConfig:
    """Of the config.json of an EncodecModel."""
    fields = Fields(document, where)
    fields.only("trim_right_ratio", 1.0)
    rate, channels = fields.number("sampling_rate", 24_000, 768_000), fields.number("audio_channels", 1, 8)
    dimension, size = fields.number("hidden_size", 128), fields.number("codebook_size", 1024, 1 << 20)
    fields.only("codebook_dim", dimension)
    seanet = SEANetConfig(
        channels=channels,
        dimension=dimension,
        n_filters=fields.number("num_filters", 32),
        ratios=fields.strides("upsampling_ratios", (8, 5, 4, 2)),
        kernel_size=fields.number("kernel_size", 7),
        last_kernel_size=fields.number("last_kernel_size", 7),
        residual_kernel_size=fields.number("residual_kernel_size", 3),
        n_residual_layers=fields.number("num_residual_layers", 1, 64, least=0),
        dilation_base=fields.number("dilation_growth_rate", 2, 64),
        compress=fields.number("compress", 2),
        true_skip=not fields.flag("use_conv_shortcut", True),
        lstm_layers=fields.number("num_lstm_layers", 2, 64, least=0),
        norm=fields.choice("norm_type", "weight_norm", _NORMS),
        causal=fields.flag("use_causal_conv", True),
        pad_mode=fields.choice("pad_mode", "reflect", _PADS),
    )
    highest = max(fields.reals("target_bandwidths", (1.5, 3.0, 6.0, 12.0, 24.0)))
    books = int(1000 * highest // (math.ceil(rate / seanet.hop) * (size - 1).bit_length()))
    if not 1 <= books <= 1024:
        raise ValueError(
            f"{where}: target_bandwidths end at {highest} kbit/s, which is {books} codebooks: 1 to 1024 can be read"
        )
    return _encodec(where, rate, seanet, books, size, _segment(fields, rate))


def encodec_of_audiocraft(text: Any, where: str) -> VQVAEConfig:
    """Of the `xp.cfg` of an AudioCraft compression model, YAML that may refer to its own fields."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, AttributeError, RecursionError) as error:
        raise ValueError(f"{where} is not YAML") from error
    top = Fields(resolved(document) if isinstance(document, dict) else document, where)
    top.only("compression_model", "encodec")
    model, stack, quantizer = top.inner("encodec"), top.inner("seanet"), top.inner("rvq")
    for fields, name, value in (
        (model, "autoencoder", "seanet"),
        (model, "quantizer", "rvq"),
        (model, "renormalize", False),
        (stack, "activation", "ELU"),
        (stack, "activation_params", {"alpha": 1.0}),
        (stack, "norm_params", {}),
        (stack, "disable_norm_outer_blocks", 0),
        (stack.inner("decoder"), "trim_right_ratio", 1.0),
        (stack.inner("decoder"), "final_activation", None),
    ):
        fields.only(name, value)
    stack.inner("encoder").known()
    stack.inner("decoder").known("trim_right_ratio", "final_activation", "final_activation_params")
    rate, channels = model.number("sample_rate", 32_000, 768_000), model.number("channels", 1, 8)
    seanet = SEANetConfig(
        channels=channels,
        dimension=stack.number("dimension", 128),
        n_filters=stack.number("n_filters", 32),
        ratios=stack.strides("ratios", (8, 5, 4, 2)),
        kernel_size=stack.number("kernel_size", 7),
        last_kernel_size=stack.number("last_kernel_size", 7),
        residual_kernel_size=stack.number("residual_kernel_size", 3),
        n_residual_layers=stack.number("n_residual_layers", 1, 64, least=0),
        dilation_base=stack.number("dilation_base", 2, 64),
        compress=stack.number("compress", 2),
        true_skip=stack.flag("true_skip", True),
        lstm_layers=stack.number("lstm", 2, 64, least=0),
        norm=stack.choice("norm", "weight_norm", _NORMS),
        causal=stack.flag("causal", False),
        pad_mode=stack.choice("pad_mode", "constant", _PADS),
    )
    books, size = quantizer.number("n_q", 8, 1024), quantizer.number("bins", 1024, 1 << 20)
    return _encodec(where, rate, seanet, books, size, None)


def dac_of_transformers(document: Any, where: str) -> VQVAEConfig:
    """Of the config.json of a DacModel."""
    fields = Fields(document, where)
    rate, down = fields.number("sampling_rate", 16_000, 768_000), fields.strides("downsampling_ratios", (2, 4, 8, 8))
    up = fields.strides("upsampling_ratios", down[::-1])
    return _dac(fields, where, rate, down, up, ("encoder_hidden_size", "decoder_hidden_size", "hidden_size"))


def dac_of_original(kwargs: Any, where: str) -> VQVAEConfig:
    """Of the arguments that a file of the `dac` package keeps of its model."""
    fields = Fields(kwargs, where)
    rate, down = fields.number("sample_rate", 44_100, 768_000), fields.strides("encoder_rates", (2, 4, 8, 8))
    up = fields.strides("decoder_rates", (8, 8, 4, 2))
    return _dac(fields, where, rate, down, up, ("encoder_dim", "decoder_dim", "latent_dim"))


def _encodec(
    where: str, rate: int, seanet: SEANetConfig, books: int, size: int, segment: SegmentConfig | None
) -> VQVAEConfig:
    _check_width(where, seanet)
    base = encodec_24khz()
    config = replace(
        base,
        sample_rate=rate,
        channels=seanet.channels,
        latent_dim=seanet.dimension,
        seanet=seanet,
        quantizer=replace(base.quantizer, codebooks=books, codebook_size=size),
        segment=segment,
    )
    return _named(config)


def _segment(fields: Fields, rate: int) -> SegmentConfig | None:
    normalize = fields.flag("normalize", False)
    seconds, overlap = fields.real("chunk_length_s", 0.0, 60.0), fields.real("overlap", 0.0, 0.99)
    samples = int(seconds * rate)
    if not samples:
        # The loudness of a whole sound is not known before its end.
        fields.only("normalize", False)
        return None
    return SegmentConfig(samples, max(1, int((1 - overlap) * samples)), normalize)


def _dac(
    fields: Fields, where: str, rate: int, down: tuple[int, ...], up: tuple[int, ...], widths: tuple[str, str, str]
) -> VQVAEConfig:
    """widths: what the fields are called that say the channels of the encoder's first convolution, the decoder's, and the latents."""
    encoder, decoder = fields.number(widths[0], 64), fields.number(widths[1], 1536)
    latent_dim = fields.number(widths[2], encoder * 2 ** len(down))
    if decoder % 2 ** len(up):
        raise ValueError(f"{where}: the decoder's {decoder} channels cannot be halved {len(up)} times")
    base = dac_44khz()
    assert base.seanet is not None and base.decoder is not None
    config = replace(
        base,
        sample_rate=rate,
        latent_dim=latent_dim,
        seanet=replace(base.seanet, dimension=latent_dim, n_filters=encoder, ratios=down[::-1]),
        decoder=replace(base.decoder, dimension=latent_dim, n_filters=decoder // 2 ** len(up), ratios=up),
        quantizer=replace(
            base.quantizer,
            codebooks=fields.number("n_codebooks", 9, 1024),
            codebook_size=fields.number("codebook_size", 1024, 1 << 20),
            dim=fields.same("codebook_dim", 8),  # the original may have one for each codebook
        ),
    )
    assert config.seanet is not None and config.decoder is not None
    _check_width(where, config.seanet)
    _check_width(where, config.decoder)
    return _named(config)


def _check_width(where: str, stack: SEANetConfig) -> None:
    widest = stack.n_filters * 2 ** len(stack.ratios)
    if widest > MAX_WIDTH:
        raise ValueError(f"{where}: its widest layer has {widest} channels, at most {MAX_WIDTH} can be read")


def _named(config: VQVAEConfig) -> VQVAEConfig:
    """The released model that this is the configuration of, its name and all; else a name by its family and sample rate."""
    for entry in released.RELEASED:
        preset = entry.config()
        # How sound is resampled stands in no file: it is the preset's, as chunk is.
        if replace(config, name=preset.name, chunk=preset.chunk, resampler=preset.resampler) == preset:
            return preset
    family = "dac" if config.decoder is not None else "encodec"
    return replace(config, name=f"{family}-{config.sample_rate}hz")
