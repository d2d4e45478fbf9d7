"""Segments that overlap, each coded by itself with a scale of its own, and their overlap-add: EnCodec's 48 kHz scheme.

Segment i begins at sample i * stride; there are as many as begin inside the recording, and the last ones end with it. In the overlap
of two segments one fades out as the other fades in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from solfa.codecs.windows import in_order, pool


@dataclass(frozen=True)
class SegmentConfig:
    """Segments of a sound that a codec codes each by itself (EnCodec 48 kHz: 48000, 47520, True).

    samples: length of a segment; the last ones may be shorter. stride: samples from the start of one to the start of the next.
    normalize: divide each segment by its loudness, 1e-8 + RMS of the mix of its channels, which is stored as its scale.
    Raises ValueError unless 1 <= stride <= samples.
    """

    samples: int
    stride: int
    normalize: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.samples:
            raise ValueError(f"segment stride {self.stride}: it must lie between 1 and its samples, {self.samples}")


def segment_frames(samples: int, hop: int, size: int, stride: int) -> list[int]:
    """Frames of each segment of a recording of that many samples."""
    return [-(-min(samples - offset, size) // hop) for offset in range(0, samples, stride)]


def encode_segments(
    parts: Iterable[Tensor], config: SegmentConfig, encode: Callable[[Tensor], Tensor], workers: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Parts [C, n] of a recording to the codes [k, t] of each segment, by `encode`, and its scale [] where they are normalised."""

    def work(segment: Tensor) -> tuple[Tensor, Tensor | None]:
        if not config.normalize:
            return encode(segment), None
        scale = loudness(segment)
        return encode(segment / scale), scale

    return in_order(cut_segments(parts, config.samples, config.stride), work, pool(workers), workers)


def decode_segments(
    read: Callable[[int, int], Tensor],
    config: SegmentConfig,
    decode: Callable[[Tensor], Tensor],
    hop: int,
    samples: int,
    scales: Tensor | None,
    start: int,
    stop: int,
    workers: int,
) -> Iterator[Tensor]:
    """The samples start to stop, in blocks [C, n], of a recording of so many samples whose frames a to b `read(a, b)` gives.

    decode: the codes [k, t] of a segment to [C, t * hop]. Only the segments that reach into start to stop are read.
    Raises ValueError where scales are missing, or there when they are none.
    """
    counts = segment_frames(samples, hop, config.samples, config.stride)
    if config.normalize and (scales is None or len(scales) < len(counts)):
        given = "none" if scales is None else str(len(scales))
        raise ValueError(f"the segments were normalised: {len(counts)} scales are needed, {given} given")
    if not config.normalize and scales is not None:
        raise ValueError("the codec does not normalise its segments: scales must be None")
    weight = fade(counts[0] * hop)
    begins = [0, *itertools.accumulate(counts)]  # frames before each segment
    first = max(0, (start - len(weight)) // config.stride + 1)  # no segment is longer than the first
    last = min(len(counts), -(-stop // config.stride))

    def work(i: int) -> Tensor:
        sound = decode(read(begins[i], begins[i + 1]))
        return sound if scales is None else sound * scales[i]

    position = first * config.stride
    for block in overlap_add(in_order(range(first, last), work, pool(workers), workers), config.stride, weight):
        low, high = max(start - position, 0), min(stop - position, block.shape[-1])
        position += block.shape[-1]
        if low < high:
            yield block[:, low:high]


def cut_segments(parts: Iterable[Tensor], size: int, stride: int) -> Iterator[Tensor]:
    """Parts [C, n] of a recording to its segments [C, <= size]; one of them and one part are in memory.

    Raises ValueError where the parts hold nothing.
    """
    buffer: Tensor | None = None
    some = False
    for part in parts:
        buffer = part if buffer is None else torch.cat([buffer, part], -1)
        some = some or part.shape[-1] > 0
        while buffer.shape[-1] >= size:
            yield buffer[:, :size]
            buffer = buffer[:, stride:]
    if buffer is None or not some:
        raise ValueError("the recording holds no samples")
    while buffer.shape[-1]:
        yield buffer[:, :size]
        buffer = buffer[:, stride:]


def loudness(segment: Tensor) -> Tensor:
    """1e-8 + RMS of the mean of the channels, [], of a segment [C, n]."""
    mono = segment.sum(0) / len(segment)
    return mono.square().mean().sqrt() + 1e-8


def overlap_add(segments: Iterable[Tensor], stride: int, weight: Tensor) -> Iterator[Tensor]:
    """Segments [C, <= n], each `stride` samples after the one before, to blocks of their weighted mean; weight: [n], above 0.

    Memory: one segment and what overlaps it.
    """
    rest: Tensor | None = (
        None  # [C + 1, n]: weighted sum and, in the last row, sum of the weights, from the present segment on
    )
    for segment in segments:
        part = weight[: segment.shape[-1]]
        added = torch.cat([segment * part, part[None]])
        if rest is None:
            rest = added
        else:
            missing = added.shape[-1] - rest.shape[-1]
            rest = F.pad(rest, (0, max(0, missing)))  # a copy, in any case
            rest[:, : added.shape[-1]] += added
        yield rest[:-1, :stride] / rest[-1, :stride]
        rest = rest[:, stride:]
    if rest is not None and rest.shape[-1]:
        yield rest[:-1] / rest[-1]


def fade(size: int) -> Tensor:
    """The weight of each sample of a segment, [size]: it rises to the middle and falls again, a triangle above 0 everywhere.

    In an overlap the weights relative to their sum are a linear cross-fade.
    """
    place = torch.linspace(0, 1, size + 2)[1:-1]
    return 0.5 - (place - 0.5).abs()
