"""The constant-Q transform and chroma against their definition and librosa."""

import librosa
import numpy as np
import pytest
import torch

from solfa.audio.chroma import chroma_cqt, chroma_filterbank, chroma_stft
from solfa.audio.cqt import C1, cqt, cqt_frequencies

RATE = 22050


def music(seconds: float = 2.0) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    tones = [(110.0, 0.3), (261.63, 0.2), (329.63, 0.2), (1567.98, 0.1)]
    signal = sum(level * np.sin(2 * np.pi * frequency * time) for frequency, level in tones)
    hiss = 0.02 * np.random.default_rng(0).standard_normal(len(time))
    return (signal * np.minimum(1, 3 * time) + hiss).astype(np.float32)


def test_cqt_is_the_inner_product_with_librosas_wavelets():
    # librosa's filters at the full rate, applied sample by sample: the definition, without its octave-wise resampling.
    signal = music(1.5)
    frequencies = cqt_frequencies(60, 12, 65.4).numpy()
    filters, lengths = librosa.filters.wavelet(freqs=frequencies, sr=RATE, pad_fft=True, dtype=np.complex128)
    width = filters.shape[1]
    padded = np.pad(signal.astype(np.float64), width // 2 + 1)
    frames = np.stack([padded[1 + t * 512 : 1 + t * 512 + width] for t in range(1 + len(signal) // 512)], axis=1)
    expected = np.conj(filters) @ frames * np.sqrt(lengths)[:, None]
    ours = cqt(torch.from_numpy(signal), RATE, 512, f_min=65.4, n_bins=60).numpy()
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max()


def test_cqt_is_near_librosas():
    # librosa halves the rate octave by octave, with filters cut to whole samples of each rate: 2 % of the largest.
    signal = music()
    theirs = librosa.cqt(signal, sr=RATE, sparsity=0)
    ours = cqt(torch.from_numpy(signal), RATE)
    assert ours.shape == theirs.shape == (84, 1 + len(signal) // 512)
    assert np.abs(ours.numpy() - theirs).max() < 0.02 * np.abs(theirs).max()


def test_a_tone_peaks_at_its_bin_in_every_octave():
    frequencies = cqt_frequencies(84)
    assert frequencies[0].item() == pytest.approx(C1) == pytest.approx(librosa.note_to_hz("C1"))
    time = torch.arange(2 * RATE) / RATE
    tones = torch.stack([torch.sin(2 * torch.pi * frequencies[index] * time) for index in range(3, 84, 16)])
    spectrum = cqt(tones, RATE).abs()
    assert spectrum[:, :, spectrum.shape[-1] // 2].argmax(1).tolist() == list(range(3, 84, 16))


def test_cqt_is_linear_and_differentiable_and_long_signals_are_done_in_pieces():
    signal = torch.from_numpy(music(1.0)).double()
    assert torch.allclose(cqt(3 * signal, RATE), 3 * cqt(signal, RATE))
    small = signal[:200].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: torch.view_as_real(cqt(x, RATE, 64, f_min=2000.0, n_bins=24)), small, atol=1e-4
    )
    fine = cqt(signal, RATE, 8)  # 2757 frames, in pieces
    assert torch.allclose(fine[:, ::64], cqt(signal, RATE, 512), atol=1e-9)


def test_cqt_refuses_bins_beyond_half_the_rate():
    with pytest.raises(ValueError, match="beyond 4000 Hz"):
        cqt(torch.zeros(100), 8000)
    with pytest.raises(ValueError, match="hop 0"):
        cqt(torch.zeros(100), RATE, 0)


def test_chroma_is_librosas():
    signal = music()
    theirs = librosa.filters.chroma(sr=RATE, n_fft=2048, tuning=0, dtype=np.float64)
    assert np.abs(chroma_filterbank(RATE, 2048, dtype=torch.float64).numpy() - theirs).max() < 1e-12
    theirs = librosa.feature.chroma_stft(y=signal, sr=RATE, tuning=0)
    assert np.abs(chroma_stft(torch.from_numpy(signal), RATE).numpy() - theirs).max() < 1e-5
    theirs = librosa.feature.chroma_cqt(y=signal, sr=RATE, tuning=0)
    ours = chroma_cqt(torch.from_numpy(signal), RATE).numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 0.03 and np.abs(ours - theirs).mean() < 0.002  # as far as the CQTs differ


@pytest.mark.parametrize("transform", [chroma_stft, chroma_cqt])
def test_chroma_knows_the_pitch_class_in_every_octave_and_keeps_silence(transform):
    time = torch.arange(RATE) / RATE
    for pitch in (57, 60, 71, 76):
        chroma = transform(torch.sin(2 * torch.pi * 440 * 2 ** ((pitch - 69) / 12) * time), RATE)
        assert chroma.shape[0] == 12 and chroma[:, 20].argmax() == pitch % 12 and chroma.max() == 1
    assert transform(torch.zeros(2, RATE), RATE).abs().max() == 0
