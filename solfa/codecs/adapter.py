"""Mimi, X-Codec and the other codecs that transformers ships, behind the interface of our own.

The networks are transformers' as they are. What is added is what makes their codes the same however the sound arrives: every
recording is run by itself (Mimi's network ignores its padding mask, so in a batch the silence after a short item changes its
codes), from end to end, on one thread.

Memory. These networks have no exact chunks, so a recording is run at once: it is in memory with the activations of the widest layers, and
where there is attention, with a mask of frames times frames. Mimi takes about 30 MB for each second of sound, and for an hour 8 GB more
for the mask (transformers keeps states for its encoder and its attention, but none for the transposed convolutions of its
decoder). A warning is given once for recordings longer than LONG seconds; cut those.

EnCodec and DAC have better paths in `codecs.vqvae`, exact in constant memory; here they are for configurations that ours do not
have.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solfa import checkpoint
from solfa.codecs.codec import CodeBlock, Codec, Read
from solfa.codecs.windows import in_order, pool
from solfa.files import file_hash
from solfa.foreign import hub
from solfa.nn.unmade import unmade

LONG = 60  # seconds, 2 GB with Mimi
MAX_PARAMETERS = 1 << 30  # a stranger's config may not ask for more
MAX_LAYERS = 1024


@dataclass(frozen=True)
class _Kind:
    """One model type of transformers: the class, the name of its sample rate, and how its model codes one recording.

    encode: model and samples [1, C, S] to codes [1, K, T]. decode: model and codes [1, k, T] to samples [1, C, n].
    whole_frames: the sound is filled up with zeros to a whole number of frames first; else the network's own rule holds.
    """

    model: str
    sample_rate: str
    encode: Callable[[Any, Tensor], Tensor]
    decode: Callable[[Any, Tensor], Tensor]
    whole_frames: bool = True


def _encode(model: Any, samples: Tensor) -> Tensor:
    return model.encode(samples).audio_codes


def _decode(model: Any, tokens: Tensor) -> Tensor:
    return model.decode(tokens).audio_values


def _encodec(model: Any, samples: Tensor) -> Tensor:
    return model.encode(samples, bandwidth=model.config.target_bandwidths[-1]).audio_codes[0]


_KINDS = {
    "mimi": _Kind("MimiModel", "sampling_rate", _encode, _decode, whole_frames=False),
    "xcodec": _Kind("XcodecModel", "sample_rate", _encode, _decode),
    "higgs_audio_v2_tokenizer": _Kind("HiggsAudioV2TokenizerModel", "sample_rate", _encode, _decode),
    "dac": _Kind("DacModel", "sampling_rate", _encode, lambda m, t: m.decode(audio_codes=t).audio_values[:, None]),
    "encodec": _Kind(
        "EncodecModel",
        "sampling_rate",
        _encodec,
        lambda m, t: m.decode(t[None], [None]).audio_values,
        whole_frames=False,
    ),
}
KINDS = tuple(_KINDS)


class TransformersCodec(Codec):
    """A model of transformers as a `Codec`. Raises ValueError for one of another type than KINDS, or that codes in segments.

    The number of frames is ceil(samples / hop) and as many samples come back as went in: what a network gives beyond them is cut off,
    what it leaves out at the end (DAC with a stride of 5) is silence. The first k codebooks are those that the model gives with k.
    """

    def __init__(self, model: nn.Module, name: str, weights_hash: str) -> None:
        super().__init__()
        config: Any = model.config
        kind = _kind_of(config.model_type)
        if getattr(config, "chunk_length_s", None) is not None:
            raise ValueError(
                f"{name} codes in segments of {config.chunk_length_s} s: load it as one of solfa's own codecs"
            )
        self.model = model.eval()
        self.name = name
        self.weights_hash = weights_hash
        self.sample_rate = int(getattr(config, kind.sample_rate))
        self.channels = int(getattr(config, "audio_channels", 1))
        self.hop = _hop(config)
        self.codebook_size = int(config.codebook_size)
        self.codebooks = _codebooks(config)
        self._kind = kind
        self._warned = False

    def encode_parts(self, parts: Iterable[Tensor], codebooks: int) -> Iterator[CodeBlock]:
        samples = torch.cat(list(parts), -1)  # [C, S]
        size = samples.shape[-1]
        if not size:
            raise ValueError("the recording holds no samples")
        self._warn(size)
        padded = F.pad(samples, (0, -size % self.hop)) if self._kind.whole_frames else samples
        tokens = self._alone(lambda: self._kind.encode(self.model, padded[None].to(self.device)))
        frames = -(-size // self.hop)
        if tokens.shape[1:] != (self.codebooks, frames):
            raise ValueError(
                f"{self.name} gave codes {list(tokens.shape[1:])}, where its configuration says {[self.codebooks, frames]}"
            )
        yield CodeBlock(tokens[0, :codebooks].cpu())

    def decode_samples(
        self, read: Read, samples: int, start: int = 0, stop: int | None = None, scales: Tensor | None = None
    ) -> Iterator[Tensor]:
        stop = self.check_range("samples", samples, start, stop)
        self._warn(samples)
        tokens = read(0, -(-samples // self.hop))[None].to(self.device)
        sound = self._alone(lambda: self._kind.decode(self.model, tokens))[0].float().cpu()
        missing = max(0, samples - sound.shape[-1])
        if missing >= self.hop:
            raise ValueError(f"{self.name} gave {sound.shape[-1]} samples for {tokens.shape[-1]} frames of {self.hop}")
        yield F.pad(sound, (0, missing))[:, start:stop]

    def _alone(self, run: Callable[[], Tensor]) -> Tensor:
        """Runs it on one thread, so that its sums do not depend on how many there are."""

        def work(_: None) -> Tensor:
            with torch.no_grad():
                return run()

        return next(in_order([None], work, pool(1), 1))

    def _warn(self, samples: int) -> None:
        if samples > LONG * self.sample_rate and not self._warned:
            self._warned = True
            seconds = samples / self.sample_rate
            message = (
                f"{self.name} has no exact chunks: {seconds:.0f} s are coded at once, and memory grows with the length"
            )
            warnings.warn(message, stacklevel=4)


def load_adapter(name: str | Path, *, fetch: bool = True) -> TransformersCodec:
    """The codec in a folder as `save_pretrained` writes it, or of a hub repository (owner/model).

    A repository is taken from the user's cache, or else fetched, unless `fetch` is false or HF_HUB_OFFLINE is set. Weights are read as
    safetensors only. weights_hash: the sha256 of model.safetensors.
    Raises ValueError where there is no such model, or it is of another type than KINDS, damaged, or not whole.
    """
    folder = _folder(str(name), fetch)
    document = checkpoint.read_json(folder / hub.CONFIG)
    _check_document(document, folder)
    weights = folder / checkpoint.WEIGHTS_NAME
    if not weights.is_file():
        raise ValueError(f"{name}: holds no {checkpoint.WEIGHTS_NAME}, and weights are read from safetensors only")
    label = folder.name if Path(name).is_dir() else str(name)
    return TransformersCodec(_load_model(folder, document["model_type"]), label, file_hash(weights))


def _folder(name: str, fetch: bool) -> Path:
    if (Path(name) / hub.CONFIG).is_file():
        return Path(name)
    if not hub.is_repo(name):
        raise ValueError(f"{name}: no folder with a {hub.CONFIG}, and no name of a hub repository")
    found = hub.fetch(name) if fetch else hub.cached(name)
    if found is None:
        raise ValueError(f"{name}: not in the cache of the hub")
    return found


def _load_model(folder: Path, kind: str) -> nn.Module:
    import transformers
    from transformers.utils import logging

    model_class = getattr(transformers, _KINDS[kind].model)
    shows = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        config = model_class.config_class.from_pretrained(folder, local_files_only=True)
        with unmade():
            count = sum(p.numel() for p in model_class(config).parameters())
        if count > MAX_PARAMETERS:
            raise ValueError(f"its configuration asks for {count} parameters, more than {MAX_PARAMETERS}")
        options = {"use_safetensors": True, "local_files_only": True, "dtype": torch.float32}
        model, told = model_class.from_pretrained(folder, config=config, output_loading_info=True, **options)
    except Exception as error:  # transformers and safetensors raise all sorts of errors for what does not fit
        raise ValueError(f"{folder}: {' '.join(str(error).split())[:300] or type(error).__name__}") from error
    finally:
        if shows:
            logging.enable_progress_bar()
    wrong = sorted(str(key) for part in ("missing_keys", "mismatched_keys") for key in told[part])
    if wrong:  # transformers has filled them with random numbers
        raise ValueError(f"{folder}: {len(wrong)} tensors are missing or do not fit, {wrong[0]} the first")
    return model


def _check_document(document: Any, folder: Path) -> None:
    """Before transformers reads it: a type that we know, and no more layers than a codec has."""
    if not isinstance(document, dict) or not isinstance(document.get("model_type"), str):
        raise ValueError(f"{folder / hub.CONFIG}: says no model_type")
    kind = _kind_of(document["model_type"])
    if kind.model == "HiggsAudioV2TokenizerModel":
        _check_higgs(document)
    waiting: list[Mapping[str, Any]] = [document]
    while waiting:
        part = waiting.pop()
        waiting += [value for value in part.values() if isinstance(value, dict)]
        big = [
            key
            for key, value in part.items()
            if key.startswith("num_") and isinstance(value, int) and value > MAX_LAYERS
        ]
        if big:
            raise ValueError(f"{folder / hub.CONFIG}: {big[0]} is {part[big[0]]}, at most {MAX_LAYERS} are read")


def _check_higgs(document: Mapping[str, Any]) -> None:
    from transformers.utils import is_torchaudio_available

    if (
        document.get("sample_rate", 24_000) != document.get("semantic_sample_rate", 16_000)
        and not is_torchaudio_available()
    ):
        raise ValueError(
            "higgs_audio_v2_tokenizer resamples inside by torchaudio, which does not load beside this torch"
        )


def _kind_of(model_type: str) -> _Kind:
    if model_type not in _KINDS:
        raise ValueError(
            f"a model of type {model_type!r} is no codec that can be read here: the types are {', '.join(_KINDS)}"
        )
    return _KINDS[model_type]


def _hop(config: Any) -> int:
    """Samples a frame."""
    if config.model_type == "mimi":
        return round(config.sampling_rate / config.frame_rate)
    if config.model_type == "encodec":
        return math.prod(config.upsampling_ratios)
    return int(config.hop_length)


def _codebooks(config: Any) -> int:
    """All of them; of DAC the configuration counts them under another name."""
    return int(config.n_codebooks if config.model_type == "dac" else config.num_quantizers)
