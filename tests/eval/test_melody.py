"""The chroma cosine: against librosa and the steps that AudioCraft takes, and on tones."""

import librosa
import numpy as np
import pytest
import torch

from solfa.audio.chroma import dominant_pitch_classes
from solfa.eval.melody import HOP, RATE, WINDOW, chroma_cosine


def tune(pitches, seconds=1.0, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    hertz = [440 * 2 ** ((pitch - 69) / 12) for pitch in pitches]
    tones = [sum(a * np.sin(2 * np.pi * f * i * time) for i, a in ((1, 0.5), (2, 0.2))) for f in hertz]
    return np.concatenate(tones).astype(np.float32)


SONG = tune([60, 64, 67, 65])


def by_librosa(samples):
    """One-hot chroma [T, 12], as AudioCraft takes it: a periodic Hann window, reflected ends, the power's strongest class."""
    spectrum = librosa.stft(samples.astype(np.float64), n_fft=WINDOW, hop_length=HOP, pad_mode="reflect")
    chroma = librosa.filters.chroma(sr=RATE, n_fft=WINDOW, tuning=0) @ np.square(np.abs(spectrum))
    return np.eye(12)[chroma.argmax(0)]


def test_it_is_the_mean_cosine_of_librosas_chroma():
    noise = np.random.default_rng(0).standard_normal(len(SONG)).astype(np.float32)
    for other in (tune([60, 62, 67, 71]), SONG + noise, noise):
        a, b = by_librosa(SONG), by_librosa(other)
        frames = -(-len(SONG) // HOP)
        cosine = torch.nn.functional.cosine_similarity(
            torch.from_numpy(a[:frames]), torch.from_numpy(b[:frames]), dim=1
        )
        assert chroma_cosine(SONG, other, RATE, RATE) == pytest.approx(float(cosine.mean()), abs=1e-9)


def test_identity_level_octave_and_key():
    assert chroma_cosine(SONG, SONG, RATE, RATE) == 1.0 == chroma_cosine(SONG, 0.01 * SONG, RATE, RATE)
    assert chroma_cosine(SONG, tune([72, 76, 79, 77]), RATE, RATE) > 0.9
    assert chroma_cosine(SONG, tune([61, 65, 68, 66]), RATE, RATE) < 0.2
    assert 0.4 < chroma_cosine(SONG, tune([60, 64, 66, 68]), RATE, RATE) < 0.6


def test_rates_channels_and_lengths():
    other = tune([60, 64, 67, 65], rate=24000)
    assert chroma_cosine(SONG, np.stack([other, other]), RATE, 24000) > 0.95
    assert chroma_cosine(SONG[: RATE * 2], SONG, RATE, RATE) > 0.9  # the frames that both have
    assert (
        chroma_cosine(SONG, SONG[:1], RATE, RATE) in (0.0, 1.0) and chroma_cosine(SONG[:9], SONG[:9], RATE, RATE) == 1
    )
    silent = np.zeros(RATE, np.float32)
    assert chroma_cosine(silent, silent, RATE, RATE) == 1.0  # silence counts as C
    with pytest.raises(ValueError, match="samples"):
        chroma_cosine(SONG, SONG[:0], RATE, RATE)


def test_pitch_classes_of_tones():
    found = dominant_pitch_classes(torch.from_numpy(tune(range(60, 72), 0.6)), RATE, WINDOW, HOP)
    middles = [(2 * i + 1) * int(0.3 * RATE) // HOP for i in range(12)]
    assert found[middles].tolist() == list(range(12)) and len(found) == 1 + int(0.6 * RATE) * 12 // HOP
