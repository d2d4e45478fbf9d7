"""From measures of sounds to what a sheet holds: symbols of voices, and metres, keys and tempi in time."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from solfa.score.abc.error import AbcError
from solfa.score.abc.fields import AbcMetre, VoiceSettings
from solfa.score.abc.limits import MAX_QUARTERS, Budget
from solfa.score.abc.music import MAX_DENOMINATOR, Context, Measure, Sound
from solfa.score.repeats import playing_order
from solfa.score.sheet.notation import BarLength, Key, Symbol, Tempo, Voice, bar_of_length

MAX_LAYERS = 64
_ZERO = Fraction(0)


@dataclass(slots=True)
class _Played:
    """A note with its ties: it may still become longer."""

    onset: Fraction
    end: Fraction
    pitch: int
    velocity: int
    layer: int  # of the measure where it begins: 0, or how many & stand before it
    settings: VoiceSettings  # of the voice where it begins


@dataclass(frozen=True)
class Segment:
    """What lies between two bar lines as played."""

    onset: Fraction
    length: Fraction
    metre: AbcMetre | None
    line: int


@dataclass
class Performance:
    """One voice played through: its notes, the stretches between its bar lines, and what was in force from when on."""

    notes: list[_Played] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    contexts: list[tuple[Fraction, Context]] = field(default_factory=list)
    end: Fraction = _ZERO


def perform(measures: Sequence[Measure], budget: Budget) -> Performance:
    """Play the measures of a voice, repeats and all. Raises AbcError if that gets longer than `budget` and a voice may be."""
    result = Performance()
    waiting: dict[int, list[_Played]] = {}  # pitch to the notes that are tied on
    for index in playing_order(measures):
        measure = measures[index]
        first = measure.layers[0][0] if measure.layers[0] else next(layer[0] for layer in measure.layers if layer)
        start = end = result.end
        for number, layer in enumerate(measure.layers):
            now = start
            for sound in layer:
                budget.spend(len(sound.notes), sound.line)
                _sound(result, waiting, sound, now, number)
                now += sound.duration
            end = max(end, now)
        result.end = end
        if result.end > MAX_QUARTERS or result.end.denominator > MAX_DENOMINATOR:
            raise AbcError(
                first.line,
                0,
                f"with its repeats the voice has more than {MAX_QUARTERS} quarter notes, or too fine ones",
            )
        result.segments.append(Segment(start, result.end - start, first.context.metre, first.line))
    return result


def _sound(result: Performance, waiting: dict[int, list[_Played]], sound: Sound, now: Fraction, layer: int) -> None:
    if layer == 0 and (not result.contexts or result.contexts[-1][1] is not sound.context):
        result.contexts.append((now, sound.context))
    held: list[_Played] = []
    for pitch, duration, tied in sound.notes:
        note = _tied_on(waiting, pitch, now, result.end)
        if note is not None:
            note.end = now + duration
        else:
            note = _Played(now, now + duration, pitch, sound.velocity, layer, sound.settings)
            result.notes.append(note)
        if tied:
            held.append(note)
    for note in held:
        waiting.setdefault(note.pitch, []).append(note)


def _tied_on(waiting: dict[int, list[_Played]], pitch: int, now: Fraction, start: Fraction) -> _Played | None:
    """The note that goes on here. A unison, [EE], is two notes: where one E was tied on, one goes on and the other begins."""
    notes = waiting.get(pitch, [])
    for index, note in enumerate(notes):
        if note.end == now:
            return notes.pop(index)
    if notes:
        waiting[pitch] = [note for note in notes if note.end >= start]
    return None


def voices(performance: Performance, settings: VoiceSettings, line: int) -> list[Voice]:
    """The voices of a sheet that a voice becomes: one for each instrument that it has in turn, in the order in which they are heard, and
    of each as many layers as it takes for none to overlap. Without any note it is one, of the instrument that `settings` say. Raises
    AbcError for more than 64 layers."""
    heard: dict[tuple[int, bool], list[_Played]] = {}
    for note in performance.notes:
        heard.setdefault((note.settings.program, note.settings.is_drum), []).append(note)
    if not heard:
        heard[settings.program, settings.is_drum] = []
    return [
        Voice(settings.name, program, is_drum, settings.clef, layer)
        for (program, is_drum), notes in heard.items()
        for layer in _layers(notes, line)
    ]


@dataclass(slots=True)
class _Layer:
    """Symbols that follow one another, and where the last ends."""

    end: Fraction = _ZERO
    symbols: list[Symbol] = field(default_factory=list)


def _layers(notes: Iterable[_Played], line: int) -> list[tuple[Symbol, ...]]:
    """The notes as chords, in layers in which none overlap: first the layers of the measures (one, but for overlays), then what would
    overlap within one, the shorter notes of chords of unequal notes and of those of which only some are tied on."""
    chords: dict[tuple[Fraction, Fraction, int], tuple[set[int], int]] = {}
    for note in notes:
        pitches, velocity = chords.setdefault((note.onset, note.end, note.layer), (set(), note.velocity))
        pitches.add(note.pitch)
    written: dict[int, _Layer] = {}
    more: list[_Layer] = []
    for onset, end, number in sorted(chords, key=lambda chord: (chord[0], -chord[1], chord[2])):
        pitches, velocity = chords[onset, end, number]
        places = (written.setdefault(number, _Layer()), *more)
        layer = next((layer for layer in places if layer.end <= onset), None)
        if layer is None:
            layer = _Layer()
            more.append(layer)
        if len(written) + len(more) > MAX_LAYERS:
            raise AbcError(line, 0, f"a voice of more than {MAX_LAYERS} lines that overlap")
        layer.symbols.append(Symbol(onset, end - onset, tuple(sorted(pitches)), velocity))
        layer.end = end
    return [tuple(layer.symbols) for layer in (*(written[number] for number in sorted(written)), *more)] or [()]


def metres(segments: Sequence[Segment]) -> tuple[tuple[BarLength, ...], Fraction]:
    """The metres that the bar lines show, and the upbeat.

    What repeats split is joined: stretches that sum to a bar are one. A first bar that is too short is the upbeat; any other that is
    too short or too long is a bar of a metre of its own. A free metre is what its bars are. Where a bar has a length that no metre
    has, all but the first metre are given up, and a warning says so.
    """
    found: list[tuple[Fraction, AbcMetre]] = []
    upbeat = _ZERO
    for onset, length, metre, last in _bars(segments):
        irregular = metre is None or length % metre.quarters != 0
        if onset == 0 and metre is not None and length < metre.quarters and not last:
            upbeat, irregular = length, False
        if irregular and not (last and metre is not None and length < metre.quarters):
            metre = _metre_of(length, metre)
            if metre is None:
                line = next(segment.line for segment in segments if segment.onset >= onset)
                warnings.warn(
                    f"line {line}: a bar of {length} quarter notes, which no metre has: metre changes and upbeat are left out",
                    stacklevel=4,
                )
                first = segments[0].metre or AbcMetre(4, 4)
                return (BarLength(_ZERO, first.numerator, first.denominator),), _ZERO
        assert metre is not None
        if not found or found[-1][1] != metre:
            found.append((onset, metre))
    if not found:
        found = [(_ZERO, AbcMetre(4, 4))]
    return tuple(BarLength(onset, m.numerator, m.denominator) for onset, m in found), upbeat


def _bars(segments: Sequence[Segment]) -> list[tuple[Fraction, Fraction, AbcMetre | None, bool]]:
    """(onset, length, metre, whether it is the last) of bars: segments, joined where several make up one."""
    bars: list[tuple[Fraction, Fraction, AbcMetre | None, bool]] = []
    start, length, metre = _ZERO, _ZERO, None
    for segment in segments:
        whole = None if segment.metre is None else segment.metre.quarters
        if length and (segment.metre != metre or whole is None or length + segment.length > whole):
            bars.append((start, length, metre, False))
            length = _ZERO
        if not length:
            start, metre = segment.onset, segment.metre
        length += segment.length
        if whole is None or length >= whole:
            bars.append((start, length, metre, segment is segments[-1]))
            length = _ZERO
    if length:
        bars.append((start, length, metre, True))
    return bars


def _metre_of(length: Fraction, like: AbcMetre | None) -> AbcMetre | None:
    """A metre whose bars have that length in quarter notes, with the denominator of another where that goes."""
    bar = bar_of_length(_ZERO, length, like.denominator if like else 4)
    return None if bar is None else AbcMetre(bar.numerator, bar.denominator)


def changes(performances: Sequence[Performance], base: Context) -> tuple[tuple[Key, ...], tuple[Tempo, ...]]:
    """The keys and tempi of all voices on one line; of several at one time the first voice's that changes it."""
    keys: dict[Fraction, tuple[int, str]] = {}
    tempi: dict[Fraction, float] = {}
    for voice in performances:
        key, tempo = None, None
        for onset, context in voice.contexts:
            if (context.key.tonic, context.key.mode) != key:
                key = (context.key.tonic, context.key.mode)
                keys.setdefault(onset, key)
            if context.tempo != tempo:
                tempo = context.tempo
                tempi.setdefault(onset, tempo)
    keys.setdefault(Fraction(0), (base.key.tonic, base.key.mode))
    tempi.setdefault(Fraction(0), base.tempo)
    key_line = [Key(onset, *keys[onset]) for onset in sorted(keys)]
    tempo_line = [Tempo(onset, tempi[onset]) for onset in sorted(tempi)]
    return (
        tuple(
            k
            for i, k in enumerate(key_line)
            if not i or (k.tonic, k.mode) != (key_line[i - 1].tonic, key_line[i - 1].mode)
        ),
        tuple(t for i, t in enumerate(tempo_line) if not i or t.bpm != tempo_line[i - 1].bpm),
    )
