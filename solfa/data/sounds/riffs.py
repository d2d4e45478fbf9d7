"""Lines and chords of an analogue-like synthesizer: oscillators, a resonant filter, envelopes, a pumping beat."""

from __future__ import annotations

import random

import numpy as np

from solfa.data.sounds import dsp, percussion

Samples = np.ndarray
WAVES = ("saw", "square", "pulse", "detuned saws", "FM", "sub sine")
SCALES = ((0, 3, 5, 7, 10), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 5, 7, 9, 11), (0, 1, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
KINDS = ("bass line", "arpeggio", "lead", "stabs", "pad", "drone")


def riff(rng: random.Random, count: int, rate: int) -> tuple[Samples, str, dict[str, object]]:
    """A line over a loop of one bar, or chords, with or without a beat under it."""
    kind, wave, tempo = rng.choice(KINDS), rng.choice(WAVES), rng.randint(84, 150)
    root, scale = rng.randrange(28, 48), rng.choice(SCALES)
    if kind in ("pad", "drone"):
        out = _sustained(rng, count, rate, kind, wave, root, scale)
    else:
        out = _sequence(rng, count, rate, kind, wave, tempo, root, scale)
    text = f"an analog synth {kind}, {wave}"
    if rng.random() < 0.4:
        out = _pumped(rng, out, rate, tempo)
        text += f", over a four-on-the-floor kick at {tempo} BPM"
    if rng.random() < 0.3:
        out = _echo(out, int(rng.choice((0.75, 0.5, 1.0)) * 60 / tempo * rate), rng.uniform(0.2, 0.6))
        text += ", with echoes"
    return out, text, {"riff": kind, "wave": wave, "tempo": tempo, "root": root}


def tone(wave: str, rng: random.Random, frequency: float, count: int, rate: int) -> Samples:
    """One oscillator's sound, peak near 1."""
    start = rng.random()
    if wave == "saw":
        return dsp.saw(frequency, count, rate, start)
    if wave in ("square", "pulse"):
        return dsp.pulse(frequency, count, rate, 0.5 if wave == "square" else rng.uniform(0.1, 0.4), start)
    if wave == "detuned saws":
        spread = 2 ** (rng.uniform(4, 25) / 1200)
        ratios = (1 / spread, 1.0, spread)
        return sum((dsp.saw(frequency * r, count, rate, rng.random()) for r in ratios), np.zeros(count, np.float32)) / 3
    if wave == "sub sine":
        return dsp.drive(dsp.sine(frequency, count, rate, start), rng.uniform(0.5, 3))
    ratio, depth = rng.choice((0.5, 1.0, 2.0, 3.0, 1.41, 3.5, 7.0)), rng.uniform(0.5, 6.0)
    envelope = dsp.decay(count, rate, rng.uniform(0.1, 1.5))
    modulator = dsp.sine(frequency * ratio, count, rate) * envelope * np.float32(depth)
    return np.sin(np.float32(2 * np.pi) * dsp.phase(frequency, count, rate)[0] + modulator)


def _hertz(pitch: float) -> float:
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def _degree(scale: tuple[int, ...], degree: int) -> int:
    return scale[degree % len(scale)] + 12 * (degree // len(scale))


def _sequence(
    rng: random.Random, count: int, rate: int, kind: str, wave: str, tempo: int, root: int, scale: tuple[int, ...]
) -> Samples:
    step = 15 / tempo * (2 if kind == "lead" else 1)
    share = {"bass line": 0.65, "arpeggio": 0.95, "lead": 0.6, "stabs": 0.35}[kind]
    octave = {"bass line": 0, "arpeggio": 24, "lead": 24, "stabs": 12}[kind]
    steps = [
        (_degree(scale, rng.randrange(0, 2 * len(scale) if kind != "bass line" else len(scale))), rng.uniform(0.5, 1.0))
        if rng.random() < share or index == 0
        else None
        for index in range(rng.choice((8, 16, 16)))
    ]
    chord = (0, 3, 7, 10) if 3 in scale else (0, 4, 7, 11)
    length, detune = rng.uniform(0.4, 1.4) * step, rng.uniform(-0.5, 0.5)
    # Each step is made once: a sequencer repeats itself.
    voices: dict[int, Samples] = {}
    for index, entry in enumerate(steps):
        if entry:
            pitches = [entry[0] + interval for interval in (chord if kind == "stabs" else (0,))]
            size = max(256, int(length * rate))
            made = [tone(wave, rng, _hertz(root + octave + detune + p), size, rate) for p in pitches]
            shape = dsp.decay(size, rate, rng.uniform(0.3, 2.0), 0.003) * dsp.gate(size, rate, 0.002, 0.01)
            voices[index] = sum(made, np.zeros(size, np.float32)) / len(made) * shape * np.float32(entry[1])
    out = np.zeros(count, np.float32)
    for index in range(int(count / rate / step) + 1):
        if index % len(steps) in voices:
            dsp.place(out, voices[index % len(steps)], int(index * step * rate))
    return dsp.lowpass(out, rate, _cutoff(rng, count, rate, step), rng.uniform(0.7, 8.0))


def _cutoff(rng: random.Random, count: int, rate: int, step: float) -> Samples:
    """A slow sweep, with an envelope on every step."""
    time = np.arange(count, dtype=np.float32) / rate
    slow = np.sin(2 * np.pi * (time / rng.uniform(2, 20) + rng.random())) * rng.uniform(0, 2)
    fast = np.exp(-(time % step) / rng.uniform(0.03, 0.3)) * rng.uniform(0, 3)
    return np.clip(rng.uniform(150, 2500) * 2.0 ** (slow + fast), 60, 0.45 * rate).astype(np.float32)


def _sustained(
    rng: random.Random, count: int, rate: int, kind: str, wave: str, root: int, scale: tuple[int, ...]
) -> Samples:
    out = np.zeros(count, np.float32)
    span = count if kind == "drone" else int(rng.uniform(1.5, 5.0) * rate)
    for start in range(0, count, span):
        size = min(span + rate // 4, count - start)
        if size < 256:
            break
        first = rng.randrange(len(scale))
        degrees = (0,) if kind == "drone" else (0, 2, 4, 6)[: rng.randint(3, 4)]
        for degree in degrees:
            pitch = root + (0 if kind == "drone" else 12) + _degree(scale, first + degree)
            dsp.place(
                out, tone(wave, rng, _hertz(pitch), size, rate) * dsp.gate(size, rate, 0.2, 0.25) / len(degrees), start
            )
    return dsp.lowpass(out, rate, _cutoff(rng, count, rate, 1e6), rng.uniform(0.7, 4.0), 1024)


def _pumped(rng: random.Random, samples: Samples, rate: int, tempo: int) -> Samples:
    """A kick on every beat, under which the rest ducks (sidechain compression)."""
    beat = 60 / tempo
    time = np.arange(len(samples), dtype=np.float32) / rate
    duck = 1 - rng.uniform(0.3, 1.0) * np.exp(-(time % beat) / rng.uniform(0.05, 0.2))
    out = samples * duck.astype(np.float32)
    drum = percussion.kick(rng, rate)
    hat = percussion.hat(rng, rate) if rng.random() < 0.6 else None
    for index in range(int(len(out) / rate / beat) + 1):
        dsp.place(out, drum, int(index * beat * rate))
        if hat is not None:
            dsp.place(out, hat, int((index + 0.5) * beat * rate))
    return out


def _echo(samples: Samples, delay: int, feedback: float) -> Samples:
    out = samples.copy()
    level = feedback
    for repeat in range(1, 6):
        if repeat * delay >= len(out):
            break
        out[repeat * delay :] += samples[: len(out) - repeat * delay] * np.float32(level)
        level *= feedback
    return out
