"""Crops: what DAC's preparation does to them, and that whoever does not ask for it gets what he always got, bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.random import default_rng

from solfa.audio.loudness import integrated_loudness
from solfa.train import crops
from solfa.train.crops import PLAIN, Augmentation, CropReader, shift_phase
from solfa.train.recipe import load_recipe

RATE = 16_000
SIZE = 8_000
# Of default crops, by the code before there was `loudness`: every 1777th sample of rows 0 to 5 at seed 5, step 9.
VARIED = [
    [-0.074407183, 0.085001580, -0.101403542, 0.070711464, -0.102987424],
    [0.094843097, -0.006032833, -0.096438318, -0.176373363, -0.245837957],
    [0.085781373, 0.118743427, 0.163655117, 0.212886989, -0.189133584],
    [-0.074537285, -0.026602402, 0.024097657, -0.075716890, -0.019486470],
    [-0.023275210, 0.037811201, 0.012342380, -0.011536293, -0.033824816],
    [0.015451571, 0.078986511, -0.050267104, -0.010976071, 0.000758168],
]


def reader(folder: Path, augmentation: Augmentation, *sounds: np.ndarray) -> CropReader:
    """Over recordings of 16 bits."""
    for i, sound in enumerate(sounds):
        soundfile.write(
            folder / f"{i}.flac", np.round(np.asarray(sound) * 32768).clip(-32768, 32767).astype(np.int16), RATE
        )
    return CropReader([folder / f"{i}.flac" for i in range(len(sounds))], RATE, 1, augmentation)


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    return default_rng(seed).standard_normal(int(seconds * RATE)) * level


def scrambled(seconds: float) -> np.ndarray:
    """The same on every machine: whole numbers."""
    i = np.arange(int(seconds * RATE), dtype=np.int64)
    return ((i * i * 7919 + i * 104_729) % 20_011 - 10_005) / 32768


@pytest.mark.parametrize("level", [0.001, 0.05, 0.2])
def test_every_crop_has_the_loudness(tmp_path: Path, level: float) -> None:
    found = reader(tmp_path, replace(PLAIN, loudness=-16.0), noise(3, level)).batch(0, 0, range(6), SIZE)
    for crop in found:
        assert integrated_loudness(crop, RATE) == pytest.approx(-16, abs=0.01)
    assert found.dtype == np.float32 and np.abs(found).max() < 1


def test_the_gain_adds_to_the_loudness(tmp_path: Path) -> None:
    found = reader(tmp_path, replace(PLAIN, loudness=-20.0, gain=(-6.0, -6.0)), noise(3, 0.05)).batch(
        0, 0, range(3), SIZE
    )
    assert [integrated_loudness(crop, RATE) for crop in found] == pytest.approx([-26] * 3, abs=0.01)


def test_peaks_end_at_one(tmp_path: Path) -> None:
    clicks = np.zeros(3 * RATE)
    clicks[::1000] = 0.1
    (crop,) = reader(tmp_path, replace(PLAIN, loudness=-16.0, phase=(90.0, 90.0)), clicks).batch(0, 0, range(1), SIZE)
    assert np.abs(crop).max() == pytest.approx(1, abs=1e-6) and integrated_loudness(crop, RATE) < -17


@pytest.mark.parametrize("level", [0.0, 0.0001])
def test_silence_is_left_alone(tmp_path: Path, level: float) -> None:
    """Also what the gate of the measure calls so, below -70 LUFS; the phase may turn."""
    found = reader(tmp_path, replace(PLAIN, loudness=-16.0), noise(3, level)).batch(0, 0, range(3), SIZE)
    assert np.array_equal(found, reader(tmp_path, PLAIN, noise(3, level)).batch(0, 0, range(3), SIZE))
    assert np.abs(found).max() < 0.001
    turned = reader(tmp_path, replace(PLAIN, loudness=-16.0, phase=(-180.0, 180.0), salient=-40.0), noise(3, level))
    assert np.abs(turned.batch(0, 0, range(3), SIZE)).max() < 0.001


@pytest.mark.parametrize("degrees", [-135.0, 30.0, 90.0])
def test_the_phase_of_every_tone_turns_alike(degrees: float) -> None:
    time = np.arange(SIZE) / RATE
    for hertz in (201.3, 997.0, 5003.7):
        x = np.stack([np.cos(2 * np.pi * hertz * time + start) for start in (0.0, 1.0)]).astype(np.float32)
        expected = np.stack([np.cos(2 * np.pi * hertz * time + start + np.deg2rad(degrees)) for start in (0.0, 1.0)])
        found = shift_phase(x, degrees)
        assert found.dtype == np.float32 and found.shape == x.shape
        middle = slice(SIZE // 4, -SIZE // 4)
        np.testing.assert_allclose(found[:, middle], expected[:, middle], atol=4e-3)
        assert np.abs(found).max() < 2  # at the ends, where the sound is cut, nothing rings


@pytest.mark.parametrize("size", [8_000, 8_001, 1])
def test_no_turn_and_half_a_turn(size: int) -> None:
    x = (default_rng(0).standard_normal((2, size)) * 0.2 + 0.3).astype(
        np.float32
    )  # with a part that has no phase, 0 Hz
    np.testing.assert_allclose(shift_phase(x, 0.0), x, atol=1e-6)
    np.testing.assert_allclose(shift_phase(x, 360.0), x, atol=1e-6)
    np.testing.assert_allclose(shift_phase(x, 180.0), -x, atol=1e-6)


@pytest.mark.parametrize("degrees", [-90.0, 45.0, 120.0])
def test_magnitudes_stay(degrees: float) -> None:
    """Of all that lies a window away from the ends, in every window; and of the whole, but for what the ends weigh."""
    x = noise(1, 0.1).astype(np.float32)[None]
    y = shift_phase(x, degrees)
    assert np.abs(y - x).max() > 0.05

    def magnitudes(sound: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(sound[0], 2048)[2048:-2048:512] * np.hanning(2048)
        return np.abs(np.fft.rfft(windows))[:, 8:-8]  # 60 Hz and above

    before, after = magnitudes(x), magnitudes(y)
    assert np.abs(after - before).max() < 0.02 * before.max()
    assert np.square(y).sum() == pytest.approx(np.square(x).sum(), rel=0.02)
    mirrored = np.concatenate([x, x[:, ::-1]], 1)  # what is turned: here it is exact, but for 0 Hz
    turned = np.fft.irfft(np.fft.rfft(mirrored) * np.exp(1j * np.deg2rad(degrees)), mirrored.shape[1])
    np.testing.assert_allclose(turned[:, : x.shape[1]], y, atol=1e-5)
    a, b = (np.abs(np.fft.rfft(sound[0]))[1:-1] for sound in (mirrored, turned))
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_angles_are_drawn_from_the_range(tmp_path: Path) -> None:
    tone = np.tile(np.cos(2 * np.pi * np.arange(16) / 16), 3 * RATE // 16) * 0.3
    plain, turned = (
        reader(tmp_path, augmentation, tone).batch(3, 0, range(40), SIZE)[:, 0]
        for augmentation in (PLAIN, replace(PLAIN, phase=(20.0, 70.0)))
    )
    bin_of_tone = SIZE // 16
    angles = np.rad2deg(np.angle(np.fft.rfft(turned)[:, bin_of_tone] / np.fft.rfft(plain)[:, bin_of_tone]))
    assert 19 < angles.min() < 25 and 65 < angles.max() < 71 and len(set(angles.round(3))) == 40


def test_salient_crops_are_looked_for(tmp_path: Path) -> None:
    """A recording that sounds for a fifth of its time: a crop in five would sound, and after eight tries more than four in five do."""
    sound = np.concatenate([noise(2, 0.1), np.zeros(8 * RATE)])
    plain, salient = (
        reader(tmp_path, augmentation, sound).batch(0, 0, range(60), SIZE)
        for augmentation in (PLAIN, replace(PLAIN, salient=-40.0))
    )
    loud = [sum(integrated_loudness(crop, RATE) > -40 for crop in batch) for batch in (plain, salient)]
    assert loud[0] < 25 and loud[1] > 45
    quiet = reader(tmp_path, replace(PLAIN, salient=-40.0), np.zeros(2 * RATE))
    assert not quiet.batch(0, 0, range(2), SIZE).any()  # it gives up


def test_a_salient_crop_is_drawn_from_the_recording_that_was_drawn(tmp_path: Path) -> None:
    """Recordings weigh by their length, however quiet: the second draw does not change the first."""
    found = reader(tmp_path, replace(PLAIN, salient=-40.0), noise(3, 0.1), np.zeros(3 * RATE)).batch(
        0, 0, range(60), SIZE
    )
    assert 18 < sum(crop.any() for crop in found) < 42


def test_seed_step_and_row_decide(tmp_path: Path) -> None:
    dac = replace(PLAIN, loudness=-16.0, phase=(-180.0, 180.0), salient=-40.0)
    one = reader(tmp_path, dac, noise(3, 0.1))
    whole = one.batch(1, 2, range(4), SIZE)
    again = reader(tmp_path, dac, noise(3, 0.1))
    assert np.array_equal(again.batch(1, 2, range(2, 4), SIZE), whole[2:])
    assert not np.array_equal(again.batch(1, 3, range(4), SIZE), whole)
    assert not np.array_equal(again.batch(2, 2, range(4), SIZE), whole)


def test_plain_crops_are_pieces_of_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, by the random numbers that they always took; nothing is measured."""
    monkeypatch.setattr(crops, "integrated_loudness", lambda *_: pytest.fail("measured"))
    sound = scrambled(3)
    found = reader(tmp_path, PLAIN, sound).batch(7, 11, range(5), SIZE)
    for row in range(5):
        rng = default_rng([7, 11, row])
        rng.random(2)  # speed, recording
        start = int(rng.integers(0, len(sound) - SIZE + 1))
        assert np.array_equal(found[row, 0], sound[start : start + SIZE].astype(np.float32))


def test_places_are_where_crops_are_read(tmp_path: Path) -> None:
    """Of a mixture both recordings; a salient crop is where it was found at last."""
    sounds = [scrambled(2), np.concatenate([np.zeros(2 * RATE), noise(1, 0.1)])]
    quiet = reader(tmp_path, replace(PLAIN, salient=-40.0), *sounds)
    for row in range(20):
        ((path, start),) = quiet.places(3, 4, row, SIZE)
        sound = sounds[int(path.stem)][round(start * RATE) :][:SIZE]
        np.testing.assert_allclose(quiet.batch(3, 4, range(row, row + 1), SIZE)[0, 0], sound, atol=2e-5)
    mixing = reader(tmp_path, replace(PLAIN, mix=0.5, speed=0.5), *sounds)
    assert {len(mixing.places(3, 4, row, SIZE)) for row in range(20)} == {1, 2}


def test_varied_crops_are_those_of_earlier_versions(tmp_path: Path) -> None:
    found = reader(tmp_path, Augmentation(), scrambled(3)).batch(5, 9, range(6), SIZE)[:, 0, ::1777]
    np.testing.assert_allclose(found, VARIED, atol=2e-6)


def test_what_the_recipes_ask_for() -> None:
    for name in ("dac_44khz", "dac_44khz:finetune", "dac_44khz:tiny"):
        asked = load_recipe(name, ()).task.augmentation
        assert (asked.loudness, asked.phase, asked.salient) == (-16, (-180, 180), -40)
        assert replace(asked, loudness=None, phase=None, salient=None) == PLAIN
    for name in ("encodec_24khz", "hificodec", "encodec_24khz:tiny"):
        assert load_recipe(name, ()).task.augmentation == PLAIN
    asked = load_recipe("dac_44khz", ("--task.augmentation.loudness", "-20", "--task.augmentation.phase", "none"))
    assert (asked.task.augmentation.loudness, asked.task.augmentation.phase) == (-20, None)


def test_what_is_out_of_range() -> None:
    for field, value in (("loudness", 3.0), ("loudness", -71.0), ("salient", float("nan"))):
        with pytest.raises(ValueError, match=f"{field} is {value}: it must lie between -70 and 0 LUFS"):
            replace(PLAIN, **{field: value})
    for phase in ((10.0, -10.0), (-400.0, 0.0)):
        with pytest.raises(ValueError, match="from low to high, in degrees"):
            replace(PLAIN, phase=phase)
