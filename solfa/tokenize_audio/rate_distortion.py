"""How much a codec loses at each bitrate, beside Opus on the same clips; and how near one file is to another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from solfa.audio.io import Audio, read
from solfa.audio.sound_file import AudioError
from solfa.eval.codec import CodecScores, bitrate, mean_scores, score, token_bitrate
from solfa.tokenize_audio.opus import opus_round_trip

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec

CROP = 0.1  # seconds: two files that differ by more in length are not the same recording


@dataclass(frozen=True)
class ClipResult:
    """One clip through one coder at one setting."""

    coder: str  # the codec's name, or "opus"
    setting: str  # "4 codebooks", "8 kbps"
    bitrate: float  # bits a second that this clip took, without container
    scores: CodecScores


@dataclass(frozen=True)
class RateRow:
    """The means over clips of one coder at one setting."""

    coder: str
    setting: str
    bitrate: float  # bits a second
    scores: CodecScores
    clips: int


def compare_files(reference: Path, estimate: Path) -> CodecScores:
    """Scores of one file against another, at the reference's rate.

    The estimate is resampled to that rate. Files that differ by at most 0.1 s in length are cut to the shorter; a larger
    difference, or another number of channels, is refused by AudioError, for it would be another recording.
    """
    x, y = read(reference), read(estimate)
    if x.channels != y.channels:
        raise AudioError(f"{estimate}: has {y.channels} channels, and {reference} has {x.channels}")
    if abs(x.duration - y.duration) > CROP:
        raise AudioError(f"{estimate}: lasts {y.duration:.3f} s, and {reference} {x.duration:.3f} s")
    y = y.resample(x.sample_rate)
    length = min(x.samples.shape[-1], y.samples.shape[-1])
    return score(x.samples[0, :, :length], y.samples[0, :, :length], x.sample_rate)


def match_files(references: Sequence[Path], estimates: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs of files with the same stem. Raises ValueError for a stem that is there twice, or in one set only."""
    by_stem: list[dict[str, Path]] = []
    for files in (references, estimates):
        stems: dict[str, Path] = {}
        for file in files:
            if file.stem in stems:
                raise ValueError(f"{file} and {stems[file.stem]} have the same stem: which is meant?")
            stems[file.stem] = file
        by_stem.append(stems)
    alone = sorted(by_stem[0].keys() ^ by_stem[1].keys())
    if alone:
        raise ValueError(
            f"no partner for {', '.join(alone[:5])}{f' and {len(alone) - 5} more' if len(alone) > 5 else ''}"
        )
    return [(by_stem[0][stem], by_stem[1][stem]) for stem in sorted(by_stem[0])]


def measure_clip(path: Path, codec: Codec, codebooks: Sequence[int], opus: Sequence[float] = ()) -> list[ClipResult]:
    """One file through the codec with each number of codebooks, and through Opus at each of `opus` kbps.

    The reference is what the codec hears: the file at its rate, with its number of channels (mixed down, or a mono file
    repeated). It is encoded once; the first k codebooks are then decoded for each k.
    """
    reference = _as_heard(read(path), codec)
    target = reference.samples[0]
    codes = codec.encode(reference)
    results = []
    for k in codebooks:
        decoded = codec.decode(codes, codebooks=k)
        rate = token_bitrate(codec.frame_rate, k, codec.codebook_size)
        results.append(_result(codec.name, f"{k} codebook{'s' * (k != 1)}", rate, target, decoded))
    for kbps in opus:
        result = opus_round_trip(reference, kbps)
        rate = bitrate(result.bits, target.shape[-1], reference.sample_rate)
        results.append(_result("opus", f"{kbps:g} kbps", rate, target, result.audio))
    return results


def summarize(results: Iterable[ClipResult]) -> list[RateRow]:
    """Means over the clips for each coder and setting, in the order in which they first come."""
    groups: dict[tuple[str, str], list[ClipResult]] = {}
    for result in results:
        groups.setdefault((result.coder, result.setting), []).append(result)
    return [
        RateRow(
            coder, setting, sum(r.bitrate for r in group) / len(group), mean_scores(r.scores for r in group), len(group)
        )
        for (coder, setting), group in groups.items()
    ]


def _as_heard(audio: Audio, codec: Codec) -> Audio:
    if audio.channels != codec.channels:
        mono = audio.to_mono()
        audio = Audio(mono.samples.repeat(1, codec.channels, 1), audio.sample_rate)
    return audio.resample(codec.sample_rate)


def _result(coder: str, setting: str, rate: float, target: Tensor, decoded: Audio) -> ClipResult:
    return ClipResult(coder, setting, rate, score(target, decoded.samples[0], decoded.sample_rate))
