"""Our configuration of a MusicGen, from the one that is stored with its weights: config.json of transformers, xp.cfg of AudioCraft.

A field that is absent has the default of the package that wrote the file; one that our model does not know how to follow is a
ValueError that names it. What concerns training only is not looked at.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from solfa.foreign.carried import MELODY, MUSICGEN
from solfa.foreign.fields import Fields, resolved
from solfa.lm.conditioners.melody import MelodyConfig
from solfa.lm.conditioners.t5 import WIDTHS
from solfa.lm.conditioners.text import T5TextConfig
from solfa.lm.model import LMConfig
from solfa.lm.musicgen import named
from solfa.lm.patterns import PatternConfig, coarse_first, delay, grouped, parallel, stereo, unrolled
from solfa.nn.transformer import TransformerConfig

CODEC_32KHZ = "encodec-32khz"
SECONDS = 30.0  # of the crops that the released models were trained on
_SECTIONS = ("lm_model", "transformer_lm", "sample_rate", "interleave_stereo_codebooks", "fuser", "codebooks_pattern", "conditioners",
             "dataset")  # of an xp.cfg; the rest is about training  # fmt: skip
_HEAD = 64  # width of an attention head in all released models


def of_transformers(document: Any, where: str) -> LMConfig:
    """Of the config.json of a MusicgenForConditionalGeneration, or of the melody model."""
    top = Fields(document, where)
    kind = top.choice("model_type", "", {MUSICGEN: MUSICGEN, MELODY: MELODY})
    decoder, text, codec = top.inner("decoder"), top.inner("text_encoder"), top.inner("audio_encoder")
    decoder.only("activation_function", "gelu")
    decoder.only("cross_attention_hidden_size", None)
    codec.only("model_type", "encodec")
    width, size = decoder.number("hidden_size", 1024), decoder.number("vocab_size", 2048, 1 << 20)
    books, channels = decoder.number("num_codebooks", 4, 1024), decoder.number("audio_channels", 1, 2)
    if books % channels:
        raise ValueError(f"{where}: num_codebooks is {books} for {channels} channels")
    rate = codec.number("sampling_rate", 24_000, 768_000)
    hop = math.prod(codec.strides("upsampling_ratios", (8, 5, 4, 2)))
    melody = kind == MELODY
    if melody:
        top.only("num_chroma", 12)
    config = LMConfig(
        kind,
        codec=_codec(rate, hop, size),
        sample_rate=rate,
        frame_rate=rate / hop,
        transformer=TransformerConfig(
            width,
            decoder.number("num_hidden_layers", 24, 1024),
            decoder.number("num_attention_heads", 16, 1024),
            _hidden(decoder.number("ffn_dim", 4096, 1 << 18), width),
            cross=not melody,
        ),
        codebooks=books,
        codebook_size=size,
        pattern=stereo(delay(books // 2)) if channels == 2 else delay(books),
        text=_text(text),
        channels=channels,
        crop_frames=math.ceil(SECONDS * rate / hop),
        fusion="prepend" if melody else "cross",
        melody=MelodyConfig(rate, frames=top.number("chroma_length", 235, 1 << 16)) if melody else None,
    )
    return named(config)


def _text(text: Fields) -> T5TextConfig:
    """The encoder's name, where the file says it or its shape is that of a released one."""
    width = text.number("d_model", 512)
    name = text.text("_name_or_path", "").removeprefix("google-t5/").removeprefix("google/")
    if name not in WIDTHS:  # newer files do not say
        flan = text.text("feed_forward_proj", "relu") == "gated-gelu"
        alike = [known for known in WIDTHS if WIDTHS[known] == width and known.startswith("flan") is flan]
        name = alike[0] if alike else f"t5-{width}"
    return T5TextConfig(name, width)


def _hidden(hidden: int, width: int) -> int:
    """In our configuration, 0 is the usual four times the width."""
    return 0 if hidden == 4 * width else hidden


def _codec(rate: int, hop: int, size: int) -> str:
    """The name of MusicGen's codec, or one that says what it must be."""
    return CODEC_32KHZ if (rate, hop, size) == (32_000, 640, 2048) else f"encodec-{rate // 1000}khz"


def of_audiocraft(text: Any, where: str) -> LMConfig:
    """Of the `xp.cfg` of an AudioCraft language model: YAML that may refer to its own fields."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, AttributeError, RecursionError) as error:
        raise ValueError(f"{where} is not YAML") from error
    top = Fields(resolved(document, _SECTIONS) if isinstance(document, dict) else document, where)
    top.only("lm_model", "transformer_lm")
    lm = top.inner("transformer_lm")
    for name, value in (("norm_first", True), ("bias_ff", False), ("bias_attn", False), ("bias_proj", False)):
        if lm.flag(name, not value) is not value:
            raise ValueError(f"{where}: transformer_lm: {name} is {not value}, only {value} can be read")
    for name, plain in (("activation", "gelu"), ("norm", "layer_norm"), ("positional_embedding", "sin"), ("causal", True),
                        ("qk_layer_norm", False), ("qk_layer_norm_cross", False), ("kv_repeat", 1), ("layer_scale", None),
                        ("past_context", None), ("xpos", False)):  # fmt: skip
        lm.only(name, plain)
    width, books, size = lm.number("dim", 512), lm.number("n_q", 8, 1024), lm.number("card", 1024, 1 << 20)
    rate = top.number("sample_rate", 32_000, 768_000)
    two = top.inner("interleave_stereo_codebooks").flag("use", False)
    if two and books % 2:
        raise ValueError(f"{where}: transformer_lm: n_q is {books} for two channels")
    prepended, crossed = _fused(top.inner("fuser"), where)
    frame_rate = 50.0  # of every language model that AudioCraft released; its file does not say
    melody = "self_wav" in prepended
    return named(
        LMConfig(
            MUSICGEN,
            codec=_codec(rate, round(rate / frame_rate), size),
            sample_rate=rate,
            frame_rate=frame_rate,
            transformer=TransformerConfig(
                width,
                lm.number("num_layers", 8, 1024),
                lm.number("num_heads", max(1, width // _HEAD), 1024),
                _hidden(int(lm.real("hidden_scale", 4.0, 64.0) * width), width),
                cross=bool(crossed),
            ),
            codebooks=books,
            codebook_size=size,
            pattern=_pattern(top.inner("codebooks_pattern"), lm, books, where),
            text=_t5(top.inner("conditioners").inner("description"), where) if prepended or crossed else None,
            channels=2 if two else 1,
            crop_frames=math.ceil(top.inner("dataset").real("segment_duration", SECONDS, 3600.0) * frame_rate),
            fusion="prepend" if "description" in prepended else "cross",
            melody=_chroma(top, rate) if melody else None,
        )
    )


def _fused(fuser: Fields, where: str) -> tuple[set[str], set[str]]:
    """What is prepended and what is listened to."""
    fuser.only("cross_attention_pos_emb", False)
    for name in ("sum", "input_interpolate"):
        if fuser.texts(name, ()):
            raise ValueError(f"{where}: fuser: {name} is {list(fuser.texts(name, ()))}, only an empty list can be read")
    prepended, crossed = set(fuser.texts("prepend", ())), set(fuser.texts("cross", ()))
    strange = sorted((prepended - {"self_wav", "description"}) | (crossed - {"description"}))
    if strange or (prepended | crossed and "description" not in prepended ^ crossed):
        raise ValueError(f"{where}: fuser: {strange or 'the description'} cannot be followed so")
    return prepended, crossed


def _pattern(fields: Fields, lm: Fields, books: int, where: str) -> PatternConfig:
    name = fields.text("modeling", lm.text("q_modeling", ""))  # the latter in old files
    arguments = fields.inner(name)
    for field in ("flatten_first", "empty_initial"):
        arguments.only(field, 0)
    delays = arguments.numbers("delays", tuple(range(books)) if name == "delay" else ())
    inner = arguments.numbers("flattening", tuple(range(books)))
    made = {
        "delay": lambda: delay(books, delays),
        "parallel": lambda: parallel(books),
        "unroll": lambda: unrolled(inner, delays or None),
        "coarse_first": lambda: coarse_first(books, delays or None),
        "valle": lambda: coarse_first(books, delays or None),
        "musiclm": lambda: grouped(books, arguments.number("group_by", 2, 1024)),
    }
    if name not in made:
        raise ValueError(f"{where}: codebooks_pattern: modeling is {name!r}, {', '.join(made)} can be read")
    try:
        pattern = made[name]()
    except ValueError as error:
        raise ValueError(f"{where}: codebooks_pattern: {error}") from error
    return pattern


def _t5(fields: Fields, where: str) -> T5TextConfig:
    fields.only("model", "t5")
    t5 = fields.inner("t5")
    name = t5.text("name", "t5-base")
    t5.only("finetune", False)
    if name not in WIDTHS:
        raise ValueError(f"{where}: the text encoder is {name!r}, {', '.join(WIDTHS)} can be read")
    return T5TextConfig(name, WIDTHS[name])


def _chroma(top: Fields, rate: int) -> MelodyConfig:
    fields = top.inner("conditioners").inner("self_wav")
    fields.only("model", "chroma_stem")
    chroma = fields.inner("chroma_stem")
    chroma.only("n_chroma", 12)
    chroma.only("argmax", True)
    n_fft = 1 << chroma.number("radix2_exp", 12, 20, least=4)
    samples = int(top.inner("dataset").real("segment_duration", SECONDS, 3600.0) * rate)
    return MelodyConfig(rate, n_fft, max(1, n_fft // 4), 1 + samples // max(1, n_fft // 4))
