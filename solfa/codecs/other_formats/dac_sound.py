"""Sound to what a `.dac` file holds and back, as descript-audio-codec does it: level, rate, channels, chunks.

Its `compress` brings a sound to the codec's rate and to -16 LUFS, limits its peaks, and codes the channels one by one; its `decompress`
brings every channel to the loudness that was measured before. A sound longer than a window it codes in chunks whose layers have no
padding, with codes that overlap (4 % more of them with windows of 5 s, 29 % with 1 s). Such files are read; what is written is one chunk.

Where we differ from descript-audio-codec 1.0.0:

- Its decoder gives 8 samples fewer than n * 320 at 24 and 16 kHz, and resampling rounds down: where a sound comes out shorter than it
  was, it fails. Ours is as long as it was. What we write has, in these cases, one frame more, as a chunk of its own, which gives it the
  samples that it misses (and us nothing: our last 8 samples are the codec's, its are that frame's).
- It stores one loudness for all channels, and then gives every channel that. What we write has one for each channel, which it takes too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from solfa.audio.io import Audio
from solfa.audio.sinc import FILTERS, resample_as
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.other_formats.dac_file import DacFile
from solfa.codecs.other_formats.dac_loudness import dac_loudness
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.codecs.weights.released import RELEASED
from solfa.nn.conv import Conv1d, ConvTranspose1d
from solfa.nn.seanet import ResidualBlock, SEANetConfig, SEANetDecoder
from solfa.nn.streaming import Chain, Layer

LEVEL = -16.0  # LUFS, to which descript-audio-codec brings every sound before it encodes
DECIBEL = math.log(10) / 20


def compress(codec: Codec, audio: Audio, codebooks: int | None = None, normalize: float | None = LEVEL) -> DacFile:
    """One recording, samples [1, C, S] of any rate, C at most 5, as the contents of a `.dac` file of one chunk.

    normalize: the loudness (LUFS) to which it is brought before, None to leave it as it is; its own is stored, and comes back.
    Raises ValueError for a codec that is no DAC, a batch of several, and samples that are not finite.
    """
    decoder = check_dac_codec(codec)
    if len(audio.samples) != 1:
        raise ValueError(f"a .dac file of {len(audio.samples)} recordings: write them one by one")
    sound = resample_as(
        "julius", audio.samples[0].detach().float().cpu(), audio.sample_rate, codec.sample_rate
    )  # [C, S]
    if not torch.isfinite(sound).all():
        raise ValueError("the samples hold NaN or infinity")
    plain = sound.numpy()
    levels = [dac_loudness(plain[i : i + 1], codec.sample_rate) for i in range(len(plain))]
    if normalize is not None:
        whole = levels[0] if len(levels) == 1 else dac_loudness(plain, codec.sample_rate)
        sound = sound * _gain(normalize - whole)
    peaks = sound.abs().amax(1, keepdim=True)
    codes = codec.encode(torch.where(peaks > 1, sound * (1 / peaks), sound)[:, None], codebooks=codebooks)
    file = DacFile(
        tokens=codes.tokens.numpy(),
        chunk_length=codes.tokens.shape[-1],
        original_length=audio.samples.shape[-1],
        sample_rate=audio.sample_rate,
        channels=len(plain),
        padding=True,
        input_db=tuple(levels),
    )
    short = (
        _resampled(file.frames * codec.hop - decoder.short, codec.sample_rate, file.sample_rate) < file.original_length
    )
    return replace(file, tokens=np.concatenate([file.tokens, file.tokens[..., -1:]], -1)) if short else file


def decompress(codec: Codec, file: DacFile, codebooks: int | None = None) -> Audio:
    """The sound of a `.dac` file: samples [recordings, channels, original_length] at the file's own rate.

    It is descript-audio-codec's, to rounding, wherever that gives any. The whole sound is in memory: its loudness has to be known before
    its first sample is. codebooks: how many to play, all by default.
    Raises ValueError for a codec that cannot have made the file: the frames in it are compared with its length.
    """
    decoder = check_dac_codec(codec)
    check_fit(codec, file)
    k = codec.check_codebooks(codebooks, file.codebooks)
    tokens = torch.from_numpy(file.tokens[:, :k].astype(np.int64))
    if int(tokens.max()) >= codec.codebook_size:
        raise ValueError(f"a code is {int(tokens.max())}: those of {codec.name} are 0 to {codec.codebook_size - 1}")
    chunks = [tokens[..., a : a + file.chunk_length] for a in range(0, file.frames, file.chunk_length)]
    pieces = [_decode_padded(codec, chunk) if file.padding else _decode_unpadded(codec, chunk) for chunk in chunks]
    missing = decoder.short if file.padding else 0
    sound = torch.cat([piece[:, : piece.shape[-1] - missing] for piece in pieces], -1)  # what its decoder gives
    levels = [dac_loudness(row[None], codec.sample_rate) for row in sound.numpy()]
    gains = torch.tensor([_gain(stored - level) for stored, level in zip(file.levels, levels, strict=True)])
    if _has_filler(file):
        sound = pieces[0]
    elif _resampled(sound.shape[-1], codec.sample_rate, file.sample_rate) < file.original_length:
        sound = torch.cat(pieces, -1)
    sound = resample_as("julius", sound * gains[:, None], codec.sample_rate, file.sample_rate)
    out = torch.zeros(file.items, file.original_length)
    out[:, : sound.shape[-1]] = sound[:, : file.original_length]
    return Audio(out.view(file.recordings, file.channels, -1), file.sample_rate)


def dac_codes(codec: Codec, file: DacFile) -> Codes:
    """The codes of a file of one chunk, an item a channel, at the level at which they were coded.

    Raises ValueError for a file of several chunks: their codes overlap, and are not those of the whole sound.
    """
    check_dac_codec(codec)
    check_fit(codec, file)
    length = _resampled(file.original_length, file.sample_rate, codec.sample_rate)
    frames = -(-length // codec.hop)
    if not file.padding or file.chunk_length != frames:
        raise ValueError(
            f"its codes are of chunks of {file.chunk_length} frames, which overlap: decode it, and encode that"
        )
    return Codes(
        tokens=torch.from_numpy(file.tokens[..., :frames].astype(np.int64)),
        codec=codec.name,
        weights_hash=codec.weights_hash,
        sample_rate=codec.sample_rate,
        channels=1,
        hop=codec.hop,
        codebook_size=codec.codebook_size,
        samples=(length,) * file.items,
    )


def check_dac_codec(codec: Codec) -> SEANetDecoder:
    """The codec's decoder. ValueError for a codec that `.dac` files are not for."""
    decoder = codec.decoder if isinstance(codec, VQVAE) else None
    if not isinstance(decoder, SEANetDecoder) or not decoder.config.symmetric or codec.channels != 1:
        names = ", ".join(entry.name for entry in RELEASED if entry.family == "dac")
        raise ValueError(f"{codec.name} makes no .dac files: {names} do")
    return decoder


def check_fit(codec: Codec, file: DacFile) -> None:
    """ValueError where this codec cannot have made the file: it has fewer codebooks, or gives another number of frames."""
    assert isinstance(codec, VQVAE)
    if not fits(codec.config, file):
        likely = ", ".join(likely_codecs(file)) or "none that solfa knows"
        raise ValueError(
            f"{file.codebooks} codebooks and {file.frames} frames for {file.duration:.2f} s: {codec.name} did not make it; by these "
            f"numbers it was {likely}"
        )


def likely_codecs(file: DacFile) -> list[str]:
    """Names of the released codecs that may have made a file, the likeliest first: those of all whose codebooks it has."""
    found = [entry for entry in RELEASED if entry.family == "dac" and fits(entry.config(), file)]
    return [entry.name for entry in sorted(found, key=lambda entry: entry.codebooks != file.codebooks)]


def fits(config: VQVAEConfig, file: DacFile) -> bool:
    """Whether a codec of this configuration gives as many frames for the file's length, and has its codebooks."""
    if file.codebooks > config.quantizer.codebooks:
        return False
    length = _resampled(file.original_length, file.sample_rate, config.sample_rate)
    slack = 1 + (length >> 22)  # descript-audio-codec computes the length in float32
    low, high = max(1, length - slack), length + slack
    if file.padding:
        frames = file.chunk_length if _has_filler(file) else file.frames
        return -(-low // config.hop) <= frames <= -(-high // config.hop)
    stack = config.decoder or config.seanet
    step = 0 if stack is None else unpadded_length(stack, file.chunk_length)
    return step > 0 and -(-low // step) <= file.frames // file.chunk_length <= -(-high // step)


def unpadded_length(stack: SEANetConfig, frames: int) -> int:
    """Samples that a decoder without padding makes of so many frames; 0 or less where they are too few."""
    length = frames - stack.kernel_size + 1
    around = (stack.residual_kernel_size - 1) * sum(stack.dilation_base**j for j in range(stack.n_residual_layers))
    for ratio in stack.ratios:
        length = (length + 1) * ratio - around if length > 0 else 0
    return length - stack.last_kernel_size + 1


def unpadded(layers: Layer, x: Tensor) -> Tensor:
    """The layers on `x` [B, C, S] with no padding anywhere, and nothing trimmed; a shortcut goes around the middle of its input."""
    if isinstance(layers, Chain):
        for layer in layers:
            x = unpadded(layer, x)
        return x
    if isinstance(layers, ResidualBlock):
        y, beside = unpadded(layers.block, x), unpadded(layers.shortcut, x)
        around = (beside.shape[-1] - y.shape[-1]) // 2
        return beside[..., around : around + y.shape[-1]] + y
    if isinstance(layers, Conv1d | ConvTranspose1d):
        return layers.norm(layers.conv(x))
    return layers(x)


def _decode_padded(codec: Codec, tokens: Tensor) -> Tensor:
    """Codes [items, k, T] to samples [items, T * hop]."""
    samples = tokens.shape[-1] * codec.hop

    def one(row: Tensor) -> Iterator[Tensor]:
        return codec.decode_samples(lambda a, b: row[:, a:b], samples)

    return torch.stack([torch.cat(list(one(row)), -1)[0] for row in tokens])


def _decode_unpadded(codec: Codec, tokens: Tensor) -> Tensor:
    """Codes [items, k, T] of one chunk to its samples [items, n], n fewer than T * hop."""
    assert isinstance(codec, VQVAE) and isinstance(codec.decoder, SEANetDecoder)
    with torch.no_grad():
        latents = codec.quantizer.decode(tokens.to(codec.device))
        return unpadded(codec.decoder.layers, latents)[:, 0].float().cpu()


def _has_filler(file: DacFile) -> bool:
    """Whether the last frame is the one that `compress` appends where descript-audio-codec would fail without it."""
    return file.padding and file.frames == file.chunk_length + 1


def _resampled(samples: int, source: int, target: int) -> int:
    """How many samples julius makes of these, and ours."""
    return FILTERS["julius"].length(samples, source, target)


def _gain(decibels: float) -> float:
    return math.exp(decibels * DECIBEL)
