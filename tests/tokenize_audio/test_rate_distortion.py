"""The runner of the rate and distortion table, with a codec whose loss is known: it keeps k bits of every sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from solfa.audio.io import Audio, AudioError, write_blocks
from solfa.eval.codec import CodecScores, score
from solfa.tokenize_audio.opus import opus_available
from solfa.tokenize_audio.rate_distortion import ClipResult, compare_files, match_files, measure_clip, summarize


@dataclass
class Staircase:
    """A 'codec' with a frame a sample: codebook i is bit i of the sample, from the highest down."""

    name: str = "staircase"
    sample_rate: int = 8000
    channels: int = 1
    codebooks: int = 8
    codebook_size: int = 2
    frame_rate: float = 8000.0

    def encode(self, audio: Audio) -> torch.Tensor:
        assert audio.sample_rate == self.sample_rate and audio.channels == self.channels
        level = ((audio.samples + 1) * 128).floor().clamp(0, 255).long()
        return torch.cat([level >> (7 - i) & 1 for i in range(8)], dim=1)  # [B, K, T]

    def decode(self, codes: torch.Tensor, codebooks: int) -> Audio:
        weights = torch.tensor([2.0 ** (7 - i) for i in range(codebooks)])[:, None]
        level = (codes[:, :codebooks] * weights).sum(1, keepdim=True) + 2.0 ** (7 - codebooks)
        return Audio(level / 128 - 1, self.sample_rate)


def save(path: Path, channels: int = 1, rate: int = 8000, samples: int = 4000, gain: float = 1.0) -> Path:
    signal = 0.2 * np.random.default_rng(3).standard_normal((channels, samples)).clip(-4, 4)
    write_blocks(path, [(gain * signal).astype(np.float32)], rate, "FLOAT")
    return path


def test_more_codebooks_cost_more_and_lose_less(tmp_path):
    results = measure_clip(save(tmp_path / "a.wav"), Staircase(), [1, 2, 4, 8])
    assert [result.setting for result in results] == ["1 codebook", "2 codebooks", "4 codebooks", "8 codebooks"]
    assert [result.bitrate for result in results] == [8000, 16000, 32000, 64000]
    errors = [result.scores.si_sdr for result in results]
    assert errors == sorted(errors) and errors[-1] > 30
    # Uniform quantisation to steps of 1/128 in [-1, 1]: the mean error is a quarter of a step.
    assert results[-1].scores.waveform_l1 == pytest.approx(1 / 512, rel=0.05)


@pytest.mark.parametrize("channels, rate", [(2, 8000), (1, 44100), (3, 16000)])
def test_the_reference_is_what_the_codec_hears(tmp_path, channels, rate):
    path = save(tmp_path / "a.wav", channels, rate)
    stereo = Staircase(channels=1)
    (result,) = measure_clip(path, stereo, [8])
    assert result.scores.si_sdr > 25  # against another mix or rate it would be far below


@pytest.mark.skipif(not opus_available(), reason="opusenc and opusdec are not on the PATH")
def test_opus_is_measured_on_the_same_reference(tmp_path):
    results = measure_clip(save(tmp_path / "a.wav", samples=16000), Staircase(), [8], [8, 64])
    assert [(result.coder, result.setting) for result in results[1:]] == [("opus", "8 kbps"), ("opus", "64 kbps")]
    assert results[1].bitrate < results[2].bitrate and results[1].scores.si_sdr < results[2].scores.si_sdr


def test_summary_is_the_mean_by_setting_in_order():
    one, two = CodecScores(1, 1, 1, 1, 1, 1), CodecScores(3, 3, 3, 3, 3, 3)
    rows = summarize(
        [ClipResult("b", "x", 10, one), ClipResult("a", "y", 8, one), ClipResult("b", "x", 30, two)]
    )  # fmt: skip
    assert [(row.coder, row.bitrate, row.scores.si_sdr, row.clips) for row in rows] == [("b", 20, 2, 2), ("a", 8, 1, 1)]
    assert summarize([]) == []


def test_comparing_files_resamples_crops_and_refuses_by_stated_rules(tmp_path):
    reference = save(tmp_path / "ref.wav")
    assert compare_files(reference, reference).si_sdr == 100
    shorter = save(tmp_path / "short.wav", samples=3500)
    signal = 0.2 * np.random.default_rng(3).standard_normal((1, 4000)).clip(-4, 4).astype(np.float32)
    assert compare_files(reference, shorter).waveform_l1 == pytest.approx(
        score(signal[:, :3500], 0.2 * np.random.default_rng(3).standard_normal((1, 3500)), 8000).waveform_l1, abs=1e-3
    )
    half = compare_files(reference, save(tmp_path / "half.wav", gain=0.5))
    assert half.si_sdr == 100 and half.loudness == pytest.approx(-6.02, abs=0.01)
    upsampled = save(tmp_path / "up.wav", rate=16000, samples=8000)
    assert compare_files(reference, upsampled).si_sdr < 10  # other sound, but comparable
    with pytest.raises(AudioError, match=r"long\.wav: lasts 0\.625 s"):
        compare_files(reference, save(tmp_path / "long.wav", samples=5000))
    with pytest.raises(AudioError, match=r"stereo\.wav: has 2 channels"):
        compare_files(reference, save(tmp_path / "stereo.wav", channels=2))


def test_matching_by_stem():
    a, b = [Path("x/one.wav"), Path("x/two.flac")], [Path("y/two.wav"), Path("y/one.mp3")]
    assert match_files(a, b) == [(a[0], b[1]), (a[1], b[0])]
    with pytest.raises(ValueError, match="no partner for two"):
        match_files(a, b[1:])
    with pytest.raises(ValueError, match="same stem"):
        match_files([*a, Path("z/one.wav")], b)
