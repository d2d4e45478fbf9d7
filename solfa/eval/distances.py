"""How far two sets of recordings are apart, as clouds of embeddings: Fréchet's distance, and kernel distances.

None says anything of a single recording, and each is of its embedding: compare numbers only of one embedding, one reference and as many
recordings, and tell all three. Rows [N, D] are embeddings, of one set over each other; where a function takes recordings, these are lists
of such rows, one array a recording, and a recording is never divided: its rows hang together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solfa.eval.evaluation import Measure

Floats = NDArray[np.float64]
Rows = NDArray[np.floating]

SHARES = 12  # of the recordings, of which each is drawn for an extrapolation
SMALLEST = 0.25  # of these shares
KAD_SCALE = 100.0
BLOCK = 1024  # rows of a kernel matrix at a time
MEDIAN_OF = 4000  # rows, at most, whose pairs give the bandwidth

# Of two sets, named as the fields of `Distances`.
MEASURES = (
    Measure(
        "frechet",
        "Fréchet distance of Gaussians fitted to the embeddings of both sets (Fréchet audio distance, Kilgour et al. 2019); too large "
        "for small sets.",
        "squared units of the embedding",
        0.0,
        np.inf,
        "lower",
    ),
    Measure(
        "extrapolated",
        "The Fréchet distance that endless sets would have, by a line over 1 / N (FAD-infinity, Gui et al. 2023; here recordings of "
        "both sets are drawn, so that neither's bias is left).",
        "squared units of the embedding",
        -np.inf,
        np.inf,
        "lower",
    ),
    Measure(
        "r2", "How straight the line of the extrapolated distance is; 1 is quite straight.", "", -np.inf, 1.0, "higher"
    ),
    Measure(
        "floor",
        "The Fréchet distance of two halves of the reference, which generated sets of half its size can hardly beat.",
        "squared units of the embedding",
        0.0,
        np.inf,
        "lower",
    ),
    Measure(
        "kernel",
        "Squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, unbiased (Kernel Inception Distance, Binkowski et al. 2018).",
        "",
        -np.inf,
        np.inf,
        "lower",
    ),
    Measure(
        "gaussian",
        "100 times the squared maximum mean discrepancy under a Gaussian kernel as wide as the reference's median distance, unbiased "
        "(Kernel Audio Distance, Chung et al. 2025).",
        "",
        -100.0,
        200.0,
        "lower",
    ),
)


@dataclass(frozen=True)
class Distances:
    """Two sets in one embedding, as `MEASURES` defines them. recordings and rows: of the reference, of the generated.

    NaN is what cannot be computed though the others can: `extrapolated`, `r2` and `floor` of too few recordings, or parts of one row, and
    `gaussian` where the rows of the reference are equal.
    """

    embedding: str
    frechet: float
    extrapolated: float
    r2: float
    floor: float
    kernel: float
    gaussian: float
    recordings: tuple[int, int]
    rows: tuple[int, int]
    width: int


@dataclass(frozen=True)
class Extrapolation:
    """A line through distances (`values`) over 1 / `shares`: `value` where it meets 0, as of endless sets. r2: how straight, up to 1."""

    value: float
    slope: float
    r2: float
    shares: tuple[float, ...]
    values: tuple[float, ...]


def compare_sets(embedding: str, reference: Sequence[Rows], generated: Sequence[Rows], seed: int = 0) -> Distances:
    """Every distance of two lists of recordings, each embedded as rows [N, D]; NaN for one that they do not allow. Deterministic.

    Raises ValueError for fewer than two rows, other widths, and rows that are not finite: of those there is no distance at all.
    """
    x, y = _joined(reference), _joined(generated)
    _checked(x, y)
    try:
        line = frechet_extrapolated(reference, generated, seed)
        far, straight = line.value, line.r2
    except ValueError:
        far = straight = np.nan
    return Distances(
        embedding=embedding,
        frechet=frechet_distance(x, y),
        extrapolated=far,
        r2=straight,
        floor=_or_nan(lambda: frechet_distance(*halves(reference, seed))),
        kernel=kernel_distance(x, y),
        gaussian=_or_nan(lambda: gaussian_distance(x, y)),
        recordings=(len(reference), len(generated)),
        rows=(len(x), len(y)),
        width=x.shape[1],
    )


def _or_nan(distance: Callable[[], float]) -> float:
    """A distance of checked rows; NaN where a part of them has none."""
    try:
        return distance()
    except ValueError:
        return np.nan


def frechet_distance(a: Rows, b: Rows) -> float:
    """Fréchet distance of Gaussians with the means and covariances of `a` [N, D] and `b` [M, D]; 0 at least, and 0 for equal ones.

    |m_a - m_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2)), in squared units of the embedding (Dowson and Landau 1982; as Fréchet
    audio distance, Kilgour et al. 2019). The last trace is that of the root of C_a^(1/2) C_b C_a^(1/2), which is symmetric: its
    eigenvalues are real and, up to rounding, not negative. Others take the root of C_a C_b itself, whose rounding can leave the distance
    complex or below 0. With few rows the distance comes out too large; compare only distances of as many. Raises ValueError for fewer
    than two rows or other widths.
    """
    x, y = _checked(a, b)
    gap = x.mean(0) - y.mean(0)
    first, second = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (x, y))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    middle = root @ second @ root
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh((middle + middle.T) / 2), 0.0)).sum()
    return max(0.0, float(gap @ gap + np.trace(first) + np.trace(second) - 2 * shared))


class TooFew(ValueError):
    """Too few recordings or rows for a line to be drawn through their parts."""


def frechet_extrapolated(reference: Sequence[Rows], generated: Sequence[Rows], seed: int = 0) -> Extrapolation:
    """The Fréchet distance that endless sets would have: its bias falls as 1 / N, so a line is drawn over that, to 0 (FAD-infinity).

    The same share of the recordings of both sets is drawn without replacement, 12 shares from a quarter (or what gives more rows than
    dimensions) to all; a small share as often as it goes into the whole, and the mean counts. Not limited to 0: around it, where the
    sets are of one kind. Chong and Forsyth (2020, arXiv 1911.07023) and Gui et al. (2023, arXiv 2311.01616) draw from the generated
    set only, rows instead of recordings: that leaves the reference's own bias in, and takes rows of a recording for independent.
    fadtk draws with replacement, which leaves more. Raises ValueError where half the recordings do not have more rows than dimensions.
    """
    x, y = _joined(reference), _joined(generated)
    _checked(x, y)
    fewest = min(len(x), len(y))
    least = max(SMALLEST, (x.shape[1] + 1) / fewest, 2 / len(reference), 2 / len(generated))
    if least > 0.5:
        raise TooFew(
            f"{len(x)} and {len(y)} rows of {x.shape[1]} dimensions, of {len(reference)} and {len(generated)} recordings: "
            "too few to extrapolate from, half of either must have more rows than dimensions"
        )
    rng = np.random.default_rng(seed)
    # Equally far apart in 1 / share, which the line is drawn over.
    shares = 1 / np.linspace(1 / least, 1.0, SHARES)
    values = np.array([_mean_at(share, reference, generated, rng) for share in shares])
    over = 1 / shares
    slope, value = np.polyfit(over, values, 1)
    left, spread = np.square(values - (slope * over + value)).sum(), np.square(values - np.mean(values)).sum()
    r2 = 1 - left / spread if spread > 0 else 1.0
    return Extrapolation(float(value), float(slope), float(r2), tuple(shares.tolist()), tuple(values.tolist()))


def _mean_at(share: float, reference: Sequence[Rows], generated: Sequence[Rows], rng: np.random.Generator) -> float:
    """The mean distance of parts of both sets, as many as do not overlap."""
    sides = []
    for recordings in (reference, generated):
        order, size = rng.permutation(len(recordings)), max(1, round(share * len(recordings)))
        sides.append([order[start : start + size] for start in range(0, len(order) - size + 1, size)])
    return float(
        np.mean(
            [
                frechet_distance(_joined([reference[i] for i in a]), _joined([generated[i] for i in b]))
                for a, b in zip(*sides, strict=False)  # rounding may give one side a part more
            ]
        )
    )


def kernel_distance(a: Rows, b: Rows) -> float:
    """Squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, unbiased: around 0 for sets of one kind, lower is better.

    Gretton et al. 2012, with the kernel of the Kernel Inception Distance (Binkowski et al. 2018, arXiv 1801.01401), over all rows at once
    where that is averaged over blocks drawn at random. Unlike Fréchet's its mean does not depend on how many rows there are; it
    can be below 0. It grows with the cube of the embedding's scale squared. Raises ValueError as `frechet_distance`.
    """
    x, y = _checked(a, b)
    width = x.shape[1]
    return _mmd(x, y, lambda p, q: (p @ q.T / width + 1) ** 3)


def gaussian_distance(a: Rows, b: Rows, bandwidth: float | None = None) -> float:
    """100 times the squared maximum mean discrepancy under exp(-|x - y|^2 / (2 w^2)), unbiased: -100 to 200, around 0 for sets of one kind.

    Kernel Audio Distance (Chung et al. 2025, arXiv 2502.15602): w is by default the median distance of the pairs of `a`, the reference (of
    4,000 rows at equal distances, where there are more), so that the embedding's scale does not matter. Ours is in float64. Raises
    ValueError as `frechet_distance`, and where the bandwidth is not above 0 (a reference of equal rows).
    """
    x, y = _checked(a, b)
    width = median_distance(x) if bandwidth is None else bandwidth
    if not width > 0:
        raise ValueError(f"a bandwidth of {width}: above 0, so a reference whose rows differ")

    def kernel(p: Floats, q: Floats) -> Floats:
        return np.exp(-_squared(p, q) / (2 * width**2))

    return KAD_SCALE * _mmd(x, y, kernel)


def median_distance(rows: Rows) -> float:
    """The median Euclidean distance of all pairs of rows [N, D]; of more than 4,000 rows, so many at equal distances are taken."""
    x = np.asarray(rows, np.float64)
    if len(x) > MEDIAN_OF:
        x = x[np.arange(MEDIAN_OF) * len(x) // MEDIAN_OF]
    found = [np.sqrt(_squared(x[i : i + 1], x[i + 1 :]))[0] for i in range(len(x) - 1)]
    return float(np.median(np.concatenate(found)))


def _squared(p: Floats, q: Floats) -> Floats:
    """Squared distances [N, M], 0 at least."""
    return np.maximum((p * p).sum(1)[:, None] + (q * q).sum(1) - 2 * p @ q.T, 0.0)


def _mmd(x: Floats, y: Floats, kernel: Callable[[Floats, Floats], Floats]) -> float:
    """Mean kernel of two different rows of x, and of y, less twice that of a row of each."""
    between = sum(float(kernel(x[i : i + BLOCK], y).sum()) for i in range(0, len(x), BLOCK))
    within = []
    for rows in (x, y):
        total = 0.0
        for start in range(0, len(rows), BLOCK):
            block = kernel(rows[start : start + BLOCK], rows)
            total += float(block.sum() - np.trace(block, start))  # less those of rows with themselves
        within.append(total / (len(rows) * (len(rows) - 1)))
    return within[0] + within[1] - 2 * between / (len(x) * len(y))


def halves(rows: Sequence[Rows], seed: int = 0) -> tuple[Floats, Floats]:
    """The embeddings of recordings, in two halves drawn at random; a recording is never divided. Raises ValueError for fewer than two."""
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} recordings: at least two make two halves")
    order = np.random.default_rng(seed).permutation(len(rows))
    middle = len(rows) // 2
    return _joined([rows[i] for i in order[:middle]]), _joined([rows[i] for i in order[middle:]])


def _joined(recordings: Sequence[Rows]) -> Floats:
    if not len(recordings):
        raise ValueError("no recordings to compare")
    return np.concatenate([np.asarray(rows, np.float64) for rows in recordings])


def _checked(a: Rows, b: Rows) -> tuple[Floats, Floats]:
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"embeddings of shape {x.shape} and {y.shape}: [N, D] and [M, D], two rows at least")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("embeddings that are not finite")
    return x, y
