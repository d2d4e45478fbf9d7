"""A recording to tokens and back at several numbers of codebooks: the sounds, the files and the figures of the demo."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solfa.audio.io import Audio
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.token_file import TokenHeader, write_tokens
from solfa.eval.codec import CodecScores, score

TOKENS_NAME = "tokens.solfa"
ORIGINAL_NAME = "original.wav"


@dataclass(frozen=True)
class Rendition:
    """The recording played from its first `codebooks` codebooks."""

    codebooks: int
    bitrate: float  # bits a second
    scores: CodecScores  # against the original
    audio: Audio  # samples [1, C, S]
    path: Path


@dataclass(frozen=True)
class CodecDemo:
    """What `codec_demo` made. `original` is the recording at the codec's rate and channels, which is what it hears."""

    source: str
    original: Audio  # samples [1, C, S]
    original_path: Path
    tokens: np.ndarray  # [K, T]
    header: TokenHeader
    tokens_path: Path
    renditions: tuple[Rendition, ...]  # the most codebooks first
    encode_seconds: float
    decode_seconds: float  # of the rendition with all codebooks

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.original.duration

    @property
    def pcm_bytes(self) -> int:
        """The same samples as 16-bit PCM."""
        return self.original.samples.numel() * 2


def codec_demo(codec: Codec, recording: Audio, source: str, folder: Path) -> CodecDemo:
    """Encode a recording (a batch of one), write the token file, decode it at 1, 2, 4, ... codebooks, write the WAVs.

    source: the name to show. folder: must be there; files of the same names are replaced.
    """
    original = as_heard(recording, codec)
    started = time.perf_counter()
    codes = codec.encode(original)
    encode_seconds = time.perf_counter() - started
    tokens_path, original_path = folder / TOKENS_NAME, folder / ORIGINAL_NAME
    header = write_tokens(tokens_path, codes, metadata={"source": source})
    original.save(original_path)
    renditions = []
    decode_seconds = 0.0
    for codebooks in reversed(steps(codec.codebooks)):
        started = time.perf_counter()
        audio = codec.decode(codes, codebooks)
        decode_seconds = decode_seconds or time.perf_counter() - started
        renditions.append(_rendition(codes, codec, codebooks, original, audio, folder))
    return CodecDemo(
        source=source,
        original=original,
        original_path=original_path,
        tokens=codes.tokens[0].numpy(),
        header=header,
        tokens_path=tokens_path,
        renditions=tuple(renditions),
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
    )


def steps(codebooks: int) -> list[int]:
    """Numbers of codebooks worth hearing: 1, 2, 4, 8 and all."""
    return sorted({*(n for n in (1, 2, 4, 8) if n < codebooks), codebooks})


def as_heard(recording: Audio, codec: Codec) -> Audio:
    """The recording at the codec's rate and channel count."""
    audio = recording.to_mono() if codec.channels == 1 else recording
    if audio.channels == 1 and codec.channels > 1:
        audio = Audio(audio.samples.expand(-1, codec.channels, -1).contiguous(), audio.sample_rate)
    if audio.channels != codec.channels:
        raise ValueError(f"the recording has {audio.channels} channels: {codec.name} takes 1 or {codec.channels}")
    return audio if audio.sample_rate == codec.sample_rate else audio.resample(codec.sample_rate)


def _rendition(codes: Codes, codec: Codec, codebooks: int, original: Audio, audio: Audio, folder: Path) -> Rendition:
    path = folder / f"codebooks-{codebooks}.wav"
    audio.save(path)
    return Rendition(
        codebooks=codebooks,
        bitrate=codec.bitrate * codebooks / codec.codebooks,
        scores=score(original.samples[0], audio.samples[0], codec.sample_rate),
        audio=audio,
        path=path,
    )
