"""A token store as data to train on: codes are read from its memory map when they are asked for, captions and notes from its tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solfa.codecs.codec import Codec
from solfa.codecs.token_file import TokenHeader
from solfa.data.tables import CAPTIONS, LISTS
from solfa.score.score import Score
from solfa.tokenize_audio.store.format import Meta
from solfa.tokenize_audio.store.store import TokenStore
from solfa.train.captions import Said, said_of
from solfa.train.recordings import TRAINED, Recording, say_strays, validated_on


def check_store(store: TokenStore, codec: Codec, codebooks: int, place: str | Path) -> None:
    """ValueError, naming the store, for codes of another codec or other weights, and where there are fewer codebooks."""
    store.head.check_codec(codec, str(place))
    if store.head.codebooks < codebooks:
        raise ValueError(f"{place}: has {store.head.codebooks} codebooks, {codebooks} are needed")


class StoreSource:
    """The recordings of a store that are not empty, as a `CodeSource`. Codes of another codec or other weights: ValueError, by name.

    codebooks: of one channel, the first of them. apart: for stereo models of a mono codec; a store of one channel is heard on both
    sides, as a mono recording is. splits: of each recording, in small letters, "" where the store says none.
    """

    def __init__(
        self,
        place: str | Path,
        codec: Codec,
        codebooks: int,
        apart: bool = False,
        instruments: bool = False,
    ) -> None:
        self._store = TokenStore(place)
        check_store(self._store, codec, codebooks, place)
        if apart:
            warnings.warn(f"{place}: codes of one channel, which both sides of a stereo model hear alike", stacklevel=2)
        self._codebooks, self._apart, self._instruments = codebooks, apart, instruments
        self._items = np.flatnonzero(self._store.lengths)
        self.lengths = self._store.lengths[self._items]
        splits = self._store.splits
        self.splits = [splits[i].strip().lower() for i in self._items.tolist()]

    def codes(self, index: int, start: int, frames: int) -> np.ndarray:
        codes = self._store.codes(int(self._items[index]), start, frames)[: self._codebooks]
        return np.repeat(codes, 2, 0) if self._apart else codes

    def said(self, index: int) -> Said:
        return said_in(self._store.meta(int(self._items[index]), notes=False), self._instruments)

    def name(self, index: int) -> str:
        return StoredItem(self._store, int(self._items[index])).name()


def said_in(meta: Meta, instruments: bool = False) -> Said:
    """What the metadata of an item say: its texts, its attributes, and other fields of its manifest that are told (bpm, key, ...)."""
    others = {name: value for name, value in meta.extra.items() if name not in (*CAPTIONS, *LISTS)}
    return said_of({**others, "texts": meta.texts, "attributes": meta.attributes}, instruments)


@dataclass(frozen=True)
class StoredItem:
    """An item of a store. Its notes and codes are read when they are asked for."""

    store: TokenStore
    index: int

    def name(self) -> str:
        """The store and the item's key."""
        return f"{self.store.path}: {self.store.meta(self.index, notes=False).key}"

    def header(self) -> TokenHeader:
        """What a token file of it would say."""
        head = self.store.head
        facts = (head.sample_rate, head.channels, head.hop, head.codebooks, head.codebook_size)
        return TokenHeader(head.codec, head.weights_hash, *facts, coding="packed")

    def score(self) -> Score:
        """The notes and pedals of an item that has some."""
        return self.store.meta(self.index).score()

    def codes(self, codebooks: int | None = None) -> StoredCodes:
        """The first codebooks, or all."""
        shape = (codebooks or self.store.head.codebooks, int(self.store.lengths[self.index]))
        return StoredCodes(self.store, self.index, shape)


@dataclass(frozen=True)
class StoredCodes:
    """The first codebooks of an item. A slice of them is an array, and all that is read."""

    store: TokenStore
    index: int
    shape: tuple[int, int]  # codebooks, T

    def name(self) -> str:
        return StoredItem(self.store, self.index).name()

    def __getitem__(self, where: slice | tuple[slice, slice]) -> np.ndarray:
        return self.store.codes(self.index)[: self.shape[0]][where]


def stored_items(place: str | Path, held_out: bool) -> list[StoredItem]:
    """The items of a store that are to be trained on, or with `held_out` those that are not, all where none is marked so; none is empty."""
    store = TokenStore(place)
    splits = [(i, split.strip().lower()) for i, split in enumerate(store.splits) if store.lengths[i]]
    say_strays(place, [split for _, split in splits])
    marks = validated_on(split for _, split in splits)
    held = [i for i, split in splits if split in marks]
    kept = [i for i, split in splits if split in TRAINED]
    return [StoredItem(store, i) for i in ((held or [i for i, _ in splits]) if held_out else kept)]


def recordings_in(place: str | Path, instruments: bool = False) -> Iterator[Recording]:
    """What is said of each item of a store, and its split."""
    for meta in TokenStore(place).metas(notes=False):
        yield Recording(Path(meta.key), said_in(meta, instruments), meta.split.strip().lower())
