"""How near a tune in ABC is to the true one: four losses, of pitch, metre, tempo and instrument, and their weighted sum.

They follow the reward of a recipe that trains a language model to write ABC for what it hears: weights of 0.5, 0.15, 0.15 and 0.2;
numbers compared by a loss that is linear for small errors and exponential beyond; pitches by Levenshtein's distance of paired voices;
instruments as exact, of one family, or by the likeness of their names. Its slopes, its exponents, the discount of a family and what a
voice too few or too many costs were not published: those here are ours. Each loss is from 0 (equal) to 1, lower is better. A reward is 1
less the loss. Rhythm and key are in none of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

from solfa.eval.evaluation import Measure
from solfa.eval.voice_matching import cheapest_pairing, edit_distances
from solfa.score.sheet.notation import BarLength, Sheet, Tempo, Voice

MAX_NOTES = 20_000  # a tune; two such are compared within seconds
DRUMS = 128  # stands for a program
FAMILY_LOSS = 0.5  # of two instruments of one family of eight
PITCH, METRE, TEMPO, INSTRUMENT = 0.5, 0.15, 0.15, 0.2
_ORDINALS = frozenset({"i", "ii", "iii", "iv", "v", "1st", "2nd", "3rd", "4th"})
_Change = TypeVar("_Change", bound=BarLength | Tempo)

MEASURES: tuple[Measure, ...] = (
    Measure(
        "loss", "0.5 pitch + 0.15 metre + 0.15 tempo + 0.2 instrument; of an estimate that is no ABC 1.", "", 0, 1, "lower"
    ),
    Measure(
        "pitch",
        "Levenshtein's distance of the pitches of paired voices, in the order in which they sound, a voice too few or too many counting "
        "as many as its notes, over what it would be if no pitch were right. Rhythm does not count; another octave is another pitch.",
        "",
        0,
        1,
        "lower",
    ),
    Measure(
        "metre",
        "Mean over the reference's quarter notes of the mean of three losses, of numerators, denominators and their ratios, each linear "
        "up to 0.5 (at 2, 4 and 0.25) and exponential towards 1 beyond.",
        "",
        0,
        1,
        "lower",
    ),
    Measure(
        "tempo",
        "Mean over the reference's quarter notes of a loss of the difference in quarter notes a minute, linear up to 0.2 at 10, "
        "exponential towards 1 beyond.",
        "",
        0,
        1,
        "lower",
    ),
    Measure(
        "instrument",
        "Mean over paired voices: 0 for one program, 0.5 for one family of General MIDI, else 1 less the likeness of the names, at least "
        "0.5; 1 for a voice too few or too many, and for drums that are no drums.",
        "",
        0,
        1,
        "lower",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class AbcLosses:
    """Losses from 0 (equal) to 1, as `MEASURES` defines them."""

    pitch: float
    metre: float
    tempo: float
    instrument: float

    @property
    def loss(self) -> float:
        """0.5 pitch + 0.15 metre + 0.15 tempo + 0.2 instrument."""
        return PITCH * self.pitch + METRE * self.metre + TEMPO * self.tempo + INSTRUMENT * self.instrument


UNREADABLE = AbcLosses(1.0, 1.0, 1.0, 1.0)  # of an estimate that is no ABC


def abc_losses(reference: Sheet, estimate: Sheet, names: Sequence[str]) -> AbcLosses:
    """The losses of a tune beside the true one, both as `solfa.score.abc.read_abc` reads them.

    names: of the 128 General MIDI programs, by which voices that name no program are understood (see `instrument_of`), and unlike
    instruments compared. Voices are paired one to one so that the pitches differ least, and of several such ways so that the instruments
    do: their order does not matter; those without notes do not count. A metre is what the bar lines show, where the header says another.
    Raises ValueError for a tune of more than 20,000 notes.
    """
    for side, sheet in (("reference", reference), ("estimate", estimate)):
        check_length(sheet, side)
    end = max((s.onset + s.duration for voice in reference.voices for s in voice.symbols), default=Fraction(0))
    pitch, instrument = _voice_losses(_sounding(reference), _sounding(estimate), names)
    return AbcLosses(
        pitch,
        _over_time(reference.metres, estimate.metres, end, metre_loss),
        _over_time(reference.tempi, estimate.tempi, end, lambda a, b: tempo_loss(a.bpm, b.bpm)),
        instrument,
    )


def check_length(sheet: Sheet, name: str = "the tune") -> None:
    """Raises ValueError for a tune of more than 20,000 notes."""
    count = sum(len(symbol.pitches) for voice in sheet.voices for symbol in voice.symbols)
    if count > MAX_NOTES:
        raise ValueError(f"{name} has {count} notes: at most {MAX_NOTES} are compared")


def eased(error: float, knee: float, height: float) -> float:
    """A loss of an error from 0: a straight line up to `height` at `knee`, from there on 1 - (1 - height) exp(-slope (error - knee) /
    (1 - height)) with the line's slope. It rises everywhere, without a bend, and towards 1."""
    slope = height / knee
    if error <= knee:
        return slope * error
    return float(1 - (1 - height) * np.exp(-slope * (error - knee) / (1 - height)))


def metre_loss(reference: BarLength, estimate: BarLength) -> float:
    """Of two metres: the mean of the losses of their numerators (0.5 where they differ by 2), denominators (0.5 by 4) and ratios (0.5 by a
    quarter). 3/4 for 4/4 is 0.25, 6/8 for 3/4 0.4, 2/2 for 4/4 0.25."""
    a, b = reference, estimate
    return (
        eased(abs(a.numerator - b.numerator), 2, 0.5)
        + eased(abs(a.denominator - b.denominator), 4, 0.5)
        + eased(float(abs(a.quarters - b.quarters) / 4), 0.25, 0.5)
    ) / 3


def tempo_loss(reference: float, estimate: float) -> float:
    """Of two tempi in quarter notes a minute: 0.02 a unit up to 10, 0.2; beyond exponential: 0.38 at 20, 0.77 at 60, 0.98 at 160."""
    return eased(abs(reference - estimate), 10, 0.2)


def instrument_loss(reference: int, estimate: int, names: Sequence[str]) -> float:
    """Of two programs (or DRUMS): 0 for one, 0.5 for one family of eight; else 1 less the likeness of their names, in characters that
    Levenshtein's distance leaves over the longer one's, but at least 0.5; 1 for drums and none."""
    if reference == estimate:
        return 0.0
    if DRUMS in (reference, estimate):
        return 1.0
    if reference // 8 == estimate // 8:
        return FAMILY_LOSS
    a, b = names[reference].lower(), names[estimate].lower()
    unlike = int(edit_distances([ord(c) for c in a], [[ord(c) for c in b]])[0]) / max(len(a), len(b))
    return max(FAMILY_LOSS, unlike)


def instrument_of(voice: Voice, names: Sequence[str]) -> int:
    """The program that plays a voice, or DRUMS.

    It is the one of %%MIDI program. Where that is 0, which is also what a voice has that names none, the voice's name decides: the longest
    of `names` all of whose words are in it ("Violin I"), else the first that has all its words ("strings"), else 0. Numbers are no words.
    """
    if voice.is_drum:
        return DRUMS
    words = {word for word in _words(voice.name) if not word.isdecimal() and word not in _ORDINALS}
    if voice.program or not words:
        return voice.program
    whole = [number for number, name in enumerate(names) if _words(name) <= words]
    if whole:
        return max(whole, key=lambda number: (len(_words(names[number])), -number))
    return next((number for number, name in enumerate(names) if words <= _words(name)), 0)


def _words(name: str) -> set[str]:
    return set("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _sounding(sheet: Sheet) -> list[Voice]:
    return [voice for voice in sheet.voices if voice.symbols]


def _pitches(voice: Voice) -> list[int]:
    """In order of time, of a chord from below; keys of drums are no pitches and stand above them."""
    return [pitch + 128 * voice.is_drum for symbol in voice.symbols for pitch in symbol.pitches]


def _voice_losses(reference: Sequence[Voice], estimate: Sequence[Voice], names: Sequence[str]) -> tuple[float, float]:
    """The losses of pitch and of instrument over the best pairing of voices; where one side has fewer, with voices of no notes."""
    size = max(len(reference), len(estimate))
    if not size:
        return 0.0, 0.0
    wanted, found = ([*map(_pitches, side), *[[]] * (size - len(side))] for side in (reference, estimate))
    edits = np.array([edit_distances(pitches, found) for pitches in wanted], np.float64)  # [V, V]
    players = [[instrument_of(voice, names) for voice in side] for side in (reference, estimate)]
    unlike = np.ones((size, size))
    for row, one in enumerate(players[0]):
        for column, other in enumerate(players[1]):
            unlike[row, column] = instrument_loss(one, other, names)
    # Edits are whole numbers, and instruments of all voices together less than 1 of them: they decide between equals only.
    pairing = cheapest_pairing(edits + unlike / (size + 1))
    # With no pitch in common each pair would cost its longer voice, least in all where the longest are paired with the longest.
    worst = np.maximum(*(np.sort([len(pitches) for pitches in side]) for side in (wanted, found))).sum()
    chosen = np.arange(size), pairing
    return float(edits[chosen].sum() / worst), float(unlike[chosen].mean())


def _over_time(
    reference: Sequence[_Change],
    estimate: Sequence[_Change],
    end: Fraction,
    loss: Callable[[_Change, _Change], float],
) -> float:
    """The mean of a loss over the time from 0 to `end`, on lines of changes that each hold until the next; at 0 where `end` is 0."""
    a, b = [change.onset for change in reference], [change.onset for change in estimate]
    times = sorted({Fraction(0), *(onset for onset in (*a, *b) if 0 < onset < end)})
    losses = [loss(_at(reference, a, now), _at(estimate, b, now)) for now in times]
    if not end:
        return losses[0]
    lasting = [float(after - now) for now, after in zip(times, [*times[1:], end], strict=True)]
    return min(1.0, sum(w * x for w, x in zip(lasting, losses, strict=True)) / sum(lasting))


def _at(line: Sequence[_Change], onsets: Sequence[Fraction], time: Fraction) -> _Change:
    """What holds at a time; the first before any."""
    return line[max(0, bisect_right(onsets, time) - 1)]
