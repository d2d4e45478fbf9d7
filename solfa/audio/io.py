"""Sound files in and out: WAV, FLAC, OGG and MP3 are read, more with the extra `av`; WAV and FLAC are written."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from solfa.audio.opening import open_sound
from solfa.audio.resample import resample
from solfa.audio.sound_file import AudioError, AudioInfo
from solfa.files import WholeFile

__all__ = ["Audio", "AudioError", "AudioInfo", "blocks", "info", "read", "write", "write_blocks"]

SUBTYPES = {  # what can be written: the first is the default
    ".wav": ("WAV", ("PCM_16", "PCM_24", "PCM_32", "FLOAT")),
    ".flac": ("FLAC", ("PCM_16", "PCM_24")),
}
DEFAULT_BLOCK = 1 << 18  # samples per channel
WAV_LIMIT = (1 << 32) - 4096  # bytes of samples that a WAV header can count, less room for the header
MAX_RATE = (1 << 31) - 1  # Hz that libsndfile counts to
FAR = 1 << 62  # samples: beyond every recording


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound in memory: float32 samples in [-1, 1] by convention, and their rate in Hz."""

    samples: torch.Tensor  # [B, C, S] float32
    sample_rate: int

    def __post_init__(self) -> None:
        if not isinstance(self.samples, torch.Tensor) or self.samples.dtype != torch.float32 or self.samples.ndim != 3:
            got = getattr(self.samples, "dtype", type(self.samples).__name__), list(getattr(self.samples, "shape", []))
            raise ValueError(f"samples {got[0]} of shape {got[1]}: a float32 tensor [B, C, S]")
        if isinstance(self.sample_rate, bool) or not isinstance(self.sample_rate, int) or self.sample_rate < 1:
            raise ValueError(f"sample rate {self.sample_rate!r}: a whole number of Hz, at least 1")

    @property
    def channels(self) -> int:
        return self.samples.shape[1]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples.shape[-1] / self.sample_rate

    def to_mono(self) -> "Audio":
        """The mean of the channels, as one channel."""
        return self if self.channels == 1 else Audio(self.samples.mean(1, keepdim=True), self.sample_rate)

    def resample(self, sample_rate: int) -> "Audio":
        """At another rate: ceil(S * sample_rate / self.sample_rate) samples."""
        return Audio(resample(self.samples, self.sample_rate, sample_rate), sample_rate)

    def save(self, path: str | os.PathLike[str], subtype: str | None = None) -> None:
        """Writes the one recording of a batch of one; see `write`."""
        write(path, self, subtype)


def info(path: str | os.PathLike[str]) -> AudioInfo:
    """Rate, channels and exact length of a sound file. Raises AudioError where `read` would, as far as headers tell."""
    with open_sound(path) as sound:
        return sound.info()


def blocks(path: str | os.PathLike[str], *, size: int = DEFAULT_BLOCK) -> Iterator[np.ndarray]:
    """Yields a recording as float32 arrays [C, n], n at most `size`, in bounded memory and with the checks of `read`.

    A fault that shows only in decoding (a cut MP3 or FLAC, NaN) is raised when its block is reached.
    """
    with open_sound(path) as sound:
        yield from sound.blocks(size)


def read(path: str | os.PathLike[str], *, start: float = 0.0, duration: float | None = None) -> Audio:
    """Reads a recording, or the piece of it from `start` that lasts `duration` (seconds): samples [1, C, S].

    A piece ends where the recording ends; a duration of infinity is to its end. Raises AudioError, naming the file and the
    reason: no such file, a folder, no sound file, no samples, NaN or infinite samples, truncated, or `start` beyond its end.
    """
    if not start >= 0 or (duration is not None and not duration > 0):
        raise ValueError(f"start {start} and duration {duration}: seconds, start at least 0 and duration above 0")
    with open_sound(path) as sound:
        first = round(min(start * sound.sample_rate, FAR))
        left = None if duration is None else max(1, round(min(duration * sound.sample_rate, FAR)))
        pieces = []
        size = DEFAULT_BLOCK if left is None else min(left, DEFAULT_BLOCK)
        for block in sound.blocks(size, first):
            pieces.append(block if left is None else block[:, :left])
            left = None if left is None else left - pieces[-1].shape[1]
            if left == 0:
                break
        if not pieces:
            raise sound.error(f"has no sample at {start} s" if first else "holds no samples")
        return Audio(torch.from_numpy(np.concatenate(pieces, axis=1))[None], sound.sample_rate)


def write(path: str | os.PathLike[str], audio: Audio, subtype: str | None = None) -> None:
    """Writes a batch of one as .wav or .flac (PCM_16 unless `subtype` says otherwise), whole or not at all.

    In the PCM subtypes samples beyond [-1, 1] are clipped, and all are rounded to the nearest step (see `quantised`). Raises
    AudioError for another suffix, NaN or infinite samples, no samples, and what the format cannot hold; ValueError for a
    batch of several.
    """
    if audio.samples.shape[0] != 1:
        raise ValueError(f"{path}: a batch of {audio.samples.shape[0]} recordings; write them one by one")
    write_blocks(path, [audio.samples[0].detach().cpu().numpy()], audio.sample_rate, subtype)


def write_blocks(
    path: str | os.PathLike[str], blocks: Iterable[np.ndarray], sample_rate: int, subtype: str | None = None
) -> int:
    """As `write`, from float arrays [C, n] as they come, in bounded memory. Gives the samples written per channel.

    Raises AudioError, too, for a block of another kind or number of channels, and for a rate that is no whole number of Hz.
    """
    path = Path(path)
    kind, subtype = _format(path, subtype)
    sample_rate = _checked_rate(path, sample_rate)
    try:
        with WholeFile(path) as temporary:
            samples = _write_to(path, temporary, blocks, sample_rate, kind, subtype)
            if soundfile.info(str(temporary)).frames != samples:
                raise AudioError(f"{path}: not all samples could be written; is the disk full?")
    except (soundfile.SoundFileError, AssertionError) as error:
        if not os.access(path.parent, os.W_OK):  # libsndfile does not say why a file cannot be opened
            raise AudioError(f"{path}: cannot be written (nothing may be written to {path.parent})") from error
        full = "; is the disk full?" if "System error" in str(error) or not str(error) else ""
        raise AudioError(f"{path}: cannot be written ({error or 'short write'}){full}") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be written ({error.strerror})") from error
    return samples


def _format(path: Path, subtype: str | None) -> tuple[str, str]:
    suffix = path.suffix.lower()
    if suffix not in SUBTYPES:
        raise AudioError(f"{path}: cannot write {suffix or 'a file without a suffix'}; {' and '.join(SUBTYPES)} can be")
    kind, legal = SUBTYPES[suffix]
    if subtype is not None and subtype not in legal:
        raise AudioError(f"{path}: subtype {subtype!r}; {suffix} holds {', '.join(legal)}")
    return kind, subtype or legal[0]


def quantised(samples: np.ndarray, bits: int) -> np.ndarray:
    """Float samples as whole numbers of 16 or 24 bits, nearest to samples * 2^(bits - 1), halves to the even one, clipped.

    int16; 24 bits are the upper ones of int32. libsndfile's own conversion rounds for FLAC, but for WAV cuts off the bits below: an
    offset of half a step, and four times the error.
    """
    scale = 2.0 ** (bits - 1)
    whole = np.minimum(np.rint(np.clip(samples, -1, 1) * scale), scale - 1)  # exact but for rint: a power of two
    return whole.astype(np.int16) if bits == 16 else whole.astype(np.int32) << 8


def _checked_rate(path: Path, rate: int) -> int:
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or not 1 <= rate <= MAX_RATE:
        raise AudioError(f"{path}: sample rate {rate!r}: a whole number of Hz, 1 to {MAX_RATE}")
    return int(rate)


def _check_block(path: Path, block: np.ndarray, channels: int | None) -> None:
    shape = list(np.shape(block))
    if len(shape) != 2 or np.asarray(block).dtype not in (np.float32, np.float64):
        raise AudioError(f"{path}: a block of {np.asarray(block).dtype} {shape}: must be float32 or float64 [C, n]")
    if shape[0] == 0:
        raise AudioError(f"{path}: no channels to write")
    if channels is not None and shape[0] != channels:
        raise AudioError(f"{path}: a block of {shape[0]} channels after {channels}: as many in each")


def _write_to(
    path: Path, temporary: Path, blocks: Iterable[np.ndarray], sample_rate: int, kind: str, subtype: str
) -> int:
    sound: Any = None
    samples = 0
    try:
        for block in blocks:
            _check_block(path, block, None if sound is None else sound.channels)
            if not np.isfinite(block).all():
                raise AudioError(f"{path}: samples are NaN or infinite from {samples / sample_rate:.3f} s on")
            if sound is None:
                if not temporary.parent.is_dir():
                    raise AudioError(f"{path}: no such folder {temporary.parent}")
                sound = soundfile.SoundFile(
                    os.fsencode(temporary), "w", sample_rate, block.shape[0], subtype, format=kind
                )
            samples += block.shape[1]
            if kind == "WAV" and samples * block.shape[0] * _bytes(subtype) > WAV_LIMIT:
                raise AudioError(f"{path}: longer than a WAV can hold (4 GiB); write .flac")
            whole = quantised(block, 8 * _bytes(subtype)) if subtype in ("PCM_16", "PCM_24") else block
            sound.write(np.ascontiguousarray(whole.T))
    finally:
        if sound is not None:
            sound.close()
    if samples == 0:
        raise AudioError(f"{path}: no samples to write")
    return samples


def _bytes(subtype: str) -> int:
    return 4 if subtype == "FLOAT" else int(subtype.removeprefix("PCM_")) // 8
