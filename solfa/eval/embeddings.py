"""Recordings as rows of numbers, for distances of sets and for CLAP scores: embeddings by name.

"log-mel" asks for no weights; "clap", or "clap:NAME" with a folder or a repository of the hub, is CLAP from transformers. A codec's
latents are an embedding too; they need a codec, and are made by `solfa.tokenize_audio.adherence`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solfa.audio.spectra import mel_spectrogram
from solfa.eval.music_sound import RATE, Floats, one_channel, prepared
from solfa.foreign.clap import FrozenClap

BANDS = 32
CLAP = "laion/clap-htsat-unfused"


@dataclass(frozen=True)
class Embedding:
    """rows: samples [S] or [C, S] and their rate in Hz to [N, D], one row a window; what is embedded is told in `meaning`."""

    name: str
    meaning: str
    rows: Callable[[NDArray[np.float32], int], Floats]


def embedding(name: str) -> Embedding:
    """The embedding of that name. Nothing is loaded yet. Raises ValueError for an unknown name, and for a CLAP known to be broken."""
    kind, _, which = name.partition(":")
    if name == "log-mel":
        return Embedding(name, f"means and deviations of {BANDS} log-mel bands over each second", log_mel_embedding)
    if kind == "clap" and (which or name == "clap"):
        clap = load_clap(which or CLAP)
        return Embedding(name, f"{clap.name}, windows of 10 s", lambda samples, rate: clap_windows(clap, samples, rate))
    raise ValueError(f"embedding {name!r}: legal are log-mel, clap ({CLAP}), and clap:NAME with a folder or hub name")


@lru_cache(maxsize=1)
def load_clap(name: str) -> FrozenClap:
    """A CLAP by hub name or folder, once a process; its weights are read when it first hears something."""
    return FrozenClap(name)


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


def clap_windows(clap: FrozenClap, samples: NDArray[np.float32], sample_rate: int) -> Floats:
    """CLAP's vectors of the 10 s windows of samples [S] or [C, S]: [W, D], each of length 1. The features are the processor's own.

    One channel at 48 kHz; a last window of under a second is left out. Others (fadtk) let windows overlap by nine seconds, or round
    samples to 16 bits first, as the original code does: their numbers differ a little.
    """
    return clap.windows(one_channel(samples, sample_rate, clap.sample_rate)).double().numpy()


def clap_audio(clap: FrozenClap, samples: NDArray[np.float32], sample_rate: int) -> Floats:
    """One vector [D] of a sound for a CLAP score: the mean of its windows, at length 1."""
    mean = clap_windows(clap, samples, sample_rate).mean(0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def clap_text(clap: FrozenClap, text: str) -> Floats:
    """CLAP's vector [D] of a text, of length 1. Raises ValueError for a text longer than CLAP reads."""
    return clap.of_text(text).double().numpy()
