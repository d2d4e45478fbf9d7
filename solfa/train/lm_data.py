"""The data of a language model: places on disk to codes with captions, split into what is trained on and what is held out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solfa.codecs.codec import Codec
from solfa.train.captions import Said
from solfa.train.code_cache import CodeCache, pick_codec_device
from solfa.train.code_source import CodesInMemory, CodeSource, Identity, read_codes
from solfa.train.recordings import Recording, find_recordings


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
    valid: CodesInMemory


def read_data(
    train: Sequence[str], valid: Sequence[str], reading: Reading, hold_out: int = 20, valid_items: int = 64
) -> LMData:
    """What folders, tables and manifests hold, encoded where it is not yet.

    Of `train`, recordings of the split "train" are used, or that are of none; of `valid` those of the split "valid" (also val, dev,
    test), or all where there are none. Without `valid`, those of `train` that are marked so are held out, or else every `hold_out`-th, at
    least one. Raises ValueError where nothing is left to train on, or codes are of another codec.
    """
    if not train:
        raise ValueError("train is empty: name a folder of sound, a table (.csv) or a manifest (.jsonl)")
    found = [(place, each) for place in train for each in find_recordings(place, reading.instruments)]
    kept = [pair for pair in found if pair[1].split in ("", "train")]
    if not kept:
        raise ValueError(f"no recordings of the split 'train' in {list(train)}")
    if valid:
        there = [(place, each) for place in valid for each in find_recordings(place, reading.instruments)]
        held = [pair for pair in there if pair[1].held_out] or there
    else:
        held = [pair for pair in found if pair[1].held_out]
    source = _read(kept, reading)
    if held:
        return LMData(source, _read(held[:valid_items], reading))
    return _divided(source, hold_out, valid_items)


def _divided(source: CodesInMemory, hold_out: int, valid_items: int) -> LMData:
    """Every `hold_out`-th recording, but at least one, evenly over all of them, is held out."""
    total = len(source.lengths)
    if total == 1:
        warnings.warn("there is one recording: it is validated on, too, which tells little", stacklevel=3)
        return LMData(source, source)
    count = min(max(1, total // hold_out), valid_items)
    held = {int(place) for place in (np.arange(count) + 0.5) * total / count}
    return LMData(_some(source, [i for i in range(total) if i not in held]), _some(source, sorted(held)))


def _some(source: CodesInMemory, indices: list[int]) -> CodesInMemory:
    codes = [source.codes(i, 0, int(source.lengths[i])) for i in indices]
    return CodesInMemory(codes, [source.said(i) for i in indices])


def _read(pairs: list[tuple[str, Recording]], reading: Reading) -> CodesInMemory:
    """The codes of recordings, each with the place that names it. Bad files are left out, and said."""
    codes: list[np.ndarray] = []
    said: list[Said] = []
    for place in dict.fromkeys(place for place, _ in pairs):
        root = Path(place) if Path(place).is_dir() else Path(place).parent
        cache = CodeCache(root, reading.codec, reading.codebooks, reading.apart, reading.cache)
        files: list[tuple[Recording, list[Path]]] = []
        for each in (each for name, each in pairs if name == place):
            given = each.codes is not None and not reading.apart  # a mono file's codes say nothing of left and right
            files.append((each, [each.codes] if given and each.codes else cache.targets(each.audio)))
        waiting = [each for each, paths in files if paths != [each.codes]]
        ready = cache.fill(waiting, pick_codec_device(reading.device)) if waiting else set()
        for each, paths in files:
            if paths == [each.codes] or each.audio in ready:
                codes.append(read_codes(paths, reading.codebooks, reading.identity))
                said.append(each.said)
    if not codes:
        raise ValueError(f"no recording could be read in {list(dict.fromkeys(place for place, _ in pairs))}")
    return CodesInMemory(codes, said)
