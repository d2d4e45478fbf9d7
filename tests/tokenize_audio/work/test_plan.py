"""How recordings are cut into shards: by how many and how long they are, and only once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.codecs.codec import Codec
from solfa.tokenize_audio.store.annotate import annotate
from solfa.tokenize_audio.work import look as looking
from solfa.tokenize_audio.work import plan as planning
from solfa.tokenize_audio.work.job import Job, read_items, shard_claim
from solfa.tokenize_audio.work.plan import Plan, plan
from solfa.tokenize_audio.work.shard import encode_shard
from solfa.tokenize_audio.work.sources import SourceItem, find_sources

pytestmark = pytest.mark.filterwarnings("ignore:.*channels of the input are averaged")
MiB = 1 << 20


def some(count: int, first: int = 0) -> list[SourceItem]:
    """Recordings of which there is no file."""
    return [SourceItem(f"{i}.wav", f"in/{i}.wav", f"/none/{i}.wav") for i in range(first, first + count)]


def cut(planned: Plan) -> list[int]:
    return [shard.items for shard in planned.job.shards]


@pytest.mark.parametrize(
    ("count", "shards"),
    [
        (1, [1]),
        (4, [4]),
        (6, [4, 2]),
        (60, [4] * 15),
        (256, [4] * 64),
        (257, [5] * 51 + [2]),
        (4000, [63] * 63 + [31]),
        (32_767, [512] * 63 + [511]),
        (33_000, [512] * 64 + [232]),
    ],
)
def test_a_small_corpus_is_several_shards(tmp_path: Path, codec: Codec, count: int, shards: list[int]) -> None:
    found = plan(some(count), tmp_path / "store", codec, write=False)
    assert cut(found) == shards and found.todo == tuple(range(len(shards)))


@pytest.fixture
def shards(tmp_path: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Recordings of each shard, of recordings of so many MiB."""

    def planned(sizes: list[int], **more: int) -> list[int]:
        stamps = {item.path: (size * MiB, 0) for item, size in zip(some(len(sizes)), sizes, strict=True)}
        monkeypatch.setattr(planning, "stamp_of", stamps.get)
        return cut(plan(some(len(sizes)), tmp_path / "store", codec, write=False, **more))

    return planned


@pytest.mark.parametrize("count", [20, 65, 257, 4000, 32_767, 33_000, 100_003])
def test_shards_become_smaller_towards_the_end(shards: Callable[..., list[int]], count: int) -> None:
    """Where workers end one after the other, the last shard is an eighth of the usual one: that is how long most of them wait."""
    found = shards([5] * count, shard_bytes=1 << 50)
    usual = min(512, max(4, -(-count // 64)))
    assert sum(found) == count and found == sorted(found, reverse=True) and found[0] == min(usual, -(-count // 8))
    assert found[-1] <= max(1, usual // 8)
    assert found.count(usual) > (count - 8 * usual) // usual - 1, "nothing but the end is cut smaller"
    assert len(found) <= -(-count // usual) + 17
    left = count
    for shard in found:
        assert shard <= max(-(-left // 8), usual // 8), "of what is left eight workers have as much each"
        left -= shard


def test_short_recordings_are_not_shards_of_their_own(shards: Callable[..., list[int]]) -> None:
    assert shards([1] * 12) == [4, 4, 4]
    assert shards([2] * 12) == [2] * 6


def test_who_says_how_large_a_shard_is_gets_it(tmp_path: Path, codec: Codec) -> None:
    assert cut(plan(some(60), tmp_path / "store", codec, shard_items=1, write=False)) == [1] * 60
    assert cut(plan(some(60), tmp_path / "store", codec, shard_items=25, write=False)) == [25, 25, 10]
    assert cut(plan(some(60), tmp_path / "store", codec, shard_items=10_000, write=False)) == [60]
    # A GPU encodes many recordings at once.
    assert cut(plan(some(600), tmp_path / "store", codec, device="cuda", write=False)) == [512, 88]
    with pytest.raises(ValueError, match="a shard of 0 items"):
        plan(some(60), tmp_path / "store", codec, shard_items=0, write=False)


def test_long_recordings_make_shards_of_fewer(shards: Callable[..., list[int]]) -> None:
    long = [40, 20, 20, 1, 1, 30]
    assert shards(long) == [1, 1, 1, 3]
    assert shards(long, shard_items=4) == [4, 2]
    assert shards(long, shard_bytes=MiB) == [1] * 6
    assert shards([15, 15, 15] * 10)[:3] == [3, 3, 3], "32 MiB, not 4 recordings"
    # A 64th of the bytes is 939 MiB, however few recordings have most of them.
    mixed = shards([4000] * 12 + [512] * 8 + [1] * 8000)
    assert mixed[:76] == [1] * 12 + [2] * 4 + [126] * 56 + [118, 104, 91, 79] and mixed[-1] < 16
    assert shards([5000] * 200) == [1] * 200


def test_what_was_planned_stays_planned(
    corpus: Path, tmp_path: Path, codec: Codec, codec_folder: str, store_bytes
) -> None:
    """Interrupted, continued with another wish, added to: shards keep their recordings, and the bytes are those of an unbroken run."""
    store, whole = tmp_path / "store", tmp_path / "whole"
    first = plan(find_sources([corpus]), store, codec, codec_folder)
    assert cut(first) == [4, 2]
    encode_shard(first.job, 1, codec)
    for wish in (None, 1, 512):
        again = plan(find_sources([corpus]), store, codec, codec_folder, shard_items=wish)
        assert again.job == first.job and again.todo == (0,) and again.new == 0
    encode_shard(again.job, 0, codec)
    job = plan(find_sources([corpus]), whole, codec, codec_folder).job
    for shard in job.shards:
        encode_shard(job, shard.index, codec)
    assert store_bytes(store) == store_bytes(whole)
    more = [*find_sources([corpus]), *some(9)]
    added = plan(more, store, codec, codec_folder)
    assert cut(added) == [4, 2, 4, 4, 1] and added.todo == (2, 3, 4) and added.new == 9
    assert Job.load(store) == added.job == plan(more, store, codec, codec_folder).job


def test_what_a_store_was_told_since_is_no_news(corpus: Path, tmp_path: Path, codec: Codec, planned: Callable) -> None:
    """`solfa tokenize` names the recordings that are described otherwise now: until the store knows it, however it came to."""
    store = tmp_path / "store"
    job = planned(corpus, store).job
    encode_shard(job, 0, codec)
    (corpus / "a1.txt").write_text("a new caption")
    (corpus / "a3.json").write_text('{"bpm": 90}')
    assert planned(corpus, store).retold == 2
    rows = [{"id": "a1.wav", "text": "a new caption"}, {"id": "a3.wav", "bpm": 90}, {"id": "b/b1.ogg", "text": "more"}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:1]))
    annotate(store, tmp_path / "t.jsonl")
    assert planned(corpus, store).retold == 1
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    annotate(store, tmp_path / "t.jsonl")
    assert planned(corpus, store).retold == 0


def test_what_is_added_is_cut_by_itself(tmp_path: Path, codec: Codec) -> None:
    """A little that comes to a large store has as many shards as it would have alone."""
    assert cut(plan(some(640), tmp_path / "store", codec)) == [10] * 64
    added = plan(some(680), tmp_path / "store", codec)
    assert cut(added) == [10] * 64 + [4] * 10 and added.new == 40


def test_files_of_another_time_are_read_once(
    corpus: Path, tmp_path: Path, planned: Callable, codec: Codec, monkeypatch
):
    """A corpus that was copied or touched is hashed by the first who plans; whoever only looks after that reads nothing."""
    store = tmp_path / "store"
    encode_shard(planned(corpus, store).job, 0, codec)
    hashed: list[str] = []
    real = looking.file_hash
    monkeypatch.setattr(looking, "file_hash", lambda path: (hashed.append(path), real(path))[1])
    for path in corpus.rglob("*.*"):
        os.utime(path, (1, 1))
    looked = planned(corpus, store, write=False)
    assert looked.news and looked.todo == () and len(hashed) == 6
    looking._hash.cache_clear()
    assert planned(corpus, store).todo == () and len(hashed) == 12
    looking._hash.cache_clear()
    again = planned(corpus, store, write=False)
    assert not again.news and again.todo == () and len(hashed) == 12
    soundfile.write(corpus / "a1.wav", np.zeros(900), 8000)
    os.utime(corpus / "a1.wav", (1, 1))
    assert planned(corpus, store).changed == ("a1.wav",)


def test_a_wrong_command_is_taken_back(corpus: Path, tmp_path: Path, codec: Codec, planned: Callable) -> None:
    """What it planned, and nobody began, is not encoded by the next one; where others may be at it, it is named."""
    store, wrong = tmp_path / "store", tmp_path / "wrong"
    wrong.mkdir()
    for name in ("p.wav", "q.wav"):
        soundfile.write(wrong / name, np.zeros(900), 8000)
    planned(wrong, store)
    shared = planned(corpus, store, shared=True)
    assert shared.earlier == (str(wrong / "p.wav"), str(wrong / "q.wav")) and shared.todo == (0, 1)
    with shard_claim(shared.job, 0):
        assert planned(corpus, store, write=False).todo == (0, 1)
    alone = planned(corpus, store)
    assert alone.earlier == () and alone.todo == (1,) and sorted(alone.others) == []
    assert [item.key for item in read_items(store, 1)] == [item.key for item in find_sources([corpus])]
    assert not list((store / ".work" / "shards").glob("00000*"))
    encode_shard(alone.job, 1, codec)
    again = planned(wrong, store)
    assert again.todo == (2,) and len(again.others) == 6
