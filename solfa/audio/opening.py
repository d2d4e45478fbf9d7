"""The one way in for every sound file: who reads it, by its first bytes."""

from __future__ import annotations

import os
from pathlib import Path

from solfa.audio.media import LOOK, MediaReader, medium_of
from solfa.audio.media_file import MediaFile
from solfa.audio.mp3 import tag_length
from solfa.audio.sound_file import SoundFile, open_bytes


def open_sound(path: str | os.PathLike[str], apart: bool = True) -> SoundFile | MediaFile | MediaReader:
    """A recording, checked, with `sample_rate`, `channels`, `info()` and `blocks()`; a context manager.

    apart: whether FFmpeg, which reads what libsndfile does not, gets a process of its own; not where this one may crash. Raises
    AudioError for what cannot be read.
    """
    with open_bytes(Path(path)) as file:
        head = file.read(LOOK)
        if length := tag_length(head[:12]):  # ID3, which may stand before AAC, too
            file.seek(length)
            head = file.read(LOOK)
    medium = medium_of(head)
    if medium is None:
        return SoundFile(path)
    return MediaFile(path, medium) if apart else MediaReader(path, medium)
