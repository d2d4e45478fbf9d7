"""Change of sample rate by soxr (HQ), whole or streaming, with an exact output length. Arrays need no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import soxr

if TYPE_CHECKING:
    import torch

Sound = TypeVar("Sound", np.ndarray, "torch.Tensor")

AT_ONCE = 1 << 20  # values of all channels together, in or out, that a resampler works on at a time
# Times. soxr waits for some 900 samples and makes all of them at once: at this ratio 2^26 values a channel. From 2^19 on it does not
# come back.
MOST_UP = 1 << 16


def resampled_length(samples: int, source: int, target: int) -> int:
    """ceil(samples * target / source), in integers."""
    return -(-samples * target // source)


def check_rates(source: int, target: int) -> None:
    """Raise ValueError unless both rates are whole numbers of Hz, at least 1."""
    for name, rate in (("source", source), ("target", target)):
        if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or rate < 1:
            raise ValueError(f"{name} sample rate {rate!r}: a whole number of Hz, at least 1")


def cut(block: np.ndarray, source: int, target: int) -> Iterator[np.ndarray]:
    """A block [C, n] in parts of at most AT_ONCE values that become as many, or one sample a channel where that becomes more.

    A second of a file that says 3 Hz is 3 samples and becomes 24,000: a usual block of it would be gigabytes.
    """
    size = max(1, min(AT_ONCE, AT_ONCE * source // target) // block.shape[0])
    for start in range(0, block.shape[1], size):
        yield block[:, start : start + size]


def joined(parts: Iterable[np.ndarray], channels: int, dtype: np.dtype) -> np.ndarray:
    """Arrays [C, n] as one; of none [C, 0]."""
    found = list(parts)
    return found[0] if len(found) == 1 else np.concatenate([np.zeros((channels, 0), dtype), *found], axis=1)


def resample(samples: Sound, source: int, target: int) -> Sound:
    """Samples [..., S] at `source` Hz to [..., ceil(S * target / source)] at `target` Hz.

    A numpy array gives a numpy array, a tensor a tensor on its device; float32 and float64 keep their type. On equal
    rates the input itself comes back. Not differentiable. Each channel is resampled alone, so its result does not
    depend on the others. Raises ValueError for rates below 1, integer samples and gradients that would be lost.
    """
    check_rates(source, target)
    if source == target:
        return samples
    if not isinstance(samples, np.ndarray):
        import torch

        if samples.requires_grad:
            raise ValueError("samples that require a gradient: resampling is not differentiable, detach() them")
        moved = resample(samples.cpu().numpy(), source, target)
        return torch.from_numpy(moved).to(samples.device)
    if samples.dtype not in (np.float32, np.float64):
        raise ValueError(f"samples of {samples.dtype}: float32 or float64")
    length = resampled_length(samples.shape[-1], source, target)
    if not samples.size:
        return np.zeros((*samples.shape[:-1], length), samples.dtype)
    rows = samples.reshape(-1, samples.shape[-1])
    result = np.zeros((len(rows), length), samples.dtype)  # [rows, S']
    for row, into in zip(rows, result, strict=True):
        stream, at = Resampler(source, target, 1, dtype=samples.dtype), 0
        for part in stream.parts(row[None]):
            into[at : at + part.shape[1]] = part[0]
            at += part.shape[1]
        into[at:] = stream.flush()[0]
    return result.reshape(*samples.shape[:-1], length)


class Resampler:
    """Streaming: `push` blocks [C, n] as they come and `flush` once; the pieces join to what `resample` gives.

    Raises ValueError for rates below 1, for no channels, and for a target of more than 2^16 times the source.
    """

    def __init__(self, source: int, target: int, channels: int, dtype: type | np.dtype = np.float32) -> None:
        check_rates(source, target)
        if channels < 1:
            raise ValueError(f"{channels} channels: at least 1")
        if target > MOST_UP * source:
            raise ValueError(f"{source} to {target} Hz: at most {MOST_UP} times the rate")
        self.source, self.target, self.channels, self.dtype = source, target, channels, np.dtype(dtype)
        self._stream = None if source == target else soxr.ResampleStream(source, target, channels, dtype=self.dtype)
        self._taken = self._given = 0
        self._finished = False

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes samples [C, n]; gives those that are ready [C, m], perhaps none."""
        return joined(self.parts(block), self.channels, self.dtype)

    def parts(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """As `push`, which joins these: arrays [C, m], m above 0, of AT_ONCE values at most, whatever the block becomes."""
        if self._finished:
            raise ValueError("push after flush: make a new Resampler for another recording")
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"a block of shape {list(block.shape)}: [{self.channels}, n]")
        if self._stream is None:
            yield block
            return
        # No bit depends on how the sound is cut.
        for part in cut(block, self.source, self.target):
            self._taken += part.shape[1]
            ready = self._emit(self._stream.resample_chunk(np.ascontiguousarray(part.T, self.dtype)))
            yield from cut(ready, 1, 1)

    def flush(self) -> np.ndarray:
        """Ends the recording; gives the rest [C, m], so that ceil(S * target / source) samples came in all."""
        self._finished = True
        if self._stream is None:
            return np.zeros((self.channels, 0), self.dtype)
        # soxr rounds its length to nearest. The silence it assumes after the end, written out, gives the last sample.
        silence = np.zeros((self.source // self.target + 2, self.channels), self.dtype)
        last = self._emit(self._stream.resample_chunk(silence, last=True))
        missing = resampled_length(self._taken, self.source, self.target) - self._given
        assert missing == 0, f"soxr gave {missing} samples too few"
        return last

    def _emit(self, frames: np.ndarray) -> np.ndarray:
        frames = frames.reshape(-1, self.channels)
        room = resampled_length(self._taken, self.source, self.target) - self._given
        frames = frames[:room]
        self._given += len(frames)
        return np.ascontiguousarray(frames.T)
