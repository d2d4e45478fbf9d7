"""Tonic and mode of a recording: its tuned pitch-class histograms, compared with a profile of each mode at every tonic.

Histograms are of spectral peaks (after Gomez 2006, "Tonal description of polyphonic audio for music content processing"), with the
tuning estimated first; there is one of the whole recording, one of its bass, one of its beginning and one of its end. A profile says how
much each interval above the tonic speaks for a mode in each of the four. The default is Krumhansl and Kessler's probe-tone ratings
(1982) for the whole, and its tonic and fifth for the bass; `fit_profiles` finds others from recordings whose keys are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solfa.audio.spectra import stft_magnitude
from solfa.eval.music_logit import fit_logit, softmax
from solfa.eval.music_sound import RATE, Floats, prepared

MODES = ("major", "minor")
PARTS = ("whole", "bass", "beginning", "end")
WINDOW, HOP = 8192, 2048
LOWEST, HIGHEST, BASS = 60.0, 2100.0, 240.0  # Hz of the peaks that count, and below which they are bass
EDGE = 1.5  # seconds of the beginning and of the end
_RATINGS = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)


@dataclass(frozen=True)
class Key:
    """`tonic` 0 (C) to 11 (B), `mode` "major" or "minor", and the probability of this key among the 24 (0 to 1)."""

    tonic: int
    mode: str
    probability: float


@dataclass(frozen=True)
class KeyProfiles:
    """What each interval above the tonic says for a mode: `weights` [2, 4, 12] for `MODES` and `PARTS`, `bias` [2]."""

    weights: Floats
    bias: Floats

    def scores(self, histograms: Floats) -> Floats:
        """Logits [12, 2] of the keys of histograms [4, 12]."""
        turned = np.stack([np.roll(histograms, -tonic, 1) for tonic in range(12)])  # [12, 4, 12]
        return np.asarray(np.einsum("tpi,mpi->tm", turned, self.weights) + self.bias)

    def best(self, histograms: Floats) -> Key:
        """The most probable key."""
        chances = softmax(self.scores(histograms).ravel())
        place = int(chances.argmax())
        return Key(place // 2, MODES[place % 2], float(chances[place]))


def default_profiles() -> KeyProfiles:
    """Krumhansl and Kessler's ratings, standardised, and the tonic and fifth in the bass."""
    ratings = np.array(_RATINGS)
    ratings = (ratings - ratings.mean(1, keepdims=True)) / ratings.std(1, keepdims=True)
    weights = np.zeros((2, 4, 12))
    weights[:, 0] = 10 * ratings
    weights[:, 1, 0], weights[:, 1, 7] = 6.0, 3.0
    weights[:, 3, 0] = 3.0
    return KeyProfiles(weights, np.zeros(2))


def key(samples: NDArray[np.float32], sample_rate: int, profiles: KeyProfiles | None = None) -> Key | None:
    """The key of samples [S] or [C, S]; None where there is no pitched sound (silence, or less than 20 ms of it)."""
    histograms = pitch_classes(samples, sample_rate)
    if not histograms[0].any():
        return None
    return (profiles or default_profiles()).best(histograms)


def pitch_classes(samples: NDArray[np.float32], sample_rate: int) -> Floats:
    """Pitch-class histograms [4, 12] of `PARTS`, C first, each with a sum of 1 or all zero."""
    sound = prepared(samples, sample_rate)
    if len(sound) < RATE // 50 or not bool(sound.any()):
        return np.zeros((4, 12))
    pitches, loudness, frames, count = _peaks(stft_magnitude(sound, WINDOW, HOP, pad_mode="constant").double().numpy())
    if not len(pitches):
        return np.zeros((4, 12))
    tuning = np.angle(np.sum(loudness * np.exp(2j * np.pi * pitches))) / (2 * np.pi)  # semitones, -0.5 to 0.5
    pitches = pitches - tuning
    edge = max(1, round(EDGE * RATE / HOP))
    bass = pitches < 69 + 12 * np.log2(BASS / 440)
    parts = (np.ones_like(bass), bass, frames < edge, frames >= count - edge)
    rows = np.stack([_histogram(pitches[part], loudness[part]) for part in parts])
    return rows / np.maximum(rows.sum(1, keepdims=True), 1e-12)


def _peaks(magnitude: Floats) -> tuple[Floats, Floats, NDArray[np.int64], int]:
    """Pitch (MIDI numbers with fractions), loudness and frame of the spectral peaks, and how many frames sound."""
    loud = magnitude.max(0)
    sounding = np.flatnonzero(loud > 1e-3 * loud.max())
    magnitude = magnitude[:, sounding[0] : sounding[-1] + 1]
    low, high = int(LOWEST * WINDOW / RATE), int(HIGHEST * WINDOW / RATE)
    here = magnitude[low:high]
    below, above = magnitude[low - 1 : high - 1], magnitude[low + 1 : high + 1]
    floor = np.maximum(0.02 * magnitude.max(0, keepdims=True), 2e-3 * magnitude.max())
    rows, frames = np.nonzero((here > below) & (here >= above) & (here > floor))
    a, b, c = (np.log(part[rows, frames] + 1e-12) for part in (below, here, above))
    shift = np.clip(0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9), -0.5, 0.5)
    hertz = (rows + low + shift) * RATE / WINDOW
    return 69 + 12 * np.log2(hertz / 440), np.sqrt(here[rows, frames]), frames, magnitude.shape[1]


def _histogram(pitches: Floats, loudness: Floats) -> Floats:
    """Loudness by pitch class; what lies between two counts less for both."""
    near = np.round(pitches)
    weights = loudness * np.exp(-0.5 * ((pitches - near) / 0.2) ** 2)
    return np.bincount((near % 12).astype(np.int64), weights, 12).astype(np.float64)


def fit_profiles(histograms: Sequence[Floats], keys: Sequence[tuple[int, str]], penalty: float = 1e-3) -> KeyProfiles:
    """Profiles by a logit over the 24 keys, with the same weights at every tonic. Deterministic."""
    turned = np.stack([[np.roll(h, -tonic, 1).ravel() for tonic in range(12)] for h in histograms])  # [N, 12, 48]
    turned = np.concatenate([turned, np.ones((len(turned), 12, 1))], 2)
    right = np.zeros((len(turned), 2, 12))
    for row, (tonic, mode) in zip(right, keys, strict=True):
        row[MODES.index(mode), tonic] = 1.0
    weights = fit_logit(np.stack([turned, turned], 1), right, penalty)  # [2, 49]
    return KeyProfiles(weights[:, :48].reshape(2, 4, 12), weights[:, 48])
