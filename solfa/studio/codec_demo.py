"""A recording to tokens and back at several numbers of codebooks: the sounds, the files and the figures of a page."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solfa.audio.io import Audio
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.token_file import TokenHeader, write_tokens
from solfa.eval.codec import CodecScores, score

TOKENS_NAME = "tokens.solfa"
ORIGINAL_NAME = "original.wav"


Steps = Callable[[int, int], None]  # called with the steps that are done, and all


@dataclass(frozen=True)
class Rendition:
    """The first `codebooks` codebooks, played."""

    codebooks: int
    bitrate: float  # bits a second
    audio: Audio  # samples [1, C, S]
    path: Path


@dataclass(frozen=True)
class ScoredRendition(Rendition):
    """The same of a recording that is there."""

    scores: CodecScores  # against the original


@dataclass(frozen=True)
class Playback:
    """Tokens and what the codec plays of them."""

    source: str
    tokens: np.ndarray  # [K, T]
    header: TokenHeader
    tokens_path: Path
    renditions: tuple[Rendition, ...]  # the most codebooks first
    decode_seconds: float  # of the rendition with all codebooks

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.header.duration

    @property
    def pcm_bytes(self) -> int:
        """The same samples as 16-bit PCM."""
        return self.renditions[0].audio.samples.numel() * 2

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [self.tokens_path, *(rendition.path for rendition in self.renditions)]


@dataclass(frozen=True)
class CodecDemo(Playback):
    """What `codec_demo` made. `original` is the recording at the codec's rate and channels, which is what it hears."""

    renditions: tuple[ScoredRendition, ...]
    original: Audio  # samples [1, C, S]
    original_path: Path
    encode_seconds: float
    scored: float  # seconds from the beginning that the scores are of

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [self.tokens_path, self.original_path, *(rendition.path for rendition in self.renditions)]


def codec_demo(
    codec: Codec,
    recording: Audio,
    source: str,
    folder: Path,
    progress: Steps = lambda done, total: None,
    scored: float = math.inf,
) -> CodecDemo:
    """Encode a recording (a batch of one), write the token file, decode it at 1, 2, 4, ... codebooks, write the WAVs.

    source: the name to show. folder: must be there; files of the same names are replaced. scored: seconds from the beginning whose quality
    is measured, which takes longer than all else.
    """
    original = as_heard(recording, codec)
    started = time.perf_counter()
    codes = codec.encode(original)
    encode_seconds = time.perf_counter() - started
    counts, most = steps(codec.codebooks), round(min(scored, original.duration) * codec.sample_rate)
    progress(1, 1 + len(counts))
    tokens_path, original_path = folder / TOKENS_NAME, folder / ORIGINAL_NAME
    header = write_tokens(tokens_path, codes, metadata={"source": source})
    original.save(original_path)
    renditions, decode_seconds = [], 0.0
    for done, (rendition, seconds) in enumerate(_renditions(codec, codes, folder), 2):
        scores = score(original.samples[0, :, :most], rendition.audio.samples[0, :, :most], codec.sample_rate)
        renditions.append(ScoredRendition(**vars(rendition), scores=scores))
        decode_seconds = decode_seconds or seconds
        progress(done, 1 + len(counts))
    return CodecDemo(
        source=source,
        tokens=codes.tokens[0].numpy(),
        header=header,
        tokens_path=tokens_path,
        renditions=tuple(renditions),
        decode_seconds=decode_seconds,
        original=original,
        original_path=original_path,
        encode_seconds=encode_seconds,
        scored=most / codec.sample_rate,
    )


def playback(
    codec: Codec,
    codes: Codes,
    source: str,
    folder: Path,
    metadata: Mapping[str, str],
    progress: Steps = lambda done, total: None,
) -> Playback:
    """As `codec_demo`, of the codes of one recording, which nobody has.

    metadata: of the token file. Raises ValueError for codes of another codec.
    """
    codec.check_codes(codes)
    tokens_path = folder / TOKENS_NAME
    header = write_tokens(tokens_path, codes, metadata=metadata)
    counts = steps(codes.codebooks)
    renditions, decode_seconds = [], 0.0
    for done, (rendition, seconds) in enumerate(_renditions(codec, codes, folder), 1):
        renditions.append(rendition)
        decode_seconds = decode_seconds or seconds
        progress(done, len(counts))
    return Playback(source, codes.tokens[0].numpy(), header, tokens_path, tuple(renditions), decode_seconds)


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


def _renditions(codec: Codec, codes: Codes, folder: Path) -> Iterator[tuple[Rendition, float]]:
    """The codes played from fewer and fewer codebooks, written to the folder, and how many seconds the decoding took."""
    for codebooks in reversed(steps(codes.codebooks)):
        started = time.perf_counter()
        audio = codec.decode(codes, codebooks)
        seconds = time.perf_counter() - started
        path = folder / f"codebooks-{codebooks}.wav"
        audio.save(path)
        yield Rendition(codebooks, codec.bitrate * codebooks / codec.codebooks, audio, path), seconds
