"""ViSQOL, PESQ and STOI: what their libraries give, called directly; silence, short and long recordings; a library that is missing."""

import math
from itertools import pairwise

import numpy as np
import pytest
import soxr
import torch

from solfa.eval import perceptual
from solfa.eval.perceptual import MEASURES, PESQ_LOWEST, check_installed, perceptual_scores

RATE = 24000
LOWEST = {"visqol": 1.0, "pesq": PESQ_LOWEST, "stoi": 0.0}
BEST = {"visqol": 4.7321, "pesq": 4.6439, "stoi": 1.0}
SHORTEST = {"visqol": 0.96, "pesq": 0.25, "stoi": 0.4}  # seconds


def library(name: str):
    return pytest.importorskip({"stoi": "pystoi"}.get(name, name), reason=f'{name}: pip install "solfa[eval]"')


@pytest.fixture(params=["visqol", "pesq", "stoi"])
def name(request) -> str:
    library(request.param)
    return request.param


def voice(seconds: float = 1.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A buzz of 120 Hz through a slow tremolo, with a little noise: enough for a speech model to find an utterance."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * t + rng.uniform(0, 6)) / k for k in range(1, 25))
    return 0.1 * buzz * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)) + 0.001 * rng.standard_normal(len(t))


def noise(length: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(length)


def measured(name: str, x: np.ndarray, y: np.ndarray, rate: int = RATE) -> float:
    return getattr(perceptual, name)(x, y, rate)


def test_visqol_is_the_library_at_48_khz():
    api = library("visqol").VisqolApi()
    api.create(mode="audio")
    x = voice()
    y = x + 0.02 * noise(len(x))
    at_48k = [soxr.resample(signal, RATE, 48000) for signal in (x, y)]
    assert measured("visqol", x, y) == pytest.approx(
        api.measure_from_arrays(*at_48k, 48000).moslqo, rel=1e-9
    )  # the last digits differ
    assert 1 < measured("visqol", x, y) < 4.5


def test_pesq_is_the_library_at_16_khz():
    pesq = library("pesq").pesq
    x = voice()
    y = x + 0.02 * noise(len(x))
    at_16k = [soxr.resample(signal, RATE, 16000).astype(np.float32) for signal in (x, y)]
    assert measured("pesq", x, y) == pesq(16000, *at_16k, "wb") != pesq(16000, *at_16k, "nb")


@pytest.mark.parametrize("rate", [10000, 24000, 44100])
def test_stoi_is_the_library_at_any_rate(rate):
    stoi = library("stoi").stoi
    x = voice(rate=rate)
    y = x + 0.05 * noise(len(x))
    assert measured("stoi", x, y, rate) == stoi(x, y, rate) != stoi(x, y, rate, extended=True)


def test_pesq_of_a_long_recording_is_the_mean_of_its_pieces(monkeypatch):
    pesq = library("pesq").pesq
    monkeypatch.setattr(perceptual, "PESQ_LONGEST", 16000)
    x = voice(1.5, 16000)
    y = x + 0.02 * noise(len(x))
    halves = zip(np.split(x.astype(np.float32), 2), np.split(y.astype(np.float32), 2), strict=True)
    assert measured("pesq", x, y, 16000) == pytest.approx(np.mean([pesq(16000, a, b, "wb") for a, b in halves]))


def test_pesq_never_sees_more_than_15_seconds(monkeypatch):
    # Its C code has room for 50 utterances: 64 bursts in half a minute end the process, with a segmentation fault.
    seen = []
    monkeypatch.setattr(library("pesq"), "pesq", lambda rate, x, y, mode: seen.append(len(x)) or 2.0)
    for seconds in (15, 15.1, 61):
        x = np.ones(round(seconds * 16000))
        assert measured("pesq", x, x, 16000) == 2.0
        assert sum(seen) == len(x) and max(seen) <= 15 * 16000 and max(seen) - min(seen) <= 1
        seen.clear()


def test_identity_is_best_and_noise_makes_it_worse(name):
    x = voice()
    marks = [measured(name, x, x + level * noise(len(x))) for level in (0, 0.003, 0.02, 0.2)]
    assert marks[0] == pytest.approx(BEST[name], abs=1e-4)
    assert all(a > b for a, b in pairwise(marks))
    low, high = next((m.low, m.high) for m in MEASURES if m.name == name)
    assert low <= marks[-1] and marks[0] <= high + 1e-9


def test_gain_is_not_heard(name):
    x = voice()
    y = x + 0.01 * noise(len(x))
    assert measured(name, x, 0.5 * y) == pytest.approx(measured(name, x, y), abs=0.01)


def test_channels_are_averaged_and_torch_is_numpy(name):
    x = voice()
    y = x + 0.02 * noise(len(x))
    pair = [np.stack([signal + 0.5, signal - 0.5]) for signal in (x, y)]
    one = measured(name, x, y)
    assert measured(name, *pair) == pytest.approx(one, abs=1e-6)
    again = measured(name, torch.from_numpy(x)[None], torch.from_numpy(y)[None])
    assert again == pytest.approx(one, rel=1e-9)


def test_silence(name):
    x = voice()
    silence = np.zeros_like(x)
    assert math.isnan(measured(name, silence, x)) and math.isnan(measured(name, silence, silence))
    assert measured(name, x, silence) == LOWEST[name]
    if name != "stoi":  # which has no trouble there
        assert measured(name, x, 1e-30 * x) == LOWEST[name]
    assert math.isnan(measured(name, 1e-30 * x, x))


def test_what_is_too_short_has_no_value(name):
    edge = SHORTEST[name]
    for seconds in (1 / RATE, 0.01, edge - 0.01):
        assert math.isnan(measured(name, voice(seconds), voice(seconds))), seconds
    assert not math.isnan(measured(name, voice(edge + 0.1), voice(edge + 0.1)))


def test_stoi_has_no_value_where_too_little_is_not_silent():
    library("stoi")
    x = np.concatenate([voice(0.2), np.zeros(RATE)])
    assert math.isnan(measured("stoi", x, x))


def test_pesq_without_an_utterance_has_no_value(monkeypatch):
    pesq = library("pesq")

    def none_found(*_):
        raise pesq.NoUtterancesError

    monkeypatch.setattr(pesq, "pesq", none_found)
    assert math.isnan(measured("pesq", voice(), voice()))


def test_several_at_once_and_names_that_are_none(name):
    x = voice()
    y = x + 0.02 * noise(len(x))
    assert perceptual_scores([name], x, y, RATE) == pytest.approx({name: measured(name, x, y)}, rel=1e-9)
    assert perceptual_scores([], x, y, RATE) == {}
    with pytest.raises(ValueError, match="'mos': there are visqol, pesq, stoi"):
        perceptual_scores(["mos"], x, y, RATE)
    with pytest.raises(ValueError, match="one shape"):
        measured(name, x, y[1:])


def test_a_library_that_is_missing_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr(perceptual, "find_spec", lambda module: None)
    for measure in MEASURES:
        with pytest.raises(ImportError, match=rf'{measure.name} needs .*pip install "solfa\[eval\]"'):
            check_installed([measure.name])
        with pytest.raises(ImportError, match="solfa"):
            measured(measure.name, voice(0.1), voice(0.1))
