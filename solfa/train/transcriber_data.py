"""The data of a transcriber: places on disk to codes with notes, split into what is trained on and what is held out."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solfa.codecs.codec import Codec
from solfa.data.mixing import MixOptions
from solfa.score.score import Score
from solfa.tokenize_audio.store.place import is_store
from solfa.train.code_cache import CodeCache
from solfa.train.code_source import Identity, read_codes
from solfa.train.recordings import TRAINED, Recording, evenly, held_out_of, say_strays, validated_on
from solfa.train.store_source import StoredCodes, StoredItem, check_store
from solfa.train.transcriber_notes import NoteTable, note_table
from solfa.train.transcriber_places import Piece, find_pieces, read_scores, root_of
from solfa.train.transcriber_variants import VariantCache, draw_variants

Scored = tuple[Piece, Score]


@dataclass(frozen=True)
class Reading:
    """How places are read: see `TranscriberTaskConfig` for the fields of the same names."""

    codec: Codec
    codebooks: int
    sustain: bool = True
    augment: int = 0
    augmentation: MixOptions = MixOptions()  # noqa: RUF009  (frozen)
    seed: int = 0
    cache: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Take:
    """A recording as a transcriber hears it, or a variant of one; `place` counts the places that it may be of.

    source: the recording's path, or a variant's token file; what a store holds knows its name itself.
    """

    codes: np.ndarray | StoredCodes  # [K, T] integers
    notes: NoteTable
    place: int = 0
    source: Path = Path()

    @property
    def name(self) -> str:
        return self.codes.name() if isinstance(self.codes, StoredCodes) else str(self.source)

    @property
    def frames(self) -> int:
        return self.codes.shape[1]


@dataclass(frozen=True)
class TranscriberData:
    """Takes to train on, and held-out ones, without variants."""

    train: list[Take]
    valid: list[Take]


def read_data(
    train: Sequence[str], valid: Sequence[str], reading: Reading, hold_out: int = 20, valid_items: int = 64
) -> TranscriberData:
    """What folders and manifests hold, encoded where it is not yet, and its variants; and what token stores hold, which have none.

    Of `train`, recordings of the split "train" are used, or that are of none; of `valid` those of the split "valid" (or val, dev; test
    where a place has no such), or all where there are none. Without `valid`, those of `train` that are marked so are held out, or else
    every `hold_out`-th of each place, at least one in all. Raises ValueError where nothing is left to train on, or codes are of another
    codec.
    """
    if not train:
        raise ValueError(
            "train is empty: name a folder of sound with MIDI files, a manifest (.jsonl) or a token store with notes"
        )
    found = [find_pieces(place) for place in train]
    kept = [[each for each in pieces if each.recording.split in TRAINED] for pieces in found]
    for place, pieces in zip(train, found, strict=True):
        say_strays(place, [each.recording.split for each in pieces])
    if not any(kept):
        raise ValueError(f"no recordings of the split 'train' in {list(train)}")
    if valid:
        there = [(place, find_pieces(place)) for place in valid]
        held = [(place, _marked(pieces) or pieces) for place, pieces in there]
    else:
        held = [(place, _marked(pieces)) for place, pieces in zip(train, found, strict=True)]
        if not any(pieces for _, pieces in held):
            total = sum(map(len, kept))
            trained, apart = held_out_of(total, hold_out, total)
            held = list(zip(train, _chosen(kept, apart), strict=True))
            kept = _chosen(kept, trained)
    validation = [take for place, pieces in _spread(held, valid_items) for take in _takes(place, pieces, reading)]
    takes = [
        take
        for number, (place, pieces) in enumerate(zip(train, kept, strict=True))
        for take in _takes(place, pieces, reading, reading.augment, number)
    ]
    for name, some in (("train", takes), ("valid", validation)):
        if not some:
            raise ValueError(f"{name}: no recording could be read")
    return TranscriberData(takes, validation)


def _spread(held: list[tuple[str, list[Piece]]], count: int) -> list[tuple[str, list[Piece]]]:
    """At most `count` pieces, evenly over all, so that every place has its share."""
    places, pieces = [place for place, _ in held], [pieces for _, pieces in held]
    return list(zip(places, _chosen(pieces, evenly(sum(map(len, pieces)), count)), strict=True))


def _chosen(places: list[list[Piece]], numbers: set[int]) -> list[list[Piece]]:
    """The pieces that have these numbers, counted through all places."""
    number = itertools.count()
    return [[piece for piece in pieces if next(number) in numbers] for pieces in places]


def _takes(place: str, pieces: list[Piece], reading: Reading, variants: int = 0, number: int = 0) -> list[Take]:
    """The recordings of one place and their variants. Bad files are left out, and said."""
    if is_store(place):
        return _stored(place, pieces, reading, variants, number)
    scored = read_scores(pieces)
    cache = CodeCache(root_of(place), reading.codec, reading.codebooks, place=reading.cache)
    waiting = [piece.recording for piece, _ in scored if piece.recording.codes is None]
    ready = cache.fill(waiting, reading.device) if waiting else set()
    takes = []
    for piece, score in scored:
        recording = piece.recording
        if recording.codes is not None or recording.audio in ready:
            path = recording.codes or cache.targets(recording.audio)[0]
            takes.append(_take(path, score, reading, number, piece.velocities, recording.audio))
    for variant in range(variants):
        takes += _varied(cache, scored, reading, variant, number)
    return takes


def _marked(pieces: list[Piece]) -> list[Piece]:
    """Those that a run is validated on."""
    splits = validated_on(each.recording.split for each in pieces)
    return [each for each in pieces if each.recording.split in splits]


def _stored(place: str, pieces: list[Piece], reading: Reading, variants: int, number: int) -> list[Take]:
    """The items of a store, one at a time; of their codes nothing is read yet."""
    if variants and pieces:
        warnings.warn(f"{place}: a token store holds no sound to vary (augment is {variants})", stacklevel=2)
    takes = []
    for piece in pieces:
        item = piece.notes
        assert isinstance(item, StoredItem)  # of a store
        check_store(item.store, reading.codec, reading.codebooks, place)
        notes = note_table(item.score(), reading.sustain, piece.velocities)
        takes.append(Take(item.codes(reading.codebooks), notes, number))
    return takes


def _varied(cache: CodeCache, scored: list[Scored], reading: Reading, variant: int, number: int) -> list[Take]:
    audio, scores = [piece.recording.audio for piece, _ in scored], [score for _, score in scored]
    plans, varied = draw_variants(audio, scores, reading.augmentation, reading.seed, variant)
    variants = VariantCache(cache, plans)
    ready = variants.fill([Recording(path) for path in plans], reading.device)
    known = all(piece.velocities for piece, _ in scored)  # a place's are; where they are not, no mixture has them
    paths = {p: variants.targets(p)[0] for p in plans if p in ready}
    return [_take(path, varied[p], reading, number, known, path) for p, path in paths.items()]


def _take(path: Path, score: Score, reading: Reading, number: int, velocities: bool, source: Path) -> Take:
    codec = reading.codec
    identity = Identity(codec.name, codec.weights_hash, codec.codebook_size)
    notes = note_table(score, reading.sustain, velocities)
    return Take(read_codes([path], reading.codebooks, identity), notes, number, source)
