"""Recordings that libsndfile does not read (m4a, wma, the sound of videos ...), decoded by FFmpeg through PyAV, the extra `av`.

What a file is says its first bytes, and only FFmpeg's reader of that format sees it: left to guess, FFmpeg would also take a text for a
playlist, and open what it names.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solfa.audio.sound_file import AudioError, AudioInfo, block_size

MISSING = 'is {}, which is read through FFmpeg: pip install "solfa[av]"'
LOOK = 512  # bytes of a file that say what it is
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # that an MP4 or QuickTime file begins with
PACKETS = (
    (0, 188),
    (4, 192),
)  # of MPEG-TS: where the first G is, with which they begin, and the next; cameras write a time before each
SHORT = 0.1  # seconds that may lack at the end: timestamps are rounded to milliseconds, and to packets
ROUNDED = 0.001  # seconds by which MP4 may say that sound is shorter than it is: the usual unit, cut off
SUFFIXES = (  # by which files of these formats are found in folders; .ts is not, which TypeScript has
    *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".aac", ".ac3", ".wma", ".wmv", ".asf", ".webm", ".mka", ".mkv"),
    *(".avi", ".flv", ".mpg", ".mpeg", ".m2ts", ".wv", ".tta", ".ape", ".amr"),
)


@dataclass(frozen=True)
class Medium:
    """A format: its name here, and that of FFmpeg's reader of it."""

    name: str
    reader: str


_BEGINNINGS = (
    (b"\x1a\x45\xdf\xa3", Medium("Matroska", "matroska")),  # WebM, too
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Medium("ASF", "asf")),  # WMA
    (b"FLV\x01", Medium("FLV", "flv")),
    (b"\x00\x00\x01\xba", Medium("MPEG-PS", "mpeg")),
    (b"\x0b\x77", Medium("AC-3", "ac3")),
    (b"wvpk", Medium("WavPack", "wv")),
    (b"TTA1", Medium("TTA", "tta")),
    (b"MAC ", Medium("APE", "ape")),
    (b"#!AMR", Medium("AMR", "amr")),
)


def is_installed() -> bool:
    """Whether PyAV is there."""
    return importlib.util.find_spec("av") is not None


def medium_of(head: bytes) -> Medium | None:
    """What a file is that begins so, with `LOOK` bytes; None for what is libsndfile's to read, or to refuse."""
    if head[4:8] in BOXES:
        return Medium("MP4", "mov")
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xF6 == 0xF0:  # layer 0, which no MP3 has
        return Medium("AAC", "aac")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Medium("AVI", "avi")
    if any(head[first : first + 2 * size + 1 : size] == b"GGG" for first, size in PACKETS):
        return Medium("MPEG-TS", "mpegts")
    return next((medium for beginning, medium in _BEGINNINGS if head.startswith(beginning)), None)


class MediaReader:
    """One recording, decoded in this process: for processes that may crash (see `MediaFile` for the others).

    Of several streams of sound the one that FFmpeg takes for the main one. Refuses with AudioError, at once or from `blocks`, what has no
    sound, is damaged, or ends before it says; a raw stream (AAC, AC-3, MPEG-TS, MPEG-PS) does not say when it ends.
    """

    def __init__(self, path: str | os.PathLike[str], medium: Medium) -> None:
        self.path, self.format, self._medium = Path(path), medium.name, medium
        if not is_installed():
            raise self.error(MISSING.format(medium.name))
        if medium.reader == "avi":
            self._refuse_cut_riff()
        self._av: Any = importlib.import_module("av")
        self._av.logging.set_level(self._av.logging.ERROR)
        first = next(self._frames(), None)
        if first is None:
            raise self.error("holds no samples")
        self.sample_rate, self.channels, self.subtype = first.rate, first.samples.shape[0], first.codec

    def __enter__(self) -> MediaReader:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open between calls."""

    def error(self, reason: str) -> AudioError:
        """An AudioError that names this file."""
        return AudioError(f"{self.path}: {reason}")

    def info(self) -> AudioInfo:
        """Rate, channels and exact length, for which it is decoded once: what the file says is near to it only."""
        return told(self)

    def blocks(self, size: int = 1 << 18, start: int = 0) -> Iterator[np.ndarray]:
        """As `SoundFile.blocks`. It is decoded from its beginning, whatever the start."""
        size = block_size(size, start, self.channels)
        kept, count, done = list[np.ndarray](), 0, 0
        for frame in self._frames():
            if (frame.rate, frame.samples.shape[0]) != (self.sample_rate, self.channels):
                raise self.error("its sample rate or channel count changes on the way")
            if not np.isfinite(frame.samples).all():
                raise self.error(f"holds NaN or infinite samples, the first after {done / self.sample_rate:.3f} s")
            skipped = min(max(0, start - done), frame.samples.shape[1])
            done += frame.samples.shape[1]
            kept.append(frame.samples[:, skipped:])
            count += kept[-1].shape[1]
            if count >= size:
                joined = np.concatenate(kept, axis=1)
                for at in range(0, count - size + 1, size):
                    yield np.ascontiguousarray(joined[:, at : at + size])
                kept, count = [joined[:, count - count % size :]], count % size
        if count:
            yield np.concatenate(kept, axis=1)

    def _frames(self) -> Iterator[_Frame]:
        """The sound, piece by piece. What FFmpeg calls an error, and goes on, is one."""
        try:
            with open(self.path, "rb") as file, self._av.logging.Capture() as heard:
                with self._av.open(file, format=self._medium.reader) as container:
                    stream = container.streams.best("audio")
                    if stream is None:
                        raise self.error("holds no sound")
                    stream.codec_context.options = {"err_detect": "crccheck"}  # FFmpeg's default is to look at none
                    last = None
                    for packet in container.demux(stream):
                        frames = packet.decode()
                        self._refuse(heard)
                        if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                            raise self.error("is truncated or damaged")
                        for frame in frames:
                            if last is not None:
                                yield _sound(last, stream)
                            last = frame
                    if last is not None:
                        yield from self._last(last, stream)
                self._refuse(heard)
        except (self._av.error.FFmpegError, OSError) as error:
            raise self.error(f"is truncated or damaged ({error.strerror})") from error

    def _last(self, frame: Any, stream: Any) -> Iterator[_Frame]:
        """The last frame, which codecs fill up: MP4 says how long the sound is. Nothing of a file may lack."""
        found, end = _sound(frame, stream), _end(stream, self._medium)
        if end is not None and frame.time is not None:
            left = round((end - frame.time) * frame.sample_rate)
            if left > frame.samples + SHORT * frame.sample_rate:
                at = frame.time + frame.samples / frame.sample_rate
                raise self.error(f"truncated: it promises {end:.3f} s of sound and {at:.3f} are there")
            if self._medium.reader == "mov" and left > 0:
                found = replace(found, samples=found.samples[:, : left + round(ROUNDED * frame.sample_rate)])
        yield found

    def _refuse_cut_riff(self) -> None:
        """FFmpeg makes up how long a cut AVI is."""
        with open(self.path, "rb") as file:
            promised, there = 8 + int.from_bytes(file.read(8)[4:], "little"), os.fstat(file.fileno()).st_size
        if promised > there:
            raise self.error(f"truncated: its header promises {promised} bytes and {there} are there")

    def _refuse(self, heard: list[tuple[int, str, str]]) -> None:
        for level, _, message in heard:
            if level <= self._av.logging.ERROR:
                raise self.error(f"is truncated or damaged ({' '.join(message.split()).rstrip('.')})")


@dataclass(frozen=True)
class _Frame:
    samples: np.ndarray  # float32 [C, n]
    rate: int
    codec: str


def told(sound: Any) -> AudioInfo:
    """What a reader's file holds, by decoding all of it."""
    samples = sum(block.shape[1] for block in sound.blocks())
    return AudioInfo(
        sound.sample_rate, sound.channels, samples, samples / sound.sample_rate, sound.format, sound.subtype
    )


def _end(stream: Any, medium: Medium) -> float | None:
    """The time in seconds at which a stream says that it ends."""
    if stream.duration is not None and medium.reader in ("mov", "asf", "avi", "wv", "tta", "ape"):
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if written := stream.metadata.get("DURATION"):  # Matroska, a tag of the usual writers
        hours, minutes, seconds = written.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    return None


def _sound(frame: Any, stream: Any) -> _Frame:
    """A frame as float32."""
    found = frame.to_ndarray()
    if not frame.format.is_planar:
        found = found.reshape(-1, frame.layout.nb_channels).T
    if found.dtype == np.uint8:
        found = found.astype(np.float32) / 128 - 1
    elif found.dtype.kind == "i":
        found = found / np.float32(1 << (8 * found.dtype.itemsize - 1))
    return _Frame(np.ascontiguousarray(found, np.float32), frame.sample_rate, stream.codec_context.name.upper())
