"""What codes tell of one another: of the codebook beside, of the frame before, and how long a code stays.

Pure functions of codes or of how often two codes come together, and two counters for more codes than memory holds.
Entropies of few frames come out too small and mutual information too large, by far where the pairs that could occur (N x N, a million for
codebooks of 1,024) are more than the frames. So everything stands twice: plain, and corrected (`chao_shen`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from solfa.eval.codebooks import checked_counts, entropy
from solfa.eval.evaluation import Measure

MAX_CELLS = 1 << 26  # of one counter of pairs: 256 MB
SHUFFLED = 1 << 20  # frames that are shuffled at most, for what chance makes
_MOST = (1 << 32) - 1  # that a cell holds
_CHAO_SHEN = "corrected for few frames by coverage (Chao and Shen, 2003)"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "run_length",
        "Mean number of frames that a code stays before another comes, within a recording, over codebooks alike; 1: it never stays.",
        "frames",
        1.0,
        float("inf"),
        "lower",
    ),
    Measure(
        "conditional_entropy",
        f"Entropy of a code given that of the frame before in its codebook, {_CHAO_SHEN}: H(both) - H(the one before), 0 to log2 N.",
        "bits",
        0.0,
        float("inf"),
        "higher",
    ),
    Measure(
        "mutual_information",
        "What the codes of two codebooks in one frame tell of each other: H(a) + H(b) - H(a, b) of shares as counted. Of few frames it "
        "is far too large: read `corrected`, unless the frames are many times the pairs that occur.",
        "bits",
        0.0,
        float("inf"),
        "lower",
    ),
    Measure(
        "corrected",
        f"The mutual information, its three entropies {_CHAO_SHEN}; of few frames still off by some tenths of a bit, "
        "to either side: see `chance`.",
        "bits",
        float("-inf"),
        float("inf"),
        "lower",
    ),
    Measure(
        "chance",
        f"What `corrected` comes to for the same codes once the frames of one codebook are shuffled (one draw of a fixed seed; up to "
        f"{SHUFFLED} frames): what is not well above it is not there.",
        "bits",
        float("-inf"),
        float("inf"),
        "zero",
    ),
    Measure(
        "share",
        "The corrected mutual information over the smaller of the two corrected entropies: 1 where one code tells the other.",
        "",
        float("-inf"),
        float("inf"),
        "lower",
    ),
)


def run_lengths(codes: ArrayLike) -> np.ndarray:
    """Lengths in frames of the runs of one code in codes [T] of one codebook, in order: their sum is T. None for no frames."""
    codes = np.asarray(codes)
    if codes.ndim != 1:
        raise ValueError(f"codes of shape {list(codes.shape)}: must be [T]")
    ends = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    return np.diff(np.concatenate([[0], ends, [len(codes)]])) if len(codes) else np.zeros(0, np.int64)


def chao_shen(counts: ArrayLike) -> np.ndarray:
    """Entropy in bits, 0 or more, of counts [..., N] of draws that did not show every code; NaN where nothing occurs.

    Chao and Shen (2003): of the shares of what was seen only C is kept, C = 1 - (codes seen once) / (draws), and each term is divided by
    the chance that its code was seen at all. The plain entropy of the shares (`codebooks.entropy`) is below the true one, by far for fewer
    draws than codes; this one can be on either side. Raises ValueError for counts that are not whole.
    """
    counts = _whole(counts)
    draws = counts.sum(axis=-1, keepdims=True, dtype=np.float64)
    once = (counts == 1).sum(axis=-1, keepdims=True)
    once = np.where(once == draws, once - 1, once)  # all seen once: C would be 0
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (1 - once / draws) * (counts / draws)
        # 1 - (1 - share)^draws, exact for small shares
        seen = -np.expm1(draws * np.log1p(-share))
        terms = share * np.log2(np.where(share > 0, share, 1.0)) / np.where(share > 0, seen, 1.0)
    return -terms.sum(axis=-1) + 0.0


@dataclass(frozen=True)
class MutualInformation:
    """What two codes tell of each other, in bits; MEASURES has the definitions. frames: pairs counted; pairs: different ones."""

    bits: float
    corrected: float
    chance: float
    share: float
    frames: int
    pairs: int


def mutual_information(joint: ArrayLike) -> MutualInformation:
    """Of counts [N, M]: how often code i of one codebook and j of another stand in one frame. All NaN where nothing is counted.

    share is NaN where a codebook's entropy is 0: it has nothing to tell; chance is for more than 2^20 frames, where it takes long and is
    small for codebooks of up to 1,024.
    """
    joint = _checked_joint(joint)
    first, second = joint.sum(1, dtype=np.int64), joint.sum(0, dtype=np.int64)
    both = joint[joint > 0]
    frames = int(first.sum())
    if not frames:
        return MutualInformation(np.nan, np.nan, np.nan, np.nan, 0, 0)
    bits = float(entropy(first) + entropy(second) - entropy(both))
    entropies = float(chao_shen(first)), float(chao_shen(second))
    corrected = sum(entropies) - float(chao_shen(both))
    return MutualInformation(
        bits=max(bits, 0.0),
        corrected=corrected,
        chance=sum(entropies) - float(chao_shen(_shuffled(first, second))) if frames <= SHUFFLED else np.nan,
        share=corrected / min(entropies) if min(entropies) > 0 else np.nan,
        frames=frames,
        pairs=len(both),
    )


def _shuffled(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How often the pairs occur that codes so frequent make in random order."""
    a, b = (np.repeat(np.arange(len(counts)), counts) for counts in (first, second))
    return np.unique(a * len(second) + np.random.default_rng(0).permutation(b), return_counts=True)[1]


def conditional_entropy(joint: ArrayLike, corrected: bool = True) -> float:
    """Entropy in bits of the second code given the first, H(both) - H(first), of counts [N, M]; NaN where nothing is counted.

    corrected: both by `chao_shen`; else plain, which for few pairs is far too small. The corrected one errs to both sides, and where few
    pairs come twice can be beyond what M codes can have. So it is held within what is certain, 0 to log2 M, which never takes it further
    from the truth; not below the corrected entropy of the second code, which is no certain limit but an estimate that errs itself.
    """
    joint = _checked_joint(joint)
    if not joint.any():
        return float("nan")
    measure = chao_shen if corrected else entropy
    bits = float(measure(joint[joint > 0]) - measure(joint.sum(1, dtype=np.int64)))
    return min(max(bits, 0.0), float(np.log2(joint.shape[1])))


class PairCounts:
    """How often two codes come together, for chosen pairs of codebooks: 4 bytes for each of len(pairs) x N x N cells.

    Raises ValueError for more than 2^26 cells.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]], codebook_size: int) -> None:
        self.pairs, self.size, self._frames = tuple(pairs), codebook_size, 0
        if (cells := len(self.pairs) * codebook_size**2) > MAX_CELLS:
            raise ValueError(
                f"{len(self.pairs)} pairs of codebooks of {codebook_size} codes make {cells} cells: at most {MAX_CELLS}"
            )
        self.counts = np.zeros((len(self.pairs), codebook_size**2), np.uint32)

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Count codes [K, T] with codes [K, T], frame by frame; of each pair the former's codebook in `first`, the latter's in `second`."""
        frames = self._frames + first.shape[1]
        if frames > _MOST:
            raise ValueError(f"{frames} frames: at most {_MOST} can be counted in pairs")
        self._frames = frames
        for cells, (a, b) in zip(self.counts, self.pairs, strict=True):
            found, often = np.unique(first[a].astype(np.int64) * self.size + second[b], return_counts=True)
            cells[found] += often.astype(np.uint32)

    def joint(self, index: int) -> np.ndarray:
        """The counts of one pair, [N, N]."""
        return self.counts[index].reshape(self.size, self.size)


def chosen_pairs(codebooks: int, codebook_size: int) -> list[tuple[int, int]]:
    """The pairs of codebooks that can be counted: all where 2^26 cells suffice, else neighbours, else none."""
    every = [(a, b) for a in range(codebooks) for b in range(a + 1, codebooks)]
    beside = [(a, a + 1) for a in range(codebooks - 1)]
    return next((pairs for pairs in (every, beside) if len(pairs) * codebook_size**2 <= MAX_CELLS), [])


class RunCounts:
    """How long codes stay, of K codebooks over recordings: `add` each whole, then read."""

    BINS = ("1", "2", "3-4", "5-8", "9-16", "17-32", "33 and more")

    def __init__(self, codebooks: int) -> None:
        self.runs = np.zeros((codebooks, len(self.BINS)), np.int64)  # by length
        self.frames = np.zeros(codebooks, np.int64)
        self.longest = np.zeros(codebooks, np.int64)

    def add(self, codes: np.ndarray) -> np.ndarray:
        """Count the runs of codes [K, T] of one recording, which has 1 frame or more, and give their mean lengths [K]."""
        means = np.zeros(len(codes))
        for book, row in enumerate(codes):
            lengths = run_lengths(row)
            bins = np.minimum(np.ceil(np.log2(lengths)).astype(np.int64), len(self.BINS) - 1)
            self.runs[book] += np.bincount(bins, minlength=len(self.BINS))
            self.frames[book] += len(row)
            self.longest[book] = max(self.longest[book], lengths.max())
            means[book] = lengths.mean()
        return means

    def mean(self) -> np.ndarray:
        """Mean length in frames of the runs of each codebook, [K]: frames over runs."""
        return self.frames / np.maximum(self.runs.sum(axis=1), 1)


def _whole(counts: ArrayLike) -> np.ndarray:
    counts = checked_counts(counts)
    if counts.dtype.kind == "f" and (counts != np.floor(counts)).any():
        raise ValueError("counts must be whole numbers: how often a code was drawn")
    return counts


def _checked_joint(joint: ArrayLike) -> np.ndarray:
    joint = _whole(joint)
    if joint.ndim != 2:
        raise ValueError(f"counts of shape {list(joint.shape)}: must be [N, M], of two codes")
    return joint
