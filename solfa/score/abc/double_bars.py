"""Double bars of a tune in several voices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from solfa.score.abc.music import Measure


def share_double_bars(voices: Sequence[Sequence[Measure]]) -> None:
    """Where one voice has a double bar, those with a bar line at that time have one too: repeats go back to it in all of them at once."""
    if len(voices) < 2 or not any(measure.double for voice in voices for measure in voice[:-1]):
        return
    ends = [list(accumulate(measure.length for measure in voice)) for voice in voices]
    doubles = {
        end
        for voice, times in zip(voices, ends, strict=True)
        for measure, end in zip(voice, times, strict=True)
        if measure.double
    }
    for voice, times in zip(voices, ends, strict=True):
        for measure, end in zip(voice, times, strict=True):
            measure.double = end in doubles
