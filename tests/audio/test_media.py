"""What FFmpeg decodes: every sample, whoever asks; nothing silently short; a file that crashes it costs itself only."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.audio import apart, media, media_file
from solfa.audio.io import AudioError, blocks, info, read
from solfa.audio.media import LOOK, MediaReader, medium_of
from solfa.audio.media_file import MediaFile
from solfa.audio.opening import open_sound
from solfa.audio.sound_file import FORMATS, SoundFile
from solfa.files import exhaustion

RATE, SAMPLES = 44100, 44100 * 2 + 321
EXACT = [("a.m4a", "alac"), ("a.mov", "pcm_s16le"), ("a.mka", "flac"), ("a.wv", "wavpack"), ("a.tta", "tta")]
LOSSY = [("b.m4a", "aac"), ("b.webm", "libopus"), ("b.mkv", "aac"), ("b.wma", "wmav2"), ("b.avi", "mp3")]
RAW = [("c.aac", "aac"), ("c.ac3", "ac3"), ("c.m2ts", "aac"), ("c.mpg", "mp2"), ("c.flv", "aac")]
MEDIUM = {
    "m4a": "MP4",
    "mov": "MP4",
    "mka": "Matroska",
    "mkv": "Matroska",
    "webm": "Matroska",
    "wv": "WavPack",
    "tta": "TTA",
} | {**{"wma": "ASF", "avi": "AVI", "aac": "AAC", "ac3": "AC-3", "m2ts": "MPEG-TS", "mpg": "MPEG-PS", "flv": "FLV"}}


def tones(rate: int = RATE, samples: int = SAMPLES, channels: int = 2) -> np.ndarray:
    """int16 [C, n]: tones that come and go, so that a shift shows."""
    time = np.arange(samples) / rate
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * time)
    sound = np.stack([0.4 * swell * np.sin(2 * np.pi * 330 * (1 + 0.5 * each) * time) for each in range(channels)])
    return np.rint(sound * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_media: Callable[..., Path]) -> Path:
    """All of them."""
    folder = tmp_path_factory.mktemp("media")
    for name, codec in EXACT + LOSSY + RAW:
        rate = 48000 if codec == "libopus" else RATE
        write_media(folder / name, tones(rate), rate, codec, pictures=name in ("b.mkv", "b.avi", "c.mpg", "c.m2ts"))
    return folder


@pytest.mark.parametrize("name", [name for name, _ in EXACT])
def test_lossless_sound_comes_as_it_went_in(folder: Path, name: str) -> None:
    audio = read(folder / name)
    assert audio.sample_rate == RATE
    assert np.array_equal(audio.samples[0].numpy(), tones().astype(np.float32) / 32768)
    assert (info(folder / name).samples, info(folder / name).channels) == (SAMPLES, 2)
    assert info(folder / name).format == MEDIUM[name.split(".")[-1]]


@pytest.mark.parametrize("name", ["b.m4a", "b.webm"])
def test_lossy_sound_has_its_length_and_place(folder: Path, name: str) -> None:
    """MP4 and WebM say what the encoder put before and after the sound."""
    audio = read(folder / name)
    true = tones(audio.sample_rate).astype(np.float32) / 32768
    assert 0 <= audio.samples.shape[2] - true.shape[1] < (50 if name == "b.m4a" else 1000)
    found = audio.samples[0, :, : true.shape[1]].numpy()
    noise = [np.square(np.roll(found, shift, 1) - true)[:, 5000:-5000].sum() for shift in (0, -64, 64)]
    assert noise[0] < 0.01 * np.square(true).sum() and noise[0] < 0.2 * min(noise[1:])


@pytest.mark.parametrize("name", [name for name, _ in EXACT + LOSSY + RAW])
def test_whoever_asks_gets_the_same(folder: Path, name: str) -> None:
    """At once or in blocks, in a process of its own or not, from the beginning or not; videos by their sound."""
    whole = read(folder / name).samples[0].numpy()
    assert whole.dtype == np.float32 and abs(whole.shape[1] - SAMPLES) < 8192 + SAMPLES * (48000 / RATE - 1)
    pieces = list(blocks(folder / name, size=7001))
    assert max(piece.shape[1] for piece in pieces) <= 7001 and np.array_equal(np.concatenate(pieces, 1), whole)
    with open_sound(folder / name, apart=False) as sound:
        assert isinstance(sound, MediaReader) and sound.format == MEDIUM[name.split(".")[-1]]
        assert (sound.sample_rate, sound.channels) == (info(folder / name).sample_rate, 2)
        assert np.array_equal(np.concatenate(list(sound.blocks(3000)), 1), whole)
        assert np.array_equal(np.concatenate(list(sound.blocks(50_000, 12_345)), 1), whole[:, 12_345:])
        assert list(sound.blocks(1000, 1 << 40)) == []
    with open_sound(folder / name) as sound:
        assert isinstance(sound, MediaFile)
        for start in (0, 12_345):  # the second time by another process
            assert np.array_equal(np.concatenate(list(sound.blocks(50_000, start)), 1), whole[:, start:])
    part = read(folder / name, start=0.5, duration=0.25)
    rate = part.sample_rate
    assert np.array_equal(part.samples[0].numpy(), whole[:, rate // 2 : rate // 2 + rate // 4])


@pytest.mark.parametrize("name", [name for name, _ in EXACT + LOSSY])
def test_a_cut_file_is_never_silently_short(folder: Path, tmp_path: Path, name: str) -> None:
    data, whole = (folder / name).read_bytes(), info(folder / name).samples
    for left in (*(len(data) * tenths // 10 for tenths in (5, 6, 7, 8, 9)), len(data) - 3, 700, 64, 9):
        path = tmp_path / name
        path.write_bytes(data[:left])
        try:
            with open_sound(path, apart=False) as sound:
                assert sum(block.shape[1] for block in sound.blocks()) == whole, f"{left} of {len(data)} bytes"
        except AudioError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        else:
            assert left == len(data) - 3  # of what follows the sound


def test_a_file_whose_index_comes_first_is_not_cut_either(tmp_path: Path, write_media: Callable[..., Path]) -> None:
    for options in ({"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "1000000"}):
        path = write_media(tmp_path / "a.mp4", tones(), RATE, "aac", **options)
        length = info(path).samples
        assert SAMPLES <= length < SAMPLES + 4096, options
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(AudioError, match="truncated"):
            read(path)


@pytest.mark.parametrize("name", [name for name, _ in EXACT + LOSSY + RAW])
def test_damage_ends_in_one_line(folder: Path, tmp_path: Path, name: str) -> None:
    """Whatever the bytes are: sound of the right kind, or an AudioError that names the file."""
    data, random = bytearray((folder / name).read_bytes()), np.random.default_rng(0)
    for number in range(12):
        path, damaged = tmp_path / name, data.copy()
        start = int(random.integers(12, len(data) - 400)) if number else 12
        damaged[start : start + 400] = random.integers(0, 256, 400, dtype=np.uint8).tobytes()
        path.write_bytes(damaged)
        try:
            with open_sound(path, apart=False) as sound:
                for block in sound.blocks():
                    assert block.dtype == np.float32 and block.shape[0] == sound.channels and np.isfinite(block).all()
        except AudioError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


@pytest.mark.parametrize("name", ["b.m4a", "a.mka"])
def test_flipped_bytes_are_found(folder: Path, tmp_path: Path, name: str) -> None:
    """Also where FFmpeg goes on."""
    data = bytearray((folder / name).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(byte ^ 0xFF for byte in data[middle : middle + 200])
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AudioError, match=f"{name}: is truncated or damaged \\("):
        read(tmp_path / name)


def test_a_video_without_sound(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for number in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
            picture.pts = number
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    with pytest.raises(AudioError, match=r"a\.mp4: holds no sound"):
        read(tmp_path / "a.mp4")


def test_what_ffmpeg_sees_is_said_by_the_first_bytes(tmp_path: Path) -> None:
    """A playlist names other files, which FFmpeg would open. And what libsndfile reads it goes on to read."""
    soundfile.write(tmp_path / "secret.wav", tones()[:1].T, RATE)
    for text in ("#EXTM3U\nsecret.wav\n", "ffconcat version 1.0\nfile secret.wav\n", "[playlist]\nFile1=secret.wav\n"):
        path = tmp_path / "list.mp4"
        path.write_text(text)
        with pytest.raises(AudioError, match="is no sound file that can be read"):
            read(path)
    for kind in FORMATS:
        path = tmp_path / "sound"
        try:
            soundfile.write(path, tones()[:1].T, RATE, format=kind)
        except (soundfile.SoundFileError, ValueError):
            assert kind in ("AU",), kind
            continue
        with open_sound(path) as sound:
            assert isinstance(sound, SoundFile) and medium_of(path.read_bytes()[:LOOK]) is None, kind


def test_an_id3_tag_before_aac(folder: Path, tmp_path: Path) -> None:
    tagged = b"ID3\x04\0\0\0\0\x02\x00" + bytes(256) + (folder / "c.aac").read_bytes()
    (tmp_path / "a.aac").write_bytes(tagged)
    assert np.array_equal(read(tmp_path / "a.aac").samples, read(folder / "c.aac").samples)


def test_without_pyav_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (media, media_file):
        monkeypatch.setattr(module, "is_installed", lambda: False)
    for away in (False, True):
        with pytest.raises(AudioError, match=r'b\.m4a: is MP4, which is read .* pip install "solfa\[av\]"'):
            open_sound(folder / "b.m4a", apart=away)


def test_a_file_that_kills_its_decoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_file, "CHILD", "dying_child")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with pytest.raises(AudioError, match=r"b\.m4a: kills its decoder \(SIGSEGV\)"):
        read(folder / "b.m4a")


def test_nothing_is_left_behind(folder: Path) -> None:
    """Of a file that is read in part, or only looked at: no process, no descriptor."""
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(2):
        with open_sound(folder / "b.m4a"):
            pass
        assert next(blocks(folder / "b.m4a", size=10)).shape == (2, 10)
        read(folder / "b.m4a", duration=0.01)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_where_no_more_files_can_be_opened_the_file_is_not_at_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(apart.subprocess, "Popen", full)
    with pytest.raises(AudioError, match="cannot be opened") as told:
        read(folder / "b.m4a")
    fault = exhaustion(told.value)
    assert fault is not None and fault.errno == errno.EMFILE
