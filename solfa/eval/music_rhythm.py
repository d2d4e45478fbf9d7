"""Tempo and metre of a recording: hypotheses of a beat and a bar, scored by how well the sound repeats with them.

Four envelopes, a hundred values a second, say where something happens: onsets (spectral flux after Böck and Widmer 2013,
"Maximum filter vibrato suppression for onset detection"), onsets in the bass, accents, and changes of harmony. A hypothesis is a tempo
and a metre. Its features are the autocorrelations of the envelopes at the lengths of parts of its bar, and the strength of their
Fourier components at the same periods (Peeters 2006, "Template-based estimation of time-varying tempo": the one is ambiguous
towards slow tempi, the other towards fast ones). The score is linear in the features, its softmax over all hypotheses a probability: a
conditional logit model (McFadden 1974), whose weights are fitted on recordings of which both are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from solfa.audio.chroma import chroma_stft
from solfa.audio.spectra import hz_to_mel, mel_spectrogram
from solfa.eval.music_logit import fit_logit, softmax
from solfa.eval.music_sound import RATE, Floats, prepared

HOP = 240
FRAMES = RATE // HOP  # a second
# Of each metre: beats a bar, and the places (parts of a bar, and how many parts it has) at which repetition is looked for.
METRES: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "4/4": (4, 16, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)),
    "3/4": (3, 12, (1, 2, 3, 4, 6, 8, 9, 12, 18, 24)),
    "6/8": (2, 12, (1, 2, 3, 4, 6, 8, 9, 12, 18, 24)),
}
HARMONICS = (1, 2, 3, 4, 6, 8, 9, 12, 16)  # components, in periods a bar
ENVELOPES = 4
REPEATS = ENVELOPES + 2  # autocorrelations: of the envelopes, of all bands of the flux, of the pitch classes
SLOWEST, FASTEST, STEP = 45.0, 200.0, 0.02  # beats a minute, and the relative step between hypotheses
SHORTEST = 3.0  # seconds of sound that say anything of a bar
NEAR = 0.03  # how far (log) a hypothesis may be from the truth when a model is fitted
SPECTRUM = 1 << 14


@dataclass(frozen=True)
class Rhythm:
    """`tempo` in beats a minute (45 to 200; dotted quarters in 6/8), `metre` of `METRES`, and its probability (0 to 1)."""

    tempo: float
    metre: str
    probability: float


@dataclass(frozen=True)
class RhythmModel:
    """What each feature says for a metre: `weights` [3, F] in the order of `METRES`."""

    weights: Floats

    def __call__(self, features: np.ndarray) -> Rhythm:
        """The best tempo over all metres and the best metre over all tempi, from features [3, C, F]."""
        scores = np.einsum("mcf,mf->mc", features.astype(np.float64), self.weights)
        chances = softmax(scores.ravel()).reshape(scores.shape)
        # Neighbouring tempi share the probability of one: they are added up before the best is chosen.
        tempo = hypotheses()[int(np.convolve(chances.sum(0), np.ones(3), "same").argmax())]
        metre = int(chances.sum(1).argmax())
        return Rhythm(float(tempo), tuple(METRES)[metre], float(chances[metre].sum()))


def hypotheses() -> Floats:
    """The tempi that are tried, in beats a minute."""
    return SLOWEST * np.exp(STEP * np.arange(int(np.log(FASTEST / SLOWEST) / STEP) + 1))


def rhythm(samples: NDArray[np.float32], sample_rate: int, model: RhythmModel | None = None) -> Rhythm | None:
    """Tempo and metre of samples [S] or [C, S]; None for silence and for less than three seconds.

    `model` is by default `default_model`, `fit_rhythm` makes others.
    """
    features = rhythm_features(samples, sample_rate)
    return None if features is None else (model or default_model())(features)


def default_model() -> RhythmModel:
    """Weights set by hand: a tempo is likely where bar, beat and half beat repeat, and near 100 beats a minute."""
    weights = np.zeros((len(METRES), FEATURES))
    for row, (beats, parts, places) in zip(weights, METRES.values(), strict=True):
        lags = row[: REPEATS * len(places)].reshape(len(places), REPEATS)
        waves = row[REPEATS * len(places) : -3].reshape(len(HARMONICS), 2, ENVELOPES)
        lags[places.index(parts)] = 4.0
        lags[places.index(parts // beats), 0] = 4.0
        waves[HARMONICS.index(beats), 0, 0] = 4.0
        row[-3:] = 0.0, 0.0, -4.0
    return RhythmModel(weights)


def fit_rhythm(
    features: Sequence[np.ndarray], tempi: Sequence[float], metres: Sequence[str], penalty: float = 1e-2
) -> RhythmModel:
    """A model from the features of recordings whose tempo and metre are known. Deterministic; see `fit_logit`."""
    right = np.zeros((len(features), len(METRES), len(hypotheses())))
    for row, tempo, metre in zip(right, tempi, metres, strict=True):
        row[tuple(METRES).index(metre)] = np.abs(np.log(hypotheses() / tempo)) < NEAR
    return RhythmModel(fit_logit(np.stack(features), right, penalty))


def rhythm_features(samples: NDArray[np.float32], sample_rate: int) -> np.ndarray | None:
    """Features [3, C, F] float32 of every metre and tempo; None where there is too little sound.

    For each envelope: autocorrelation at the places of the bar, then the size of each Fourier component and its part in phase
    with the first onset; last 1, and the tempo's distance from 100 beats a minute in octaves, and that squared.
    """
    return features_of_envelopes(*envelopes(samples, sample_rate))


def features_of_envelopes(rows: Floats, repeats: Floats) -> np.ndarray | None:
    """The same from what `envelopes` gave."""
    frames = rows.shape[1]
    if frames < SHORTEST * FRAMES or not rows.any():
        return None
    strong = np.flatnonzero(rows[0] > 1.0)
    first = int(strong[0]) if len(strong) else 0
    spectrum = np.fft.rfft(rows, max(SPECTRUM, 1 << frames.bit_length())) / (4 * np.sqrt(frames))
    tempi = hypotheses()
    octaves = np.log2(tempi / 100)
    found = []
    for beats, parts, places in METRES.values():
        bar = beats * 60 * FRAMES / tempi
        columns = [_around(repeats, bar * place / parts, int(0.9 * frames)) for place in places]
        for harmonic in HARMONICS:
            at = np.minimum(np.round(harmonic / bar * 2 * (spectrum.shape[1] - 1)), spectrum.shape[1] - 1)
            part = spectrum[:, at.astype(np.int64)]
            columns += [np.abs(part), (part * np.exp(2j * np.pi * harmonic / bar * first)).real]
        prior = np.stack([np.ones_like(octaves), octaves, octaves**2])
        found.append(np.concatenate([*columns, prior]).T)
    return np.stack(found).astype(np.float32)


def _autocorrelation(rows: Floats) -> Floats:
    """Of vectors over time [D, T], over its value at 0: [T]. Long lags, of which little is seen, are at most four times enlarged."""
    frames = rows.shape[1]
    power = np.square(np.abs(np.fft.rfft(rows, 2 * frames))).sum(0)
    lags = np.fft.irfft(power, 2 * frames)[:frames]
    return np.asarray(lags / max(lags[0], 1e-9) / (np.maximum(frames - np.arange(frames), frames / 4) / frames))


def _around(rows: Floats, at: Floats, limit: int) -> Floats:
    """The largest value within 1 % of the places `at`; 0 beyond `limit`."""
    found = []
    for place in (at, at * 1.005, at / 1.005, at * 1.01, at / 1.01):
        left = np.clip(place.astype(np.int64), 0, limit - 2)
        share = place - left
        value = rows[:, left] * (1 - share) + rows[:, left + 1] * share
        found.append(np.where(place < limit - 1, value, 0.0))
    return np.asarray(np.max(found, axis=0))


FEATURES = REPEATS * 10 + ENVELOPES * 2 * len(HARMONICS) + 3


def envelopes(samples: NDArray[np.float32], sample_rate: int) -> tuple[Floats, Floats]:
    """Onsets, onsets below 250 Hz, accents and changes of harmony: [4, T], 100 values a second; and autocorrelations [6, T].

    These are of the four, of the flux in all bands, and of the pitch classes (Foote and Uchihashi 2001, "The beat spectrum"). All
    are zero for silence.
    """
    sound = prepared(samples, sample_rate)
    mel = mel_spectrogram(sound, RATE, 2048, HOP, 96, f_min=40.0, f_max=10000.0, norm=None).double().numpy()
    peak = mel.max(initial=0.0)
    if not peak > 1e-6:
        return np.zeros((ENVELOPES, mel.shape[-1])), np.zeros((REPEATS, mel.shape[-1]))
    loud = np.log1p(300.0 * mel / peak)
    before = loud.copy()  # the largest of three neighbouring bands: vibrato is no onset
    before[1:] = np.maximum(before[1:], loud[:-1])
    before[:-1] = np.maximum(before[:-1], loud[1:])
    lag = 3
    flux = np.zeros_like(loud)
    flux[:, lag:] = np.maximum(0.0, loud[:, lag:] - before[:, :-lag])
    bass = _bands_below(250.0)
    chroma = chroma_stft(sound, RATE, 4096, 4 * HOP).double().numpy()
    weight = loud.sum(0)[::4][: chroma.shape[1]]
    chroma = np.sqrt(chroma[:, : len(weight)]) * weight / weight.max()
    frames, coarse = np.arange(loud.shape[1]), 4 * np.arange(len(weight))
    found = [flux.sum(0), flux[:bass].sum(0), _rise(mel, lag), np.interp(frames, coarse, _change(chroma, 8))]
    rows = np.stack([_centred(row) for row in found])
    repeats = [_autocorrelation(row[None]) for row in rows]
    repeats.append(_autocorrelation(flux - flux.mean(1, keepdims=True)))
    repeats.append(np.interp(frames, coarse, _autocorrelation(chroma - chroma.mean(1, keepdims=True))))
    return rows, np.stack(repeats)


def _bands_below(hertz: float) -> int:
    low, high, at = (float(hz_to_mel(torch.tensor(f, dtype=torch.float64))) for f in (40.0, 10000.0, hertz))
    return max(1, int((at - low) / (high - low) * 97))


def _rise(mel: Floats, lag: int) -> Floats:
    """How far the sound grows, not compressed: accents."""
    level = np.sqrt(mel)
    rise = np.zeros(mel.shape[1])
    rise[lag:] = np.maximum(0.0, level[:, lag:] - level[:, :-lag]).sum(0)
    return rise


def _change(chroma: Floats, width: int) -> Floats:
    """How far the mean of the next `width` frames is from that of those before."""
    total = np.concatenate([np.zeros((12, 1)), np.cumsum(chroma, 1)], 1)
    frames = chroma.shape[1]
    at = np.arange(frames)
    first, last = np.maximum(0, at - width), np.minimum(frames, at + width)
    left = (total[:, at] - total[:, first]) / np.maximum(1, at - first)
    right = (total[:, last] - total[:, at]) / np.maximum(1, last - at)
    return np.sqrt(np.square(right - left).sum(0))


def _centred(row: Floats) -> Floats:
    """Less its mean over a second, and over its root mean square."""
    half = FRAMES // 2
    total = np.concatenate([[0.0], np.cumsum(row)])
    at = np.arange(len(row))
    first, last = np.maximum(0, at - half), np.minimum(len(row), at + half + 1)
    row = row - (total[last] - total[first]) / (last - first)
    scale = np.sqrt(np.mean(row**2))
    return row / scale if scale > 1e-9 else np.zeros_like(row)
