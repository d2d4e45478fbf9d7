"""What was heard of generated music, put together: values of each prompt, shares beside the truth and chance, distances of the sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from solfa.eval import clap, distances, labels, melody
from solfa.eval.bootstrap import DRAWS, Estimate, central
from solfa.eval.distances import compare_sets
from solfa.eval.evaluation import Evaluation, Item, Measure
from solfa.eval.generation import ATTRIBUTES, MEASURES, adherence, agreement, beats_chance, chance
from solfa.eval.likelihood import model_perplexity
from solfa.eval.music import Analyser, Facts, Traces
from solfa.eval.music_sound import Floats
from solfa.tokenize_audio.adherence import Heard, Pair

Rows = list[dict[str, Any]]

TEMPO_RATIO = Measure(
    "tempo ratio",
    "The tempo heard over the one asked for, as a logarithm to the base 2: 0 is right, 1 twice as fast, -1 half as fast.",
    "octaves",
    -np.inf,
    np.inf,
    "zero",
)
IN_TABLES = {
    "adherence": "Of each attribute the share right in the generated sound; in the true sound of the same prompts (reference: what the "
    "analysers can do); in that sound as the codec plays it (coded); where prompts are dealt to sounds at random (chance, with the central "
    "95 % of 1,000 permutations). Intervals are 95 % bootstraps over prompts. p: how often chance reaches the generated share. Several "
    "recordings of one prompt (seeds) are one value, their share right; they are dealt together, and n counts prompts.",
    **{measure.name: measure.definition for measure in distances.MEASURES},
    "label KL": "KL(reference || generated), nats, of the mean probabilities of instrument families, as the fitted classifier hears them.",
    "perplexity": "exp of the mean negative log-likelihood of the references' codes, by codebook, told the prompt and told nothing: lower "
    "is better. n: recordings, of which the intervals are; codes: counted ones.",
}


@dataclass(frozen=True)
class Truth:
    """What generated sound is held against, each recording once. real: the true recordings, for distances. coded: what was asked of
    them, and their traces through the codec. analyser: None where nothing was fitted, and nothing is listened for."""

    real: Sequence[Heard]
    analyser: Analyser | None = None
    coded: Sequence[tuple[Facts, Traces]] = ()


def measures_of(analysed: bool, worded: bool, followed: bool) -> tuple[Measure, ...]:
    """The measures of an item. analysed: its facts are listened for; worded: CLAP hears its text; followed: it was given a melody."""
    return (
        *((*MEASURES, TEMPO_RATIO, *labels.MEASURES) if analysed else ()),
        *(clap.MEASURES if worded else ()),
        *(melody.MEASURES if followed else ()),
    )


def evaluate(
    pairs: Sequence[Pair],
    truth: Truth,
    measures: Sequence[Measure],
    settings: Mapping[str, Any],
    failed: Sequence[str] = (),
    tables: Mapping[str, Rows] | None = None,
) -> Evaluation:
    """One system. failed: what could not be heard; more is added where a distance cannot be computed. tables: further ones."""
    apart, broken = _distances(truth.real, pairs)
    found: dict[str, Rows] = {}
    if truth.analyser is not None:
        found["adherence"] = _shares(truth.analyser, truth, pairs)
    found["distances"] = apart
    if truth.analyser is not None:
        found["label distributions"] = _label_sets(truth.analyser, truth.real, pairs)
    found |= tables or {}
    words = {name: text for name, text in IN_TABLES.items() if name in _named(found)}
    return Evaluation(
        "generation",
        {**settings, "in_tables": words},
        measures,
        [_item(truth.analyser, pair) for pair in pairs],
        {name: rows for name, rows in found.items() if rows},
        [*failed, *broken],
    )


def _named(tables: Mapping[str, Rows]) -> set[str]:
    return {*tables, *(key for rows in tables.values() for row in rows for key in row)}


def _item(analyser: Analyser | None, pair: Pair) -> Item:
    files = {} if pair.true is None else {"reference": pair.true.path}
    values = dict(pair.values)
    if analyser is not None:
        wanted, heard = analyser.listened_for(pair.made.wanted), analyser(pair.made_heard.traces)
        values = {**agreement(wanted, heard), TEMPO_RATIO.name: tempo_ratio(wanted, heard), **values}
        if pair.true_heard is not None:
            both = [_families(analyser, each) for each in (pair.true_heard, pair.made_heard)]
            values |= {labels.MEASURES[0].name: _label_kl(*both)}
    return Item(pair.made.name, values, {**files, "generated": pair.made.path}, pair.prompt)


def tempo_ratio(wanted: Facts, heard: Facts) -> float:
    """As `TEMPO_RATIO` says; NaN where no tempo was wanted, or none is heard."""
    return float(np.log2(heard.tempo / wanted.tempo)) if wanted.tempo and heard.tempo else np.nan


def _families(analyser: Analyser, heard: Heard) -> Floats | None:
    found = heard.traces.timbre
    return None if found is None else analyser.families.probabilities(found)


def _label_kl(true: Floats | None, made: Floats | None) -> float:
    return np.nan if true is None or made is None else float(labels.label_divergence(true[None], made[None])[0])


def _shares(analyser: Analyser, truth: Truth, pairs: Sequence[Pair]) -> Rows:
    """A row an attribute that is asked for: generated, reference, coded where there is any, chance and p; all of them over prompts."""
    prompts = [pair.prompt for pair in pairs]
    wanted = [analyser.listened_for(pair.made.wanted) for pair in pairs]
    heard = [analyser(pair.made_heard.traces) for pair in pairs]
    # The reference's own facts: a generated manifest may ask for others, and then the ceiling is still that of the truth.
    true = {p.prompt: (p.true, p.true_heard) for p in pairs if p.true is not None and p.true_heard is not None}
    truly = [(clip, analyser(found.traces)) for clip, found in true.values()]
    columns = {"generated": adherence(wanted, heard, prompts=prompts)}
    columns["reference"] = adherence([analyser.listened_for(c.wanted) for c, _ in truly], [facts for _, facts in truly])
    if truth.coded:
        asked = [analyser.listened_for(facts) for facts, _ in truth.coded]
        columns["coded"] = adherence(asked, [analyser(found) for _, found in truth.coded])
    columns["chance"], p = chance(wanted, heard, prompts=prompts), beats_chance(wanted, heard, prompts=prompts)
    return [
        {"attribute": name, **{column: row[name] for column, row in columns.items()}, "p": p[name], "n": n}
        for name in ATTRIBUTES
        if (n := columns["generated"][name].n)
    ]


def _distances(real: Sequence[Heard], pairs: Sequence[Pair]) -> tuple[Rows, list[str]]:
    """A row an embedding, and what went wrong."""
    rows: Rows = []
    broken = []
    for name in real[0].embeddings:
        try:
            found = compare_sets(
                name, [each.embeddings[name] for each in real], [pair.made_heard.embeddings[name] for pair in pairs]
            )
        except ValueError as error:
            broken.append(f"{name}: {error}")
            continue
        values = asdict(found)
        (n_reference, n), (rows_reference, count) = values.pop("recordings"), values.pop("rows")
        rows.append(values | {"n": n, "n_reference": n_reference, "rows": count, "rows_reference": rows_reference})
    return rows, broken


def _label_sets(analyser: Analyser, real: Sequence[Heard], pairs: Sequence[Pair]) -> Rows:
    sides = [
        [rows for each in side if (rows := _families(analyser, each)) is not None]
        for side in (real, [pair.made_heard for pair in pairs])
    ]
    if not all(sides):
        return []
    true, made = (np.stack(side) for side in sides)
    value = labels.mean_label_divergence(true, made)
    return [{"labels": "family", "label KL": value, "n": len(made), "n_reference": len(true)}]


def perplexity_table(told: Floats, untold: Floats, frames: np.ndarray) -> Rows:
    """From nats of a code [n, K] of n recordings and their frames [n]: a row a codebook, and one of all, with 95 % bootstrap intervals
    over recordings."""
    drawn = np.random.default_rng(0).integers(len(frames), size=(DRAWS, len(frames)))
    columns = {name: _perplexities(nats, frames, drawn) for name, nats in (("told", told), ("untold", untold))}
    names = [*map(str, range(told.shape[1])), "all"]
    codes = [*[int(frames.sum())] * told.shape[1], int(frames.sum()) * told.shape[1]]
    return [
        {
            "codebook": name,
            **{column: found[i] for column, found in columns.items()},
            "n": len(frames),
            "codes": codes[i],
        }
        for i, name in enumerate(names)
    ]


def _perplexities(nats: Floats, frames: np.ndarray, drawn: np.ndarray) -> list[Estimate]:
    """Of each codebook, and of all together."""
    sums = nats * frames[:, None]
    whole = model_perplexity(sums.sum(0), np.full(nats.shape[1], frames.sum()))
    draws = np.log([model_perplexity(s, np.full(len(s), f)).codebooks for s, f in _resampled(sums, frames, drawn)])
    ends = [central(np.exp(column)) for column in (*draws.T, draws.mean(1))]
    return [Estimate(value, *end, len(frames)) for value, end in zip((*whole.codebooks, whole.all), ends, strict=True)]


def _resampled(sums: Floats, frames: np.ndarray, drawn: np.ndarray) -> list[tuple[Floats, int]]:
    return [(sums[rows].sum(0), int(frames[rows].sum())) for rows in drawn]
