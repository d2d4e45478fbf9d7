"""Made stores, of random codes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from solfa.score.note import Note
from solfa.score.score import Pedal
from solfa.tokenize_audio.store.format import Meta, StoreHead, write_head
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.writer import write_shard

HEAD = StoreHead("tiny_codec", "ab" * 32, 24000, 1, 320, 4, 1024)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk is most of the time that these tests would take, and shows them nothing."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def head() -> StoreHead:
    return HEAD


@pytest.fixture
def make_item() -> Callable[..., tuple[Meta, np.ndarray]]:
    """make_item(key, frames, head=HEAD): metadata of all kinds and codes, a function of the key and the length."""

    def make(key: str, frames: int, head: StoreHead = HEAD) -> tuple[Meta, np.ndarray]:
        random = np.random.default_rng([frames, *key.encode()])
        notes = tuple(Note(i / 3, i / 3 + 0.1, 60 + i) for i in range(frames % 4)) if frames % 5 else None
        meta = Meta(
            key=key,
            samples=frames * head.hop,
            seconds=frames * head.hop / head.sample_rate,
            source=f"/in/{key}.wav",
            source_bytes=frames,
            source_stamp=10**18 + frames,
            source_hash="0" * 32,
            texts=(f"a {key}", "Übung ♪"),
            attributes={"bpm": 120.5, "moods": ["calm"]},
            notes=notes,
            pedals=(Pedal(0.1, 0.7, 0),) if notes else (),
            velocities=bool(frames % 2),
            split=("train", "train", "valid")[frames % 3],
            extra={"licence": None},
        )
        return meta, random.integers(0, head.codebook_size, (head.codebooks, frames), dtype=np.int64)

    return make


@pytest.fixture
def make_store(tmp_path: Path, make_item: Callable[..., tuple[Meta, np.ndarray]]) -> Callable[..., TokenStore]:
    """make_store([[frames, ...], ...]): a store of these shards in tmp_path / "store"; item j of shard i is named "i/j"."""

    def make(shards: Sequence[Sequence[int]] = ((30, 0, 41), (), (12, 55)), head: StoreHead = HEAD) -> TokenStore:
        write_head(tmp_path / "store", head)
        for index, lengths in enumerate(shards):
            items = [make_item(f"{index}/{j}", frames, head) for j, frames in enumerate(lengths)]
            write_shard(tmp_path / "store", index, head, items)
        return TokenStore(tmp_path / "store")

    return make
