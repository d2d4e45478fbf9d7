"""What an independent listener hears in a recording of one or a few instruments: tempo, metre, key, the lead's family and how busy it is.

The analysers know nothing of the model that made the sound. They are fitted on recordings whose facts are known, so that they are as
sure as they can be of this kind of music; how often they are right on other such recordings is to be told beside what they say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solfa.eval.music_density import DensityModel, density_features, fit_density
from solfa.eval.music_family import FamilyClassifier, fit_families, timbre
from solfa.eval.music_key import KeyProfiles, fit_profiles, pitch_classes
from solfa.eval.music_rhythm import FRAMES, METRES, RhythmModel, envelopes, features_of_envelopes, fit_rhythm
from solfa.eval.music_sound import Floats
from solfa.score.density import DENSITIES, density_of, onset_rate
from solfa.score.families import family_of
from solfa.score.note import Note

FEWEST = 16  # recordings to fit on


@dataclass(frozen=True)
class Facts:
    """What was asked for or is heard; None is not known, or not heard.

    family: of General MIDI, by name. tempo: beats a minute, dotted quarters in 6/8. tonic: 0 (C) to 11. mode: "major" or "minor".
    metre: "3/4", "4/4" or "6/8". density: "sparse", "medium" or "dense". onset_rate: a second; both as `solfa.score.density` has them.
    """

    family: str | None = None
    tempo: float | None = None
    tonic: int | None = None
    mode: str | None = None
    metre: str | None = None
    density: str | None = None
    onset_rate: float | None = None


@dataclass(frozen=True)
class Traces:
    """What of one recording the analysers look at; None where there is too little sound."""

    timbre: Floats | None
    pitch_classes: Floats | None
    rhythm: np.ndarray | None
    onsets: Floats | None


@dataclass(frozen=True)
class Analyser:
    """The analysers together; `onsets` is None where too few recordings came with their notes to fit one."""

    families: FamilyClassifier
    profiles: KeyProfiles
    rhythm: RhythmModel
    onsets: DensityModel | None

    def __call__(self, traces: Traces) -> Facts:
        """What is heard."""
        heard = None if traces.rhythm is None else self.rhythm(traces.rhythm)
        best = None if traces.pitch_classes is None else self.profiles.best(traces.pitch_classes)
        rate = None if traces.onsets is None or self.onsets is None else self.onsets(traces.onsets)
        return Facts(
            family=None if traces.timbre is None else self.families(traces.timbre),
            tempo=heard.tempo if heard else None,
            tonic=best.tonic if best else None,
            mode=best.mode if best else None,
            metre=heard.metre if heard else None,
            density=None if rate is None else density_of(rate),
            onset_rate=rate,
        )

    def listened_for(self, wanted: Facts) -> Facts:
        """The same facts without those that it has no analyser of: they are not to be counted as wrong."""
        return wanted if self.onsets is not None else replace(wanted, density=None, onset_rate=None)


def traces(samples: NDArray[np.float32], sample_rate: int) -> Traces:
    """The features of samples [S] or [C, S] at `sample_rate` Hz, for all analysers."""
    classes = pitch_classes(samples, sample_rate)
    rows, repeats = envelopes(samples, sample_rate)
    rhythm = features_of_envelopes(rows, repeats)
    onsets = density_features(rows, FRAMES)
    return Traces(timbre(samples, sample_rate), classes if classes.any() else None, rhythm, onsets)


def facts_of(attributes: Mapping[str, Any], notes: Sequence[Note] | None = None) -> Facts:
    """The facts in a manifest's attributes, as `solfa synth` writes them; modes with a minor third count as minor, others as major.

    Attributes have a word for the density and no number: the onset rate is that of the piece's `notes`, where they are given. What is
    missing, or not of a kind that is analysed (a metre of 5/4, a tempo in words), is None.
    """
    metre = attributes.get("metre")
    tempo: Any = attributes.get("tempo")
    tonic: Any = attributes.get("tonic")
    name = f"{metre[0]}/{metre[1]}" if metre else None
    mode = attributes.get("mode")
    voices = attributes.get("instruments") or ()
    density = attributes.get("density")
    return Facts(
        family=family_of(voices[0]["program"]) if voices else None,
        tempo=tempo if type(tempo) in (int, float) and 0 < tempo < math.inf else None,
        tonic=tonic if type(tonic) is int and 0 <= tonic < 12 else None,
        mode=None if mode is None else _MODES.get(mode),
        metre=name if name in METRES else None,
        density=density if density in DENSITIES else None,
        onset_rate=onset_rate(notes) if notes else None,
    )


_MODES = {"major": "major", "major pentatonic": "major", "lydian": "major", "mixolydian": "major", "minor": "minor",
          "harmonic minor": "minor", "minor pentatonic": "minor", "dorian": "minor", "phrygian": "minor"}  # fmt: skip


def fit_analyser(examples: Iterable[tuple[Traces, Facts]]) -> Analyser:
    """Analysers fitted on recordings whose facts are known; each takes those that have its facts. Deterministic.

    Raises ValueError where fewer than 16 recordings serve for one of them; onsets alone may go without.
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
    busy = [(t.onsets, f.onset_rate) for t, f in known if t.onsets is not None and f.onset_rate]
    for name, rows in (("a lead", sounds), ("a key", keys), ("tempo and metre", beats)):
        if len(rows) < FEWEST:
            raise ValueError(f"{len(rows)} recordings with {name} to fit on: at least {FEWEST}")
    return Analyser(
        fit_families([row[0] for row in sounds], [row[1] for row in sounds]),
        fit_profiles([row[0] for row in keys], [row[1] for row in keys]),
        fit_rhythm([row[0] for row in beats], [row[1] for row in beats], [row[2] for row in beats]),
        fit_density([row[0] for row in busy], [row[1] for row in busy]) if len(busy) >= FEWEST else None,
    )
