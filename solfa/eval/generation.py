"""How well generated music is what was asked for, and how near its sound is to that of real recordings.

Adherence: the share of prompts whose facts an independent analyser hears in the generated sound, beside its share on true recordings of the
same prompts (its own ceiling) and on prompts dealt to the sounds at random (chance). Distance: Fréchet's, between Gaussians fitted to
embeddings of both sets (Dowson and Landau 1982; as Fréchet audio distance, Kilgour et al. 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solfa.audio.spectra import mel_spectrogram
from solfa.eval.music import Facts
from solfa.eval.music_sound import RATE, Floats, prepared

ATTRIBUTES = ("family", "tempo", "tempo or octave", "tonic", "mode", "key", "metre")
TOLERANCE = 0.08  # how far a tempo may be off, relative to the one asked for
DRAWS = 1000  # of the bootstrap, and permutations of the prompts
BANDS = 32


@dataclass(frozen=True)
class Share:
    """A share (0 to 1) of `n` prompts, with the 95 % interval `low` to `high`; all NaN for none."""

    share: float
    low: float
    high: float
    n: int


def agreement(wanted: Facts, heard: Facts) -> dict[str, bool | None]:
    """Whether each of `ATTRIBUTES` is heard as wanted; None where nothing was wanted.

    A tempo is right within 8 % of the one asked for; "tempo or octave" allows half and double too. "key" is tonic and mode together.
    """
    tempo = octave = None
    if wanted.tempo is not None:
        ratio = (heard.tempo or 0.0) / wanted.tempo
        tempo = abs(ratio - 1) <= TOLERANCE
        octave = any(abs(ratio * factor - 1) <= TOLERANCE for factor in (0.5, 1.0, 2.0))
    tonic, mode = _same(wanted.tonic, heard.tonic), _same(wanted.mode, heard.mode)
    return {
        "family": _same(wanted.family, heard.family),
        "tempo": tempo,
        "tempo or octave": octave,
        "tonic": tonic,
        "mode": mode,
        "key": None if tonic is None or mode is None else tonic and mode,
        "metre": _same(wanted.metre, heard.metre),
    }


def _same(wanted: object, heard: object) -> bool | None:
    return None if wanted is None else wanted == heard


def adherence(wanted: Sequence[Facts], heard: Sequence[Facts], seed: int = 0) -> dict[str, Share]:
    """For each attribute the share of items that are heard as wanted, with a 95 % bootstrap interval (percentiles of 1,000 draws)."""
    rng = np.random.default_rng(seed)
    found = [agreement(a, b) for a, b in zip(wanted, heard, strict=True)]
    result = {}
    for name in ATTRIBUTES:
        right = np.array([row[name] for row in found if row[name] is not None], np.float64)
        draws = right[rng.integers(len(right), size=(DRAWS, len(right)))].mean(1) if len(right) else np.zeros(0)
        result[name] = _share(right.mean() if len(right) else np.nan, draws, len(right))
    return result


def chance(wanted: Sequence[Facts], heard: Sequence[Facts], seed: int = 0) -> dict[str, Share]:
    """The same where the prompts are dealt to the sounds at random: the mean over 1,000 permutations, and the central 95 % of them."""
    if len(wanted) != len(heard):
        raise ValueError(f"{len(wanted)} prompts and {len(heard)} sounds: as many of each")
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(wanted)) for _ in range(DRAWS)]
    pairs = [[agreement(a, b) for b in heard] for a in wanted]
    result = {}
    for name in ATTRIBUTES:
        rows = [i for i, pair in enumerate(pairs) if pair[0][name] is not None]
        right = np.array([[bool(pair[name]) for pair in pairs[i]] for i in rows], np.float64)
        draws = np.array([right[np.arange(len(rows)), order[rows]].mean() for order in orders]) if rows else np.zeros(0)
        result[name] = _share(draws.mean() if rows else np.nan, draws, len(rows))
    return result


def _share(value: float, draws: Floats, n: int) -> Share:
    low, high = np.percentile(draws, [2.5, 97.5]) if len(draws) else (np.nan, np.nan)
    return Share(float(value), float(low), float(high), n)


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Fréchet distance of Gaussians with the means and covariances of `a` [N, D] and `b` [M, D]; 0 at least, and 0 for equal ones.

    |m_a - m_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2)), in squared units of the embedding. The last trace is that of the root
    of C_a^(1/2) C_b C_a^(1/2), which is symmetric: its eigenvalues are real and, up to rounding, not negative. With few rows the
    distance comes out too large; compare only distances of as many. Raises ValueError for fewer than two rows or other widths.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"embeddings of shape {x.shape} and {y.shape}: [N, D] and [M, D], two rows at least")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("embeddings that are not finite")
    gap = x.mean(0) - y.mean(0)
    first, second = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (x, y))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    middle = root @ second @ root
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh((middle + middle.T) / 2), 0.0)).sum()
    return max(0.0, float(gap @ gap + np.trace(first) + np.trace(second) - 2 * shared))


def log_mel_embedding(samples: NDArray[np.float32], sample_rate: int) -> Floats:
    """Means and deviations of 32 log-mel bands (natural logarithm, at a peak of 1) over each whole second: [N, 64].

    Sound of less than a second is one row. Samples [S] or [C, S]; the level does not matter.
    """
    sound = prepared(samples, sample_rate)
    mel = mel_spectrogram(sound, RATE, 2048, RATE // 100, BANDS, f_min=40.0, norm=None).double().numpy()
    loud = np.log(np.maximum(mel, 1e-2))
    frames = loud.shape[1]
    pieces = [loud[:, start : start + 100] for start in range(0, max(1, frames - 99), 100)]
    return np.stack([np.concatenate([piece.mean(1), piece.std(1)]) for piece in pieces])


def halves(rows: Sequence[NDArray[np.floating]], seed: int = 0) -> tuple[Floats, Floats]:
    """The embeddings of recordings, in two halves drawn at random; a recording is never divided. Raises ValueError for fewer than two."""
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} recordings: at least two make two halves")
    order = np.random.default_rng(seed).permutation(len(rows))
    middle = len(rows) // 2
    first, second = ([np.asarray(rows[i], np.float64) for i in part] for part in (order[:middle], order[middle:]))
    return np.concatenate(first), np.concatenate(second)
