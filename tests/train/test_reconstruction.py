"""The spectral loss in all published forms, against librosa and formulas written out here."""

from __future__ import annotations

from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from solfa.train.recipe import load_recipe
from solfa.train.reconstruction import SpectralConfig, dac_spectral, encodec_spectral, spectral_losses

RATE = 24_000
PRESETS = {"solfa": SpectralConfig(), "dac": dac_spectral(), "encodec": encodec_spectral()}


def sounds(samples: int = 5000) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sounds whose second half is silent in one of them: where the floor counts."""
    x, y = torch.randn(2, 2, 1, samples, generator=torch.Generator().manual_seed(samples)) * 0.3
    y[..., samples // 2 :] = 0
    return x, y


def mel_loss(x: torch.Tensor, y: torch.Tensor, config: SpectralConfig) -> float:
    return spectral_losses(x, y, RATE, config, stft=False).mel.item()


def padded_magnitudes(x: NDArray, window: int, hop: int, floor: float = 0.0) -> NDArray:
    """|STFT| of frames centred on their hops, as the codecs' authors pad: by reflection, then zeros to the last whole hop."""
    edge = (window - hop) // 2
    x = np.pad(np.pad(x, (edge, edge), mode="reflect"), (0, -len(x) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(x, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.sqrt(np.abs(np.fft.rfft(frames * hann)).T ** 2 + floor)


def test_dac_is_an_l1_of_log_mels_summed_over_windows() -> None:
    x, y = sounds()
    total = 0.0
    for window, bands in zip((32, 64, 128, 256, 512, 1024, 2048), (5, 10, 20, 40, 80, 160, 320), strict=True):
        mels = [
            librosa.feature.melspectrogram(
                y=s.double().numpy()[:, 0],
                sr=RATE,
                n_fft=window,
                hop_length=window // 4,
                n_mels=bands,
                power=1,
                pad_mode="reflect",
            )
            for s in (x, y)
        ]
        a, b = (np.log10(np.maximum(mel, 1e-5)) for mel in mels)
        total += np.abs(a - b).mean()
    assert mel_loss(x, y, dac_spectral()) == pytest.approx(total, rel=1e-4)


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("samples", [5000, 4096, 700])
def test_encodec_is_l1_of_mel_powers_plus_mean_square_of_their_logs(samples: int) -> None:
    x, y = sounds(samples)
    total = 0.0
    for window in (64, 128, 256, 512, 1024):
        bank = librosa.filters.mel(sr=RATE, n_fft=window, n_mels=64, fmin=64, htk=True, norm=None)
        energy = (np.hanning(window + 1)[:-1] ** 2).sum()
        mels = [
            np.stack(
                [bank @ (padded_magnitudes(row, window, window // 4) ** 2 / energy) for row in s[:, 0].double().numpy()]
            )
            for s in (x, y)
        ]
        assert mels[0].shape[-1] == -(-samples // (window // 4))
        a, b = mels
        total += np.abs(a - b).mean() + np.square(np.log10(a + 1e-5) - np.log10(b + 1e-5)).mean()
    assert mel_loss(x, y, encodec_spectral()) == pytest.approx(total / 10, rel=1e-4)


@pytest.mark.filterwarnings("ignore:Empty filters")
def test_hificodec_is_45_1_1_of_natural_logs() -> None:
    """Its authors take the root of power + 1e-9: a floor below the logarithm's own, which moves the loss by less than 1 in 10,000."""
    x, y = sounds(4800)
    total = 0.0
    for weight, window, hop in ((45, 1024, 240), (1, 512, 120), (1, 256, 60)):
        bank = librosa.filters.mel(sr=RATE, n_fft=window, n_mels=80)
        a, b = (
            np.log(
                np.maximum([bank @ padded_magnitudes(row, window, hop, 1e-9) for row in s[:, 0].double().numpy()], 1e-5)
            )
            for s in (x, y)
        )
        total += weight * np.abs(a - b).mean()
    config = load_recipe("hificodec").task.spectral  # type: ignore[attr-defined]
    assert mel_loss(x, y, config) == pytest.approx(total, rel=1e-4)


def test_without_bands_the_bins_themselves_are_compared() -> None:
    x, y = sounds()
    config = SpectralConfig((512,), (), turns=1, log=0.0, linear=2.0)
    a, b = (
        np.abs(librosa.stft(s.double().numpy()[:, 0], n_fft=512, hop_length=128, pad_mode="reflect")) for s in (x, y)
    )
    assert mel_loss(x, y, config) == pytest.approx(2 * np.abs(a - b).mean(), rel=1e-5)


def test_the_resolutions_of_a_step_take_turns() -> None:
    config = SpectralConfig()
    assert [config.resolutions(step) for step in range(3)] == [[0, 2], [1, 3], [0, 2]]
    assert config.resolutions() == [0, 1, 2, 3] and dac_spectral().resolutions(5) == list(range(7))
    x, y = sounds()
    turns = [spectral_losses(x, y, RATE, config, step) for step in (0, 1)]
    whole = spectral_losses(x, y, RATE, config)
    assert whole.mel.item() == pytest.approx(sum(turn.mel.item() for turn in turns) / 2)
    assert whole.stft.item() == pytest.approx(sum(turn.stft.item() for turn in turns) / 2)


@pytest.mark.parametrize("name", PRESETS)
def test_a_batch_has_the_mean_of_its_halves_and_a_sound_no_distance_to_itself(name: str) -> None:
    x, y = sounds()
    whole = mel_loss(x, y, PRESETS[name])
    assert whole == pytest.approx(
        (mel_loss(x[:1], y[:1], PRESETS[name]) + mel_loss(x[1:], y[1:], PRESETS[name])) / 2, rel=1e-5
    )
    assert whole > 0.1 and mel_loss(x, x, PRESETS[name]) == 0


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("samples", [40, 3000])
def test_silence_and_short_sounds_have_finite_gradients(name: str, samples: int) -> None:
    for reference in (torch.zeros(1, 1, samples), torch.randn(1, 1, samples)):
        silent = torch.zeros(1, 1, samples, requires_grad=True)
        spectral_losses(silent, reference, RATE, PRESETS[name], stft=False).mel.backward()
        assert silent.grad is not None and silent.grad.isfinite().all()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"bands": (20,)}, "bands"),
        ({"hops": (20,)}, "hops"),
        ({"weights": (1.0,)}, "weights"),
        ({"windows": ()}, "windows"),
        ({"windows": (256, 512, 1024, 2)}, "windows"),
        ({"turns": 5}, "turns is 5"),
        ({"mel": "bark"}, "slaney, htk"),
        ({"framing": "left"}, "centre, stride"),
        ({"distance": "l2"}, "l1, mse"),
        ({"floor_by": "max"}, "clamp, add"),
        ({"over": "max"}, "mean, sum"),
        ({"power": 3}, "power 3"),
        ({"floor": 0.0}, "floor 0.0"),
        ({"log": 0.0}, "log or linear"),
        ({"linear": -1.0}, "linear -1.0"),
    ],
)
def test_illegal_fields_are_named(fields: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        replace(SpectralConfig(), **fields)
