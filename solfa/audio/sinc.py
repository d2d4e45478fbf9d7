"""Change of sample rate exactly as torchaudio and julius do it: what EnCodec and DAC were trained behind and are run behind.

Both evaluate the windowed sinc of Smith (https://ccrma.stanford.edu/~jos/resample/) at every output sample. With the rates over their
greatest common divisor, up output samples stand on down input samples, and then the same `up` filters follow again. The filters are
those of the references to the last rounding (theirs are computed partly in float32, which moves the sound by 1e-5), the sums are taken in
float64 and rounded once. They are elementwise, in the order of the taps: no bit depends on how the sound was cut or on the threads.

Where the references are not followed: they compute the length of their output in float32, which beyond 2^22 samples or so can be one
off. Ours is computed in integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from solfa.audio.resample import Resampler, Sound, check_rates, cut, joined, resample, resampled_length

RESAMPLERS = ("soxr", "torchaudio", "julius")
_WORK = 1 << 15  # values that are worked on at a time: 256 KiB, which stay in the processor's cache
_RUN = 64  # output samples at least that are computed side by side
_MAX_TAPS = 1 << 24  # of all filters of a pair of rates: 128 MiB


@dataclass(frozen=True)
class SincFilter:
    """zeros: zero crossings on either side. rolloff: cutoff, as a share of the lower Nyquist frequency.

    reference: "torchaudio" (`transforms.Resample`: silence around the sound, length rounded up) or "julius" (`resample_frac`: the first
    and the last sample are held, each filter's sum is 1, length rounded down).
    """

    reference: str
    zeros: int
    rolloff: float

    def taps(self, down: int, up: int) -> tuple[np.ndarray, np.ndarray]:
        """Filters [up, taps], float64, and the input sample, counted from that of the first output, of each one's first tap, [up]."""
        width = self.width(down, up)
        phase = torch.arange(up)
        first = phase * down // up - width + 1
        place = first[:, None] + torch.arange(2 * width)  # [up, taps]
        weigh = self._torchaudio if self.reference == "torchaudio" else self._julius
        return weigh(phase, place, down, up).double().numpy(), first.numpy()

    def width(self, down: int, up: int) -> int:
        """Input samples that a filter reaches to either side."""
        return math.ceil(self.zeros * down / (min(down, up) * self.rolloff))

    def length(self, samples: int, source: int, target: int) -> int:
        """Samples that come out. julius would leave nothing of a very short sound: at least one sample is kept of ours."""
        if self.reference == "torchaudio":
            return resampled_length(samples, source, target)
        return max(samples * target // source, min(samples, 1))

    def _torchaudio(self, phase: torch.Tensor, place: torch.Tensor, down: int, up: int) -> torch.Tensor:
        base = min(down, up) * self.rolloff
        # The phase in float32, the rest in float64: so it is in torchaudio.
        t = ((-phase / up)[:, None].double() + place.double() / down) * base
        t = t.clamp(-self.zeros, self.zeros)
        window = torch.cos(t * math.pi / self.zeros / 2) ** 2
        return (_sinc(t * math.pi) * (window * (base / down))).float()

    def _julius(self, phase: torch.Tensor, place: torch.Tensor, down: int, up: int) -> torch.Tensor:
        base = min(down, up) * self.rolloff
        shift = (-phase.double() / up).float()[:, None]
        t = ((shift + place.float() / down) * base).clamp(-self.zeros, self.zeros) * math.pi
        kernel = _sinc(t) * torch.cos(t / self.zeros / 2) ** 2
        return kernel / kernel.sum(1, keepdim=True)


FILTERS = {"torchaudio": SincFilter("torchaudio", 6, 0.99), "julius": SincFilter("julius", 24, 0.945)}


def _sinc(t: torch.Tensor) -> torch.Tensor:
    return torch.where(t == 0, torch.ones_like(t), t.sin() / t)


@lru_cache(maxsize=8)
def _taps(kind: str, down: int, up: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """`SincFilter.taps` of that many times `up` output samples."""
    taps, first = FILTERS[kind].taps(down, up)
    return np.tile(taps, (repeats, 1)), (first + np.arange(repeats)[:, None] * down).reshape(-1)


class SincResampler:
    """Streaming, as `Resampler`: `push` blocks [C, n] as they come and `flush` once; the pieces join to what `resample_as` gives.

    Memory does not grow with the recording. Raises ValueError for rates below 1, for a kind that is not in FILTERS, and for rates that are
    so high and so unrelated (some 300 kHz, with no common divisor) that their filters would not fit.
    """

    def __init__(self, kind: str, source: int, target: int, channels: int, dtype: type | np.dtype = np.float32) -> None:
        check_rates(source, target)
        if kind not in FILTERS:
            raise ValueError(f"resampler {kind!r}: must be one of {', '.join(FILTERS)}")
        if channels < 1:
            raise ValueError(f"{channels} channels: at least 1")
        self.kind, self.source, self.target, self.channels, self.dtype = kind, source, target, channels, np.dtype(dtype)
        self._filter = FILTERS[kind]
        common = math.gcd(source, target)
        down, up = source // common, target // common
        self._width = self._filter.width(down, up)
        if 2 * self._width * up > _MAX_TAPS:
            raise ValueError(
                f"{kind} cannot resample {source} to {target} Hz: it needs a filter for each of {up} positions"
            )
        # A run of few output samples is taken several times: numpy is slow on rows that are many and short.
        repeats = -(-_RUN // up)
        self._taps, self._first = _taps(kind, down, up, repeats)
        self._down, self._up = down * repeats, up * repeats
        self._span = self._down + 2 * self._width - 1  # input samples that a run of `down` looks at
        self._runs = max(1, _WORK // (self._span + self._up))  # that are computed at a time
        self._held: np.ndarray | None = None  # input from `width - 1` samples before the next run on
        self._taken = self._given = 0
        self._last: np.ndarray | None = None
        self._finished = False

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes samples [C, n]; gives those that are ready [C, m], perhaps none."""
        return joined(self.parts(block), self.channels, self.dtype)

    def parts(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """As `push`, which joins these: arrays [C, m], m above 0, of bounded size, whatever the block becomes."""
        if self._finished:
            raise ValueError("push after flush: make a new resampler for another recording")
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"a block of shape {list(block.shape)}: [{self.channels}, n]")
        if self.source == self.target:
            self._taken += block.shape[1]
            yield block
            return
        for part in cut(block, self.source, self.target):
            self._taken += part.shape[1]
            self._last = part[:, -1:].astype(self.dtype)
            if self._held is None:
                self._held = self._around(part[:, :1], self._width - 1)
            ready = self._advance(part)
            if ready.shape[1]:
                yield ready

    def flush(self) -> np.ndarray:
        """Ends the recording; gives the rest [C, m]."""
        self._finished = True
        if self.source == self.target or self._last is None:
            return np.zeros((self.channels, 0), self.dtype)
        total = self._filter.length(self._taken, self.source, self.target)
        missing = total - self._given
        runs = -(-missing // (self._up * self._runs)) * self._runs
        assert self._held is not None
        after = max(0, (runs - 1) * self._down + self._span - self._held.shape[1])
        return self._advance(self._around(self._last, after))[:, :missing]

    def _around(self, edge: np.ndarray, samples: int) -> np.ndarray:
        """What stands before or after the sound, [C, samples], whose sample there is `edge`, [C, 1]."""
        return np.repeat(edge * (self.kind == "julius"), samples, axis=1).astype(self.dtype)

    def _advance(self, block: np.ndarray) -> np.ndarray:
        assert self._held is not None
        held = np.concatenate([self._held, block.astype(self.dtype, copy=False)], axis=1)
        need, step = (self._runs - 1) * self._down + self._span, self._runs * self._down
        blocks = max(0, (held.shape[1] - need) // step + 1)
        out = np.empty((self.channels, blocks * self._runs * self._up), self.dtype)
        for row, into in zip(held, out, strict=True):
            for i, part in enumerate(np.split(into, blocks) if blocks else []):
                part[:] = self._filtered(row[i * step : i * step + need])
        self._held = held[:, blocks * step :].copy()
        self._given += out.shape[1]
        return out

    def _filtered(self, row: np.ndarray) -> np.ndarray:
        """The output of `runs` runs of `down` samples: always the same number, whose sums are then always the same."""
        runs = np.lib.stride_tricks.sliding_window_view(row, self._span)[:: self._down]
        columns = np.ascontiguousarray(runs.T, np.float64)  # [span, runs]
        total = np.zeros((self._up, len(runs)))
        for index, weights in enumerate(self._taps.T):
            total += columns[self._first + (self._width - 1 + index)] * weights[:, None]
        return total.T.reshape(-1)


def make_resampler(
    kind: str, source: int, target: int, channels: int, dtype: type | np.dtype = np.float32
) -> Resampler | SincResampler:
    """The streaming resampler of that kind: "soxr", "torchaudio" or "julius". Raises ValueError for another."""
    _check_kind(kind)
    if kind == "soxr":
        return Resampler(source, target, channels, dtype)
    return SincResampler(kind, source, target, channels, dtype)


def resample_as(kind: str, samples: Sound, source: int, target: int) -> Sound:
    """Samples [..., S] at `source` Hz to `target` Hz by the resampler of that kind, as long as it makes them.

    "soxr" and "torchaudio" give ceil(S * target / source) samples, "julius" the floor of that, but one at least. Takes, gives and raises
    what `resample` does.
    """
    _check_kind(kind)
    check_rates(source, target)
    if kind == "soxr" or source == target:
        return resample(samples, source, target)
    if isinstance(samples, torch.Tensor):
        if samples.requires_grad:
            raise ValueError("samples that require a gradient: resampling is not differentiable, detach() them")
        moved = resample_as(kind, samples.cpu().numpy(), source, target)
        return torch.from_numpy(moved).to(samples.device)
    if samples.dtype not in (np.float32, np.float64):
        raise ValueError(f"samples of {samples.dtype}: float32 or float64")
    rows = samples.reshape(math.prod(samples.shape[:-1]), samples.shape[-1])
    length = FILTERS[kind].length(samples.shape[-1], source, target)
    result = np.zeros((len(rows), length), samples.dtype)  # [rows, S']
    for row, into in zip(rows, result, strict=True):
        stream, at = SincResampler(kind, source, target, 1, samples.dtype), 0
        for part in stream.parts(row[None]):
            into[at : at + part.shape[1]] = part[0]
            at += part.shape[1]
        into[at:] = stream.flush()[0]
    return result.reshape(*samples.shape[:-1], length)


def _check_kind(kind: str) -> None:
    if kind not in RESAMPLERS:
        raise ValueError(f"resampler {kind!r}: must be one of {', '.join(RESAMPLERS)}")
