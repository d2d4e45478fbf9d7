"""Sound that is no score: noise, tones, sweeps, drums, synthesizer lines and mixtures, for a codec to be ready for anything."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from solfa.data.sounds import dsp, percussion, riffs

Samples = np.ndarray
Source = Callable[[random.Random, int, int], tuple[Samples, str, dict[str, object]]]
COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0}


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples [C, S] float32, what they are in words, and in values."""

    samples: Samples
    text: str
    attributes: dict[str, Any]


def noises(rng: random.Random, count: int, rate: int) -> tuple[Samples, str, dict[str, object]]:
    """Noise of a colour, steady, filtered, swept or gated."""
    colour, shape = rng.choice(sorted(COLOURS)), rng.choice(("steady", "band", "swept", "gated", "swelling"))
    out = dsp.noise(dsp.generator(rng), count, COLOURS[colour], rate)
    time = dsp.seconds_of(out, rate)
    if shape == "band":
        low = 2 ** rng.uniform(6, 12)
        out = dsp.band(out, rate, low, min(low * 2 ** rng.uniform(0.3, 3), 0.49 * rate))
    elif shape == "swept":
        octave = rng.uniform(8, 11) + rng.uniform(0.5, 2) * np.sin(2 * np.pi * time / rng.uniform(0.5, 8))
        out = dsp.lowpass(out, rate, 2.0**octave, rng.uniform(0.7, 6))
    elif shape == "gated":
        period = rng.uniform(0.05, 1.0)
        opened = (time % period < period * rng.uniform(0.2, 0.7)).astype(np.float32)
        out = out * np.convolve(opened, np.full(65, 1 / 65, np.float32), "same")  # 3 ms ramps
    elif shape == "swelling":
        out = out * (0.5 - 0.5 * np.cos(2 * np.pi * time / rng.uniform(1, 10))).astype(np.float32)
    return out, f"{colour} noise, {shape}", {"colour": colour, "shape": shape}


def tones(rng: random.Random, count: int, rate: int) -> tuple[Samples, str, dict[str, object]]:
    """Steady tones, harmonic stacks, clusters, beeps and sweeps."""
    kind = rng.choice(("sine", "harmonics", "cluster", "beeps", "sweep", "vibrato", "ringing"))
    base = 2 ** rng.uniform(5.8, 10.5)
    time = np.arange(count, dtype=np.float32) / rate
    if kind == "sweep":
        low, high = sorted((rng.uniform(4.5, 13), rng.uniform(4.5, np.log2(0.49 * rate))))
        place = (time / rng.uniform(0.5, 12)) % 1.0
        out = dsp.sine(2.0 ** (low + (high - low) * (place if rng.random() < 0.5 else 1 - place)), count, rate)
    elif kind == "vibrato":
        wobble = 2 ** (rng.uniform(0.2, 2) / 12 * np.sin(2 * np.pi * rng.uniform(3, 9) * time))
        out = dsp.saw(base * wobble, count, rate)
    elif kind == "beeps":
        out = np.zeros(count, np.float32)
        period, pitches = rng.uniform(0.08, 0.8), [2 ** rng.uniform(8, 12) for _ in range(rng.randint(1, 4))]
        size = int(period * rng.uniform(0.3, 0.9) * rate)
        for index in range(int(count / rate / period) + 1):
            dsp.place(
                out,
                dsp.sine(rng.choice(pitches), size, rate) * dsp.gate(size, rate, 0.005, 0.005),
                int(index * period * rate),
            )
    else:
        out = np.zeros(count, np.float32)
        for index in range(
            {"sine": 1, "harmonics": rng.randint(3, 16), "cluster": rng.randint(2, 7), "ringing": 6}[kind]
        ):
            ratio = index + 1 if kind == "harmonics" else 2 ** rng.uniform(0, 3) if index else 1
            if base * ratio < 0.48 * rate:
                level = rng.uniform(0.2, 1.0) / (index + 1) ** rng.uniform(0.3, 1.5)
                partial = np.float32(level) * dsp.sine(base * ratio, count, rate, rng.random())
                ring = np.exp(-(time % 1.5) / rng.uniform(0.05, 0.6)) if kind == "ringing" else np.float32(1.0)
                out += (partial * ring).astype(np.float32)
    return out, f"test tones: {kind}", {"tones": kind, "frequency": round(float(base), 1)}


SOURCES: dict[str, tuple[Source, float]] = {
    "noise": (noises, 0.12), "tones": (tones, 0.16), "hits": (percussion.hits, 0.14), "loop": (percussion.loop, 0.26),
    "riff": (riffs.riff, 0.32),
}  # fmt: skip


def make_sound(rng: random.Random, seconds: float, sample_rate: int, channels: int = 1) -> Sound:
    """A sound of so many seconds, drawn from `rng`: one source, or three times in ten a mixture of two or three."""
    count = max(1024, round(seconds * sample_rate))
    names = rng.choices(
        list(SOURCES), [weight for _, weight in SOURCES.values()], k=rng.choice((1, 1, 1, 1, 1, 1, 1, 2, 2, 3))
    )
    out = np.zeros((channels, count), np.float32)
    texts, attributes = [], {}
    for index, name in enumerate(names):
        layer, text, values = SOURCES[name][0](rng, count, sample_rate)
        level = 1.0 if index == 0 else 10 ** (rng.uniform(-18, 6) / 20)
        out += panned(dsp.unit(layer) * np.float32(level), rng.uniform(-0.8, 0.8), channels)
        texts.append(text)
        attributes[f"{name} {index + 1}"] = values
    out *= dsp.gate(count, sample_rate, 0.003, 0.01)
    return Sound(out, _sentence(texts), {"kind": "sounds", "sources": attributes})


def panned(samples: Samples, pan: float, channels: int) -> Samples:
    """[S] as [C, S]; in stereo with constant power, `pan` from -1 (left) to 1."""
    if channels == 1:
        return samples[None]
    angle = (pan + 1) * np.pi / 4
    return np.stack([np.float32(np.cos(angle)) * samples, np.float32(np.sin(angle)) * samples])


def _sentence(texts: list[str]) -> str:
    joined = " together with ".join(texts)
    return joined[0].upper() + joined[1:] + "."
