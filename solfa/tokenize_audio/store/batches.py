"""Crops of a store in random order, without state: what a step holds depends on the seed and the step's number alone.

So training resumes in the middle of an epoch by counting on from its step, with any number of workers and the same crops for all
processes together. Random numbers are raw words of Philox (Salmon et al. 2011), which no version of numpy changes, keyed by the seed
and counted by the step.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from solfa.tokenize_audio.store.store import TokenStore

_CROPS, _ORDER, _STARTS = range(3)  # streams of one seed
_WEIGHTS, _SHORT = ("length", "item"), ("skip", "pad")


class Places(NamedTuple):
    """Where the crops of a step are: numbers of items, and their first frames."""

    items: np.ndarray  # [B] int64
    starts: np.ndarray  # [B] int64


class Batch(NamedTuple):
    """The crops of a step. A tuple, so that a DataLoader pins it."""

    codes: Tensor  # [B, K, T], int16 or int32 as in the store
    items: Tensor  # [B] int64
    starts: Tensor  # [B] int64


class Sampler(Protocol):
    """Says which crops a step holds. sizes: how many they may be, each number once."""

    frames: int
    sizes: tuple[int, ...]

    def at(self, step: int) -> Places: ...


class CropSampler:
    """Steps of `batch` crops of `frames` frames, each drawn from the whole store.

    split: of those items only. weight: "length" draws items as often as they are long, as training does: of every recording comes the share
    of the crops that it has of the sound. "item" draws each equally often. Within an item every place where a crop fits is as likely as any
    other, so that frames near its ends, which fewer crops hold, come more seldom than those in the middle. short: what is done with items
    shorter than a crop: "skip" leaves them out, and says how many; "pad" draws them from their start, to be filled up.
    Raises ValueError where nothing is left to draw.
    """

    def __init__(
        self,
        store: TokenStore,
        frames: int,
        batch: int,
        seed: int,
        split: str | None = None,
        weight: str = "length",
        short: str = "skip",
    ) -> None:
        if weight not in _WEIGHTS:
            raise ValueError(f"weight must be one of {', '.join(_WEIGHTS)}, not {weight!r}")
        self.frames, self.batch, self.seed = frames, _at_least_one(batch, "batch"), _word(seed)
        self.sizes = (batch,)
        self._items, self._choices = _kept(store, frames, split, short)
        self._ends = np.cumsum(store.lengths[self._items] if weight == "length" else np.ones_like(self._items))

    def at(self, step: int) -> Places:
        """The crops of a step, counted from 0."""
        draws = _fractions(self.seed, _CROPS, step, 2 * self.batch)
        # Of the weights' sum; rounding must not reach the sum itself.
        spots = np.minimum((draws[: self.batch] * self._ends[-1]).astype(np.int64), self._ends[-1] - 1)
        chosen = np.searchsorted(self._ends, spots, "right")
        return Places(self._items[chosen], _starts(draws[self.batch :], self._choices[chosen]))


class EpochSampler:
    """Epochs in which every item comes once, in another order each, as a crop of `frames` frames from a place that is drawn.

    Step s is step s % steps_per_epoch of epoch s // steps_per_epoch. The last step of an epoch holds what is left of it and may be
    smaller. drop_last: without that step, so that all steps have `batch` crops; other items are left out in each epoch. split, short: see
    `CropSampler`. Raises ValueError where nothing is left to draw, or with drop_last less than a batch.
    """

    def __init__(
        self,
        store: TokenStore,
        frames: int,
        batch: int,
        seed: int,
        split: str | None = None,
        short: str = "skip",
        drop_last: bool = False,
    ) -> None:
        self.frames, self.batch, self.seed = frames, _at_least_one(batch, "batch"), _word(seed)
        self._items, self._choices = _kept(store, frames, split, short)
        whole, rest = divmod(len(self._items), batch)
        if drop_last and not whole:
            raise ValueError(
                f"batch must be at most {rest}, the items of an epoch, where drop_last is set; not {batch}"
            )
        self.steps_per_epoch = whole + (rest > 0 and not drop_last)
        self.sizes = tuple(size for size in (batch if whole else 0, 0 if drop_last else rest) if size)

    def at(self, step: int) -> Places:
        """The crops of a step, counted from 0."""
        epoch, within = divmod(_at_least_zero(step), self.steps_per_epoch)
        chosen = _order(self.seed, epoch, len(self._items))[within * self.batch : (within + 1) * self.batch]
        draws = _fractions(self.seed, _STARTS, step, len(chosen))
        return Places(self._items[chosen], _starts(draws, self._choices[chosen]))


class StoreDataset(Dataset[Batch]):
    """Steps of a sampler with their codes: `dataset[step]` is a `Batch`.

        loader = DataLoader(dataset, batch_size=None, sampler=dataset.steps(start), num_workers=4)

    pad: stands after the end of items that are shorter than a crop, for samplers with short="pad". rank, world: of processes that train
    together, each has every world-th crop of a step, beginning with that of its rank; together they have those that one alone would have.
    Each has equally many: ValueError where a step of the sampler cannot be shared so.
    """

    def __init__(
        self, store: TokenStore, sampler: Sampler, pad: int | None = None, rank: int = 0, world: int = 1
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank must be 0 to {world - 1} in a world of {world}, not {rank}")
        if uneven := [size for size in sampler.sizes if size % world]:
            raise ValueError(
                f"a step of {uneven[0]} crops cannot be shared evenly by a world of {world}: batch must be a multiple of it, and an epoch "
                "that does not end with a whole batch needs drop_last=True"
            )
        self.store, self.sampler, self.pad, self.rank, self.world = store, sampler, pad, rank, world

    def __getitem__(self, step: int) -> Batch:
        items, starts = (each[self.rank :: self.world] for each in self.sampler.at(step))
        codes = self.store.crops(items, starts, self.sampler.frames, self.pad)
        return Batch(torch.from_numpy(codes), torch.from_numpy(items.copy()), torch.from_numpy(starts.copy()))

    @staticmethod
    def steps(start: int = 0, stop: int | None = None) -> Iterable[int]:
        """The steps from `start` on, for a DataLoader to go through; without `stop` they do not end."""
        return itertools.count(start) if stop is None else range(start, stop)


def _kept(store: TokenStore, frames: int, split: str | None, short: str) -> tuple[np.ndarray, np.ndarray]:
    """The items that are drawn from, and how many crops each has."""
    if short not in _SHORT:
        raise ValueError(f"short must be one of {', '.join(_SHORT)}, not {short!r}")
    _at_least_one(frames, "frames")
    mine = np.ones(len(store), bool) if split is None else np.array([name == split for name in store.splits], bool)
    items = np.flatnonzero(mine)
    if not len(items):
        known = sorted({name for name in store.splits if name})
        there = f"there are {', '.join(known)}" if known else "none of its items says one: leave split out"
        raise ValueError(f"{store.path}: holds no items" + (f" of the split {split!r} ({there})" if split else ""))
    choices = store.lengths[items] - frames + 1
    if short == "pad":
        return items, np.maximum(choices, 1)
    if not (choices > 0).any():
        raise ValueError(f"{store.path}: none of {len(items)} items has {frames} frames")
    if left := int((choices <= 0).sum()):
        warnings.warn(
            f"{store.path}: {left} of {len(items)} items are shorter than {frames} frames and are left out",
            stacklevel=3,
        )
    return items[choices > 0], choices[choices > 0]


def _starts(draws: np.ndarray, choices: np.ndarray) -> np.ndarray:
    return np.minimum((draws * choices).astype(np.int64), choices - 1)


def _fractions(seed: int, stream: int, step: int, count: int) -> np.ndarray:
    """Numbers in [0, 1), a function of the seed, the stream and the step."""
    return (_words(seed, stream, step, count) >> np.uint64(11)) * 2.0**-53


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of `count` items in an epoch."""
    return np.argsort(_words(seed, _ORDER, epoch, count), kind="stable")


def _words(seed: int, stream: int, step: int, count: int) -> np.ndarray:
    """Raw words of 64 bits. The counter's low words count the draws, its high ones are the step."""
    key, counter = np.array([seed, stream], np.uint64), np.array([0, 0, _at_least_zero(step), 0], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def _at_least_zero(step: int) -> int:
    if step < 0:
        raise ValueError(f"steps are counted from 0, not {step}")
    return int(step)


def _at_least_one(value: int, name: str) -> int:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value


def _word(seed: int) -> int:
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed must be 0 to 2**64 - 1, not {seed}")
    return seed
