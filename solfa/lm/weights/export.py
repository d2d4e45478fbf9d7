"""Our models in the layouts of transformers and AudioCraft, for models that are MusicGens in shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from solfa.files import WholeFile, replace_folder
from solfa.foreign import hub
from solfa.foreign.carried import MELODY, MUSICGEN, CodecInside
from solfa.lm.adapters import check_merged
from solfa.lm.conditioners.t5 import WIDTHS
from solfa.lm.conditioners.text import T5Text, T5TextConfig
from solfa.lm.model import LMConfig, TokenLM
from solfa.lm.patterns import PatternConfig, coarse_first, delay, grouped, stereo
from solfa.lm.weights import keys
from solfa.lm.weights.configs import CODEC_32KHZ
from solfa.lm.weights.layouts import ADAPTERS, AUDIOCRAFT, AUDIOCRAFT_CODEC, without_projections

GUIDANCE, TOP_K = 3.0, 250


def save_transformers(model: TokenLM, folder: str | Path, codec: CodecInside) -> None:
    """Write a folder that transformers' MusicgenForConditionalGeneration (or its melody form) and its processor load.

    codec: it is part of such a folder; `layouts.codec_inside` has it of one that the model came from.
    Raises ValueError for a model that transformers cannot follow: another pattern than delay, rotary positions, a depth head, no T5; and
    for one with adapters that are not in its weights. Which ones are is told in config.json, where transformers passes it by.
    """
    check_merged(model)
    config, text = model.config, model.text
    check_transformers(config)
    assert isinstance(text, T5Text)
    ours = {name: weight.detach().cpu() for name, weight in model.named_parameters()}
    tensors = without_projections(keys.to_transformers(ours, config.codebooks), config)
    encoder = dict(text.frozen.encoder.named_parameters())
    tensors |= {f"text_encoder.{name}": weight.detach().cpu() for name, weight in encoder.items()}
    tensors |= {f"audio_encoder.{name}": tensor for name, tensor in codec.tensors.items()}
    documents = {
        hub.CONFIG: _document(config, text, codec) | ({ADAPTERS: list(model.adapters)} if model.adapters else {}),
        "generation_config.json": _generation(config),
        "preprocessor_config.json": _preprocessor(config),
    }

    def fill(temporary: Path) -> None:
        text.frozen.tokenizer.save_pretrained(temporary)
        for name, document in documents.items():
            (temporary / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        ready = {
            name: tensor.contiguous().clone() for name, tensor in tensors.items()
        }  # shards of one tensor share memory
        save_file(ready, temporary / hub.WEIGHTS[0], metadata={"format": "pt"})
        (temporary / hub.WEIGHTS[0]).chmod((temporary / hub.CONFIG).stat().st_mode)

    _free(folder, hub.CONFIG)
    replace_folder(folder, fill)


def save_audiocraft(model: TokenLM, folder: str | Path, dtype: torch.dtype = torch.float16) -> None:
    """Write `state_dict.bin` and `compression_state_dict.bin`, which AudioCraft's MusicGen.get_pretrained loads from a folder.

    dtype: of the weights; AudioCraft's own files hold float16. The codec is named, not written: AudioCraft fetches it.
    Raises ValueError for a model that AudioCraft cannot follow: another codec than its own, rotary positions, a depth head, no T5 by name;
    and for one with adapters that are not in its weights. Which ones are is told beside the weights, where AudioCraft passes it by.
    """
    check_merged(model)
    config = model.config
    check_audiocraft(config)
    document = yaml.safe_dump(_experiment(config), sort_keys=False)
    ours = {name: weight.detach().to("cpu", dtype) for name, weight in model.named_parameters()}
    state = {name: tensor.clone() for name, tensor in keys.to_audiocraft(ours, config.codebooks).items()}
    merged = {ADAPTERS: list(model.adapters)} if model.adapters else {}
    _free(folder, AUDIOCRAFT)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in (
        (AUDIOCRAFT, {"best_state": state, "xp.cfg": document, "version": "1.3.0", "exported": True} | merged),
        (AUDIOCRAFT_CODEC, {"pretrained": "facebook/encodec_32khz"}),
    ):
        with WholeFile(Path(folder) / name) as temporary:
            torch.save(content, temporary)


def check_transformers(config: LMConfig) -> None:
    """ValueError for a model that transformers cannot follow."""
    usual = delay(config.codebooks // config.channels)
    _check(config, config.pattern == (stereo(usual) if config.channels == 2 else usual), "the pattern must be delay")


def check_audiocraft(config: LMConfig) -> None:
    """ValueError for a model that AudioCraft cannot follow."""
    _check(config, config.codec == CODEC_32KHZ, f"the codec must be {CODEC_32KHZ}")
    assert isinstance(config.text, T5TextConfig)
    _check(config, config.text.name in WIDTHS, f"the text encoder must be one of {', '.join(WIDTHS)}")
    _pattern(config.pattern)


def _check(config: LMConfig, fits: bool, otherwise: str) -> None:
    """What both packages ask of a model, and one thing more."""
    needs = {
        "there must be no depth head": config.depth is None,
        "positions must be sinusoidal": config.transformer.positions == "sinusoidal",
        "text must be read by a T5": isinstance(config.text, T5TextConfig),
        "clap must be left out": config.clap is None,
        "beat must be left out": config.beat is None,
        "summary must be left out": not config.summary,
        "a melody needs text before the first step": (config.melody is not None) == (config.fusion == "prepend"),
        otherwise: fits,
    }
    for need, met in needs.items():
        if not met:
            raise ValueError(f"{config.name} does not fit the layout: {need}")


def _free(folder: str | Path, mark: str) -> None:
    """A folder that holds other files is not written to."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / mark).is_file())):
        raise ValueError(f"{folder}: holds other files; name a new folder")


def _document(config: LMConfig, text: T5Text, codec: CodecInside) -> dict[str, Any]:
    """config.json."""
    melody, shape = config.melody, config.transformer
    kind, name = (MELODY, "MusicgenMelody") if melody else (MUSICGEN, "Musicgen")
    encoder = text.frozen.encoder.config.to_dict() | {"_name_or_path": text.config.name, "model_type": "t5"}
    decoder = {
        "model_type": f"{kind}_decoder",
        "vocab_size": config.codebook_size,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "ffn_dim": shape.inner,
        "num_codebooks": config.codebooks,
        "audio_channels": config.channels,
        "activation_function": "gelu",
        "dropout": shape.dropout,
        "pad_token_id": config.special,
        "bos_token_id": config.special,
        "max_position_embeddings": 2048,
        "scale_embedding": False,
        "tie_word_embeddings": False,
    }
    parts = {"text_encoder": encoder, "audio_encoder": codec.document, "decoder": decoder}
    chroma = {"num_chroma": 12, "chroma_length": melody.frames} if melody else {}
    return {
        "architectures": [f"{name}ForConditionalGeneration"],
        "model_type": kind,
        **parts,
        **chroma,
        "is_encoder_decoder": True,
    }


def _generation(config: LMConfig) -> dict[str, Any]:
    special = {name: config.special for name in ("bos_token_id", "pad_token_id", "decoder_start_token_id")}
    # One column is the first, K - 1 are what delay adds.
    length = config.crop_frames + config.codebooks // config.channels
    return {**special, "do_sample": True, "guidance_scale": GUIDANCE, "top_k": TOP_K, "max_length": length}


def _preprocessor(config: LMConfig) -> dict[str, Any]:
    if config.melody is None:
        return {
            "feature_extractor_type": "EncodecFeatureExtractor",
            "processor_class": "MusicgenProcessor",
            "sampling_rate": config.sample_rate,
            "feature_size": config.channels,
            "padding_side": "left",
        }
    melody = config.melody
    return {
        "feature_extractor_type": "MusicgenMelodyFeatureExtractor",
        "processor_class": "MusicgenMelodyProcessor",
        "sampling_rate": melody.sample_rate,
        "n_fft": melody.n_fft,
        "hop_length": melody.hop,
        "chunk_length": melody.frames * melody.hop // melody.sample_rate,
        "num_chroma": 12,
    }


def _experiment(config: LMConfig) -> dict[str, Any]:
    """xp.cfg: what AudioCraft's builders read of it."""
    shape = config.transformer
    assert isinstance(config.text, T5TextConfig)
    t5 = {"name": config.text.name, "finetune": False, "word_dropout": 0.3, "normalize_text": False}
    conditioners: dict[str, Any] = {"description": {"model": "t5", "t5": t5}}
    if config.melody is not None:
        chroma = {"sample_rate": config.sample_rate, "n_chroma": 12, "radix2_exp": config.melody.n_fft.bit_length() - 1,
                  "argmax": True, "match_len_on_eval": True, "eval_wavs": None, "n_eval_wavs": 100}  # fmt: skip
        conditioners = {"self_wav": {"model": "chroma_stem", "chroma_stem": chroma}, **conditioners}
    heard = list(conditioners)
    return {
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "device": "cpu",
        "dtype": "float32",
        "solver": "musicgen",
        "compression_model_checkpoint": "//pretrained/facebook/encodec_32khz",
        "interleave_stereo_codebooks": {"use": config.channels == 2, "per_timestep": False},
        "lm_model": "transformer_lm",
        "transformer_lm": {
            "dim": shape.width,
            "num_heads": shape.heads,
            "num_layers": shape.layers,
            "hidden_scale": shape.inner / shape.width if shape.inner % shape.width else shape.inner // shape.width,
            "n_q": config.codebooks,
            "card": config.codebook_size,
            "dropout": shape.dropout,
            "emb_lr": None,
            "activation": "gelu",
            "norm_first": True,
            "bias_ff": False,
            "bias_attn": False,
            "bias_proj": False,
            "past_context": None,
            "causal": True,
            "custom": False,
            "memory_efficient": True,
            "attention_as_float32": False,
            "layer_scale": None,
            "positional_embedding": "sin",
            "xpos": False,
            "checkpointing": "none",
            "weight_init": "gaussian",
            "depthwise_init": "current",
            "zero_bias_init": True,
            "norm": "layer_norm",
            "cross_attention": config.fusion == "cross",
            "qk_layer_norm": False,
            "qk_layer_norm_cross": False,
            "attention_dropout": None,
            "kv_repeat": 1,
            "two_step_cfg": False,
        },
        "codebooks_pattern": _pattern(config.pattern),
        "fuser": {
            "cross_attention_pos_emb": False,
            "cross_attention_pos_emb_scale": 1,
            "sum": [],
            "prepend": heard if config.fusion == "prepend" else [],
            "cross": heard if config.fusion == "cross" else [],
            "input_interpolate": [],
        },
        "conditioners": conditioners,
        "classifier_free_guidance": {"training_dropout": 0.3, "inference_coef": GUIDANCE},
        "attribute_dropout": {
            "args": {"active_on_eval": False},
            "text": {},
            "wav": {"self_wav": 0.5} if config.melody else {},
        },
        "dataset": {"segment_duration": config.crop_frames / config.frame_rate},
    }


def _pattern(pattern: PatternConfig) -> Mapping[str, Any]:
    """codebooks_pattern. Raises ValueError for a pattern that AudioCraft has no name for."""
    books, delays = pattern.codebooks, list(pattern.delays)
    if pattern == delay(books, pattern.delays) and delays == sorted(delays):
        return {"modeling": "delay", "delay": {"delays": delays, "flatten_first": 0, "empty_initial": 0}}
    if pattern == coarse_first(books, pattern.delays[1:]):
        return {"modeling": "coarse_first", "coarse_first": {"delays": delays[1:]}}
    if books % 2 == 0 and pattern == grouped(books, 2):
        return {"modeling": "musiclm", "musiclm": {"group_by": 2}}
    if pattern.causal:
        return {"modeling": "unroll", "unroll": {"flattening": list(pattern.inner), "delays": delays}}
    raise ValueError(f"AudioCraft has no name for the pattern {pattern}")
