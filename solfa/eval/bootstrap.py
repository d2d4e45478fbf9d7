"""How sure a mean over items is, and whether two systems differ on the same items: by resampling, from a seed.

Items (clips, pieces, prompts) are what is drawn again, never frames or seconds of one, nor the takes of one prompt, which hang together:
`group_means` makes one value of those first. Memory is bounded for any number of them; time grows with it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Group = TypeVar("Group", bound=Hashable)

DRAWS = 1000
CENTRAL = (2.5, 97.5)  # percentiles: 95 %
EXACT = 12  # with so few differences every sign is tried
FLIPS = 10_000
BLOCK = 1 << 22  # numbers drawn at once
ROUNDING = 1e-12  # relative: values nearer to each other are equal, computed in another order


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` items with its 95 % interval, `low` to `high`: NaN of fewer than two, and the mean too of none."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """As tables show it: "0.865 [0.802, 0.927]"; a dash for none."""
        if np.isnan(self.value):
            return "-"
        if np.isnan(self.low):
            return f"{self.value:{'.3f' if abs(self.value) < 10 else '.4g'}}"
        form = ".3f" if max(map(abs, (self.value, self.low, self.high))) < 10 else ".4g"
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"


@dataclass(frozen=True)
class Difference:
    """Mean of the first system minus that of the second over `n` shared items, its 95 % interval, and the p of a test for no difference."""

    value: float
    low: float
    high: float
    p: float
    n: int


def central(draws: Floats) -> tuple[float, float]:
    """The central 95 % of draws; NaN for none. Among infinite ones no line can be drawn between neighbours: the outer of two is taken."""
    if not len(draws):
        return np.nan, np.nan
    if np.isfinite(draws).all():
        low, high = np.percentile(draws, CENTRAL)
    else:
        low, high = np.percentile(draws, CENTRAL[0], method="lower"), np.percentile(draws, CENTRAL[1], method="higher")
    return float(low), float(high)


def resampled_means(values: Floats, rng: np.random.Generator) -> Floats:
    """Means of 1,000 samples of `values` [N], each of N drawn with replacement; none of fewer than two: one does not say how it varies."""
    count = len(values)
    if count < 2:
        return np.zeros(0)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and says so itself
        return np.concatenate(
            [values[rng.integers(count, size=(rows, count))].mean(1) for rows in _blocks(DRAWS, count)]
        )


def group_means(values: Sequence[float] | Floats, groups: Sequence[Group]) -> dict[Group, float]:
    """One value a group, in the order in which they come: the mean of those of its values that are numbers; NaN where none is.

    A group of one value has that value. Raises ValueError for lists of other lengths.
    """
    if len(values) != len(groups):
        raise ValueError(f"{len(values)} values in {len(groups)} groups: as many of each")
    members: dict[Group, list[float]] = {group: [] for group in groups}
    for value, group in zip(values, groups, strict=True):
        members[group].append(value)
    return {group: _mean(_numbers(each)) for group, each in members.items()}


def mean_estimate(values: Sequence[float] | Floats, rng: np.random.Generator | None = None) -> Estimate:
    """The mean with its 95 % percentile bootstrap interval (Efron, 1979). Deterministic, where no generator comes in.

    Of values that are not numbers (NaN: nothing to measure in that item) none is counted; `n` says how many were. An infinite value
    (SI-SDR of two equal sounds) is counted, and makes the mean infinite. One value has no interval.
    """
    found = _numbers(values)
    low, high = central(resampled_means(found, rng or np.random.default_rng(0)))
    return Estimate(_mean(found), low, high, len(found))


def paired_difference(first: Sequence[float] | Floats, second: Sequence[float] | Floats, seed: int = 0) -> Difference:
    """Whether two systems differ on the same items, whose values stand in the same order; pairs with a NaN are left out.

    The interval is the bootstrap's of the mean difference. p is that of the two-sided sign-flip test (Fisher, 1935: if the systems were
    alike, each difference might as well have had the other sign): exact up to 12 pairs, else of 10,000 draws, and then 1e-4 at least;
    NaN where a difference is infinite. It is of one measure: among twenty measures one falls below 0.05 by chance.
    Values that differ by at most 1e-12 of the larger are equal: what rounding leaves is no difference, though it may have one sign.
    Raises ValueError for lists of other lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values: as many of each")
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    with np.errstate(invalid="ignore"):
        apart = a - b
        near = np.isfinite(apart) & (np.abs(apart) <= ROUNDING * np.maximum(np.abs(a), np.abs(b)))
        gaps = _numbers(np.where((a == b) | near, 0.0, apart))  # equal infinities differ by nothing
    rng = np.random.default_rng(seed)
    low, high = central(resampled_means(gaps, rng))
    return Difference(_mean(gaps), low, high, _sign_flip(gaps, rng), len(gaps))


def _sign_flip(gaps: Floats, rng: np.random.Generator) -> float:
    """The share of sign patterns whose mean is as far from 0 as that of `gaps`; NaN for none, and for infinite ones."""
    count = len(gaps)
    if not count or not np.isfinite(gaps).all():
        return np.nan
    if count <= EXACT:
        sums = (1.0 - 2.0 * (np.arange(1 << count)[:, None] >> np.arange(count) & 1)) @ gaps
    else:
        drawn = (rng.integers(2, size=(rows, count), dtype=np.int8) for rows in _blocks(FLIPS, count))
        sums = np.concatenate([(2.0 * flips - 1.0) @ gaps for flips in drawn])
        sums = np.append(sums, gaps.sum())  # with the true pattern among them p is never 0
    slack = 1e-12 * np.abs(gaps).sum()  # equal sums, added up in another order, are equal
    return float((np.abs(sums) >= abs(gaps.sum()) - slack).mean())


def _blocks(draws: int, count: int) -> list[int]:
    """`draws` in parts of which each holds at most BLOCK numbers, or one draw."""
    size = max(1, BLOCK // count)
    return [min(size, draws - start) for start in range(0, draws, size)]


def _mean(values: Floats) -> float:
    with np.errstate(invalid="ignore"):
        return float(values.mean()) if len(values) else np.nan


def _numbers(values: Sequence[float] | Floats) -> Floats:
    found = np.asarray(values, np.float64)
    return found[~np.isnan(found)]
