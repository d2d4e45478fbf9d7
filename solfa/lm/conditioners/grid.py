"""A tempo and a metre with a place in time, and what texts say of them: "lively waltz, 140 bpm", "in 6/8 at about 90 beats per minute"."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

TEMPO, BEATS, DIVISIONS = (20.0, 400.0), (1, 16), (2, 3)
LONGEST = 1e6  # seconds that a downbeat may be away
METRE = "4/4"  # where nothing says another
_NUMBER = r"(?<![\d.])(\d{1,3}(?:\.\d{1,3})?)(?![\d.]*\d)"
_TEMPI = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        _NUMBER + r"[ -]?(?:bpm|beats (?:per|a) minute)\b",
        r"\bbpm(?: is|:|=)? ?" + _NUMBER,
        r"\btempo(?: is| of|:|=)? (?:about |around )?" + _NUMBER,
    )
)
_FRACTION = re.compile(r"(?<![\d/.])(\d{1,2})/(\d{1,2})(?![\d/])")
_NAMED = (
    (re.compile(r"\b(?:three-four|triple)\b(?! octave)", re.IGNORECASE), "3/4"),
    (re.compile(r"\b(?:four-four|common time)\b", re.IGNORECASE), "4/4"),
    (re.compile(r"\btwo-four\b", re.IGNORECASE), "2/4"),
    (re.compile(r"\bsix-eight\b", re.IGNORECASE), "6/8"),
    (re.compile(r"\b(?:waltz(?:es)?|minuets?)\b", re.IGNORECASE), "3/4"),
)


@dataclass(frozen=True)
class Grid:
    """Beats and bars that run through a piece evenly.

    tempo: beats a minute, 20 to 400. beats: in a bar, 1 to 16 (2 in 6/8, whose beat is the dotted quarter). division: parts of a beat, 2
    or 3. first: seconds from the first frame to a downbeat, any one of them; it may be negative.
    """

    tempo: float
    beats: int = 4
    division: int = 2
    first: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.tempo, bool) or not TEMPO[0] <= self.tempo <= TEMPO[1]:
            raise ValueError(f"tempo is {self.tempo}: beats a minute, {TEMPO[0]:g} to {TEMPO[1]:g}")
        if isinstance(self.beats, bool) or not isinstance(self.beats, int) or not BEATS[0] <= self.beats <= BEATS[1]:
            raise ValueError(f"beats is {self.beats}: beats in a bar, {BEATS[0]} to {BEATS[1]}")
        if self.division not in DIVISIONS:
            raise ValueError(f"division is {self.division}: a beat has 2 or 3 parts")
        if not (math.isfinite(self.first) and abs(self.first) <= LONGEST):
            raise ValueError(f"first is {self.first}: seconds, at most {LONGEST:g} either way")

    def after(self, seconds: float) -> Grid:
        """The same beats as a piece hears them that begins `seconds` later."""
        return replace(self, first=self.first - seconds)


def grid_in(tempo: float, metre: str, first: float = 0.0) -> Grid:
    """The grid of a tempo in a metre such as "3/4". The tempo counts dotted quarters in 3/8, 6/8, 9/8 and 12/8, else quarters.

    Where a bar is not a whole number of quarters (7/8), the grid's beat is the metre's own unit. Raises ValueError for what is no metre
    or out of range.
    """
    found = re.fullmatch(r"(\d{1,3})/(\d{1,3})", metre.strip())
    count, unit = (int(found[1]), int(found[2])) if found else (0, 0)
    if not count or unit not in (1, 2, 4, 8, 16, 32, 64):
        raise ValueError(f"metre is {metre!r}: notes in a bar and their kind, as 3/4, 4/4 or 6/8")
    if unit == 8 and count % 3 == 0:
        return Grid(tempo, count // 3, 3, first)
    if 4 * count % unit == 0:
        return Grid(tempo, 4 * count // unit, 2, first)
    Grid(tempo)  # a message about the tempo names what was asked for
    return Grid(tempo * unit / 4, count, 2, first)


def grid_of(text: str, bpm: float | None = None, metre: str | None = None) -> Grid | None:
    """The grid that a text asks for, its first downbeat at 0: None where no tempo is said in beats a minute, or one that cannot be.

    The metre is 3/4 in a waltz and a minuet and else 4/4, where none is said. bpm, metre: they stand for what the text says of them;
    ValueError where they are out of range.
    """
    tempo = tempo_in(text) if bpm is None else bpm
    if metre is not None:
        grid_in(100.0, metre)  # raises for what is no metre, also where there is no tempo
    if tempo is None:
        return None
    try:
        return grid_in(tempo, metre or metre_in(text) or METRE)
    except ValueError:
        if bpm is not None:
            raise
        return None


def tempo_in(text: str) -> float | None:
    """The first tempo that a text says in beats a minute; words such as "slow" say none."""
    places = [found for pattern in _TEMPI if (found := pattern.search(text))]
    return float(min(places, key=lambda found: found.start())[1]) if places else None


def metre_in(text: str) -> str | None:
    """The metre that a text says as a fraction, or by a name."""
    for found in _FRACTION.finditer(text):
        try:
            grid_in(100.0, found[0])
        except ValueError:
            continue  # a date, a share
        return found[0]
    return next((metre for name, metre in _NAMED if name.search(text)), None)
