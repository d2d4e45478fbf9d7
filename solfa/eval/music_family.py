"""The family of the leading instrument: linear discriminant analysis on the statistics of a log-mel spectrogram.

Nothing is stored: `fit_families` is given recordings whose lead is known (Fisher 1936; the shared covariance is shrunk towards its
diagonal, so that it can be inverted, after Friedman 1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solfa.audio.spectra import mel_spectrogram
from solfa.eval.music_logit import softmax
from solfa.eval.music_sound import RATE, Floats, prepared

MELS, COEFFICIENTS, HOP = 64, 20, 480
FLOOR = -8.0  # of the log-mel values under the recording's loudest


@dataclass(frozen=True)
class FamilyClassifier:
    """Linear scores of families: `weights` [K, F] of features less `mean` over `scale`, and `bias` [K]."""

    families: tuple[str, ...]
    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    def __call__(self, features: Floats) -> str:
        """The family of the highest score, for one recording's features [F]."""
        return self.families[int(self._scores(features).argmax())]

    def probabilities(self, features: Floats) -> Floats:
        """Of each family [K], 0 to 1, their sum 1: what the classifier's Gaussians of one covariance, all as likely beforehand, give.

        They are too sure of themselves, as such features depend on each other in more ways than a Gaussian knows.
        """
        return softmax(self._scores(features))

    def _scores(self, features: Floats) -> Floats:
        return self.weights @ ((features - self.mean) / self.scale) + self.bias


def timbre(samples: NDArray[np.float32], sample_rate: int) -> Floats | None:
    """Features of samples [S] or [C, S] that do not depend on their level; None where there is no sound (less than 20 ms).

    Of the log-mel spectrogram (64 bands, 20 ms apart) and its 20 cepstral coefficients over the sounding frames: means, standard
    deviations, and of the changes over 40 ms the tenth and ninetieth percentile (decay and attack) and the mean size.
    """
    sound = prepared(samples, sample_rate)
    if len(sound) < RATE // 50 or not bool(sound.any()):
        return None
    mel = mel_spectrogram(sound, RATE, 2048, HOP, MELS, f_min=50.0).double().numpy()
    loud = np.log(mel + np.exp(FLOOR) * mel.max())
    loud -= loud.max()
    total = mel.sum(0)
    loud = loud[:, total > 1e-2 * total.max()]
    cosines = np.cos(np.pi / MELS * np.outer(np.arange(COEFFICIENTS), np.arange(MELS) + 0.5)) / np.sqrt(MELS)
    cepstrum = cosines @ loud
    rows = [loud.mean(1), loud.std(1), cepstrum.mean(1), cepstrum.std(1)]
    change = loud[:, 2:] - loud[:, :-2] if loud.shape[1] > 2 else np.zeros((MELS, 1))
    bent = cosines @ change
    rows += [np.percentile(change, 10, axis=1), np.percentile(change, 90, axis=1), np.abs(bent).mean(1)]
    return np.concatenate(rows)


def fit_families(features: Sequence[Floats], families: Sequence[str], shrinkage: float = 0.1) -> FamilyClassifier:
    """The classifier of these features and their families, all as likely beforehand. Raises ValueError for fewer than two families."""
    names = tuple(sorted(set(families)))
    if len(names) < 2 or len(features) != len(families):
        raise ValueError(f"{len(features)} recordings of families {names}: as many of each, of two or more")
    x = np.stack(features)
    label = np.array([names.index(family) for family in families])
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
    x = (x - mean) / scale
    centres = np.stack([x[label == k].mean(0) for k in range(len(names))])
    within = x - centres[label]
    covariance = within.T @ within / max(1, len(x) - len(names))
    covariance = (1 - shrinkage) * covariance + shrinkage * np.diag(np.maximum(np.diag(covariance), 1e-3))
    weights = np.linalg.solve(covariance, centres.T).T
    return FamilyClassifier(names, mean, scale, weights, -0.5 * np.sum(weights * centres, 1))
