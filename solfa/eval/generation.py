"""Whether generated music is what was asked for: the share of prompts whose facts an independent analyser hears in the generated sound.

It stands beside the share on true recordings of the same prompts (the analyser's own accuracy, and so its ceiling) and on prompts
dealt to the sounds at random (chance).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from solfa.eval.bootstrap import DRAWS, Estimate, central, mean_estimate
from solfa.eval.evaluation import Measure
from solfa.eval.music import Facts
from solfa.eval.music_sound import Floats

TOLERANCE = 0.08  # how far a tempo may be off, relative to the one asked for
DENSITY_TOLERANCE = 0.25  # and an onset rate


def _measure(name: str, definition: str) -> Measure:
    return Measure(
        name, f"Share of sounds in which {definition}, as solfa.eval.music hears it.", "", 0.0, 1.0, "higher"
    )


MEASURES = (
    _measure("family", "the lead is of the General MIDI family asked for"),
    _measure("tempo", f"the tempo is within {TOLERANCE:.0%} of the one asked for"),
    _measure("tempo or octave", f"the tempo, its half or its double is within {TOLERANCE:.0%} of the one asked for"),
    _measure("tonic", "the key's tonic is the one asked for"),
    _measure("mode", "the mode is the one asked for: major or minor, by the third"),
    _measure("key", "tonic and mode are those asked for"),
    _measure("metre", "the metre is the one asked for, of 3/4, 4/4 and 6/8"),
    _measure("density", "onsets are as many a second as the word asked for means: sparse below 2, dense above 6"),
    _measure("onset rate", f"onsets a second are within {DENSITY_TOLERANCE:.0%} of those of the piece asked for"),
)
ATTRIBUTES = tuple(measure.name for measure in MEASURES)


def agreement(wanted: Facts, heard: Facts) -> dict[str, float]:
    """Whether each of `ATTRIBUTES` is heard as wanted, 1 or 0; NaN where nothing was wanted. What is not heard at all is not as wanted."""
    tonic, mode = _same(wanted.tonic, heard.tonic), _same(wanted.mode, heard.mode)
    return {
        "family": _same(wanted.family, heard.family),
        "tempo": _near(wanted.tempo, heard.tempo, TOLERANCE),
        "tempo or octave": _near(wanted.tempo, heard.tempo, TOLERANCE, (0.5, 1.0, 2.0)),
        "tonic": tonic,
        "mode": mode,
        "key": tonic * mode,
        "metre": _same(wanted.metre, heard.metre),
        "density": _same(wanted.density, heard.density),
        "onset rate": _near(wanted.onset_rate, heard.onset_rate, DENSITY_TOLERANCE),
    }


def _same(wanted: object, heard: object) -> float:
    return np.nan if wanted is None else float(wanted == heard)


def _near(wanted: float | None, heard: float | None, tolerance: float, factors: Sequence[float] = (1.0,)) -> float:
    if wanted is None:
        return np.nan
    ratio = (heard or 0.0) / wanted
    return float(any(abs(ratio * factor - 1) <= tolerance for factor in factors))


def adherence(wanted: Sequence[Facts], heard: Sequence[Facts], seed: int = 0) -> dict[str, Estimate]:
    """For each attribute the share of items that are heard as wanted, with a 95 % bootstrap interval (percentiles of 1,000 draws)."""
    rng = np.random.default_rng(seed)
    found = [agreement(a, b) for a, b in zip(wanted, heard, strict=True)]
    return {name: mean_estimate([row[name] for row in found], rng) for name in ATTRIBUTES}


def chance(wanted: Sequence[Facts], heard: Sequence[Facts], seed: int = 0) -> dict[str, Estimate]:
    """The same where the prompts are dealt to the sounds at random: the mean over 1,000 permutations, and the central 95 % of them."""
    result = {}
    for name, (right, draws) in _dealt(tuple(wanted), tuple(heard), seed).items():
        low, high = central(draws)
        result[name] = Estimate(float(draws.mean()) if len(draws) else np.nan, low, high, len(right))
    return result


def beats_chance(wanted: Sequence[Facts], heard: Sequence[Facts], seed: int = 0) -> dict[str, float]:
    """p of each attribute, 0.001 to 1: how often prompts dealt to the sounds at random are heard as often as the true ones; NaN for none.

    A permutation test, one-sided: (b + 1) / (1,000 + 1), where b of 1,000 permutations (those of `chance`) reach the share (Phipson and
    Smyth 2010). It is of one attribute by itself: among nine, one falls below 0.05 by chance in a third of the cases.
    """
    result = {}
    for name, (right, draws) in _dealt(tuple(wanted), tuple(heard), seed).items():
        reached = int((draws >= right.mean() - 1e-9).sum()) if len(right) else 0
        result[name] = (reached + 1) / (len(draws) + 1) if len(right) else np.nan
    return result


@lru_cache(maxsize=1)  # `chance` and `beats_chance` want the same
def _dealt(wanted: tuple[Facts, ...], heard: tuple[Facts, ...], seed: int) -> dict[str, tuple[Floats, Floats]]:
    """Of each attribute whether each prompt that has it is heard as wanted [n], and the shares of 1,000 permutations."""
    if len(wanted) != len(heard):
        raise ValueError(f"{len(wanted)} prompts and {len(heard)} sounds: as many of each")
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(wanted)) for _ in range(DRAWS)]
    rows: dict[str, list[int]] = {name: [] for name in ATTRIBUTES}  # the prompts that have it
    matches: dict[str, list[np.ndarray]] = {name: [] for name in ATTRIBUTES}  # of each, with every sound: a byte each
    for i, facts in enumerate(wanted):
        found = [agreement(facts, other) for other in heard]
        for name in ATTRIBUTES:
            if not np.isnan(found[i][name]):
                rows[name].append(i)
                matches[name].append(np.array([each[name] for each in found], np.uint8))
    result = {}
    for name in ATTRIBUTES:
        if not rows[name]:
            result[name] = np.zeros(0), np.zeros(0)
            continue
        right, each = np.stack(matches.pop(name)), np.arange(len(rows[name]))
        draws = np.array([right[each, order[rows[name]]].mean() for order in orders])
        result[name] = right[each, rows[name]].astype(np.float64), draws
    return result
