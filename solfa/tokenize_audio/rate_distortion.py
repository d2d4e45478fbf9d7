"""How much codecs lose at each bitrate, beside Opus on the same clips; and how near one file is to another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from solfa.audio.io import Audio, read
from solfa.audio.sound_file import AudioError
from solfa.eval.bootstrap import Estimate, mean_estimate
from solfa.eval.codebooks import CodebookCounts
from solfa.eval.codec import bitrate, check_rate, score, token_bitrate
from solfa.eval.perceptual import perceptual_scores
from solfa.tokenize_audio.opus import opus_round_trip

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec

CROP = 0.1  # seconds: two files that differ by more in length are not the same recording
NEAR = 1.25  # times: two bitrates that are further apart are not compared

# What the columns of `curve_table` and `speeds` mean that are no measures of a clip.
COLUMNS = {
    "kbps": "thousands of bits a second, mean over clips: of a codec frame rate x codebooks x whole bits a code, of Opus its packets; "
    "without container",
    "efficiency": "entropy of the codes over the bits of a fixed length, 0 to 1, higher is better (Kumar et al., 2023); with few frames "
    "it is too low",
    "usage": "share of the codes that occur at all, 0 to 1, of all codebooks together",
    "perplexity": "2 to the entropy, 1 to the codebook's size, geometric mean over codebooks",
    "frames": "frames whose codes were counted",
    "encode_x": "seconds of sound encoded a second, with all codebooks, median over clips after one run to warm up; reading and resampling "
    "are not counted. In speech recognition the real-time factor is the inverse",
    "decode_x": "seconds of sound decoded a second, likewise",
}


@dataclass(frozen=True)
class Contender:
    """A codec, the name that its rows bear, and the numbers of codebooks to play."""

    codec: Codec
    name: str
    codebooks: tuple[int, ...]


@dataclass(frozen=True)
class Coded:
    """A recording that went through one coder at one setting. Speeds are seconds of sound a second."""

    coder: str  # the codec's name, or "opus"
    setting: str  # "4 codebooks", "8 kbps"
    bitrate: float  # bits a second, without container
    audio: Audio  # at the rate, and with the channels and samples, of what went in
    codes: np.ndarray | None = None  # [k, T]
    encode_speed: float = math.nan
    decode_speed: float = math.nan


@dataclass(frozen=True)
class ClipResult:
    """What was measured of one clip: the same without its sound, and the value of each measure."""

    clip: str
    coder: str
    setting: str
    bitrate: float
    values: dict[str, float]
    codes: np.ndarray | None = None
    encode_speed: float = math.nan
    decode_speed: float = math.nan


@dataclass(frozen=True)
class RatePoint:
    """One coder at one setting over all clips: a point of its curve."""

    coder: str
    setting: str
    clips: tuple[ClipResult, ...]

    @property
    def bitrate(self) -> float:
        """Bits a second, mean over clips."""
        return sum(clip.bitrate for clip in self.clips) / len(self.clips)

    def mean(self, measure: str) -> Estimate:
        """Of that measure over the clips that have it."""
        return mean_estimate([clip.values[measure] for clip in self.clips])


def compare_files(reference: Path, estimate: Path, perceptual: Sequence[str] = ()) -> dict[str, float]:
    """The measures of one file against another, at the reference's rate, with those of `eval.perceptual` that are named.

    The estimate is resampled to that rate. Files that differ by at most 0.1 s in length are cut to the shorter; a larger
    difference, or another number of channels, is refused by AudioError, for it would be another recording.
    """
    x = read(reference)
    try:
        check_rate(x.sample_rate)
    except ValueError as error:
        raise AudioError(f"{reference}: {error}") from error
    y = read(estimate)
    if x.channels != y.channels:
        raise AudioError(f"{estimate}: has {y.channels} channels, and {reference} has {x.channels}")
    if abs(x.duration - y.duration) > CROP:
        raise AudioError(f"{estimate}: lasts {y.duration:.3f} s, and {reference} {x.duration:.3f} s")
    y = y.resample(x.sample_rate)
    length = min(x.samples.shape[-1], y.samples.shape[-1])
    return _values(_first(x, length), _first(y, length), perceptual)


def steps(codec: Codec) -> tuple[int, ...]:
    """Numbers of codebooks that make a curve: 1, 2, 4, ... and all."""
    return (*(2**i for i in range(codec.codebooks.bit_length()) if 2**i < codec.codebooks), codec.codebooks)


def setting(codebooks: int) -> str:
    """What rows call that many codebooks."""
    return f"{codebooks} codebook{'s' * (codebooks != 1)}"


def rate_of(codec: Codec, codebooks: int) -> float:
    """Bits a second of that many codebooks."""
    return token_bitrate(codec.frame_rate, codebooks, codec.codebook_size)


def nearest(codec: Codec, rate: float) -> int:
    """The number of codebooks whose bitrate is nearest in ratio to `rate` (the fewer of two); ValueError where that is not near."""
    found = min(range(1, codec.codebooks + 1), key=lambda k: abs(math.log(rate_of(codec, k) / rate)))
    near = rate_of(codec, found)
    if not rate / NEAR <= near <= rate * NEAR:
        raise ValueError(
            f"{codec.name} has no bitrate near {rate / 1000:g} kbps to compare at: the nearest is {near / 1000:g}, with codebooks {found}"
        )
    return found


def heard(audio: Audio, codec: Codec) -> Audio:
    """What the codec hears of a recording: at its rate, with its number of channels (mixed down, or mono repeated).

    Raises ValueError for a rate that cannot be compared (`check_rate`).
    """
    check_rate(audio.sample_rate)
    return _fitted(audio, codec.sample_rate, codec.channels)


def measure_clip(
    clip: str,
    reference: Audio,
    contenders: Sequence[Contender],
    opus: Sequence[float] = (),
    perceptual: Sequence[str] = (),
    keep: Callable[[Coded], None] | None = None,
) -> list[ClipResult]:
    """One recording through each codec with each number of codebooks, and through Opus at each of `opus` kbps.

    All are given the one reference, and what they make of it is brought back to its rate, channels and length; so their values are of
    one kind, whatever rates they run at. For a single codec the reference is best what it hears. keep: sees every sound as it comes.
    """
    results = []
    for coded in _coded(reference, contenders, opus):
        if keep is not None:
            keep(coded)
        row = (clip, coded.coder, coded.setting, coded.bitrate, _values(reference, coded.audio, perceptual))
        results.append(ClipResult(*row, coded.codes, coded.encode_speed, coded.decode_speed))
    return results


def through_codec(reference: Audio, contender: Contender) -> Iterator[Coded]:
    """A recording through a codec: encoded once, its first k codebooks decoded for each k."""
    codec = contender.codec
    sound = heard(reference, codec)
    started = time.perf_counter()
    codes = codec.encode(sound)
    encode_speed = sound.duration / max(time.perf_counter() - started, 1e-9)
    tokens = codes.tokens[0].numpy()  # [K, T]
    for k in contender.codebooks:
        started = time.perf_counter()
        decoded = codec.decode(codes, codebooks=k)
        decode_speed = sound.duration / max(time.perf_counter() - started, 1e-9)
        back = _first(_fitted(decoded, reference.sample_rate, reference.channels), reference.samples.shape[-1])
        yield Coded(contender.name, setting(k), rate_of(codec, k), back, tokens[:k], encode_speed, decode_speed)


def warm_up(codec: Codec) -> None:
    """A first run, which is slower than those to come."""
    codec.decode(codec.encode(Audio(torch.zeros(1, codec.channels, codec.sample_rate // 10 + 1), codec.sample_rate)))


def points(results: Iterable[ClipResult]) -> list[RatePoint]:
    """The clips of each coder and setting, in the order in which they first come."""
    groups: dict[tuple[str, str], list[ClipResult]] = {}
    for result in results:
        groups.setdefault((result.coder, result.setting), []).append(result)
    return [RatePoint(*key, tuple(group)) for key, group in groups.items()]


def curve_table(of: Sequence[RatePoint], measures: Sequence[str]) -> list[dict[str, Any]]:
    """The rate and distortion table: a row a point, with the means over clips."""
    return [
        {
            "coder": point.coder,
            "setting": point.setting,
            "kbps": point.bitrate / 1000,
            **{name: point.mean(name).value for name in measures},
            "n": len(point.clips),
        }
        for point in of
    ]


def intervals(of: Sequence[RatePoint], measures: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each point and measure: the mean, its 95 % interval over clips, and how many clips had a value."""
    found = [(point, name, point.mean(name)) for point in of for name in measures]
    return [
        {"coder": p.coder, "setting": p.setting, "measure": name, "mean": e.value, "low": e.low, "high": e.high, "n": e.n}
        for p, name, e in found
    ]  # fmt: skip


def speeds(of: Sequence[RatePoint], contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    """How well each codec uses its codes, and how fast it runs: a row a point of its curve. See COLUMNS."""
    sizes = {contender.name: contender.codec.codebook_size for contender in contenders}
    return [_speed_row(point, sizes[point.coder]) for point in of if point.coder in sizes]


def _speed_row(point: RatePoint, size: int) -> dict[str, Any]:
    codes = [clip.codes for clip in point.clips if clip.codes is not None]
    counts = CodebookCounts(len(codes[0]), size)
    for each in codes:
        counts.add(each)
    found = counts.report()
    return {
        "coder": point.coder,
        "setting": point.setting,
        "kbps": point.bitrate / 1000,
        "efficiency": found.efficiency_total,
        "usage": found.usage_total,
        "perplexity": found.perplexity_mean,
        "frames": found.frames,
        "encode_x": median(clip.encode_speed for clip in point.clips),
        "decode_x": median(clip.decode_speed for clip in point.clips),
    }


def _coded(reference: Audio, contenders: Sequence[Contender], opus: Sequence[float]) -> Iterator[Coded]:
    for contender in contenders:
        yield from through_codec(reference, contender)
    for kbps in opus:
        result = opus_round_trip(reference, kbps)
        rate = bitrate(result.bits, reference.samples.shape[-1], reference.sample_rate)
        yield Coded("opus", f"{kbps:g} kbps", rate, result.audio)


def _values(reference: Audio, estimate: Audio, perceptual: Sequence[str]) -> dict[str, float]:
    x, y, rate = reference.samples[0], estimate.samples[0], reference.sample_rate
    return asdict(score(x, y, rate)) | perceptual_scores(perceptual, x, y, rate)


def _fitted(audio: Audio, sample_rate: int, channels: int) -> Audio:
    if audio.channels != channels:
        audio = Audio(audio.to_mono().samples.repeat(1, channels, 1), audio.sample_rate)
    return audio.resample(sample_rate)


def _first(audio: Audio, samples: int) -> Audio:
    return Audio(audio.samples[..., :samples], audio.sample_rate)
