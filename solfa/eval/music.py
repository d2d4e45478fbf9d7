"""What an independent listener hears in a recording of one or a few instruments: tempo, metre, key and the lead's family.

The analysers know nothing of the model that made the sound. They are fitted on recordings whose facts are known, so that they are as
sure as they can be of this kind of music; how often they are right on other such recordings is to be told beside what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solfa.eval.music_family import FamilyClassifier, family_of, fit_families, timbre
from solfa.eval.music_key import KeyProfiles, fit_profiles, pitch_classes
from solfa.eval.music_rhythm import METRES, RhythmModel, fit_rhythm, rhythm_features
from solfa.eval.music_sound import Floats

FEWEST = 16  # recordings to fit on


@dataclass(frozen=True)
class Facts:
    """What was asked for or is heard; None is not known, or not heard.

    family: of General MIDI, by name. tempo: beats a minute, dotted quarters in 6/8. tonic: 0 (C) to 11. mode: "major" or "minor".
    metre: "3/4", "4/4" or "6/8".
    """

    family: str | None = None
    tempo: float | None = None
    tonic: int | None = None
    mode: str | None = None
    metre: str | None = None


@dataclass(frozen=True)
class Traces:
    """What of one recording the analysers look at; None where there is too little sound."""

    timbre: Floats | None
    pitch_classes: Floats | None
    rhythm: np.ndarray | None


@dataclass(frozen=True)
class Analyser:
    """The three analysers together."""

    families: FamilyClassifier
    profiles: KeyProfiles
    rhythm: RhythmModel

    def __call__(self, traces: Traces) -> Facts:
        """What is heard."""
        heard = None if traces.rhythm is None else self.rhythm(traces.rhythm)
        best = None if traces.pitch_classes is None else self.profiles.best(traces.pitch_classes)
        return Facts(
            family=None if traces.timbre is None else self.families(traces.timbre),
            tempo=heard.tempo if heard else None,
            tonic=best.tonic if best else None,
            mode=best.mode if best else None,
            metre=heard.metre if heard else None,
        )


def traces(samples: NDArray[np.float32], sample_rate: int) -> Traces:
    """The features of samples [S] or [C, S] at `sample_rate` Hz, for all analysers."""
    classes = pitch_classes(samples, sample_rate)
    rhythm = rhythm_features(samples, sample_rate)
    return Traces(timbre(samples, sample_rate), classes if classes.any() else None, rhythm)


def facts_of(attributes: Mapping[str, Any]) -> Facts:
    """The facts in a manifest's attributes, as `solfa synth` writes them; modes with a minor third count as minor, others as major.

    What is missing, or not of a kind that is analysed (a metre of 5/4), is None.
    """
    metre = attributes.get("metre")
    name = f"{metre[0]}/{metre[1]}" if metre else None
    mode = attributes.get("mode")
    voices = attributes.get("instruments") or ()
    return Facts(
        family=family_of(voices[0]["program"]) if voices else None,
        tempo=attributes.get("tempo"),
        tonic=attributes.get("tonic"),
        mode=None if mode is None else _MODES.get(mode),
        metre=name if name in METRES else None,
    )


_MODES = {"major": "major", "major pentatonic": "major", "lydian": "major", "mixolydian": "major", "minor": "minor",
          "harmonic minor": "minor", "minor pentatonic": "minor", "dorian": "minor", "phrygian": "minor"}  # fmt: skip


def fit_analyser(examples: Iterable[tuple[Traces, Facts]]) -> Analyser:
    """Analysers fitted on recordings whose facts are known; each takes those that have its facts. Deterministic.

    Raises ValueError where fewer than 16 recordings serve for one of them.
    """
    known = list(examples)
    sounds = [(t.timbre, f.family) for t, f in known if t.timbre is not None and f.family is not None]
    keys = [
        (t.pitch_classes, (f.tonic, f.mode))
        for t, f in known
        if t.pitch_classes is not None and f.tonic is not None and f.mode is not None
    ]
    beats = [
        (t.rhythm, f.tempo, f.metre)
        for t, f in known
        if t.rhythm is not None and f.tempo is not None and f.metre is not None
    ]
    for name, rows in (("a lead", sounds), ("a key", keys), ("tempo and metre", beats)):
        if len(rows) < FEWEST:
            raise ValueError(f"{len(rows)} recordings with {name} to fit on: at least {FEWEST}")
    return Analyser(
        fit_families([row[0] for row in sounds], [row[1] for row in sounds]),
        fit_profiles([row[0] for row in keys], [row[1] for row in keys]),
        fit_rhythm([row[0] for row in beats], [row[1] for row in beats], [row[2] for row in beats]),
    )
