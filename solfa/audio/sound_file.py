"""A recording on disk, opened, checked and decoded block by block by libsndfile. `opening.py` is the one way in for every sound file."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from solfa.audio.containers import LAYOUTS, au_fault, file_size, scan_chunks, scan_ogg
from solfa.audio.mp3 import info_frame, recounted, scan_mp3, tag_length

UNKNOWN = 1 << 62  # libsndfile gives 2^63 - 1 frames where the header does not say
# What can be read: formats whose truncation is found by the walks over their containers, or by their decoder (FLAC).
FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "CAF", "W64", "AU")
SCALE = np.float32(2.0**-15)  # of PCM_16: what libsndfile multiplies by, one sample at a time
MAX_BLOCK = 1 << 24  # values of all channels together in one block: 64 MiB of float32


class AudioError(ValueError):
    """A sound file that cannot be read or written. The message names the file and the reason."""


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file holds: `samples` per channel at `sample_rate` (Hz), `duration` in seconds."""

    sample_rate: int
    channels: int
    samples: int
    duration: float
    format: str  # "WAV", "FLAC", "OGG", "MP3", ...
    subtype: str  # "PCM_16", "VORBIS", ...


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of a file. Raises AudioError where there is no regular file that can be opened."""
    try:
        if path.is_dir():
            raise AudioError(f"{path}: is a folder")
        if not path.exists():
            raise AudioError(f"{path}: no such file")
        if not path.is_file():
            raise AudioError(f"{path}: is no regular file")
        return open(path, "rb")
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror})") from error
    except ValueError as error:  # a NUL in the name
        if isinstance(error, AudioError):
            raise
        raise AudioError(f"{path}: cannot be opened ({error})") from error


def block_size(size: int, start: int, channels: int) -> int:
    """The size of blocks that are given where `size` is asked for. Raises ValueError for blocks and places that cannot be."""
    if size < 1 or start < 0:
        raise ValueError(f"a block of {size} samples from sample {start}: size is at least 1 and start at least 0")
    return min(size, max(1, MAX_BLOCK // channels))


class _Window(io.RawIOBase):
    """The bytes [start, end) of a file behind a prefix, as a file of its own."""

    def __init__(self, file: io.RawIOBase, start: int, end: int, prefix: bytes = b"") -> None:
        self._file, self._start, self._prefix = file, start, prefix
        self._size, self._position = len(prefix) + end - start, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        count = left if count < 0 else min(count, left)
        head = self._prefix[self._position : self._position + count]
        self._file.seek(self._start + max(0, self._position - len(self._prefix)))
        data = head + ((self._file.read(count - len(head)) or b"") if count > len(head) else b"")
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Forward(soundfile.SoundFile):
    """soundfile seeks to where it already is after every read. That must not be: in an MP3 it drops the bit reservoir,
    which leaves audible errors at every block, and at the end of a file of unknown length (piped FLAC) it fails."""

    def seekable(self) -> bool:
        return False


@dataclass(frozen=True)
class _Part:
    """A stretch of the file that libsndfile reads as one recording: the whole of it (window None), or a window."""

    window: tuple[int, int, bytes] | None = None
    least: int = 0  # samples that must come out, where libsndfile's own number is a guess


class SoundFile:
    """One checked recording; a context manager.

    Refuses with AudioError what is no sound file, holds no samples, or is shorter than it says. Truncation that shows
    only in decoding is raised by `blocks`, and so are samples that are NaN or infinite.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = open_bytes(self.path)
        self._known = False  # whether libsndfile knows the format: faults after that are damage
        try:
            self._parts = self._find_parts()
            heads = [self._head(part) for part in self._parts]
            self.sample_rate, self.channels, self.format, self.subtype, _ = heads[0]
            if any(head[:2] != heads[0][:2] for head in heads):
                raise self.error("its sample rate or channel count changes on the way")
            if self.format not in FORMATS:
                raise self.error(f"is {self.format}; {', '.join(FORMATS)} can be read")
            self._known = True
            self._lengths = [frames if frames < UNKNOWN else None for *_, frames in heads]
            if sum(length is None or length > 0 for length in self._lengths) == 0:
                raise self.error("holds no samples")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "SoundFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def error(self, reason: str) -> AudioError:
        """An AudioError that names this file."""
        return AudioError(f"{self.path}: {reason}")

    def info(self) -> AudioInfo:
        """Rate, channels and exact length. Decodes the file once where the container does not say its length."""
        known = [length for length in self._lengths if length is not None]
        whole = len(known) == len(self._lengths)
        samples = sum(known) if whole else sum(block.shape[1] for block in self.blocks())
        seconds = samples / self.sample_rate
        return AudioInfo(self.sample_rate, self.channels, samples, seconds, self.format, self.subtype)

    def blocks(self, size: int = 1 << 18, start: int = 0) -> Iterator[np.ndarray]:
        """Yields float32 arrays [C, n] in order, n at most `size`, from sample `start` on, in bounded memory."""
        size = block_size(size, start, self.channels)
        for part, length in zip(self._parts, self._lengths, strict=True):
            if length is not None and start >= length:
                start -= length
                continue
            yield from self._decode(part, length, size, start)
            start = 0

    def _find_parts(self) -> list[_Part]:
        magic = self._magic()
        if not magic:
            raise self.error("is empty")
        if magic[:4] in LAYOUTS:
            scan = scan_chunks(self._file, LAYOUTS[magic[:4]])
            self._refuse(scan.fault)
            if scan.streamed_header is not None:
                return [_Part((scan.data_start, file_size(self._file), scan.streamed_header))]
        elif magic[:4] == b".snd":
            self._refuse(au_fault(self._file))
        elif magic[:4] == b"OggS":
            links = scan_ogg(self._file)
            self._refuse(links.fault)
            if len(links.links) > 1:
                return [_Part((start, end, b"")) for start, end in links.links]
        elif magic[:4] == b"ID3 " or (magic[0] == 0xFF and len(magic) > 1 and magic[1] & 0xE0 == 0xE0):
            return [self._mp3_part()]
        return [_Part()]

    def _magic(self) -> bytes:
        # An ID3 tag may stand before an MP3 and before a FLAC: what follows it decides.
        head = self._file.read(12)
        if length := tag_length(head):
            self._file.seek(length)
            following = self._file.read(4)
            return following if following == b"fLaC" else b"ID3 "
        return head

    def _mp3_part(self) -> _Part:
        scan = scan_mp3(self._file)
        self._refuse(scan.fault)
        assert scan.first is not None
        if scan.declared == scan.frames:
            return _Part()
        least = (scan.frames - 1) * scan.first.samples  # decoders drop their own delay, less than a frame
        if scan.first.layer != 3:
            return _Part(least=least)
        # A tag with the true count makes libsndfile read all of it: the file's own, which also says what the encoder put before the sound.
        end = file_size(self._file)
        self._file.seek(scan.start)
        tag = recounted(self._file.read(scan.tag_length), scan, end - scan.start)
        if tag is None:
            return _Part((scan.start + scan.tag_length, end, info_frame(scan.first, scan.frames)), least)
        return _Part((scan.start + scan.tag_length, end, tag))

    def _refuse(self, fault: str | None) -> None:
        if fault is not None:
            raise self.error(fault)

    @contextmanager
    def _opened(self, part: _Part) -> Iterator[soundfile.SoundFile]:
        try:
            # A descriptor rather than a name: libsndfile then looks at the bytes alone, and any name will do.
            with self._source(part) as source, _Forward(source, closefd=False) as sound:
                yield sound
        except soundfile.SoundFileError as error:
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            fault = "is truncated or damaged" if self._known else "is no sound file that can be read"
            raise self.error(f"{fault} ({reason})") from error

    @contextmanager
    def _source(self, part: _Part) -> Iterator[int | _Window]:
        # Opened anew each time: two readers of one recording do not move each other's position.
        with open(self.path, "rb", buffering=0) as file:
            yield file.fileno() if part.window is None else _Window(file, *part.window)

    def _head(self, part: _Part) -> tuple[int, int, str, str, int]:
        with self._opened(part) as sound:
            if sound.samplerate < 1 or sound.channels < 1:
                raise self.error(f"has a sample rate of {sound.samplerate} Hz and {sound.channels} channels")
            return sound.samplerate, sound.channels, sound.format, sound.subtype, sound.frames

    def _decode(self, part: _Part, length: int | None, size: int, start: int) -> Iterator[np.ndarray]:
        done, whole = 0, self.subtype == "PCM_16"
        with self._opened(part) as sound:
            # What cannot be sought in (GSM 6.10), or not exactly (MP3), is decoded from its beginning.
            if length is not None and start and self.format != "MP3" and soundfile.SoundFile.seekable(sound):
                done = sound.seek(start)
            while True:
                block = sound.read(size, dtype="int16" if whole else "float32", always_2d=True)
                if not len(block):
                    break
                # Whether all are numbers is asked at once: row by row it takes longer than to decode.
                if not whole and not (fine := np.isfinite(block)).all():
                    seconds = (done + int(np.argmin(fine.all(axis=1)))) / self.sample_rate
                    raise self.error(f"holds NaN or infinite samples, the first at {seconds:.3f} s")
                skipped = max(0, start - done)
                done += len(block)
                if skipped < len(block):
                    yield _rows(block[skipped:])
        expected = max(length or 0, part.least)
        if done < expected:
            raise self.error(f"truncated: it promises {expected} samples and {done} are there")


def _rows(block: np.ndarray) -> np.ndarray:
    """Samples [n, C], int16 or float32, as float32 [C, n]."""
    if block.dtype != np.int16:
        return np.ascontiguousarray(block.T)
    rows = np.empty(block.shape[::-1], np.float32)
    for channel, row in zip(block.T, rows, strict=True):
        np.multiply(channel, SCALE, out=row)
    return rows
