"""Lengths as a reader wants them: what a player or a pedal made shorter or longer, written as it was meant.

Within a voice, a chord that lasts most of the way to the next is written to last all of it; a short one on a short way is too, since a
staccato is not a rest; where a rest is meant, the chord ends on the roundest place near its end.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from solfa.score.quantising.voices import Chord

_LEGATO = 0.6  # share of the way to the next chord from which on a length is the whole way
_NEAR = 0.4  # how far an end may move to a rounder place: share of the length


def tidied(chords: Sequence[Chord], quarter: int, beat: int, triplets: Collection[int]) -> list[Chord]:
    """The chords of a voice, in order, with readable lengths.

    quarter, beat: their lengths in units (a dotted quarter is a beat of 3/2 quarters); triplets: the numbers of those quarters that
    are divided in three. No chord ends after the next begins; the last may last to the end of its beat.
    """
    result = []
    for chord, following in zip(chords, [*chords[1:], None], strict=True):
        length = chord.offset - chord.onset
        if following is None:
            end = _round_end(chord, beat, quarter, triplets, None)
        else:
            way = following.onset - chord.onset
            fills = (
                length >= _LEGATO * way
                or way - length <= quarter // 8
                or way <= quarter // 2
                or (way <= beat and length * 4 >= way)
            )
            long_rest = way - length >= beat and way >= 2 * beat
            end = (
                following.onset
                if fills and not long_rest
                else _round_end(chord, beat, quarter, triplets, following.onset)
            )
        result.append(replace(chord, offset=end))
    return result


def hits(chords: Sequence[Chord], beat: int) -> list[Chord]:
    """Strokes on drums: each lasts to the next, but not beyond its beat."""
    result = []
    for chord, following in zip(chords, [*chords[1:], None], strict=True):
        end = (chord.onset // beat + 1) * beat
        result.append(replace(chord, offset=end if following is None else min(end, following.onset)))
    return result


def _round_end(chord: Chord, beat: int, quarter: int, triplets: Collection[int], limit: int | None) -> int:
    """The roundest place near the end of a chord, not after `limit`."""
    length = chord.offset - chord.onset
    third = chord.onset // quarter in triplets or chord.offset // quarter in triplets
    steps = [4 * beat, 2 * beat, beat]
    steps += [quarter // 3, quarter // 6] if third else [quarter // 2, quarter // 4]
    for step in steps:
        for end in (round(chord.offset / step) * step, -(-chord.offset // step) * step):
            near = abs(end - chord.offset) <= max(_NEAR * length, steps[-1])
            if end > chord.onset and near and (limit is None or end <= limit):
                return end
    return chord.onset + steps[-1] if limit is None else min(limit, chord.onset + steps[-1])
