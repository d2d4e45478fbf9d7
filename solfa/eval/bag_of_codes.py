"""Recordings as bags of codes: which codes are typical of which recording, and which recordings are alike. Order is left out.

A word is one code of one codebook, a document is a recording, as in the bags of audio words of Su et al. (IEEE Trans. Multimedia 16, 2014,
"A systematic evaluation of the bag-of-frames representation"). Ten weights by their names there; that paper's own table could not be read,
so each formula is that of the source which its docstring names, and these readings of the names are ours: `l` is logarithmic (normalising
the length would leave the cosine as it is), `o` Okapi, `p` probabilistic, `e` entropy, `b` binary for tf and the basic one for idf. All
logarithms are natural.

Letters: D documents, W words; f how often a word occurs in a document, n in how many documents, l a document's length in words, m the
mean of the lengths, q = f over the sum of f over documents.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solfa.eval.evaluation import Measure

Floats = NDArray[np.float64]

MEASURES: tuple[Measure, ...] = (
    Measure(
        "cosine",
        "Cosine between the TF-IDF weights of a recording's codes and those of the recording that is nearest to it; order is not heard.",
        "",
        0.0,
        1.0,
        "lower",
    ),
)


def tf_b(counts: ArrayLike) -> Floats:
    """Binary: 1 where f > 0, else 0 (Salton and Buckley, 1988: `b`)."""
    return (_checked(counts) > 0).astype(np.float64)


def tf_l1(counts: ArrayLike) -> Floats:
    """Logarithmic: ln(1 + f), 0 or more."""
    return np.log1p(_checked(counts))


def tf_l2(counts: ArrayLike) -> Floats:
    """Logarithmic, as SMART's `l`: 1 + ln f where f > 0, else 0 (Buckley et al., TREC-1, 1992)."""
    counts = _checked(counts)
    return np.where(counts > 0, 1.0 + np.log(np.maximum(counts, 1e-300)), 0.0)


def tf_o1(counts: ArrayLike) -> Floats:
    """Okapi's early form: f / (f + 0.5 + 1.5 l / m), 0 to 1 (Robertson and Walker, 1994; INQUERY): BM25 with k1 2, b 0.75, unscaled."""
    counts = _checked(counts)
    return counts / np.where(counts > 0, counts + 0.5 + 1.5 * _relative_lengths(counts), 1.0)


def tf_o2(counts: ArrayLike, k1: float = 1.2, b: float = 0.75) -> Floats:
    """Okapi BM25: (k1 + 1) f / (f + k1 (1 - b + b l / m)), 0 to k1 + 1 (Robertson et al., TREC-3, 1994)."""
    counts = _checked(counts)
    below = counts + k1 * (1 - b + b * _relative_lengths(counts))
    return (k1 + 1) * counts / np.where(counts > 0, below, 1.0)


def idf_b(counts: ArrayLike) -> Floats:
    """The basic one: ln(D / n), 0 or more (Spärck Jones, 1972). 0 where a word never occurs: it is in no document to be weighted."""
    counts, found = _occurring(counts)
    return np.where(found > 0, np.log(len(counts) / np.maximum(found, 1)), 0.0)


def idf_p(counts: ArrayLike) -> Floats:
    """Probabilistic: ln((D - n) / n), 0 or more (Croft and Harper, 1979).

    Differs from that: 0, not below it, where a word is in half of the documents or more; and where it never occurs.
    """
    counts, found = _occurring(counts)
    odds = (len(counts) - found) / np.maximum(found, 1)
    return np.where(found > 0, np.log(np.maximum(odds, 1.0)), 0.0)


def idf_e1(counts: ArrayLike) -> Floats:
    """Entropy: 1 - noise / ln D with the noise -sum q ln q over documents; 0 (as often in each) to 1 (in one alone) (Dumais, 1991).

    0 for one document, which cannot tell its words apart, and where a word never occurs.
    """
    counts, found = _occurring(counts)
    if len(counts) < 2:
        return np.zeros(counts.shape[1])
    return np.where(found > 0, np.maximum(1.0 - _noise(counts) / np.log(len(counts)), 0.0), 0.0)


def idf_e2(counts: ArrayLike) -> Floats:
    """Entropy: the noise (`idf_e1`) of the noisiest word minus that of this word, 0 to ln D (Harman, 1986). 0 where it never occurs."""
    counts, found = _occurring(counts)
    noise = _noise(counts)
    return np.where(found > 0, noise.max(initial=0.0) - noise, 0.0)


def idf_o(counts: ArrayLike) -> Floats:
    """Okapi's: ln((D - n + 0.5) / (n + 0.5)), 0 or more (Robertson and Spärck Jones, 1976).

    Differs from that as `idf_p` does: 0 where it would be below, and where a word never occurs.
    """
    counts, found = _occurring(counts)
    odds = (len(counts) - found + 0.5) / (found + 0.5)
    return np.where(found > 0, np.log(np.maximum(odds, 1.0)), 0.0)


TF: dict[str, Callable[[ArrayLike], Floats]] = {
    "tf_b": tf_b,
    "tf_l1": tf_l1,
    "tf_l2": tf_l2,
    "tf_o1": tf_o1,
    "tf_o2": tf_o2,
}
IDF: dict[str, Callable[[ArrayLike], Floats]] = {
    "idf_b": idf_b,
    "idf_p": idf_p,
    "idf_e1": idf_e1,
    "idf_e2": idf_e2,
    "idf_o": idf_o,
}


def tf_idf(counts: ArrayLike, tf: str = "tf_l1", idf: str = "idf_e1") -> Floats:
    """Weights [D, W], 0 or more, of counts [D, W]: the product of one of TF and one of IDF.

    idf_e1 by default: of a codec's codes most occur in most recordings, however short, and what counts documents alone calls all of
    them common. Raises ValueError for a name that there is not, or counts that are not numbers [D, W] from 0, D and W from 1.
    """
    for name, known in ((tf, TF), (idf, IDF)):
        if name not in known:
            raise ValueError(f"weight {name!r}: must be one of {', '.join(known)}")
    return TF[tf](counts) * IDF[idf](counts)


def cosine_similarity(weights: ArrayLike) -> Floats:
    """Cosine of the angle between any two rows of weights [D, W]: [D, D], symmetric, 0 to 1 for weights from 0; NaN for a row of zeros."""
    rows = np.asarray(weights, np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"weights of shape {list(rows.shape)}: must be [D, W], 1 or more of each")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        rows = rows / np.where(lengths > 0, lengths, np.nan)
        return np.clip(rows @ rows.T, -1.0, 1.0)


def typical_codes(weights: ArrayLike, count: int = 5) -> list[list[int]]:
    """Of each row of weights [D, W] the at most `count` words of the greatest weight above 0, the greatest first; of equals the first."""
    rows = np.asarray(weights, np.float64)
    order = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    return [[int(word) for word in words if row[word] > 0] for row, words in zip(rows, order, strict=True)]


def _noise(counts: Floats) -> Floats:
    """-sum q ln q of each word over the documents, [W]."""
    total = counts.sum(axis=0)
    shares = counts / np.where(total > 0, total, 1.0)
    return -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=0)


def _relative_lengths(counts: Floats) -> Floats:
    """Of each document its length over the mean of the lengths, [D, 1]; 0 where all are empty."""
    lengths = counts.sum(axis=1, keepdims=True)
    return lengths / (lengths.mean() or 1.0)


def _occurring(counts: ArrayLike) -> tuple[Floats, Floats]:
    """The counts, and in how many documents each word occurs, [W]."""
    counts = _checked(counts)
    return counts, (counts > 0).sum(axis=0).astype(np.float64)


def _checked(counts: ArrayLike) -> Floats:
    counts = np.asarray(counts)
    if counts.ndim != 2 or not counts.size or counts.dtype.kind not in "iuf":
        raise ValueError(
            f"counts {counts.dtype} of shape {list(counts.shape)}: must be numbers [D, W], 1 or more of each"
        )
    if not (counts.min() >= 0 and np.isfinite(counts).all()):
        raise ValueError("counts must be 0 or more, and finite")
    return counts.astype(np.float64)
