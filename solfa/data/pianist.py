"""A score as one pianist might play it: its parts on one piano, at a pace, with rubato, dynamics, uneven hands and the pedal.

Scores say when and which keys, not how. What pianists add is drawn here: melodies are louder and some milliseconds early (Goebl, 2001,
"Melody lead in piano performance": about 30), hands and chords are not quite together, tempo and loudness go in waves, and the pedal
comes up just after a bass note and goes down again (syncopated pedalling).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from solfa.data.composer.instruments import fold
from solfa.data.programs import PIANOS, Presets
from solfa.data.strokes import SHORTEST, apart
from solfa.score.note import Note
from solfa.score.score import Part, Pedal, Score, TempoChange

TOGETHER = 0.02  # seconds of the score within which strokes are one chord
PACES = (0.6, 2.5)  # of the score's tempo
OCTAVE = 12  # semitones between a key and its doubling

Curve = Callable[[float], float]


@dataclass(frozen=True)
class _Stroke:
    """A key of the score: in the score's seconds, and its place in its chord."""

    onset: float
    offset: float
    pitch: int
    voice: str  # melody, bass, inner


@dataclass(frozen=True)
class _Style:
    """What is the same throughout a performance."""

    density: float  # strokes a second that are aimed at
    rubato: float  # deviation of the logarithm of the tempo
    loudness: float  # velocity in the middle of the range
    swell: float  # velocity by which phrases rise and fall
    voicing: float  # velocity by which the melody stands out
    lead: float  # seconds by which the melody is early
    uneven: float  # seconds, deviation of each stroke
    rolled: float  # how often a chord is broken
    touch: float  # of a note's written length
    pedal: str  # none, harmony, long, fitful
    doubled: tuple[int, int]  # semitones added to the melody's and the bass's keys; 0: they are not doubled


def play_as_pianist(score: Score, presets: Presets, rng: random.Random) -> Score:
    """One part of all pitched parts, on a piano of those that may sound, played anew; drums are left out.

    Onsets, lengths and loudnesses are drawn anew, and tempo, metres and keys go with them. Keys that two parts strike together are struck
    once; what the piano does not have is moved by octaves. Raises ValueError where no piano (programs 0 to 7) may sound, or nothing is
    left to play.
    """
    program, style = rng.choice(pianos(presets)), _drawn_style(rng)
    strokes = _strokes(score, style, program)
    if not strokes:
        raise ValueError("holds no notes for a pianist")
    end = max(stroke.offset for stroke in strokes)
    pace = min(PACES[1], max(PACES[0], style.density * end / len(strokes)))
    clock = _clock(pace, style.rubato, end, rng)
    loudness = _wave(rng, 1.5, 12.0, strokes[-1].onset + 1.0)
    notes = apart(_played(strokes, style, clock, loudness, program, rng))
    pedals = tuple(_pedals(strokes, style, clock, rng))
    return replace(
        score,
        parts=(Part("Piano", program, False, notes),),
        pedals=pedals,
        tempi=_tempi(score, pace, clock),
        metres=tuple(replace(metre, time=clock(metre.time)) for metre in score.metres),
        keys=tuple(replace(key, time=clock(key.time)) for key in score.keys),
    )


def pianos(presets: Presets) -> list[int]:
    """The pianos among what may sound. Raises ValueError where there is none."""
    legal = sorted(presets.programs & PIANOS)
    if not legal:
        raise ValueError("a pianist needs a piano: none of the programs 0 to 7 may sound")
    return legal


def _drawn_style(rng: random.Random) -> _Style:
    return _Style(
        density=math.exp(rng.uniform(math.log(4.0), math.log(20.0))),
        rubato=rng.uniform(0.01, 0.15),
        loudness=rng.uniform(35.0, 90.0),
        swell=rng.uniform(4.0, 25.0),
        voicing=rng.uniform(0.0, 25.0),
        lead=max(0.0, rng.gauss(0.015, 0.015)),
        uneven=math.exp(rng.uniform(math.log(0.003), math.log(0.02))),
        rolled=rng.choice((0.0, 0.02, 0.15)),
        touch=rng.uniform(0.5, 1.1),
        pedal=rng.choices(("none", "harmony", "long", "fitful"), (2, 4, 2, 2))[0],
        doubled=(rng.choices((0, -OCTAVE, OCTAVE), (6, 2, 1))[0], rng.choices((0, -OCTAVE), (5, 4))[0]),
    )


def _strokes(score: Score, style: _Style, program: int) -> list[_Stroke]:
    """All keys in order, each once a chord. What nothing higher sounds with is the melody, what nothing lower sounds with the bass."""
    notes = sorted(note for part in score.parts if not part.is_drum for note in part.notes)
    result: list[_Stroke] = []
    sounding: list[tuple[float, int]] = []  # (offset, pitch)
    for chord in _chords(notes):
        now = chord[0].onset
        keys: dict[int, float] = {}  # when each ends
        for note in chord:
            pitch = fold(note.pitch, program)
            keys[pitch] = max(note.offset, keys.get(pitch, now))
        sounding = [each for each in sounding if each[0] > now + TOGETHER]
        sounding += [(offset, pitch) for pitch, offset in keys.items()]
        low, high = min(pitch for _, pitch in sounding), max(pitch for _, pitch in sounding)
        struck = []
        for pitch, offset in sorted(keys.items()):
            voice = "melody" if pitch == high else "bass" if pitch == low else "inner"
            more = {"melody": style.doubled[0], "bass": style.doubled[1], "inner": 0}[voice]
            struck.append(_Stroke(now, offset, pitch, voice))
            if more and pitch + more not in keys and fold(pitch + more, program) == pitch + more:
                struck.append(_Stroke(now, offset, pitch + more, voice))
        result += sorted(struck, key=lambda stroke: stroke.pitch)
    return result


def _chords(notes: Sequence[Note]) -> Iterator[list[Note]]:
    """Notes in order of onset, in groups that begin together."""
    chord: list[Note] = []
    for note in notes:
        if chord and note.onset - chord[0].onset > TOGETHER:
            yield chord
            chord = []
        chord.append(note)
    if chord:
        yield chord


def _wave(rng: random.Random, shortest: float, longest: float, seconds: float) -> Curve:
    """A smooth curve of random swings, each `shortest` to `longest` seconds: its values have mean 0 and deviation 1, roughly."""
    parts = [
        (math.exp(rng.uniform(math.log(shortest), math.log(longest))), rng.uniform(0.0, 2 * math.pi)) for _ in range(6)
    ]
    if seconds > longest:  # and a slow one, so that a piece has soft and loud parts
        parts.append((rng.uniform(longest, seconds), rng.uniform(0.0, 2 * math.pi)))
    scale = math.sqrt(2 / len(parts))
    return lambda time: scale * sum(math.sin(2 * math.pi * time / period + phase) for period, phase in parts)


def _clock(pace: float, rubato: float, seconds: float, rng: random.Random) -> Curve:
    """From the score's seconds to the performance's: steps of 50 ms, each as long as the tempo of its moment makes it."""
    wave, step = _wave(rng, 1.0, 10.0, seconds), 0.05
    times = [0.0]
    for index in range(math.ceil(seconds / step) + 1):
        bend = min(0.5, max(-0.5, rubato * wave((index + 0.5) * step)))
        times.append(times[-1] + step / pace * math.exp(bend))

    def clock(time: float) -> float:
        index = min(int(time / step), len(times) - 2)
        return times[index] + (time / step - index) * (times[index + 1] - times[index])

    return clock


def _played(
    strokes: Sequence[_Stroke], style: _Style, clock: Curve, wave: Curve, program: int, rng: random.Random
) -> Iterator[Note]:
    for _, group in groupby(strokes, key=lambda stroke: stroke.onset):
        chord = list(group)
        rolled = rng.uniform(0.015, 0.06) if len(chord) > 2 and rng.random() < style.rolled else 0.0
        for place, stroke in enumerate(chord):
            early = style.lead if stroke.voice == "melody" and len(chord) > 1 else 0.0
            onset = max(0.0, clock(stroke.onset) + rng.gauss(0.0, style.uneven) - early + place * rolled)
            length = (clock(stroke.offset) - clock(stroke.onset)) * style.touch * math.exp(rng.gauss(0.0, 0.15))
            loud = style.loudness + style.swell * wave(stroke.onset) + rng.gauss(0.0, 4.0)
            loud += {"melody": 0.5, "inner": -0.5, "bass": -0.1}[stroke.voice] * style.voicing
            velocity = min(127, max(8, round(loud)))
            yield Note(onset, onset + max(SHORTEST, length), stroke.pitch, velocity, program)


def _pedals(strokes: Sequence[_Stroke], style: _Style, clock: Curve, rng: random.Random) -> Iterator[Pedal]:
    """Up just after a bass note that changes the harmony, or after a while, and down again."""
    if style.pedal == "none":
        return
    least, most = {"harmony": (0.3, 1.5), "long": (1.0, 4.0), "fitful": (0.2, 2.0)}[style.pedal]
    changes, wait = [], 0.0
    for stroke in strokes:
        now = clock(stroke.onset)
        if (stroke.voice == "bass" and now >= wait) or now >= wait + most:
            changes.append(now)
            wait = now + rng.uniform(least, most)
    end = clock(max(stroke.offset for stroke in strokes))
    for now, following in pairwise([*changes, end + 0.5]):
        down, up = now + rng.uniform(0.08, 0.25), following + rng.uniform(-0.02, 0.08)
        if style.pedal == "fitful" and rng.random() < 0.5:
            continue
        if up - down > 0.1:
            yield Pedal(down, up, 0)


def _tempi(score: Score, pace: float, clock: Curve) -> tuple[TempoChange, ...]:
    """The score's tempi at the pace that is played, without its rubato."""
    changes = score.tempi or (TempoChange(0.0, 120.0),)
    return tuple(TempoChange(clock(change.time), change.bpm * pace) for change in changes)
