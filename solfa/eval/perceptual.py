"""What a listener would say of a decoded recording, as models of hearing guess it: ViSQOL, PESQ and STOI, by their libraries.

All take a reference and an estimate of one shape, [S] or [C, S], and give a float. All three are defined for one channel: channels are
averaged. All three bring both to one level, so none of them hears a change of gain. NaN says that there is nothing to measure: the
reference is silent (no sample above 1e-9), or shorter than the method's shortest. A silent estimate of a reference that sounds gets
the lowest value there is; the libraries fail there, or give NaN. They are the extra `eval`: where a library is missing, ImportError
says what to install.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from solfa.audio.resample import resample
from solfa.eval.codec import Samples, pair
from solfa.eval.evaluation import Measure

HOW_TO_GET = 'pip install "solfa[eval]"'
VISQOL_RATE, VISQOL_SHORTEST = 48000, 46080  # Hz, samples: 0.96 s, 45 frames of 80 ms a step of 20 ms apart
VISQOL_LOWEST, VISQOL_HIGHEST = 1.0, 5.0
PESQ_RATE, PESQ_SHORTEST, PESQ_LONGEST = 16000, 4000, 15 * 16000  # Hz, samples
STOI_SHORTEST = 0.3968  # seconds: 30 frames of 25.6 ms, 12.8 ms apart
# P.862.2 maps the raw score, which is at most 4.5, by a curve whose lower end is 0.999.
PESQ_LOWEST, PESQ_HIGHEST = 0.999, 0.999 + 4 / (1 + math.exp(3.8224 - 1.3669 * 4.5))
SILENT = 1e-9  # of full scale: 32-bit samples reach 5e-10, and the libraries' float32 squares vanish some way below

MEASURES = (
    Measure(
        "visqol",
        "ViSQOL v3 in audio mode (Chinen et al., 2020; visqol-python): MOS-LQO of mono sound at 48 kHz, resampled by soxr HQ; the same "
        "twice gives 4.73. Speech mode gives other numbers.",
        "MOS",
        VISQOL_LOWEST,
        VISQOL_HIGHEST,
        "higher",
    ),
    Measure(
        "pesq",
        "Wide-band PESQ (ITU-T P.862.2; the library pesq): MOS-LQO of mono sound at 16 kHz, resampled by soxr HQ; of more than 15 s, the "
        "mean over equal pieces of at most 15 s. A model of telephone speech. Narrow-band PESQ (P.862.1) is another number.",
        "MOS",
        PESQ_LOWEST,
        PESQ_HIGHEST,
        "higher",
    ),
    Measure(
        "stoi",
        "Short-time objective intelligibility of mono sound (Taal et al., 2011; pystoi, which resamples to 10 kHz). A model of speech. "
        "Extended STOI (Jensen and Taal, 2016) is another number.",
        "",
        -1.0,
        1.0,
        "higher",
    ),
)
NAMES = tuple(measure.name for measure in MEASURES)


def check_installed(names: Iterable[str]) -> None:
    """ImportError unless the libraries of these measures are there; ValueError for a name that is none of them."""
    for name in names:
        if name not in NAMES:
            raise ValueError(f"no perceptual measure {name!r}: there are {', '.join(NAMES)}")
        module = {"stoi": "pystoi"}.get(name, name)
        if find_spec(module) is None:
            raise ImportError(f"{name} needs a library that is not installed: {HOW_TO_GET}")


def perceptual_scores(
    names: Iterable[str], reference: Samples, estimate: Samples, sample_rate: int
) -> dict[str, float]:
    """Those of the measures that are named, for one clip."""
    names = tuple(names)
    check_installed(names)
    functions = {"visqol": visqol, "pesq": pesq, "stoi": stoi}
    return {name: functions[name](reference, estimate, sample_rate) for name in names}


def visqol(reference: Samples, estimate: Samples, sample_rate: int) -> float:
    """ViSQOL v3, audio mode: a guess at a listener's mark (MOS-LQO), 1 to 5, higher is better; 4.73 for the same sound.

    Chinen et al. (2020), by visqol-python, a port of Google's code. Both are brought to mono and to 48 kHz (soxr HQ): what a codec at
    24 kHz leaves out above 12 kHz counts only against a reference that has it. The library aligns them in time. Differs from the library
    for silence alone: it gives 4.73 to anything beside a silent reference, and NaN to a silent estimate. NaN below 0.96 s. Speech mode
    is not offered: without the lattice model, which is a package more, its marks are one or two points too high.
    """
    check_installed(["visqol"])
    x, y = _mono(reference, estimate, sample_rate, VISQOL_RATE)
    if _silent(x) or len(x) < VISQOL_SHORTEST:
        return math.nan
    if _silent(y):
        return VISQOL_LOWEST
    return float(_visqol_api().measure_from_arrays(x, y, VISQOL_RATE).moslqo)


def pesq(reference: Samples, estimate: Samples, sample_rate: int) -> float:
    """Wide-band PESQ: a guess at a listener's mark (MOS-LQO) for telephone speech, 1 to 4.64, higher is better.

    ITU-T P.862.2 by the library pesq, on mono sound at 16 kHz (soxr HQ). Of music it says little, though tables quote it. Recordings
    of more than 15 s are cut into equal pieces of at most 15 s, and their marks averaged: the standard's own C code writes beyond its
    memory at the 51st utterance, and an utterance with its pause takes 0.4 s. NaN below 0.25 s, and where it finds no utterance in the
    reference.
    """
    check_installed(["pesq"])
    x, y = _mono(reference, estimate, sample_rate, PESQ_RATE)
    if _silent(x) or len(x) < PESQ_SHORTEST:
        return math.nan
    count = -(-len(x) // PESQ_LONGEST)
    pieces = zip(np.array_split(x, count), np.array_split(y, count), strict=True)
    marks = [mark for a, b in pieces if not math.isnan(mark := _pesq_of_a_piece(a, b))]
    return float(np.mean(marks)) if marks else math.nan


def stoi(reference: Samples, estimate: Samples, sample_rate: int) -> float:
    """Short-time objective intelligibility: a correlation of envelopes, -1 to 1, in practice 0 to 1, higher is better.

    Taal et al. (2011) by pystoi, which resamples mono sound to 10 kHz itself (as the authors' Octave code does) and leaves out what lies
    40 dB below the loudest frame of the reference. NaN where fewer than 30 frames (0.4 s) are left, where the library gives 1e-5.
    """
    check_installed(["stoi"])
    import pystoi

    x, y = _mono(reference, estimate, sample_rate, sample_rate)
    if _silent(x) or len(x) < STOI_SHORTEST * sample_rate:
        return math.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(pystoi.stoi(x, y, sample_rate))
        except RuntimeWarning:
            return math.nan


def _mono(reference: Samples, estimate: Samples, sample_rate: int, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [S], channels averaged, at `rate`."""
    signals = (signal.double().reshape(-1, signal.shape[-1]).mean(0).numpy() for signal in pair(reference, estimate))
    x, y = (resample(signal, sample_rate, rate) for signal in signals)
    return x, y


def _silent(signal: np.ndarray) -> bool:
    return bool(np.abs(signal).max() <= SILENT)


@lru_cache(maxsize=1)
def _visqol_api() -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="audio")
    return api


def _pesq_of_a_piece(reference: np.ndarray, estimate: np.ndarray) -> float:
    from pesq import NoUtterancesError
    from pesq import pesq as measured

    if _silent(reference):
        return math.nan
    if _silent(estimate):
        return PESQ_LOWEST
    try:
        return float(measured(PESQ_RATE, reference.astype(np.float32), estimate.astype(np.float32), "wb"))
    except NoUtterancesError:
        return math.nan
