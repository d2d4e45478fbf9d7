"""The data of a language model: places on disk to codes with captions, split into what is trained on and what is held out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solfa.codecs.codec import Codec
from solfa.tokenize_audio.store.place import is_store
from solfa.train.captions import Said
from solfa.train.code_cache import CodeCache
from solfa.train.code_source import CodesInMemory, CodeSource, Identity, Joined, Some, read_codes
from solfa.train.recordings import TRAINED, Recording, find_recordings, held_out_of, say_strays, validated_on
from solfa.train.store_source import StoreSource


@dataclass(frozen=True)
class Reading:
    """How places are read: the codec, how many codebooks of each channel, and what `LMTaskConfig` says of it."""

    codec: Codec
    codebooks: int  # of one channel
    apart: bool  # two channels of a mono codec, by turns
    instruments: bool = False
    cache: str | None = None
    device: str = "auto"

    @property
    def identity(self) -> Identity:
        return Identity(self.codec.name, self.codec.weights_hash, self.codec.codebook_size)


@dataclass(frozen=True)
class LMData:
    """Recordings to train on, and held-out ones."""

    train: CodeSource
    valid: CodeSource


@dataclass(frozen=True)
class _Place:
    """The recordings of one place: not encoded yet, or those of a store."""

    name: str
    recordings: Sequence[Recording] | StoreSource

    @property
    def splits(self) -> Sequence[str]:
        found = self.recordings
        return found.splits if isinstance(found, StoreSource) else [each.split for each in found]

    def of(self, splits: Collection[str]) -> list[int]:
        """The recordings of some splits."""
        return [i for i, split in enumerate(self.splits) if split in splits]


def read_data(
    train: Sequence[str], valid: Sequence[str], reading: Reading, hold_out: int = 20, valid_items: int = 64
) -> LMData:
    """What folders, tables and manifests hold, encoded where it is not yet, and what token stores hold, read when it is asked for.

    Of `train`, recordings of the split "train" are used, or that are of none; of `valid` those of the split "valid" (or val, dev; test
    where a place has no such), or all where there are none. Without `valid`, those of `train` that are marked so are held out, or else
    every `hold_out`-th, at least one. Raises ValueError where nothing is left to train on, or codes are of another codec.
    """
    if not train:
        raise ValueError("train is empty: name a folder of sound, a table (.csv), a manifest (.jsonl) or a token store")
    found = [_find(place, reading) for place in train]
    kept = [(place, place.of(TRAINED)) for place in found]
    for place in found:
        say_strays(place.name, place.splits)
    if not any(indices for _, indices in kept):
        raise ValueError(f"no recordings of the split 'train' in {list(train)}")
    there = [_find(place, reading) for place in valid] if valid else found
    held = [(place, place.of(validated_on(place.splits))) for place in there]
    if valid and not any(indices for _, indices in held):
        held = [(place, list(range(len(place.splits)))) for place in there]
    source = _read(kept, reading)
    if any(indices for _, indices in held):
        return LMData(source, _read(_first(held, valid_items), reading))
    trained, apart = held_out_of(len(source.lengths), hold_out, valid_items)
    return LMData(Some(source, sorted(trained)), Some(source, sorted(apart)))


def _find(place: str, reading: Reading) -> _Place:
    if is_store(place):
        return _Place(place, StoreSource(place, reading.codec, reading.codebooks, reading.apart, reading.instruments))
    return _Place(place, find_recordings(place, reading.instruments))


def _first(chosen: list[tuple[_Place, list[int]]], count: int) -> list[tuple[_Place, list[int]]]:
    """At most `count` recordings, those of the first places first."""
    some = []
    for place, indices in chosen:
        some.append((place, indices[:count]))
        count -= len(indices[:count])
    return some


def _read(chosen: list[tuple[_Place, list[int]]], reading: Reading) -> CodeSource:
    """The codes of some recordings of each place."""
    sources: list[CodeSource] = []
    for place, indices in chosen:
        found = place.recordings
        if isinstance(found, StoreSource):
            sources.append(Some(found, indices))
        elif indices:
            sources.append(_encoded(place.name, [found[i] for i in indices], reading))
    sources = [each for each in sources if len(each.lengths)]
    if not sources:
        raise ValueError(f"no recording could be read in {[place.name for place, indices in chosen if indices]}")
    return sources[0] if len(sources) == 1 else Joined(sources)


def _encoded(place: str, recordings: list[Recording], reading: Reading) -> CodesInMemory:
    """The codes of recordings of one place, encoded where they are not yet. Bad files are left out, and said."""
    root = Path(place) if Path(place).is_dir() else Path(place).parent
    cache = CodeCache(root, reading.codec, reading.codebooks, reading.apart, reading.cache)
    files: list[tuple[Recording, list[Path]]] = []
    for each in recordings:
        given = each.codes is not None and not reading.apart  # a mono file's codes say nothing of left and right
        files.append((each, [each.codes] if given and each.codes else cache.targets(each.audio)))
    waiting = [each for each, paths in files if paths != [each.codes]]
    ready = cache.fill(waiting, reading.device) if waiting else set()
    codes: list[np.ndarray] = []
    said: list[Said] = []
    names: list[str] = []
    for each, paths in files:
        if paths == [each.codes] or each.audio in ready:
            codes.append(read_codes(paths, reading.codebooks, reading.identity))
            said.append(each.said)
            names.append(str(each.audio))
    return CodesInMemory(codes, said, names)
