"""What is in a score: the attributes that can be measured, in the same form as those that scores are composed from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

from solfa.data.composer.attributes import Attributes
from solfa.data.composer.instruments import KITS
from solfa.data.composer.theory import SCALES
from solfa.score.density import density_of, onset_rate
from solfa.score.note import Note
from solfa.score.score import Metre, Part, Score

# Probe-tone ratings: Krumhansl and Kessler, 1982 (Psychological Review 89), table of major and minor profiles.
_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
_COUSINS = {"major": ("major", "mixolydian", "lydian"), "minor": ("minor", "harmonic minor", "dorian", "phrygian")}
_TRUST = 0.25  # how much worse a written key signature may fit than the best key, and still be believed
_KEYBOARDS = frozenset((*range(8), *range(16, 24), 46))
_BASSES = frozenset((*range(32, 40), 43, 58, 87))
LOW, HIGH = 60.0, 74.0  # mean pitch of the melody


def describe(score: Score) -> dict[str, Any]:
    """The keys of `Attributes`, measured: key, metre, tempo (beats a minute), density, register, texture, instruments, drums, length.

    What a score does not show (genre, mood, seed), or does not show clearly, is None. The key is the written signature where it fits the
    notes about as well as the best key by Krumhansl's profiles, else that best key; None where no key fits. The tempo is the median over
    time, in dotted quarters where the metre is compound.
    """
    pitched = [part for part in score.parts if not part.is_drum and part.notes]
    kits = [part.program for part in score.parts if part.is_drum and part.notes]
    metre = _longest_metre(score)
    tonic, mode = _key(score, pitched)
    instruments = _instruments(pitched)
    notes = [note for part in score.parts for note in part.notes]
    return {
        "tonic": tonic,
        "mode": mode,
        "metre": [metre.numerator, metre.denominator] if metre else None,
        "tempo": _tempo(score, metre),
        "density": _density(notes),
        "register": _register(pitched),
        "genre": None,
        "mood": None,
        "texture": _texture(pitched, bool(kits)),
        "instruments": instruments,
        "drums": bool(kits),
        "kit": kits[0] if kits and kits[0] in KITS else 0,
        "seconds": round(score.duration, 3),
        "seed": None,
    }


def observed(attributes: Attributes, score: Score) -> dict[str, Any]:
    """The attributes of a composed score, with density and register as they turned out: for captions that must hold to the letter."""
    measured = describe(score)
    return {**attributes.to_dict(), "density": measured["density"], "register": measured["register"]}


def _histogram(notes: Sequence[Note]) -> list[float]:
    """Seconds that each pitch class sounds."""
    weights = [0.0] * 12
    for note in notes:
        weights[note.pitch % 12] += note.offset - note.onset
    return weights


def _correlations(weights: list[float]) -> dict[tuple[int, str], float]:
    mean = sum(weights) / 12
    spread = sqrt(sum((w - mean) ** 2 for w in weights))
    if spread == 0.0:
        return {}
    result = {}
    for mode, profile in _PROFILES.items():
        centre = sum(profile) / 12
        scale = sqrt(sum((p - centre) ** 2 for p in profile)) * spread
        for tonic in range(12):
            product = sum((profile[i] - centre) * (weights[(i + tonic) % 12] - mean) for i in range(12))
            result[tonic, mode] = product / scale
    return result


def _key(score: Score, parts: list[Part]) -> tuple[int | None, str | None]:
    notes = [note for part in parts for note in part.notes]
    weights = _histogram(notes)
    ranked = _correlations(weights)
    if not ranked:
        return None, None
    (tonic, mode), best = max(ranked.items(), key=lambda item: item[1])
    if best < 0.4:
        return None, None
    spans = _spans([key.time for key in score.keys], score.duration)
    if spans:
        totals: dict[tuple[int, str], float] = {}
        for key, span in zip(score.keys, spans, strict=True):
            totals[key.tonic, key.mode] = totals.get((key.tonic, key.mode), 0.0) + span
        written = max(totals, key=lambda key: totals[key])
        # A file that changes key half way is in neither; one that says "C major" by habit is found out by its notes. Many write
        # the major key for its relative minor.
        if totals[written] < 0.6 * sum(totals.values()):
            return None, None
        relative = ((written[0] + 9) % 12, "minor") if written[1] == "major" else ((written[0] + 3) % 12, "major")
        for candidate in (written, relative):
            if ranked[candidate] >= best - (_TRUST if candidate == written else 0.0):
                tonic, mode = candidate
                break
    return tonic, _refined(tonic, mode, weights)


def _refined(tonic: int, mode: str, weights: list[float]) -> str:
    """The church mode or harmonic minor, if its scale holds clearly more of the notes."""
    total = sum(weights)
    held = {name: sum(weights[(tonic + s) % 12] for s in SCALES[name]) / total for name in _COUSINS[mode]}
    best = max(_COUSINS[mode], key=lambda name: held[name])
    return best if held[best] > held[mode] + 0.04 else mode


def _spans(times: list[float], end: float) -> list[float]:
    """How long each change holds."""
    if not times:
        return []
    return [max(0.0, b - a) for a, b in pairwise([*times, max([end, *times])])]


def _longest_metre(score: Score) -> Metre | None:
    totals: dict[tuple[int, int], float] = {}
    for metre, span in zip(score.metres, _spans([m.time for m in score.metres], score.duration), strict=True):
        totals[metre.numerator, metre.denominator] = totals.get((metre.numerator, metre.denominator), 0.0) + span
    return Metre(0.0, *max(totals, key=lambda key: totals[key])) if totals else None


def _tempo(score: Score, metre: Metre | None) -> int | None:
    if not score.tempi or score.duration == 0.0:
        return None
    spans = _spans([change.time for change in score.tempi], score.duration)
    pairs = sorted(zip((change.bpm for change in score.tempi), spans, strict=True))
    left = sum(spans) / 2
    while len(pairs) > 1 and left > pairs[0][1]:
        left -= pairs.pop(0)[1]
    bpm = pairs[0][0]
    compound = metre is not None and metre.denominator == 8 and metre.numerator % 3 == 0 and metre.numerator > 3
    return round(bpm / 1.5 if compound else bpm)


def _density(notes: list[Note]) -> str | None:
    rate = onset_rate(notes)
    return None if rate is None else density_of(rate)


def _mean_pitch(part: Part) -> float:
    return sum(note.pitch for note in part.notes) / len(part.notes)


def _voices_at_once(part: Part) -> float:
    """Notes sounding at a time, on average over the time that any sounds."""
    total = sum(note.offset - note.onset for note in part.notes)
    covered, end = 0.0, 0.0
    for note in part.notes:
        covered += max(0.0, note.offset - max(note.onset, end))
        end = max(end, note.offset)
    return total / covered if covered else 1.0


def _lead(parts: list[Part]) -> Part | None:
    """The part most likely to hold the tune: the highest of those that play one note at a time, else the highest."""
    single = [part for part in parts if _voices_at_once(part) < 1.3 and part.program not in _BASSES]
    return max(single or parts, key=_mean_pitch, default=None)


def _register(parts: list[Part]) -> str | None:
    lead = _lead(parts)
    if lead is None:
        return None
    mean = _mean_pitch(lead)
    return "low" if mean < LOW else "high" if mean >= HIGH else "mid"


def _instruments(parts: list[Part]) -> list[dict[str, Any]]:
    """One entry for each program, the lead's first, then by number of notes; at most eight."""
    lead = _lead(parts)
    if lead is None:
        return []
    ordered = [lead, *sorted((p for p in parts if p is not lead), key=lambda p: -len(p.notes))]
    result: list[dict[str, Any]] = []
    for part in ordered:
        if all(part.program != entry["program"] for entry in result):
            result.append({"role": "melody" if part is lead else _role(part), "program": part.program})
    return result[:8]


def _role(part: Part) -> str:
    if part.program in _BASSES:
        return "bass"
    return "chords" if _voices_at_once(part) > 1.8 else "counter"


def _texture(parts: list[Part], drums: bool) -> str | None:
    programs = {part.program for part in parts}
    if not parts:
        return "percussion" if drums else None
    if len(parts) == 1 or (len(programs) == 1 and programs <= _KEYBOARDS):  # the two staves of a piano are one player
        return "solo"
    if len(programs) == len(parts):
        return {2: "duo", 3: "trio"}.get(len(parts), "ensemble")
    return "ensemble" if len(parts) > 3 else None
