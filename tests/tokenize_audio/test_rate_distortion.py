"""The runner of the rate and distortion table, with a codec whose loss is known: it keeps k bits of every sample."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from solfa.audio.io import Audio, AudioError, read, write_blocks
from solfa.eval.codec import score
from solfa.tokenize_audio.opus import opus_available
from solfa.tokenize_audio.rate_distortion import (
    COLUMNS,
    ClipResult,
    Contender,
    compare_files,
    curve_table,
    heard,
    intervals,
    measure_clip,
    nearest,
    points,
    speeds,
    steps,
)


@dataclass
class Staircase:
    """A 'codec' with a frame a sample: codebook i is bit i of the sample, from the highest down."""

    name: str = "staircase"
    sample_rate: int = 8000
    channels: int = 1
    codebooks: int = 8
    codebook_size: int = 2
    frame_rate: float = 8000.0

    def encode(self, audio: Audio) -> SimpleNamespace:
        assert audio.sample_rate == self.sample_rate and audio.channels == self.channels
        level = ((audio.samples[:, :1] + 1) * 128).floor().clamp(0, 255).long()
        return SimpleNamespace(tokens=torch.cat([level >> (7 - i) & 1 for i in range(8)], dim=1))  # [B, K, T]

    def decode(self, codes: SimpleNamespace, codebooks: int) -> Audio:
        weights = torch.tensor([2.0 ** (7 - i) for i in range(codebooks)])[:, None]
        level = (codes.tokens[:, :codebooks] * weights).sum(1, keepdim=True) + 2.0 ** (7 - codebooks)
        return Audio((level / 128 - 1).repeat(1, self.channels, 1), self.sample_rate)


def save(path: Path, channels: int = 1, rate: int = 8000, samples: int = 4000, gain: float = 1.0) -> Path:
    signal = 0.2 * np.random.default_rng(3).standard_normal((channels, samples)).clip(-4, 4)
    write_blocks(path, [(gain * signal).astype(np.float32)], rate, "FLOAT")
    return path


def results_of(path: Path, codec: Staircase, codebooks: list[int], opus: list[float] | None = None) -> list[ClipResult]:
    contender = Contender(codec, codec.name, tuple(codebooks))
    return measure_clip(path.stem, heard(read(path), codec), [contender], opus or [])


def test_more_codebooks_cost_more_and_lose_less(tmp_path):
    results = results_of(save(tmp_path / "a.wav"), Staircase(), [1, 2, 4, 8])
    assert [result.setting for result in results] == ["1 codebook", "2 codebooks", "4 codebooks", "8 codebooks"]
    assert [result.bitrate for result in results] == [8000, 16000, 32000, 64000]
    errors = [result.values["si_sdr"] for result in results]
    assert errors == sorted(errors) and errors[-1] > 30
    # Uniform quantisation to steps of 1/128 in [-1, 1]: the mean error is a quarter of a step.
    assert results[-1].values["l1"] == pytest.approx(1 / 512, rel=0.05)


@pytest.mark.parametrize("channels, rate", [(2, 8000), (1, 44100), (3, 16000)])
def test_the_reference_is_what_the_codec_hears(tmp_path, channels, rate):
    path = save(tmp_path / "a.wav", channels, rate)
    (result,) = results_of(path, Staircase(), [8])
    assert result.values["si_sdr"] > 25  # against another mix or rate it would be far below


@pytest.mark.parametrize(
    "rate, channels, samples", [(8000, 1, 4000), (16000, 1, 4001), (44100, 2, 3999), (16000, 2, 1)]
)
def test_a_codec_of_another_rate_or_stereo_gives_back_what_the_first_hears(rate, channels, samples):
    signal = 0.1 * np.sin(np.arange(samples) * 2 * np.pi * 300 / 8000).astype(np.float32)
    reference = Audio(torch.from_numpy(signal)[None, None], 8000)
    other = Contender(Staircase("other", rate, channels, frame_rate=rate), "other", (8,))
    kept = []
    (result,) = measure_clip("a", reference, [other], keep=kept.append)
    assert kept[0].audio.samples.shape == reference.samples.shape and kept[0].audio.sample_rate == 8000
    assert result.values == asdict(score(signal, kept[0].audio.samples[0, 0], 8000))
    assert samples == 1 or result.values["si_sdr"] > 25
    assert result.bitrate == rate * 8


@pytest.mark.skipif(not opus_available(), reason="opusenc and opusdec are not on the PATH")
def test_opus_is_measured_on_the_same_reference(tmp_path):
    results = results_of(save(tmp_path / "a.wav", samples=16000), Staircase(), [8], [8, 64])
    assert [(result.coder, result.setting) for result in results[1:]] == [("opus", "8 kbps"), ("opus", "64 kbps")]
    assert results[1].bitrate < results[2].bitrate and results[1].values["si_sdr"] < results[2].values["si_sdr"]
    assert results[1].codes is None and math.isnan(results[1].encode_speed)


def clip(name: str, coder: str, setting: str, rate: float, value: float, **more: object) -> ClipResult:
    return ClipResult(name, coder, setting, rate, {"si_sdr": value}, **more)


def test_the_curve_is_the_mean_by_setting_in_order_whatever_the_order_of_clips():
    clips = [
        clip("1", "b", "x", 10, 1),
        clip("1", "a", "y", 8, 1),
        clip("2", "b", "x", 30, 3),
        clip("2", "a", "y", 8, math.nan),
    ]
    for order in (clips, [*clips[2:], *clips[:2]]):
        found = points(order)
        assert curve_table(found, ["si_sdr"]) == [
            {"coder": "b", "setting": "x", "kbps": 0.02, "si_sdr": 2, "n": 2},
            {"coder": "a", "setting": "y", "kbps": 0.008, "si_sdr": 1, "n": 2},
        ]
    rows = intervals(points(clips), ["si_sdr"])
    assert [(row["mean"], row["n"]) for row in rows] == [(2, 2), (1, 1)]  # a clip without a value is not counted
    assert rows[0]["low"] == 1 and rows[0]["high"] == 3
    assert points([]) == curve_table([], ["si_sdr"]) == intervals([], ["si_sdr"]) == []


def test_codes_and_speeds_by_hand():
    # Codebook 0 is even over two of four codes; codebook 1 always says 3.
    codes = np.array([[0, 1, 0, 1], [3, 3, 3, 3]])
    coder = Contender(Staircase("b", codebooks=2, codebook_size=4), "b", (1, 2))
    clips = [
        clip(str(i), "b", setting, rate, 1, codes=codes[:k], encode_speed=speed, decode_speed=2 * speed)
        for i, speed in enumerate((10.0, 30.0, 500.0))
        for k, setting, rate in ((1, "1 codebook", 100), (2, "2 codebooks", 200))
    ]
    one, two = speeds(points([*clips, clip("0", "opus", "8 kbps", 8, 1)]), [coder])
    assert (one["efficiency"], one["usage"], one["perplexity"], one["frames"]) == (0.5, 0.5, 2, 12)
    assert (two["efficiency"], two["usage"], two["perplexity"]) == (0.25, 0.375, pytest.approx(math.sqrt(2)))
    assert one["encode_x"] == two["encode_x"] == 30 and one["decode_x"] == 60  # medians
    assert {*one} - {"coder", "setting"} == {*COLUMNS}


def test_steps_of_a_curve_and_the_nearest_bitrate():
    assert steps(Staircase(codebooks=1)) == (1,) and steps(Staircase(codebooks=8)) == (1, 2, 4, 8)
    assert steps(Staircase(codebooks=9)) == (1, 2, 4, 8, 9)
    codec = Staircase("halves", frame_rate=500, codebook_size=4)  # 1 kbps a codebook
    assert [nearest(codec, rate) for rate in (1000, 2400, 2600, 8000, 9500)] == [1, 2, 3, 8, 8]
    for rate in (700, 11000):
        with pytest.raises(ValueError, match=r"halves has no bitrate near (0\.7|11) kbps .* with codebooks [18]"):
            nearest(codec, rate)


def test_comparing_files_resamples_crops_and_refuses_by_stated_rules(tmp_path):
    reference = save(tmp_path / "ref.wav")
    assert compare_files(reference, reference)["si_sdr"] == 100
    signal = 0.2 * np.random.default_rng(3).standard_normal((1, 4000)).clip(-4, 4).astype(np.float32)
    shorter = save(tmp_path / "short.wav", samples=3500)
    assert compare_files(reference, shorter)["l1"] == pytest.approx(
        score(signal[:, :3500], 0.2 * np.random.default_rng(3).standard_normal((1, 3500)), 8000).l1, abs=1e-3
    )
    half = compare_files(reference, save(tmp_path / "half.wav", gain=0.5))
    assert half["si_sdr"] == 100 and half["loudness"] == pytest.approx(-6.02, abs=0.01)
    upsampled = save(tmp_path / "up.wav", rate=16000, samples=8000)
    assert compare_files(reference, upsampled)["si_sdr"] < 10  # other sound, but comparable
    with pytest.raises(AudioError, match=r"long\.wav: lasts 0\.625 s"):
        compare_files(reference, save(tmp_path / "long.wav", samples=5000))
    with pytest.raises(AudioError, match=r"stereo\.wav: has 2 channels, and .*ref\.wav has 1"):
        compare_files(reference, save(tmp_path / "stereo.wav", channels=2))
    with pytest.raises(AudioError, match=r"ref\.wav: has 1 channels, and .*stereo\.wav has 2"):
        compare_files(tmp_path / "stereo.wav", reference)


def test_files_of_another_rate_are_aligned(tmp_path):
    t = np.arange(48000) / 48000
    sine = 0.3 * np.sin(2 * np.pi * 440 * t).astype(np.float32)
    write_blocks(tmp_path / "a.wav", [sine[None]], 48000, "FLOAT")
    write_blocks(
        tmp_path / "b.wav",
        [(0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000))[None].astype(np.float32)],
        16000,
        "FLOAT",
    )
    assert compare_files(tmp_path / "a.wav", tmp_path / "b.wav")["si_sdr"] > 30
    assert compare_files(tmp_path / "b.wav", tmp_path / "a.wav")["si_sdr"] > 30


def test_one_sample_and_silence_can_be_compared(tmp_path):
    for samples in (1, 4000):
        sound = save(tmp_path / "sound.wav", samples=samples)
        silence = save(tmp_path / "silence.wav", samples=samples, gain=0)
        for pair, si_sdr in (((sound, sound), 100), ((silence, silence), 100), ((sound, silence), -100)):
            values = compare_files(*pair)
            assert values["si_sdr"] == si_sdr and all(map(math.isfinite, values.values()))
