"""Whether generated music is what was asked for: the share of prompts whose facts an independent analyser hears in the generated sound.

It stands beside the share on true recordings of the same prompts (the analyser's own accuracy, and so its ceiling) and on prompts
dealt to the sounds at random (chance). Several sounds of one prompt are no independent draws: where `prompts` says which prompt each is
of, the share of a prompt is one value, prompts are what is drawn again and dealt, and n counts them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np

from solfa.eval.bootstrap import DRAWS, Estimate, central, group_means, mean_estimate
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


def adherence(
    wanted: Sequence[Facts], heard: Sequence[Facts], seed: int = 0, prompts: Sequence[Hashable] | None = None
) -> dict[str, Estimate]:
    """For each attribute the share of sounds that are heard as wanted, with a 95 % bootstrap interval (percentiles of 1,000 draws).

    prompts: of which prompt each sound is; by default each is of its own. All prompts weigh the same.
    """
    rng = np.random.default_rng(seed)
    found = [agreement(a, b) for a, b in zip(wanted, heard, strict=True)]
    groups = range(len(found)) if prompts is None else prompts
    return {
        name: mean_estimate(list(group_means([row[name] for row in found], groups).values()), rng)
        for name in ATTRIBUTES
    }


def chance(
    wanted: Sequence[Facts], heard: Sequence[Facts], seed: int = 0, prompts: Sequence[Hashable] | None = None
) -> dict[str, Estimate]:
    """The same where the prompts are dealt to the sounds at random: the mean over 1,000 permutations, and the central 95 % of them.

    All sounds of one prompt go to one other prompt.
    """
    result = {}
    for name, (right, draws) in _dealt(tuple(wanted), tuple(heard), seed, _known(prompts)).items():
        low, high = central(draws)
        result[name] = Estimate(float(draws.mean()) if len(draws) else np.nan, low, high, len(right))
    return result


def beats_chance(
    wanted: Sequence[Facts], heard: Sequence[Facts], seed: int = 0, prompts: Sequence[Hashable] | None = None
) -> dict[str, float]:
    """p of each attribute, 0.001 to 1: how often prompts dealt to the sounds at random are heard as often as the true ones; NaN for none.

    A permutation test, one-sided: (b + 1) / (1,000 + 1), where b of 1,000 permutations (those of `chance`) reach the share (Phipson and
    Smyth 2010). It is of one attribute by itself: among nine, one falls below 0.05 by chance in a third of the cases.
    """
    result = {}
    for name, (right, draws) in _dealt(tuple(wanted), tuple(heard), seed, _known(prompts)).items():
        reached = int((draws >= right.mean() - 1e-9).sum()) if len(right) else 0
        result[name] = (reached + 1) / (len(draws) + 1) if len(right) else np.nan
    return result


def _known(prompts: Sequence[Hashable] | None) -> tuple[Hashable, ...] | None:
    return None if prompts is None else tuple(prompts)


@lru_cache(maxsize=1)  # `chance` and `beats_chance` want the same
def _dealt(
    wanted: tuple[Facts, ...], heard: tuple[Facts, ...], seed: int, prompts: tuple[Hashable, ...] | None
) -> dict[str, tuple[Floats, Floats]]:
    """Of each attribute the share of each prompt's sounds that are heard as wanted [n], of those that have it, and the mean share of 1,000
    permutations of the prompts."""
    if len(wanted) != len(heard) or (prompts is not None and len(prompts) != len(heard)):
        named = "" if prompts is None else f", {len(prompts)} of them named,"
        raise ValueError(f"{len(wanted)} prompts{named} and {len(heard)} sounds: as many of each")
    takes: dict[Hashable, list[int]] = {}
    for i, prompt in enumerate(range(len(heard)) if prompts is None else prompts):
        takes.setdefault(prompt, []).append(i)
    groups = list(takes.values())
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(groups)) for _ in range(DRAWS)]
    rows: dict[str, list[int]] = {name: [] for name in ATTRIBUTES}  # the prompts that have it
    matches: dict[str, list[np.ndarray]] = {name: [] for name in ATTRIBUTES}  # of each, with the sounds of every prompt
    for number in range(len(groups)):
        for name, shares in _shares(number, groups, wanted, heard).items():
            rows[name].append(number)
            matches[name].append(shares)
    result = {}
    for name in ATTRIBUTES:
        if not rows[name]:
            result[name] = np.zeros(0), np.zeros(0)
            continue
        right, each = np.stack(matches.pop(name)), np.arange(len(rows[name]))
        draws = np.array([right[each, order[rows[name]]].mean() for order in orders])
        result[name] = right[each, rows[name]].astype(np.float64), draws
    return result


def _shares(
    number: int, groups: Sequence[Sequence[int]], wanted: Sequence[Facts], heard: Sequence[Facts]
) -> dict[str, np.ndarray]:
    """Of each attribute that a prompt asks for the share heard as wanted of its own sounds, and of every other prompt's: [prompts].

    A byte each where every prompt has one sound. Takes of one prompt may have facts of their own: its own sounds are each held against
    theirs, those of others against all.
    """
    takes = groups[number]
    against = {facts: [agreement(facts, other) for other in heard] for facts in {wanted[i]: None for i in takes}}
    alone = len(groups) == len(heard)
    found = {}
    for name in ATTRIBUTES:
        asked = [i for i in takes if not np.isnan(against[wanted[i]][i][name])]
        if not asked:
            continue
        if alone:
            found[name] = np.array([each[name] for each in against[wanted[takes[0]]]], np.uint8)
            continue
        every = np.array([[each[name] for each in against[wanted[i]]] for i in asked])  # [takes, sounds]
        found[name] = np.array([every[:, group].mean() for group in groups])
        found[name][number] = np.mean([against[wanted[i]][i][name] for i in asked])
    return found
