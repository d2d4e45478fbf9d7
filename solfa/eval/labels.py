"""Whether a listener that names what it hears gives generated sounds the labels of the true ones: divergences of label probabilities.

Any labeller will do that gives each recording probabilities [K] over labels: solfa's classifier of families
(`solfa.eval.music_family.FamilyClassifier.probabilities`), which needs no weights, or a tagger of AudioSet. Numbers are of their labeller:
the field's KLD is that of PaSST, and not to be compared with any other's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solfa.eval.evaluation import Measure

Floats = NDArray[np.float64]
EPSILON = 1e-6  # added to the generated probabilities

MEASURES = (
    Measure(
        "label KL",
        "Kullback-Leibler divergence KL(reference || generated) of the probabilities of labels heard in both, as MusicGen's KLD; "
        "numbers are of one labeller only.",
        "nats",
        0.0,
        float(-np.log(EPSILON)),
        "lower",
    ),
)


def label_divergence(reference: ArrayLike, generated: ArrayLike, epsilon: float = EPSILON) -> Floats:
    """KL(reference || generated) of each pair of rows of probabilities [N, K]: [N] in nats, 0 for the same labels, lower is better.

    sum_k p_k (ln p_k - ln(q_k + epsilon)), p of the reference, q of the generated; at most -ln epsilon = 13.8. The mean over pairs is the
    KLD of AudioCraft (MusicGen, arXiv 2306.05284), in this direction and with this epsilon, which is added to q alone: q is then
    no distribution any more, and the value can be below 0 by up to K epsilon. Raises ValueError for other shapes, and for rows that are no
    probabilities.
    """
    p, q = _probabilities(reference), _probabilities(generated)
    if p.shape != q.shape:
        raise ValueError(f"labels of shape {p.shape} and {q.shape}: as many of each")
    if not epsilon >= 0:
        raise ValueError(f"epsilon {epsilon}: 0 or more")
    return _divergence(p, q, epsilon)


def mean_label_divergence(reference: ArrayLike, generated: ArrayLike, epsilon: float = EPSILON) -> float:
    """KL of the mean label distributions, in nats: whether the whole set has as much of each label; the order of the rows does not matter.

    Never above the mean of `label_divergence` for as many rows of each (the divergence is convex). [N, K] and [M, K]; the same epsilon.
    """
    p, q = _probabilities(reference).mean(0), _probabilities(generated).mean(0)
    if p.shape != q.shape:
        raise ValueError(f"{len(p)} and {len(q)} labels: as many of each")
    return float(_divergence(p, q, epsilon))


def _divergence(p: Floats, q: Floats, epsilon: float) -> Floats:
    with np.errstate(divide="ignore"):  # a label that is sure not to come, where epsilon is 0: infinitely far
        ratio = np.log(np.where(p > 0, p, 1.0)) - np.log(np.where(p > 0, q + epsilon, 1.0))
    return np.asarray((p * ratio).sum(-1))


def _probabilities(rows: ArrayLike) -> Floats:
    found = np.asarray(rows, np.float64)
    if found.ndim != 2 or not found.size:
        raise ValueError(f"labels of shape {found.shape}: [N, K], at least one row")
    if not ((found >= 0).all() and np.allclose(found.sum(1), 1.0, atol=1e-4)):
        raise ValueError("labels that are no probabilities: from 0, a row's sum is 1")
    return found
