"""The renderer: a score played by a soundfont, as it might have been recorded."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from solfa.audio.resample import resample
from solfa.data.backends import Channel, Event, open_backend
from solfa.data.effects import PLAIN, Effects, RenderOptions, apply_effects, draw_effects
from solfa.data.programs import Presets, restrict
from solfa.data.soundfont import SoundFont, find_soundfont
from solfa.score.note import Note
from solfa.score.pedal import pedal_extended
from solfa.score.score import Part, Pedal, Score

HIGHEST = 20000  # Hz: what the sounds of a soundfont hold, about
FADE = 0.05  # seconds
TAIL = 2.0  # seconds that the last notes may ring
SHORTEST = 0.004  # seconds that a key is down: more than a block of either synthesizer
MAX_SECONDS = 3 * 3600


class Renderer:
    """Plays scores with one soundfont, which is loaded once.

    `sample_rate` is 8000 to 96000 Hz, `channels` 1 or 2, `backend` "auto", "fluidsynth" or "tinysoundfont". Below 40 kHz it plays at a
    higher rate and resamples: synthesizers do not filter what they transpose, and what folds over is to fold above the band that is kept.
    """

    def __init__(
        self,
        soundfont: SoundFont | str | os.PathLike[str] | None = None,
        sample_rate: int = 24000,
        channels: int = 1,
        backend: str = "auto",
    ) -> None:
        if not 8000 <= sample_rate <= 96000 or channels not in (1, 2):
            raise ValueError(
                f"sample rate {sample_rate}, channels {channels}: legal are 8000 to 96000 Hz, 1 or 2"
            )
        self.soundfont = soundfont if isinstance(soundfont, SoundFont) else find_soundfont(soundfont)
        self.sample_rate, self.channels = sample_rate, channels
        self.play_rate = play_rate(sample_rate)
        self._backend = open_backend(backend, self.soundfont, self.play_rate)
        self.presets = Presets().within(self.soundfont)

    @property
    def backend(self) -> str:
        """Which synthesizer plays."""
        return self._backend.name

    def render(self, score: Score, seed: int = 0, options: RenderOptions = PLAIN) -> np.ndarray:
        """The sound of a score, [C, S] float32; the same for the same score, seed and options.

        Raises ValueError for a score without notes and one of more than three hours.
        """
        return self.render_with(score, seed, options)[0]

    def render_with(self, score: Score, seed: int, options: RenderOptions) -> tuple[np.ndarray, Effects]:
        """As `render`, and the effects that were drawn."""
        rng = random.Random(seed)
        effects = draw_effects(rng, options)
        dry = self._dry(score, rng, options, effects.detune)
        return fade_out(apply_effects(dry, self.sample_rate, effects), self.sample_rate), effects

    def _dry(self, score: Score, rng: random.Random, options: RenderOptions, cents: float) -> np.ndarray:
        score = restrict(score, self.presets, rng)
        seconds = max((note.offset for part in score.parts for note in part.notes), default=0.0)
        if not any(part.notes for part in score.parts):
            raise ValueError("the score has no notes to play")
        if seconds > MAX_SECONDS:
            raise ValueError(f"the score lasts {seconds:.0f} s; at most {MAX_SECONDS} are rendered at once")
        channels = [_channel(part, rng, options) for part in score.parts]
        samples = math.ceil((seconds + TAIL) * self.play_rate)
        stereo = self._backend.play(channels, events(score, self.play_rate), samples, cents)
        mixed = stereo if self.channels == 2 else stereo.mean(0, keepdims=True)
        return trim(resample(mixed, self.play_rate, self.sample_rate), math.ceil(seconds * self.sample_rate))


def play_rate(sample_rate: int) -> int:
    """The rate to synthesize at: the least at which a frequency of 20 kHz folds to one above the wanted band."""
    return max(sample_rate, HIGHEST + -(-sample_rate // 2))


def events(score: Score, rate: int) -> list[Event]:
    """Keys down and up, sorted. Held by the pedal, a note sounds on until the pedal is up or its key is struck again."""
    found = []
    for number, part in enumerate(pedal_extended(score).parts):
        for note, offset in _cut(part):
            start = round(note.onset * rate)
            found.append(Event(start, note.velocity, number, note.pitch))
            found.append(Event(max(round(offset * rate), start + round(SHORTEST * rate)), 0, number, note.pitch))
    return sorted(found)


def _cut(part: Part) -> Iterator[tuple[Note, float]]:
    """Each note and its end: a key is up before it is struck again."""
    strokes: dict[int, list[Note]] = {}
    for note in part.notes:
        strokes.setdefault(note.pitch, []).append(note)
    for notes in strokes.values():
        for note, following in zip(notes, [*notes[1:], None], strict=True):
            if following is None:
                yield note, note.offset
            elif following.onset - note.onset > SHORTEST:  # else the same note twice: one is heard
                yield note, min(note.offset, following.onset)


def _channel(part: Part, rng: random.Random, options: RenderOptions) -> Channel:
    pan, gain = rng.uniform(-options.spread, options.spread), rng.uniform(*options.balance)
    # Controller 7 is squared into an amplitude (General MIDI level 2); 100 is its usual place.
    volume = round(100 * 10 ** (gain / 40))
    place = 64 + round(63 * (0.3 * pan if part.is_drum else pan))
    return Channel(part.program, part.is_drum, max(1, min(127, volume)), place)


def trim(samples: np.ndarray, least: int) -> np.ndarray:
    """Without the silence (60 dB under the peak) at the end, but not under `least` samples."""
    loud = np.flatnonzero(np.abs(samples).max(0) > np.abs(samples).max() * 1e-3)
    last = int(loud[-1]) + 1 if len(loud) else 0
    return samples[:, : max(least, last)]


def fade_out(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Its last 50 ms faded, so that no ringing note or reverb is cut with a click."""
    count = min(int(FADE * sample_rate), samples.shape[1])
    samples[:, samples.shape[1] - count :] *= np.linspace(1.0, 0.0, count, dtype=np.float32)
    return samples


def excerpt(score: Score, start: float, seconds: float) -> Score:
    """What begins in [start, start + seconds), moved to 0 and cut at the end; tempo, metre and key hold from what stood before."""
    end = start + seconds

    def cut(note: Note) -> Note:
        return replace(note, onset=note.onset - start, offset=min(note.offset, end) - start)

    def shifted(changes: tuple) -> tuple:
        before = [change for change in changes if change.time <= start][-1:]
        return tuple(
            replace(change, time=max(0.0, change.time - start))
            for change in [*before, *(c for c in changes if start < c.time < end)]
        )

    parts = tuple(
        replace(part, notes=tuple(cut(note) for note in part.notes if start <= note.onset < end))
        for part in score.parts
    )
    pedals = tuple(
        Pedal(max(p.onset, start) - start, min(p.offset, end) - start, p.part)
        for p in score.pedals
        if p.onset < end and p.offset > start
    )
    return replace(
        score,
        parts=parts,
        pedals=pedals,
        tempi=shifted(score.tempi),
        metres=shifted(score.metres),
        keys=shifted(score.keys),
    )
