"""Whether generated sound follows the melody it was given: the chroma cosine of MusicGen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solfa.audio.chroma import dominant_pitch_classes
from solfa.eval.evaluation import Measure
from solfa.eval.music_sound import one_channel

RATE, WINDOW, HOP = 32_000, 16_384, 4_096

MEASURES = (
    Measure(
        "chroma cosine",
        "Share of frames (0.128 s) in which the strongest pitch class of the generated sound is that of the melody given (MusicGen).",
        "",
        0.0,
        1.0,
        "higher",
    ),
)


def chroma_cosine(
    reference: NDArray[np.float32], generated: NDArray[np.float32], reference_rate: int, generated_rate: int
) -> float:
    """Mean cosine of the one-hot chroma of both sounds, a frame at a time: 0 to 1, higher is better; 1/12 for pitches drawn at random.

    Both [S] or [C, S], as one channel at 32 kHz; frames of 16,384 samples, 4,096 apart; one-hot is the strongest of twelve pitch
    classes, so the cosine of a frame is 1 where both have the same and 0 elsewhere (Copet et al. 2023, arXiv 2306.05284, as AudioCraft
    computes it). The frames that both have are compared, ceil(S / 4096) of the shorter; AudioCraft wants equal lengths. Silence
    counts as C, there too. Octaves and timbre do not matter. Whole mixes are compared: whoever gave the model a stem passes that.
    """
    sounds = [
        one_channel(samples, rate, RATE) for samples, rate in ((reference, reference_rate), (generated, generated_rate))
    ]
    frames = -(-min(len(sound) for sound in sounds) // HOP)
    first, second = (dominant_pitch_classes(sound, RATE, WINDOW, HOP)[:frames] for sound in sounds)
    return float((first == second).double().mean())
