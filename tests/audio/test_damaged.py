"""Damaged, lying and unusual files: the whole recording, or an AudioError that names the file; never silently short."""

import io
import os
import struct

import numpy as np
import pytest
import soundfile

from solfa.audio.containers import scan_ogg
from solfa.audio.io import AudioError, blocks, info, read
from solfa.audio.mp3 import parse_header, scan_mp3

RATE, SAMPLES = 44100, 66150


def encoded(format: str, channels: int = 2, samples: int = SAMPLES, rate: int = RATE, **options) -> bytes:
    rng = np.random.default_rng(samples)
    signal = 0.1 * rng.standard_normal((samples, channels))
    signal[: samples // 3] *= 0.001  # quiet, then loud: VBR has something to vary
    file = io.BytesIO()
    soundfile.write(file, signal, rate, format=format, **options)
    return file.getvalue()


WHOLE = {
    "wav": encoded("WAV"),
    "flac": encoded("FLAC"),
    "ogg": encoded("OGG", subtype="VORBIS"),
    "opus": encoded("OGG", subtype="OPUS", rate=48000),
    "mp3": encoded("MP3", bitrate_mode="VARIABLE"),
    "cbr.mp3": encoded("MP3", bitrate_mode="CONSTANT"),
    "half-rate.mp3": encoded("MP3", rate=22050, channels=1),
    "rf64": encoded("RF64"),
    "aiff": encoded("AIFF"),
    "caf": encoded("CAF"),
    "w64": encoded("W64"),
    "au": encoded("AU"),
}


def piped_flac() -> bytes:
    """What an encoder leaves that cannot seek back: the total number of samples is 0, unknown."""
    data = bytearray(WHOLE["flac"])
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def without_tag(mp3: bytes) -> bytes:
    return mp3[parse_header(mp3[:4]).length :]


def saved(tmp_path, name: str, data: bytes):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def refuse(path, pattern: str) -> None:
    """read and blocks refuse the file by name and reason; info refuses it or knows its whole length."""
    for attempt in (read, lambda path: list(blocks(path))):
        with pytest.raises(AudioError, match=pattern) as caught:
            attempt(path)
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("kept", [0.97, 0.5, 0.2])
def test_a_cut_file_is_reported(tmp_path, kind, kept):
    data = WHOLE[kind]
    refuse(saved(tmp_path, f"cut.{kind}", data[: int(len(data) * kept)]), "truncated")


@pytest.mark.parametrize("kind", ["mp3", "half-rate.mp3"])
@pytest.mark.parametrize("lost", [1, 40])
def test_a_cut_mp3_without_a_frame_count_is_reported(tmp_path, kind, lost):
    refuse(saved(tmp_path, "cut.mp3", without_tag(WHOLE[kind])[:-lost]), "truncated: it ends inside an MPEG frame")


@pytest.mark.parametrize("kind", ["ogg", "opus"])
def test_an_ogg_cut_between_pages_is_reported(tmp_path, kind):
    last = WHOLE[kind].rfind(b"OggS")
    refuse(saved(tmp_path, "cut.ogg", WHOLE[kind][:last]), "truncated: its last Ogg page does not end the stream")


def test_an_ogg_without_a_page_in_the_middle_is_reported(tmp_path):
    data = encoded("OGG", subtype="VORBIS", samples=4 * SAMPLES)
    middle = data.find(b"OggS", len(data) // 3)
    after = data.find(b"OggS", middle + 4)
    refuse(saved(tmp_path, "gap.ogg", data[:middle] + data[after:]), "damaged: Ogg page .* is missing")


def test_a_cut_flac_of_unknown_length_is_reported(tmp_path):
    refuse(saved(tmp_path, "cut.flac", piped_flac()[:-500]), "truncated")


def test_a_flac_that_ends_before_its_promised_length_is_reported(tmp_path):
    data = bytearray(WHOLE["flac"])
    data[22:26] = (SAMPLES + 5000).to_bytes(4, "big")
    refuse(saved(tmp_path, "short.flac", bytes(data)), f"promises {SAMPLES + 5000} samples and {SAMPLES} are there")


@pytest.mark.parametrize("kind", ["flac", "ogg", "opus"])
def test_flipped_bytes_are_reported_where_the_format_has_checksums(tmp_path, kind):
    data = bytearray(WHOLE[kind])
    for position in range(len(data) // 2, len(data) // 2 + 200):
        data[position] ^= 0xFF
    refuse(saved(tmp_path, f"flipped.{kind}", bytes(data)), "damaged")


def test_a_lost_mp3_frame_header_is_reported(tmp_path):
    data, at = bytearray(WHOLE["cbr.mp3"]), 0
    for _ in range(20):
        at += parse_header(bytes(data[at : at + 4])).length
    data[at : at + 4] = bytes(4)
    refuse(saved(tmp_path, "lost.mp3", bytes(data)), f"damaged: no MPEG frame at byte {at}")


@pytest.mark.parametrize("kind", ["mp3", "cbr.mp3", "half-rate.mp3"])
def test_an_mp3_without_a_frame_count_is_read_to_its_end(tmp_path, kind):
    # Decoded by frames: what its encoder padded before and after stays, only the decoder's own 529 samples go.
    tagged = read(saved(tmp_path, "tagged.mp3", WHOLE[kind])).samples[0].numpy()
    path = saved(tmp_path, "bare.mp3", without_tag(WHOLE[kind]))
    bare = read(path).samples[0].numpy()
    scan = scan_mp3(io.BytesIO(path.read_bytes()))
    assert bare.shape[1] == info(path).samples == scan.frames * scan.first.samples - 529
    assert np.abs(bare[:, 576 : 576 + tagged.shape[1]] - tagged)[:, 2000:].max() < 1e-4


def test_tags_around_and_between_mp3s_that_were_joined(tmp_path):
    one = b"ID3\x04\0\0\0\0\1\0" + bytes(128) + WHOLE["mp3"] + b"TAG" + bytes(125)
    assert read(saved(tmp_path, "one.mp3", one)).samples.shape[-1] == SAMPLES
    both = read(saved(tmp_path, "two.mp3", one + one)).samples
    assert both.shape[-1] > 2 * SAMPLES


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_is_whole(tmp_path, size):
    data = bytearray(WHOLE["wav"])
    data[40:44] = struct.pack("<I", size)
    path = saved(tmp_path, "piped.wav", bytes(data))
    expected = soundfile.read(io.BytesIO(WHOLE["wav"]), dtype="float32")[0].T
    assert np.array_equal(read(path).samples[0].numpy(), expected) and info(path).samples == SAMPLES


def test_an_empty_wav_with_a_chunk_after_it_is_empty(tmp_path):
    data = WHOLE["wav"][:40] + bytes(4) + b"LIST" + struct.pack("<I", 4) + b"INFO"
    refuse(saved(tmp_path, "empty.wav", data), "holds no samples")


def test_a_flac_written_to_a_pipe_is_whole(tmp_path):
    path = saved(tmp_path, "piped.flac", piped_flac())
    expected = soundfile.read(io.BytesIO(WHOLE["flac"]), dtype="float32")[0].T
    assert np.array_equal(read(path).samples[0].numpy(), expected) and info(path).samples == SAMPLES
    assert np.array_equal(read(path, start=0.5).samples[0].numpy(), expected[:, RATE // 2 :])


def test_a_chained_ogg_is_read_through_all_its_links(tmp_path):
    first, second = WHOLE["ogg"], encoded("OGG", subtype="VORBIS", samples=9000)
    for name, data, length in [("same.ogg", first + first, 2 * SAMPLES), ("other.ogg", first + second, SAMPLES + 9000)]:
        path = saved(tmp_path, name, data)
        samples = read(path).samples
        assert samples.shape[-1] == info(path).samples == length
        assert read(path, start=1.6).samples.equal(samples[..., round(1.6 * RATE) :])
        assert samples[..., :SAMPLES].equal(read(saved(tmp_path, "first.ogg", first)).samples)
    refuse(saved(tmp_path, "mixed.ogg", first + encoded("OGG", channels=1, subtype="VORBIS")), "channel count changes")


def test_a_changed_byte_anywhere_in_an_ogg_is_found():
    data = encoded("OGG", subtype="VORBIS", samples=3000)
    assert scan_ogg(io.BytesIO(data)).fault is None
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(data), 200):
        changed = bytearray(data)
        changed[position] ^= 1 << int(rng.integers(8))
        assert scan_ogg(io.BytesIO(bytes(changed))).fault is not None, position


def test_lying_wav_headers(tmp_path):
    for at, value, pattern in [
        (22, struct.pack("<H", 0), "no sound file"),
        (22, struct.pack("<H", 65535), "no sound file"),
        (24, struct.pack("<I", 0), "no sound file"),
        (24, struct.pack("<I", 2**32 - 1), "no sound file"),
        (40, struct.pack("<I", 4_000_000_000), "truncated: its header promises 4000000000 bytes"),
    ]:
        data = bytearray(WHOLE["wav"])
        data[at : at + len(value)] = value
        refuse(saved(tmp_path, "lie.wav", bytes(data)), pattern)


def test_what_is_no_sound_file(tmp_path):
    rng = np.random.default_rng(0)
    for name, data, pattern in [
        ("zero.wav", b"", "is empty"),
        ("one.wav", b"R", "no sound file"),
        ("header.wav", WHOLE["wav"][:44], "truncated"),
        ("text.wav", b"once upon a time\n" * 99, "no sound file"),
        ("page.mp3", b"<html></html>" * 99, "no sound file"),
        ("raw.raw", b"abcdef" * 99, "no sound file"),
        ("noise.ogg", rng.bytes(9999), "no sound file"),
        ("sync.mp3", b"\xff\xfb" * 999, "no MPEG frame"),
        ("voc.voc", encoded("VOC", samples=99), "is VOC; WAV, .* can be read"),
        ("id3.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f", "no MPEG frame"),
    ]:
        refuse(saved(tmp_path, name, data), pattern)
    (tmp_path / "folder.wav").mkdir()
    refuse(tmp_path / "folder.wav", "is a folder")
    refuse(tmp_path / "missing.wav", "no such file")
    refuse(tmp_path / "nul\0.wav", "cannot be opened|no such file")
    os.mkfifo(tmp_path / "fifo.wav")
    refuse(tmp_path / "fifo.wav", "no regular file")
    os.symlink("loop.wav", tmp_path / "loop.wav")
    refuse(tmp_path / "loop.wav", "no such file|cannot be opened")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_no_numbers_are_refused_where_they_are(tmp_path, bad):
    signal = np.zeros(30000)
    signal[24000] = bad
    soundfile.write(tmp_path / "bad.wav", signal, 8000, subtype="DOUBLE")
    refuse(tmp_path / "bad.wav", r"NaN or infinite samples, the first at 3\.000 s")
    assert read(tmp_path / "bad.wav", duration=1.0, start=0.5).samples.shape[-1] == 8000


@pytest.mark.parametrize("kind", WHOLE)
def test_random_damage_gives_a_recording_or_an_audio_error(tmp_path, kind):
    rng = np.random.default_rng(7)
    for turn in range(16):
        data = bytearray(WHOLE[kind])
        for position in rng.integers(0, min(len(data), 300 if turn % 2 else len(data)), 3):
            data[position] = rng.integers(256)
        path = saved(tmp_path, "random", bytes(data))
        try:
            assert read(path).samples.isfinite().all()
        except AudioError as error:
            assert str(error).startswith(str(path))


@pytest.mark.parametrize("kind", ["mp3", "cbr.mp3", "half-rate.mp3"])
def test_an_mp3_whose_count_is_off_by_one_begins_where_it_should(tmp_path, kind, capfd):
    """Its own tag says how much its encoder put before the sound; a tag without that would leave 1,105 samples of it, and more."""
    data = WHOLE[kind]
    whole, frame = read(saved(tmp_path, "a.mp3", data)).samples[0].numpy(), scan_mp3(io.BytesIO(data)).first.samples
    at, starts = 0, []
    while at < len(data):
        starts.append(at)
        at += parse_header(data[at : at + 4]).length
    count = max(data.find(b"Info"), data.find(b"Xing")) + 8
    promised = int.from_bytes(data[count : count + 4], "big")
    lost = read(saved(tmp_path, "lost.mp3", data[: starts[-1]])).samples[0].numpy()  # one frame more than is there
    # Nothing is cut off behind what there is: the padding was in the frame that is gone.
    assert lost.shape[1] == min(whole.shape[1], (promised - 1) * frame - 1105) and np.array_equal(
        lost, whole[:, : lost.shape[1]]
    )
    for wrong in (promised + 1, promised - 1, 0):
        other = data[:count] + wrong.to_bytes(4, "big") + data[count + 4 :]
        path = saved(tmp_path, "other.mp3", other)
        found = read(path).samples[0].numpy()
        assert info(path).samples == found.shape[1] >= whole.shape[1]
        assert np.array_equal(found[:, : whole.shape[1]], whole)
    joined = read(saved(tmp_path, "joined.mp3", data + data)).samples[0].numpy()
    assert np.array_equal(joined[:, : whole.shape[1]], whole) and joined.shape[1] > 2 * whole.shape[1]
    assert capfd.readouterr().err == ""  # libmpg123 speaks of a size that is off
