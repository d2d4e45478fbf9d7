"""STFT and mel against librosa, and what the training losses rely on: gradients, precision, caches."""

import librosa
import numpy as np
import pytest
import torch

from solfa.audio.spectra import (
    hz_to_mel,
    log_mel_spectrogram,
    mel_filterbank,
    mel_spectrogram,
    mel_to_hz,
    multi_resolution_stft,
    reflect_pad,
    stft,
    stft_magnitude,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", None])
@pytest.mark.parametrize(
    "rate, n_fft, n_mels, f_min, f_max",
    [(24000, 1024, 80, 0, None), (44100, 2048, 128, 20, 8000), (24000, 32, 5, 0, None), (24000, 2048, 320, 0, 12000)],
)
def test_filterbank_is_librosas(rate, n_fft, n_mels, f_min, f_max, norm, scale):
    options = {"sr": rate, "n_fft": n_fft, "n_mels": n_mels, "fmin": f_min, "fmax": f_max}
    theirs = librosa.filters.mel(**options, norm=norm, htk=scale == "htk", dtype=np.float64)
    ours = mel_filterbank(rate, n_fft, n_mels, f_min, f_max, norm, scale, dtype=torch.float64).numpy()
    assert np.abs(ours - theirs).max() <= 1e-12 * max(1, theirs.max())


@pytest.mark.parametrize("samples", [5000, 1024, 300, 2, 1])
@pytest.mark.parametrize("n_fft, hop", [(1024, 256), (513, 100), (32, 8)])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_stft_is_librosas_for_any_length(samples, n_fft, hop, pad_mode):
    signal = noise(2, samples).double()
    if pad_mode == "constant" or samples > n_fft // 2:
        padded, centre = signal.numpy(), True
    else:  # librosa refuses to reflect a clip shorter than half a window; numpy does it
        padded, centre = np.pad(signal.numpy(), ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect"), False
    theirs = librosa.stft(padded, n_fft=n_fft, hop_length=hop, center=centre, pad_mode=pad_mode)
    ours = stft(signal, n_fft, hop, pad_mode=pad_mode)
    assert ours.shape == (2, n_fft // 2 + 1, 1 + (samples - n_fft % 2) // hop)
    assert np.abs(ours.numpy() - theirs).max() < 1e-10


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("center", [True, False])
def test_mel_spectrogram_is_librosas(power, scale, center):
    signal = noise(8000)
    theirs = librosa.feature.melspectrogram(
        y=signal.numpy(), sr=24000, n_fft=1024, hop_length=256, n_mels=80, power=power, htk=scale == "htk",
        center=center, pad_mode="reflect",
    )  # fmt: skip
    ours = mel_spectrogram(signal, 24000, 1024, 256, 80, power=power, scale=scale, center=center)
    assert np.abs(ours.numpy() - theirs).max() < 1e-5 * theirs.max()


def test_log_mel_floors_silence():
    assert torch.equal(log_mel_spectrogram(torch.zeros(1000), 24000, 256, 64, 20), torch.full((20, 16), -5.0))
    assert torch.allclose(log_mel_spectrogram(torch.zeros(9), 24000, 256, 64, 20, floor=0.1), torch.tensor(-1.0))


def test_leading_axes_are_only_carried_along():
    signal = noise(2, 3, 1000)
    whole = mel_spectrogram(signal, 24000, 256, 64, 20)
    assert whole.shape == (2, 3, 20, 16)
    assert torch.allclose(whole[1, 2], mel_spectrogram(signal[1, 2], 24000, 256, 64, 20), atol=1e-7)
    assert [tuple(m.shape) for m in multi_resolution_stft(signal, (512, 32))] == [(2, 3, 257, 8), (2, 3, 17, 126)]


def test_gradients_are_right_and_finite_in_silence():
    signal = noise(2, 64).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mel_spectrogram(x, 8000, 16, 4, 4), signal, atol=1e-4)
    assert torch.autograd.gradcheck(lambda x: reflect_pad(x, 150, 200), signal)
    silent = torch.zeros(1, 500, requires_grad=True)
    log_mel_spectrogram(silent, 8000, 64, 16, 8).sum().backward()
    assert silent.grad.isfinite().all()


def test_caches_filled_in_inference_mode_serve_training():
    with torch.inference_mode():
        mel_spectrogram(noise(400), 12345, 60, 15, 7)
    signal = noise(400).requires_grad_()
    mel_spectrogram(signal, 12345, 60, 15, 7).sum().backward()
    assert signal.grad.abs().sum() > 0
    assert mel_filterbank(12345, 60, 7) is mel_filterbank(12345, 60, 7, 0.0, 12345 / 2)


def test_half_precision_and_autocast_do_not_reach_the_spectrum():
    signal = noise(2000)
    exact = log_mel_spectrogram(signal, 24000, 256, 64, 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_mel_spectrogram(signal, 24000, 256, 64, 20), exact)
    assert stft_magnitude(signal.bfloat16(), 256, 64).dtype == torch.float32


def test_mel_scales_invert_and_meet_their_definition():
    hertz = torch.tensor([0.0, 100, 999, 1000, 1001, 7000, 20000], dtype=torch.float64)
    for scale in ("slaney", "htk"):
        assert torch.allclose(mel_to_hz(hz_to_mel(hertz, scale), scale), hertz)
    assert hz_to_mel(torch.tensor(1000.0), "slaney") == 15 and hz_to_mel(torch.tensor(6400.0)).item() == pytest.approx(
        42
    )
    assert hz_to_mel(torch.tensor(700.0), "htk").item() == pytest.approx(2595 * np.log10(2))


def test_illegal_values_are_named():
    for call, pattern in [
        (lambda: stft(noise(9), 0, 1), "n_fft 0"),
        (lambda: stft(noise(9), 8, 0), "hop 0"),
        (lambda: stft(noise(9), 8, 2, pad_mode="edge"), "'edge'"),
        (lambda: stft(noise(9), 16, 4, center=False), "9 samples are less than one window of 16"),
        (lambda: stft(noise(0), 16, 4), "no samples"),
        (lambda: mel_filterbank(8000, 64, 8, 0, 5000), "5000"),
        (lambda: mel_filterbank(8000, 64, 0), "0 mels"),
        (lambda: mel_filterbank(8000, 64, 8, scale="bark"), "'bark'"),
        (lambda: mel_spectrogram(noise(99), 8000, 64, 16, 8, power=3.0), "power 3"),
        (lambda: log_mel_spectrogram(noise(99), 8000, 64, 16, 8, floor=0), "floor 0"),
    ]:
        with pytest.raises(ValueError, match=pattern):
            call()
