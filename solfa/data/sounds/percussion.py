"""Drums by synthesis: single hits, and loops of them."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from solfa.data.sounds import dsp

Samples = np.ndarray
Hit = Callable[[random.Random, int], Samples]

# Sixteen steps a bar: 9 is loud, . is nothing.
GROOVES: dict[str, dict[str, str]] = {
    "house": {"kick": "9...9...9...9...", "clap": "....8.......8...", "hat": "..7...7...7...7.", "shaker": "4.3.4.3.4.3.4.3."},
    "techno": {"kick": "9...9...9...9...", "hat": "3.7.3.7.3.7.3.75", "rim": "...5..5....5..4.", "tom": "..........4..5.."},
    "breakbeat": {"kick": "9.9.......99....", "snare": "....9..4.4..9..4", "hat": "7.6.7.6.7.6.7.6."},
    "rock": {"kick": "9.......9.7.....", "snare": "....9.......9...", "hat": "8.6.8.6.8.6.8.6."},
    "hip hop": {"kick": "9......7..8.....", "snare": "....9.......9...", "hat": "7.5.7.577.5.7.5."},
    "electro": {"kick": "9.....9...9.....", "snare": "....9.......9...", "hat": "7777777777777777", "cowbell": "...5...5..5....."},
    "latin": {"rim": "9..8..8...8.8...", "shaker": "7.4.6.4.7.4.6.4.", "tom": "....6..6....6.66", "cowbell": "7...6...7...6.6."},
    "march": {"snare": "9.6.7.6.9.667.66", "kick": "9.......9......."},
    "half time": {"kick": "9.....7.........", "snare": "........9.......", "hat": "7.5.5.5.7.5.5.55"},
}  # fmt: skip


def kick(rng: random.Random, rate: int) -> Samples:
    """A sine that falls in pitch, with a click."""
    count = int(rng.uniform(0.15, 0.6) * rate)
    time = np.arange(count, dtype=np.float32) / rate
    low, high = rng.uniform(40, 65), rng.uniform(120, 400)
    body = dsp.sine(low + (high - low) * np.exp(-time / rng.uniform(0.01, 0.05)), count, rate, 0.25)
    click = dsp.noise(dsp.generator(rng), count) * dsp.decay(count, rate, 0.01) * rng.uniform(0, 0.3)
    return dsp.drive(body * dsp.decay(count, rate, count / rate) + click, rng.uniform(1, 4))


def snare(rng: random.Random, rate: int) -> Samples:
    """Two tones of a skin and the rattle of wires."""
    count = int(rng.uniform(0.12, 0.4) * rate)
    pitch = rng.uniform(150, 260)
    skin = dsp.sine(pitch, count, rate) + 0.6 * dsp.sine(pitch * rng.uniform(1.5, 1.9), count, rate)
    wires = dsp.band(dsp.noise(dsp.generator(rng), count), rate, rng.uniform(800, 2500), 0.45 * rate)
    return 0.4 * skin * dsp.decay(count, rate, 0.15) + rng.uniform(0.4, 0.9) * wires * dsp.decay(
        count, rate, count / rate
    )


def hat(rng: random.Random, rate: int) -> Samples:
    """Six square waves out of tune with each other, high-passed, and noise."""
    count = int((rng.uniform(0.03, 0.09) if rng.random() < 0.7 else rng.uniform(0.2, 0.8)) * rate)
    base = rng.uniform(300, 550)
    metal = sum(
        (dsp.pulse(base * ratio, count, rate) for ratio in (2.0, 3.0, 4.16, 5.43, 6.79, 8.21)),
        np.zeros(count, np.float32),
    )
    bright = dsp.band(
        metal + 2 * dsp.noise(dsp.generator(rng), count), rate, min(rng.uniform(4000, 7500), rate * 0.3), 0.48 * rate
    )
    return dsp.unit(bright) * dsp.decay(count, rate, count / rate) * 0.35


def clap(rng: random.Random, rate: int) -> Samples:
    """Four bursts of noise and a tail."""
    count = int(rng.uniform(0.2, 0.4) * rate)
    source = dsp.noise(dsp.generator(rng), count)
    shape = 0.6 * dsp.decay(count, rate, count / rate)
    for burst in range(4):
        start = int(burst * rng.uniform(0.008, 0.014) * rate)
        dsp.place(shape, dsp.decay(count - start, rate, 0.04), start)
    return dsp.unit(dsp.band(source * shape, rate, 700, rng.uniform(2500, 6000))) * 0.4


def tom(rng: random.Random, rate: int) -> Samples:
    """A sine that falls a little, with some noise."""
    count = int(rng.uniform(0.25, 0.7) * rate)
    time = np.arange(count, dtype=np.float32) / rate
    body = dsp.sine(rng.uniform(70, 220) * (1 + 0.4 * np.exp(-time / 0.06)), count, rate)
    rattle = dsp.noise(dsp.generator(rng), count, 1.0, rate) * dsp.decay(count, rate, 0.1)
    return (body + 0.1 * rattle) * dsp.decay(count, rate, count / rate)


def rim(rng: random.Random, rate: int) -> Samples:
    """Two short tones high up."""
    count = int(0.08 * rate)
    pitch = rng.uniform(400, 1800)
    return (
        (dsp.sine(pitch, count, rate) + dsp.sine(pitch * 1.47, count, rate))
        * dsp.decay(count, rate, rng.uniform(0.03, 0.08))
        * 0.5
    )


def cowbell(rng: random.Random, rate: int) -> Samples:
    """Two square waves a wide fifth apart."""
    count = int(rng.uniform(0.15, 0.5) * rate)
    pitch = rng.uniform(450, 700)
    both = dsp.pulse(pitch, count, rate) + dsp.pulse(pitch * 1.48, count, rate)
    return dsp.band(both, rate, 400, 5000) * dsp.decay(count, rate, count / rate) * 0.4


def shaker(rng: random.Random, rate: int) -> Samples:
    """A soft burst of high noise."""
    count = int(rng.uniform(0.05, 0.14) * rate)
    grains = dsp.band(dsp.noise(dsp.generator(rng), count), rate, rng.uniform(2500, 5000), 0.48 * rate)
    return dsp.unit(grains * np.hanning(count).astype(np.float32)) * 0.2


HITS: dict[str, Hit] = {
    "kick": kick, "snare": snare, "hat": hat, "clap": clap, "tom": tom, "rim": rim, "cowbell": cowbell, "shaker": shaker,
}  # fmt: skip


def hits(rng: random.Random, count: int, rate: int) -> tuple[Samples, str, dict[str, object]]:
    """Single hits at times of no pulse, with rests between."""
    out = np.zeros(count, np.float32)
    names = rng.sample(sorted(HITS), rng.randint(1, 3))
    position = rng.uniform(0.0, 0.3)
    while position * rate < count:
        dsp.place(out, HITS[rng.choice(names)](rng, rate) * np.float32(rng.uniform(0.1, 1.0)), int(position * rate))
        position += rng.expovariate(2.5) + 0.05
    return out, f"single synthetic drum hits: {', '.join(names)}", {"drums": names}


def loop(rng: random.Random, count: int, rate: int) -> tuple[Samples, str, dict[str, object]]:
    """A drum loop in one of the grooves, each drum with one sound of its own."""
    name, tempo = rng.choice(sorted(GROOVES)), rng.randint(80, 175)
    groove = GROOVES[name]
    voices = {drum: HITS[drum](rng, rate) for drum in groove}
    out = np.zeros(count, np.float32)
    step, swing = 15.0 / tempo, rng.choice((0.0, 0.0, rng.uniform(0.05, 0.3)))
    for index in range(int(count / rate / step) + 1):
        time = (index + swing * (index % 2)) * step
        for drum, pattern in groove.items():
            mark = pattern[index % 16]
            if mark != "." and rng.random() < 0.96:
                level = int(mark) / 9 * rng.uniform(0.8, 1.0)
                dsp.place(out, voices[drum] * np.float32(level), int(time * rate))
    if rng.random() < 0.3:
        out = dsp.drive(out, rng.uniform(1, 5))
    return out, f"a {name} drum loop at {tempo} BPM", {"groove": name, "tempo": tempo, "drums": sorted(groove)}
