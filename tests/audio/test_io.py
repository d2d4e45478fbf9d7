"""Healthy files: every format, rate and channel count; pieces and blocks; writing whole or not at all."""

import os
import resource
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from solfa.audio.io import Audio, AudioError, blocks, info, read, write, write_blocks


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)


FORMATS = [
    ("a.wav", {"subtype": "PCM_16"}),
    ("a.wav", {"subtype": "PCM_24"}),
    ("a.wav", {"subtype": "FLOAT"}),
    ("a.flac", {}),
    ("a.ogg", {"format": "OGG", "subtype": "VORBIS"}),
    ("a.mp3", {"format": "MP3"}),
    ("a.rf64", {"format": "RF64"}),
    ("a.aiff", {}),
    ("a.caf", {}),
    ("a.w64", {}),
    ("a.au", {}),
]


@pytest.mark.parametrize("rate", [24000, 44100])
@pytest.mark.parametrize("name, options", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_reads_what_soundfile_reads(tmp_path, name, options, rate, channels):
    path = tmp_path / name
    soundfile.write(path, noise(channels, 12345).T, rate, **options)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    audio = read(path)
    assert audio.samples.shape == (1, channels, 12345) and audio.sample_rate == rate
    # MP3: soundfile seeks to the start before it reads, which can move libmpg123's last bit.
    assert np.allclose(audio.samples[0].numpy(), expected, rtol=0, atol=2**-23 if name == "a.mp3" else 0)
    assert (info(path).samples, info(path).channels, info(path).sample_rate) == (12345, channels, rate)
    assert info(path).duration == pytest.approx(12345 / rate)


@pytest.mark.parametrize("rate, channels", [(192000, 8), (1, 1), (11025, 3)])
def test_any_rate_and_channel_count(tmp_path, rate, channels):
    write_blocks(tmp_path / "a.wav", [noise(channels, 777)], rate, "FLOAT")
    assert np.array_equal(read(tmp_path / "a.wav").samples[0].numpy(), noise(channels, 777))
    assert read(tmp_path / "a.wav").sample_rate == rate


@pytest.mark.parametrize("name, options", FORMATS)
def test_blocks_join_to_the_whole(tmp_path, name, options):
    path = tmp_path / name
    soundfile.write(path, noise(2, 50000).T, 44100, **options)
    pieces = list(blocks(path, size=4001))
    assert max(piece.shape[1] for piece in pieces) <= 4001
    assert np.array_equal(np.concatenate(pieces, axis=1), read(path).samples[0].numpy())


@pytest.mark.parametrize("name, options", FORMATS)
@pytest.mark.parametrize("start, duration", [(0.0, 0.25), (0.5, None), (0.7, 0.31), (1.1, 9.0)])
def test_a_piece_is_a_slice_of_the_whole(tmp_path, name, options, start, duration):
    path = tmp_path / name
    soundfile.write(path, noise(2, 50000).T, 44100, **options)
    first = round(start * 44100)
    stop = None if duration is None else first + round(duration * 44100)
    assert torch.equal(read(path, start=start, duration=duration).samples, read(path).samples[..., first:stop])


def test_pieces_and_blocks_of_an_mp3_are_exact_where_seeking_is_not(tmp_path):
    # libmpg123 seeks without the bits that frames borrow from earlier ones: errors of 0.05 in such files.
    path = tmp_path / "a.mp3"
    swell = np.abs(np.sin(np.arange(50000) / 4000))
    soundfile.write(path, noise(1, 50000)[0] * swell, 24000, format="MP3", bitrate_mode="CONSTANT")
    whole = read(path).samples
    for first in range(577, 50000, 1777):
        assert torch.equal(read(path, start=first / 24000, duration=0.05).samples, whole[..., first : first + 1200])
    assert np.array_equal(np.concatenate(list(blocks(path, size=1000)), axis=1), whole[0].numpy())


def test_a_piece_beyond_the_end_and_illegal_pieces(tmp_path):
    write_blocks(tmp_path / "a.wav", [noise(1, 8000)], 8000)
    with pytest.raises(AudioError, match=r"a\.wav: has no sample at 1\.0 s"):
        read(tmp_path / "a.wav", start=1.0)
    for start, duration in [(-1, None), (0, 0), (float("nan"), None), (0, -2.0)]:
        with pytest.raises(ValueError, match="at least 0"):
            read(tmp_path / "a.wav", start=start, duration=duration)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("subtype, step", [(None, 2**-15), ("PCM_16", 2**-15), ("PCM_24", 2**-23)])
def test_written_pcm_comes_back_within_one_step(tmp_path, suffix, subtype, step):
    audio = Audio(torch.from_numpy(noise(2, 3000))[None], 24000)
    audio.save(tmp_path / f"a{suffix}", subtype)
    back = read(tmp_path / f"a{suffix}")
    assert back.sample_rate == 24000
    assert (back.samples - audio.samples).abs().max() <= step
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}"]


def test_samples_beyond_full_scale_are_clipped_not_wrapped(tmp_path):
    write(tmp_path / "a.wav", Audio(torch.tensor([[[1.5, -1.5, 1e30]]]), 8000))
    assert read(tmp_path / "a.wav").samples.flatten().tolist() == pytest.approx([1, -1, 1], abs=2**-14)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_cannot_be_written_leaves_the_old_file_and_no_other(tmp_path, bad):
    path = tmp_path / "a.wav"
    write_blocks(path, [noise(1, 100)], 8000)
    before = path.read_bytes()
    with pytest.raises(AudioError, match=r"a\.wav: samples are NaN or infinite"):
        write_blocks(path, [noise(1, 100), np.full((1, 5), bad, np.float32)], 8000)
    with pytest.raises(AudioError, match="no samples"):
        write(path, Audio(torch.zeros(1, 1, 0), 8000))
    with pytest.raises(ValueError, match="batch of 2"):
        write(path, Audio(torch.zeros(2, 1, 9), 8000))

    def interrupted():
        yield noise(1, 100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, interrupted(), 8000)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, suffix):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(AudioError, match=r"cannot be written|not all samples"):
            write_blocks(tmp_path / f"a{suffix}", [noise(2, 100_000)], 44100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_illegal_names_say_what_is_legal(tmp_path):
    audio = Audio(torch.zeros(1, 1, 9), 8000)
    with pytest.raises(AudioError, match=r"\.wav and \.flac"):
        write(tmp_path / "a.mp3", audio)
    with pytest.raises(AudioError, match="PCM_16, PCM_24"):
        write(tmp_path / "a.flac", audio, "FLOAT")
    with pytest.raises(AudioError, match="no such folder"):
        write(tmp_path / "none" / "a.flac", audio)
    with pytest.raises(AudioError, match=r"a\.flac: cannot be written"):  # FLAC holds at most 8 channels
        write(tmp_path / "a.flac", Audio(torch.zeros(1, 9, 9), 8000))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["line\nbreak.wav", "né 🎵.flac", "x" * 251 + ".wav", "a.WAV", b"\xff\xfe.wav"])
def test_any_file_name(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    write_blocks(path, [noise(1, 100)], 8000)
    assert info(path).samples == read(path).samples.shape[-1] == 100


def test_a_long_file_is_read_and_written_in_bounded_memory(tmp_path):
    path, block = tmp_path / "long.flac", np.zeros((1, 1 << 18), np.float32)
    write_blocks(path, (block for _ in range(60)), 8000)  # half an hour; 63 MB as float32
    tracemalloc.start()
    total = sum(piece.shape[1] for piece in blocks(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == info(path).samples == 60 << 18
    assert peak < 8 << 20


def test_audio_checks_its_samples_and_converts():
    audio = Audio(torch.tensor([[[1.0, 0.0], [0.0, 0.5]]]), 4)
    assert audio.channels == 2 and audio.duration == 0.5
    assert audio.to_mono().samples.tolist() == [[[0.5, 0.25]]]
    assert audio.resample(6).samples.shape == (1, 2, 3) and audio.resample(6).sample_rate == 6
    for samples, rate in [
        (torch.zeros(2, 3), 8),
        (torch.zeros(1, 1, 3, dtype=torch.int16), 8),
        (torch.zeros(1, 1, 1), 0),
    ]:
        with pytest.raises(ValueError, match=r"\[B, C, S\]|at least 1"):
            Audio(samples, rate)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("subtype, bits", [("PCM_16", 16), ("PCM_24", 24)])
def test_samples_are_written_as_the_nearest_whole_number(tmp_path, suffix, subtype, bits, kind):
    path, scale = tmp_path / f"a{suffix}", 2 ** (bits - 1)
    sound = (0.7 * np.sin(np.arange(20_000) / 7)).astype(kind)
    sound[:6] = [0.5 / scale, 1.5 / scale, -0.5 / scale, -0.75 / scale, 1, -1]
    write_blocks(path, [sound[None, :999], sound[None, 999:]], 24000, subtype)
    found = soundfile.read(path, dtype="int32")[0] >> (32 - bits)
    assert found[:6].tolist() == [0, 2, 0, -1, scale - 1, -scale]  # halves to the even one
    error = found[6:] - sound[6:].astype(np.float64) * scale
    assert np.abs(error).max() <= 0.5 and abs(error.mean()) < 0.01  # cut off it would be -0.5 in the mean
    # A WAV has the samples of a FLAC, and those are libsndfile's, which rounds only there.
    soundfile.write(tmp_path / "b.flac", sound, 24000, subtype=subtype)
    assert np.array_equal(soundfile.read(tmp_path / "b.flac", dtype="int32")[0] >> (32 - bits), found)
    if suffix == ".flac":
        assert (tmp_path / "b.flac").read_bytes()[42:] == path.read_bytes()[42:]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("subtype, bits", [("PCM_16", 16), ("PCM_24", 24)])
def test_what_was_read_is_written_as_it_was(tmp_path, suffix, subtype, bits):
    whole = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), 9999, endpoint=False)
    whole[:2] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
    soundfile.write(tmp_path / f"a{suffix}", (whole << (32 - bits)).astype(np.int32), 24000, subtype=subtype)
    read(tmp_path / f"a{suffix}").save(tmp_path / f"b{suffix}", subtype)
    found = soundfile.read(tmp_path / f"b{suffix}", dtype="int32")[0]
    assert np.array_equal(found >> (32 - bits), whole)


def test_endless_pieces_end_where_the_recording_does(tmp_path):
    write_blocks(tmp_path / "a.wav", [noise(1, 8000)], 8000)
    whole, endless = read(tmp_path / "a.wav"), float("inf")
    for duration in (endless, 1e300, 1.7e308):
        assert torch.equal(read(tmp_path / "a.wav", duration=duration).samples, whole.samples)
    assert read(tmp_path / "a.wav", start=0.5, duration=endless).samples.shape[-1] == 4000
    for start in (endless, 1e300, 1.7e308):
        with pytest.raises(AudioError, match=r"a\.wav: has no sample at "):
            read(tmp_path / "a.wav", start=start)


def test_what_cannot_be_sought_in_is_decoded_up_to_the_piece(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1, 16000)[0], 8000, subtype="GSM610")
    whole = read(path).samples
    for start in (0.25, 0.5, 1.9):
        assert torch.equal(read(path, start=start, duration=0.1).samples, whole[..., round(start * 8000) :][..., :800])
    with pytest.raises(AudioError, match="has no sample at 2"):
        read(path, start=2.0)


def test_blocks_and_rates_that_cannot_be_written(tmp_path):
    for given, said in [
        ([np.zeros((0, 10))], "no channels to write"),
        ([np.zeros(10)], r"a block of float64 \[10\]: must be float32 or float64 \[C, n\]"),
        ([np.zeros((1, 10), np.int16)], r"a block of int16 \[1, 10\]"),
        ([np.zeros((1, 10)), np.zeros((2, 10))], "a block of 2 channels after 1"),
    ]:
        with pytest.raises(AudioError, match=rf"a\.wav: {said}"):
            write_blocks(tmp_path / "a.wav", given, 8000)
    for rate in (2**31, 2**64, 0, -1, 24000.5, True):
        with pytest.raises(AudioError, match=r"a\.wav: sample rate .*: a whole number of Hz, 1 to 2147483647"):
            write_blocks(tmp_path / "a.wav", [noise(1, 10)], rate)
    assert not list(tmp_path.iterdir())
    assert write_blocks(tmp_path / "a.wav", [noise(1, 10)], np.int64(8000)) == 10
