"""Recordings as codes, ready to be cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from solfa.codecs.token_file import TokenFile
from solfa.train.captions import Said


class CodeSource(Protocol):
    """What a language model is trained on: recordings by number. In memory, or a store that reads what is asked for."""

    lengths: np.ndarray  # [n] frames of each

    def codes(self, index: int, start: int, frames: int) -> np.ndarray:
        """Codes [K, at most `frames`] of a recording, from `start`."""
        ...

    def said(self, index: int) -> Said: ...

    def name(self, index: int) -> str:
        """The path of a recording, or its store and its key there."""
        ...


@dataclass(frozen=True)
class Identity:
    """Whose codes they are."""

    codec: str
    weights_hash: str
    codebook_size: int


class CodesInMemory:
    """Codes [K, T] that were read as a whole: two bytes a code. names: the recordings' paths."""

    def __init__(self, codes: Sequence[np.ndarray], said: Sequence[Said], names: Sequence[str]) -> None:
        self._codes, self._said, self._names = list(codes), list(said), list(names)
        self.lengths = np.array([each.shape[1] for each in self._codes], np.int64)

    def codes(self, index: int, start: int, frames: int) -> np.ndarray:
        return self._codes[index][:, start : start + frames]

    def said(self, index: int) -> Said:
        return self._said[index]

    def name(self, index: int) -> str:
        return self._names[index]


class Some:
    """Some recordings of another source, in the order of `indices`."""

    def __init__(self, source: CodeSource, indices: Sequence[int] | np.ndarray) -> None:
        self._source, self._indices = source, np.asarray(indices, np.int64)
        self.lengths = source.lengths[self._indices]

    def codes(self, index: int, start: int, frames: int) -> np.ndarray:
        return self._source.codes(int(self._indices[index]), start, frames)

    def said(self, index: int) -> Said:
        return self._source.said(int(self._indices[index]))

    def name(self, index: int) -> str:
        return self._source.name(int(self._indices[index]))


class Joined:
    """The recordings of several sources, one source after the other."""

    def __init__(self, sources: Sequence[CodeSource]) -> None:
        self._sources = list(sources)
        self.lengths = np.concatenate([each.lengths for each in self._sources])
        self._ends = np.cumsum([len(each.lengths) for each in self._sources])

    def codes(self, index: int, start: int, frames: int) -> np.ndarray:
        source, place = self._find(index)
        return source.codes(place, start, frames)

    def said(self, index: int) -> Said:
        source, place = self._find(index)
        return source.said(place)

    def name(self, index: int) -> str:
        source, place = self._find(index)
        return source.name(place)

    def _find(self, index: int) -> tuple[CodeSource, int]:
        which = int(np.searchsorted(self._ends, index, side="right"))
        return self._sources[which], index - (int(self._ends[which - 1]) if which else 0)


def read_codes(paths: Sequence[Path], codebooks: int, identity: Identity) -> np.ndarray:
    """The first codebooks of token files, one a channel, by turns: [channels * codebooks, T]. ValueError where they do not fit."""
    channels = []
    for path in paths:
        with TokenFile(path) as file:
            header = file.header
            found = Identity(header.codec, header.weights_hash, header.codebook_size)
            if found != identity:
                raise ValueError(f"{path} holds codes of {_told(found)}: the model is for {_told(identity)}")
            if header.codebooks < codebooks:
                raise ValueError(f"{path}: has {header.codebooks} codebooks, {codebooks} are needed")
            if header.segment_samples:
                raise ValueError(f"{path}: its segments are coded each by itself; a codec without them is needed")
            channels.append(file.read(codebooks=codebooks).astype(np.uint16))
    if len(channels) == 1:
        return channels[0]
    frames = min(each.shape[1] for each in channels)
    return np.stack([each[:, :frames] for each in channels], 1).reshape(len(channels) * codebooks, frames)


def _told(identity: Identity) -> str:
    return f"{identity.codec} ({identity.weights_hash[:12]}, {identity.codebook_size} codes a codebook)"
