"""How many notes begin a second in a recording, chords counted once: counted at several thresholds, and weighed by ridge regression.

No one threshold serves a soft flute and a piano, so the peaks of every onset envelope are counted at six, and what the counts say of
the logarithm of the rate is learned from recordings whose notes are known (Hoerl and Kennard 1970).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solfa.eval.music_sound import Floats

LEVELS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)  # of an envelope's root mean square
APART = 3  # frames to either side that a peak stands above
FAINT = 0.25  # peaks a second that are added to every count, before its logarithm


@dataclass(frozen=True)
class DensityModel:
    """The logarithm of the onset rate: `bias` and `weights` [F] of features less `mean` over `scale`."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: float

    def __call__(self, features: Floats) -> float:
        """Onsets a second, above 0, from features [F]."""
        return float(np.exp(self.weights @ ((features - self.mean) / self.scale) + self.bias))


def density_features(rows: Floats, frames_a_second: int) -> Floats | None:
    """From envelopes [E, T] of `music_rhythm.envelopes`: [6 E] logarithms of peaks a second above each level; None for silence."""
    if not rows.any():
        return None
    seconds = rows.shape[1] / frames_a_second
    edges = np.pad(rows, ((0, 0), (APART, APART)), constant_values=-np.inf)
    top = np.max([edges[:, i : i + rows.shape[1]] for i in range(2 * APART + 1)], axis=0)
    peaks = rows == top
    counts = [(peaks & (rows > level)).sum(1) / seconds for level in LEVELS]
    return np.log(np.concatenate(counts) + FAINT)


def fit_density(features: Sequence[Floats], rates: Sequence[float], penalty: float = 10.0) -> DensityModel:
    """The model of these features and their onset rates, each above 0. Deterministic. Raises ValueError for other rates."""
    known = np.array(rates, np.float64)
    if not len(known) or len(features) != len(known) or not (known > 0).all() or not np.isfinite(known).all():
        raise ValueError(f"{len(features)} recordings and onset rates {known[:5]}: as many of each, above 0")
    x, y = np.stack(features), np.log(known)
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
    x = (x - mean) / scale
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y - y.mean()))
    return DensityModel(mean, scale, weights, float(y.mean()))
