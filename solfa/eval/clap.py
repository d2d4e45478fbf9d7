"""How near sound is to the words that asked for it, as CLAP hears both (Wu et al. 2023, arXiv 2211.06687)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solfa.eval.evaluation import Measure

MEASURES = (
    Measure(
        "CLAP score",
        "Cosine of CLAP's vectors of the prompt and of the sound (the mean of its 10 s windows); numbers are of one CLAP only.",
        "",
        -1.0,
        1.0,
        "higher",
    ),
)


def clap_score(text: ArrayLike, audio: ArrayLike) -> NDArray[np.float64]:
    """Cosines [N] of the vectors of texts and of sounds, both [N, D], row by row: -1 to 1, higher is better; NaN for a vector of zeros.

    True sound with its own caption does not reach 1: its score is to be told beside. AudioCraft's takes a window at random where a sound is
    longer than ten seconds, and its papers a checkpoint of music (music_audioset_epoch_15_esc_90.14) that transformers has no working
    copy of. Raises ValueError for other shapes.
    """
    x, y = np.asarray(text, np.float64), np.asarray(audio, np.float64)
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"vectors of shape {x.shape} and {y.shape}: both [N, D]")
    with np.errstate(invalid="ignore"):
        cosine = (x * y).sum(1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))
    return np.clip(cosine, -1.0, 1.0)
