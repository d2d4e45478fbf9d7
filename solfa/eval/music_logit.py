"""A conditional logit model (McFadden 1974): which of several hypotheses is right, from features of each."""

from __future__ import annotations

import numpy as np

from solfa.eval.music_sound import Floats

PASSES = 30  # over all items
BATCH = 32  # items


def softmax(scores: Floats) -> Floats:
    """Probabilities along the last axis."""
    odds = np.exp(scores - scores.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def fit_logit(features: np.ndarray, right: np.ndarray, penalty: float) -> Floats:
    """Weights [G, F], a row for each group of hypotheses, that give the right ones the greatest probability, summed over them.

    `features` [N, G, C, F]: C hypotheses in each of G groups; `right` [N, G, C] is 1 where one is right, for at least one of each
    item. Minimises the mean negative log-likelihood plus `penalty` / 2 times the squared weights of features over their root
    mean squares, from zero, by thirty passes of Adam (Kingma and Ba 2015) in batches of 32 with a rate that falls to zero. The
    order is fixed: the same input gives the same weights.
    """
    scale = np.sqrt(np.mean(np.square(features), axis=(0, 2), dtype=np.float64))  # [G, F]
    scale = np.where(scale > 1e-9, scale, 1.0)
    count, groups, hypotheses, _ = features.shape
    inputs = (features / scale[:, None]).astype(np.float32)
    weights, first, second = (np.zeros(scale.shape) for _ in range(3))
    rng = np.random.default_rng(0)
    step, steps = 0, PASSES * -(-count // BATCH)
    for _ in range(PASSES):
        for batch in np.array_split(rng.permutation(count), -(-count // BATCH)):
            rows = inputs[batch]  # [B, G, C, F]
            scores = np.stack([rows[:, g] @ weights[g].astype(np.float32) for g in range(groups)], 1)
            chances = softmax(scores.reshape(len(batch), -1).astype(np.float64)).reshape(scores.shape)
            hit = chances * right[batch]
            error = chances - hit / np.maximum(hit.sum((1, 2), keepdims=True), 1e-300)
            error = (error / len(batch)).astype(np.float32)
            slope = np.stack(
                [error[:, g].reshape(-1) @ rows[:, g].reshape(len(batch) * hypotheses, -1) for g in range(groups)]
            )
            slope = slope.astype(np.float64) + penalty * weights
            step += 1
            first = 0.9 * first + 0.1 * slope
            second = 0.99 * second + 0.01 * slope**2
            rate = 0.05 * (1 - (step - 1) / steps)
            weights -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return weights / scale
