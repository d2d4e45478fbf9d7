"""How well a codec uses its codebooks: pure functions of how often each code occurs.

All take counts [..., N], in the last axis how often each of the N codes occurs, and give one number a codebook. They
look at each codebook alone: what the codes of a frame, or of its neighbours, tell of each other is not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from solfa.eval.evaluation import Measure

INFINITY = float("inf")

MEASURES: tuple[Measure, ...] = (
    Measure("usage", "Share of a codebook's codes that occur at all; mean over codebooks.", "", 0.0, 1.0, "higher"),
    Measure(
        "dead", "Codes of a codebook that never occur; of all codebooks their sum.", "codes", 0.0, INFINITY, "lower"
    ),
    Measure(
        "entropy",
        "Shannon entropy of a code, -sum p log2 p of shares as counted, not corrected: of T frames at most log2 T. Of one recording the "
        "mean over codebooks, of all together their sum.",
        "bits",
        0.0,
        INFINITY,
        "higher",
    ),
    Measure("perplexity", "2 to the entropy; over codebooks the geometric mean.", "codes", 1.0, INFINITY, "higher"),
    Measure(
        "efficiency",
        "Entropy over the bits of a code of fixed length, log2 N; mean over codebooks (DAC's bitrate efficiency, arXiv 2306.06546).",
        "",
        0.0,
        1.0,
        "higher",
    ),
)


def usage(counts: ArrayLike) -> np.ndarray:
    """Share of the codes that occur at all, 0 to 1."""
    return (checked_counts(counts) > 0).mean(axis=-1)


def dead_codes(counts: ArrayLike) -> np.ndarray:
    """How many codes never occur, 0 to N."""
    return (checked_counts(counts) == 0).sum(axis=-1)


def entropy(counts: ArrayLike) -> np.ndarray:
    """Shannon entropy of the code in bits, 0 to log2 N: -sum p log2 p, p = count / total; NaN where nothing occurs."""
    counts = checked_counts(counts).astype(np.float64)
    total = counts.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        share = counts / total
    # 0 log 0 is 0, by its limit. Adding 0 turns the -0 of one sure code to 0.
    return -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=-1) + 0.0


def perplexity(counts: ArrayLike) -> np.ndarray:
    """2 to the entropy, 1 to N: so many equally frequent codes are as hard to guess; NaN where nothing occurs."""
    return np.exp2(entropy(counts))


def bitrate_efficiency(counts: ArrayLike) -> np.ndarray:
    """Entropy over log2 N, 0 to 1: the share of the bits of a fixed-length code that is needed (DAC, arXiv 2306.06546).

    NaN where nothing occurs. Raises ValueError for a codebook of one code, which has no bits.
    """
    size = checked_counts(counts).shape[-1]
    if size < 2:
        raise ValueError("bitrate efficiency of a codebook of 1 code: must have 2 or more")
    return entropy(counts) / math.log2(size)


@dataclass(frozen=True)
class CodebookReport:
    """The codebooks of one codec over some recordings: a number for each codebook in order, and for all.

    frames: frames counted. entropy_total is the sum over codebooks, in bits a frame; perplexity_mean a geometric mean;
    usage_total and efficiency_total are of the codes and bits of all codebooks together. The functions tell the units.
    """

    codebooks: int
    codebook_size: int
    frames: int
    usage: tuple[float, ...]
    dead: tuple[int, ...]
    entropy: tuple[float, ...]
    perplexity: tuple[float, ...]
    efficiency: tuple[float, ...]
    usage_total: float
    dead_total: int
    entropy_total: float
    perplexity_mean: float
    efficiency_total: float


def codebook_report(counts: ArrayLike) -> CodebookReport:
    """Everything above for counts [K, N] of the K codebooks of a codec.

    Raises ValueError if a codebook has no codes counted, or if some have more than others: each has one code a frame.
    """
    counts = checked_counts(counts)
    if counts.ndim != 2:
        raise ValueError(f"counts of shape {list(counts.shape)}: must be [K, N]")
    frames = counts.sum(axis=1)
    if not frames.all():
        raise ValueError("no codes were counted: at least one frame is needed")
    if (frames != frames[0]).any():
        raise ValueError(f"codebooks with {frames.tolist()} codes counted: must have one a frame each")
    bits = entropy(counts)
    return CodebookReport(
        codebooks=counts.shape[0],
        codebook_size=counts.shape[1],
        frames=int(frames[0]),
        usage=tuple(usage(counts).tolist()),
        dead=tuple(dead_codes(counts).tolist()),
        entropy=tuple(bits.tolist()),
        perplexity=tuple(np.exp2(bits).tolist()),
        efficiency=tuple(bitrate_efficiency(counts).tolist()),
        usage_total=float(usage(counts).mean()),
        dead_total=int(dead_codes(counts).sum()),
        entropy_total=float(bits.sum()),
        perplexity_mean=float(np.exp2(bits.mean())),
        efficiency_total=float(bitrate_efficiency(counts).mean()),
    )


class CodebookCounts:
    """Counts codes as they come, in memory for K x N numbers: `add` them, then read `counts` or `report()`."""

    def __init__(self, codebooks: int, codebook_size: int) -> None:
        if codebooks < 1 or codebook_size < 2:
            raise ValueError(f"{codebooks} codebooks of {codebook_size} codes: must be 1 or more of 2 or more")
        self.counts = np.zeros((codebooks, codebook_size), np.int64)  # [K, N]

    def add(self, codes: ArrayLike) -> None:
        """Count codes [..., K, T]. Raises ValueError for another shape, or a code outside 0 to N - 1."""
        codes = np.asarray(codes)
        books, size = self.counts.shape
        if codes.ndim < 2 or codes.shape[-2] != books or codes.dtype.kind not in "iu":
            raise ValueError(f"codes {codes.dtype} of shape {list(codes.shape)}: must be integers [..., {books}, T]")
        if not codes.size:
            return
        if codes.min() < 0 or codes.max() >= size:
            raise ValueError(f"codes {codes.min()} to {codes.max()}: must be 0 to {size - 1}")
        for book in range(books):
            found, often = np.unique(codes[..., book, :], return_counts=True)
            self.counts[book, found] += often

    def report(self) -> CodebookReport:
        """The report of all that was added. Raises ValueError if that is nothing."""
        return codebook_report(self.counts)


def checked_counts(counts: ArrayLike) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim < 1 or counts.shape[-1] < 1 or counts.dtype.kind not in "iuf":
        raise ValueError(f"counts {counts.dtype} of shape {list(counts.shape)}: must be numbers [..., N], N 1 or more")
    if counts.size and not (counts.min() >= 0 and np.isfinite(counts).all()):
        raise ValueError("counts must be 0 or more, and finite")
    return counts
