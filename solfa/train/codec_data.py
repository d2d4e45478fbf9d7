"""The recordings that a codec is trained and validated on: sound alone, of folders, tables and manifests."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from solfa.audio.io import AudioError, info
from solfa.train.recordings import TRAINED, Recording, find_recordings, held_out_of, say_strays, validated_on

HOLD_OUT = 20  # without recordings to validate on every so many-th is held out


def codec_recordings(
    train: Sequence[str], valid: Sequence[str], valid_items: int, channels: int = 1
) -> tuple[list[Path], list[Path]]:
    """The sound files to train on, and at most `valid_items` to validate on, at equal distances.

    Of `train`, recordings of the split "train" are used, or that are of none; of `valid` those that are held out (valid, or test where
    a place has no such), or all where none is marked so. Without `valid`, those of `train` that are marked so, or else every 20th, at
    least one, which is then not trained on. Files are left out, which is said, whose sound cannot be opened, or has channels that a codec
    of so many does not take: a mono one takes any, another its own number and mono. Raises ValueError where nothing is left to train on.
    """
    if not train:
        raise ValueError("train is empty: name a folder of sound, a table (.csv) or a manifest (.jsonl)")
    found = [find_recordings(place) for place in train]
    for place, recordings in zip(train, found, strict=True):
        say_strays(place, [each.split for each in recordings])
    trained = _sound((each for recordings in found for each in recordings if each.split in TRAINED), channels)
    if not trained:
        raise ValueError(f"no recordings of the split 'train' in {list(train)}")
    there = [find_recordings(place) for place in valid] if valid else found
    held = _sound((each for recordings in there for each in _marked(recordings)), channels)
    if valid and not held:
        held = _sound((each for recordings in there for each in recordings), channels)
    if held:
        stride = max(1, len(held) // valid_items)
        return trained, held[::stride][:valid_items]
    kept, apart = held_out_of(len(trained), HOLD_OUT, valid_items)
    return [trained[i] for i in sorted(kept)], [trained[i] for i in sorted(apart)]


def _marked(recordings: list[Recording]) -> list[Recording]:
    splits = validated_on(each.split for each in recordings)
    return [each for each in recordings if each.split in splits]


def _sound(recordings: Iterable[Recording], channels: int) -> list[Path]:
    """The files that hold sound for a codec of so many channels."""
    good, bad = list[Path](), list[str]()
    for each in recordings:
        try:
            sound = info(each.audio)
            if sound.duration <= 0:
                bad.append(f"{each.audio}: holds no samples")
            elif channels > 1 and sound.channels not in (1, channels):
                bad.append(f"{each.audio}: has {sound.channels} channels, the codec takes 1 or {channels}")
            else:
                good.append(each.audio)
        except (AudioError, OSError) as error:
            bad.append(str(error))
    if bad:
        warnings.warn(f"{len(bad)} recordings are left out, the first: {bad[0]}", stacklevel=4)
    return good
