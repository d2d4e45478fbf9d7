"""An adaptive model of one codebook's codes, for many planes in lockstep, with integers only.

A code's share is a mixture of guesses, each weighted by how well it did before on this plane:

- any code, equally;
- a code as often as it came among the last 32, and as often as it came at all;
- the code before; the code that came the last time after the code before, and the other one that came before that.

A language model's guess can join them (`lm_coding`). Every plane begins anew, knowing nothing: it decodes by itself. The evidence for a
guess is the sum of the parts that it had in the shares of the codes that came (expectation-maximisation, step by step), halved from time
to time so that old codes count less. Counts are kept in two levels, runs of codes and codes within a run, so a step costs about 2 sqrt(N)
a plane.
"""

from collections.abc import Sequence

import numpy as np

from solfa.codecs.bitpacking import bits_for
from solfa.codecs.entropy.range_coder import RangeDecoder, RangeEncoder

MAX_SIZE = 1 << 14  # codes that a codebook may have, and frames that a plane may have
RECENT = 32
EVERY = slice(None)
_UNIT = 1 << 10  # of evidence
_FIRST = (8 * _UNIT, _UNIT, _UNIT, _UNIT, _UNIT, _UNIT)  # any code, recent, ever, and three single codes
_HINTED = (4 * _UNIT, _UNIT, _UNIT, _UNIT, _UNIT, _UNIT, 16 * _UNIT)  # and a language model's
_MOST = 128 * _UNIT  # evidence of all guesses together, before it is halved
_LEAST = _UNIT // 4  # that a guess keeps: it can come back
_FINE = 8  # bits by which evidence is multiplied before it is shared out among codes
_CODES_AT_ONCE = 1 << 18  # bounds the memory: rows times codes of a codebook, and rows times frames


def encode_planes(planes: np.ndarray, size: int) -> list[bytes]:
    """Codes [M, F] of planes, each code in [0, size), to the bytes of each plane. size and F are at most 2^14."""
    assert size <= MAX_SIZE and planes.shape[1] <= MAX_SIZE
    data: list[bytes] = []
    for rows in _parts(planes.shape[0], planes.shape[1], size):
        part = planes[rows].astype(np.int64)
        model, coder = AdaptiveModel(len(part), size), RangeEncoder(len(part))
        for codes in np.ascontiguousarray(part.T):
            model.weigh()
            coder.push(*model.share(codes), model.total)
            model.learn(codes)
        data += coder.finish()
    return data


def decode_planes(data: Sequence[bytes], frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Undo `encode_planes`: codes int32 [M, F], and whether each plane's bytes are those of an encoder, bool [M]."""
    codes, good = np.empty((len(data), frames), np.int32), np.empty(len(data), bool)
    for rows in _parts(len(data), frames, size):
        part = data[rows]
        model, coder = AdaptiveModel(len(part), size), RangeDecoder(part)
        for t in range(frames):
            model.weigh()
            found, start, width = model.find(coder.target(model.total))
            coder.take(start, width)
            model.learn(found)
            codes[rows, t] = found
        good[rows] = coder.ended()
    return codes, good


class AdaptiveModel:
    """The state of R planes. For each frame: `weigh`, then `share` of the codes or `find` them, then `learn`.

    hinted: there is one guess more, of a language model: `hint` says, after `weigh` and before the codes, what it is.
    """

    def __init__(self, rows: int, size: int, hinted: bool = False) -> None:
        self.size, self.rows = size, np.arange(rows)
        self._shift = (bits_for(size) + 1) // 2  # a run holds 2^shift codes
        runs = -(-size >> self._shift)
        self._run_sizes = np.minimum(size - (np.arange(runs) << self._shift), 1 << self._shift)
        self._mask = (1 << self._shift) - 1
        self._counts = np.zeros((2, rows, runs, 1 << self._shift), np.int64)  # among the recent, ever
        self._sums = np.zeros((2, rows, runs), np.int64)
        self._seen = 0
        self._recent = np.zeros((RECENT, rows), np.int64)
        first = np.array(_HINTED if hinted else _FIRST, np.int64)
        self._evidence = np.tile(first[:, None], (1, rows))  # [6 or 7, R]
        self._hints = np.zeros((rows, runs, 1 << self._shift), np.int64) if hinted else None
        self._after = np.full(
            (2, rows, size + 1), -1, np.int64
        )  # what came after each code; `size` is before the first
        self._before = np.full(rows, size, np.int64)

    def weigh(self) -> None:
        """Share out the evidence among the codes, for the next frame."""
        fine = self._evidence << _FINE
        self._each = np.maximum(fine[0] // self.size, 1)  # [R], of any code
        counted = [min(self._seen, RECENT), self._seen]
        self._times = np.stack(
            [fine[1 + i] // max(n, 1) for i, n in enumerate(counted)]
        )  # [2, R], for each time it came
        before = np.where(self._before == self.size, -1, self._before)
        self._guesses = np.concatenate([before[None], self._after[:, self.rows, self._before]])  # [3, R]; -1: none
        self._masses = np.where(self._guesses < 0, 0, fine[3:6])  # [3, R]
        known = sum(times * n for times, n in zip(self._times, counted, strict=True))
        self.total = self._each * self.size + known + self._masses.sum(0)  # [R]
        self._runs = self._each[:, None] * self._run_sizes + (self._times[:, :, None] * self._sums).sum(0)  # [R, runs]
        for guess, mass in zip(np.maximum(self._guesses, 0) >> self._shift, self._masses, strict=True):
            self._runs[self.rows, guess] += mass

    def hint(self, shares: np.ndarray, rows: slice = EVERY) -> None:
        """A language model's guess for these rows: whole numbers up to 2^18 as float64, [r, N]."""
        assert self._hints is not None
        mass = (self._evidence[6, rows] << _FINE)[:, None].astype(np.float64)
        hints = self._hints[rows]
        # Rounding down the float64 quotient is the quotient of integers, as the product has fewer than 53 bits; and faster.
        hints.reshape(len(shares), -1)[:, : self.size] = shares * mass / shares.sum(1, keepdims=True)
        sums = hints.sum(2)
        self._runs[rows] += sums
        self.total[rows] += sums.sum(1)

    def share(self, codes: np.ndarray, rows: slice = EVERY) -> tuple[np.ndarray, np.ndarray]:
        """Start and size of each row's code in [0, total)."""
        run = codes >> self._shift
        before, _ = _bounds(self._runs[rows].cumsum(1), run)
        start, size = _bounds(self._ends_within(run, rows), codes & self._mask)
        return before + start, size

    def find(self, targets: np.ndarray, rows: slice = EVERY) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The code at each row's place in [0, total), its start and its size."""
        ends = self._runs[rows].cumsum(1)
        run = (ends <= targets[:, None]).sum(1)
        before, _ = _bounds(ends, run)
        ends = self._ends_within(run, rows)
        place = (ends <= (targets - before)[:, None]).sum(1)
        start, size = _bounds(ends, place)
        return (run << self._shift) + place, before + start, size

    def learn(self, codes: np.ndarray) -> None:
        """Go on to the next frame: these codes came, in all rows."""
        rows, run, place = self.rows, codes >> self._shift, codes & self._mask
        parts = [
            self._each[None],
            self._times * self._counts[:, rows, run, place],
            np.where(self._guesses == codes, self._masses, 0),
        ]
        if self._hints is not None:
            parts.append(self._hints[rows, run, place][None])
        part = np.concatenate(parts)  # [6 or 7, R]
        self._evidence += (part << _UNIT.bit_length() - 1) // part.sum(0)
        if (much := self._evidence.sum(0) > _MOST).any():
            self._evidence = np.where(much, np.maximum(self._evidence >> 1, _LEAST), self._evidence)
        self._count(codes)
        last, other = self._after[:, rows, self._before]
        self._after[1, rows, self._before] = np.where(last != codes, last, other)
        self._after[0, rows, self._before] = codes
        self._before = codes.copy()

    def _count(self, codes: np.ndarray) -> None:
        rows, mask = self.rows, self._mask
        self._counts[:, rows, codes >> self._shift, codes & mask] += 1
        self._sums[:, rows, codes >> self._shift] += 1
        oldest = self._recent[self._seen % RECENT]
        if self._seen >= RECENT:
            self._counts[0, rows, oldest >> self._shift, oldest & mask] -= 1
            self._sums[0, rows, oldest >> self._shift] -= 1
        oldest[:] = codes
        self._seen += 1

    def _ends_within(self, run: np.ndarray, rows: slice) -> np.ndarray:
        """Where each code of each row's run ends, counted from the run's start: [r, codes of a run]."""
        chosen = self.rows[rows]
        each = self._each[rows, None] + (self._times[:, rows, None] * self._counts[:, chosen, run]).sum(0)
        if self._hints is not None:
            each += self._hints[chosen, run]
        for guess, mass in zip(self._guesses[:, rows], self._masses[:, rows], strict=True):
            inside = np.where(guess >> self._shift == run, mass, 0)
            each[np.arange(len(run)), np.maximum(guess, 0) & self._mask] += inside
        return each.cumsum(1)


def _bounds(ends: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and size of what is at `place` [R] in each row of parts that end at `ends` [R, n]."""
    rows = np.arange(len(place))
    start = np.where(place > 0, ends[rows, place - 1], 0)
    return start, ends[rows, place] - start


def _parts(rows: int, frames: int, size: int) -> list[slice]:
    step = max(1, _CODES_AT_ONCE // max(frames, size))
    return [slice(start, start + step) for start in range(0, rows, step)]
