"""A shard: its codes are those of `encode_file`, its bytes depend on nothing else, its bad inputs are left out by name."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from solfa.codecs.codec import Codec
from solfa.tokenize_audio.engines.board import Board
from solfa.tokenize_audio.store.annotate import annotate
from solfa.tokenize_audio.store.export import export, from_parquet
from solfa.tokenize_audio.store.format import TokenStoreError, shard_paths
from solfa.tokenize_audio.store.merge import merge
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.verify import verify
from solfa.tokenize_audio.store.writer import rewrite_meta
from solfa.tokenize_audio.work.job import shard_claim
from solfa.tokenize_audio.work.locks import Locked
from solfa.tokenize_audio.work.report import Step
from solfa.tokenize_audio.work.shard import encode_shard

pytestmark = pytest.mark.filterwarnings("ignore:.*channels of the input are averaged")


@pytest.mark.parametrize(("size", "order"), [(512, 1), (4, -1)])
def test_codes_are_those_of_encode_file(corpus, tmp_path, codec: Codec, planned, codes_of, size: int, order: int):
    job = planned(corpus, tmp_path / "store", shard_items=size).job
    reports = [encode_shard(job, shard.index, codec) for shard in job.shards[::order]]
    found = codes_of(job)
    assert sorted(found) == ["a1.wav", "a2.flac", "a3.wav", "b/b1.ogg", "b/b2.wav", "b/b3.flac"]
    for key, codes in found.items():
        expected = codec.encode_file(corpus / key)
        assert np.array_equal(codes, expected.tokens[0].numpy()), key
    assert sum(report.items for report in reports) == 6 and not any(report.skipped for report in reports)
    assert sum(report.frames for report in reports) == sum(codes.shape[1] for codes in found.values())


def test_fewer_codebooks_and_what_is_said(corpus, tmp_path, codec: Codec, planned, codes_of):
    steps: list[Step] = []
    job = planned(corpus, tmp_path / "store", codebooks=2).job
    report = encode_shard(job, 0, None, steps.append)
    assert all(codes.shape[0] == 2 for codes in codes_of(job).values())
    assert [step.key for step in steps if step.done] == [
        "a1.wav",
        "a2.flac",
        "a3.wav",
        "b/b1.ogg",
        "b/b2.wav",
        "b/b3.flac",
    ]
    assert sum(step.seconds for step in steps) == pytest.approx(report.seconds, abs=0.02)


def test_a_second_run_finds_it_done(corpus, tmp_path, codec: Codec, planned, store_bytes):
    plan = planned(corpus, tmp_path / "store", shard_items=4)
    job = plan.job
    first = [encode_shard(job, index, codec) for index in plan.todo]
    before = store_bytes(job.store)
    again = planned(corpus, tmp_path / "store", shard_items=4)
    assert again.todo == () and again.new == 0 and not again.changed
    second = [encode_shard(again.job, shard.index, codec) for shard in again.job.shards]
    assert all(report.skipped for report in second)
    assert [(r.items, r.frames, r.seconds) for r in first] == [(r.items, r.frames, r.seconds) for r in second]
    assert store_bytes(job.store) == before


def test_bad_inputs_are_left_out_by_name(tmp_path, codec: Codec, planned, codes_of):
    folder = tmp_path / "in"
    folder.mkdir()
    good = np.random.default_rng(0).uniform(-0.4, 0.4, 8000).astype("f4")
    soundfile.write(folder / "good.wav", good, 8000)
    soundfile.write(folder / "good \n é \U0001f3b5.wav", good, 8000)
    soundfile.write(folder / "cut.mp3", np.tile(good, 40), 8000)
    for name in ("cut.mp3",):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
    data = (folder / "good.wav").read_bytes()
    (folder / "half.wav").write_bytes(data[: len(data) // 2])
    (folder / "header.wav").write_bytes(data[:44])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "one.wav").write_bytes(b"R")
    (folder / "page.wav").write_text("<html>no such sound</html>")
    bad = good.copy()
    bad[5000] = np.nan
    soundfile.write(folder / "nan.wav", bad, 8000, subtype="FLOAT")
    os.mkfifo(folder / "pipe.wav")
    os.symlink(folder / "loop.wav", folder / "loop.wav")
    (folder / "dir.wav").mkdir()
    lying = bytearray(data)
    lying[22:24] = (0).to_bytes(2, "little")
    (folder / "lying.wav").write_bytes(lying)
    (folder / "list.txt").write_text(f"{folder}/good.wav\n{folder}/gone.wav\n")
    job = planned([folder, f"@{folder}/list.txt"], tmp_path / "store").job
    report = encode_shard(job, 0, codec)
    reasons = {failure.key: failure.reason for failure in report.quarantined}
    assert set(codes_of(job)) == {"good.wav", "good %0A é \U0001f3b5.wav"}
    assert set(reasons) == {
        *("cut.mp3", "half.wav", "header.wav", "empty.wav", "one.wav", "page.wav", "nan.wav", "pipe.wav"),
        *("loop.wav", "lying.wav", "gone.wav"),
    }
    assert "truncated" in reasons["cut.mp3"] and "truncated" in reasons["half.wav"]
    assert reasons["empty.wav"] == "is empty" and reasons["gone.wav"] == "no such file"
    assert reasons["nan.wav"].startswith("holds NaN") and reasons["pipe.wav"] == "is no regular file"
    assert all("\n" not in reason and str(folder) not in reason for reason in reasons.values())
    again = planned([folder, f"@{folder}/list.txt"], tmp_path / "store")
    assert again.todo == ()
    assert encode_shard(job, 0, codec).quarantined == report.quarantined
    assert planned(folder, tmp_path / "store", retry=True).todo == (0,)


def test_notes_and_texts_come_along(tmp_path, codec: Codec, planned, corpus):
    from solfa.data.manifest import Entry, write_manifest
    from solfa.score.midi import write_midi
    from solfa.score.note import Note
    from solfa.score.score import score_of_notes

    notes = (Note(0.0, 0.5, 60), Note(0.5, 1.0, 64))
    write_midi(score_of_notes(notes), corpus / "x.mid")
    (corpus / "bad.mid").write_bytes(b"MThd nothing")
    entries = [
        Entry("one", "a1.wav", "A calm waltz", {"genre": "waltz"}, "x.mid", "valid", extra={"licence": "CC0"}),
        Entry("two", "a3.wav", notes=notes),
        Entry("three", "b/b2.wav", notes="bad.mid"),
    ]
    write_manifest(corpus / "manifest.jsonl", entries)
    job = planned(corpus, tmp_path / "store").job
    report = encode_shard(job, 0, codec)
    (failure,) = report.quarantined
    assert failure.key == "three" and failure.reason.startswith("its notes cannot be read")
    store = TokenStore(job.store)
    one, two = store.meta(0), store.meta(1)
    assert (one.texts, one.attributes, one.split, one.extra) == (
        ("A calm waltz",),
        {"genre": "waltz"},
        "valid",
        {"licence": "CC0"},
    )
    assert one.notes == notes == two.notes and one.seconds == pytest.approx(1.3)
    assert one.source == str(corpus / "a1.wav") and one.source_bytes == (corpus / "a1.wav").stat().st_size


def test_a_shard_that_is_there_tells_what_it_told_when_it_was_made(corpus, tmp_path, codec: Codec, planned):
    """The seconds of its sources, not those of whole frames."""
    job = planned(corpus, tmp_path / "store").job
    fresh = [encode_shard(job, shard.index, codec) for shard in job.shards]
    again = Board(planned(corpus, tmp_path / "store"), (), lambda event: None).summary()
    assert again.seconds == sum(report.seconds for report in fresh) and again.failed == ()
    assert again.seconds != sum(report.frames for report in fresh) / codec.frame_rate


def test_what_no_store_can_hold_is_left_out_alone(corpus, tmp_path, codec: Codec, planned, codes_of):
    """Nothing that is said of one recording stops the others, whether it is found before its sound is encoded or after."""
    (corpus / "a1.json").write_text('{"bpm": NaN}')
    (corpus / "a2.txt").write_bytes(b"\xff")
    (corpus / "a3.json").write_text(json.dumps({"text": "\ud800"}))
    deep = '{"a": ' + "[" * 80 + "]" * 80 + "}"
    (corpus / "b" / "b1.json").write_text(deep)
    job = planned(corpus, tmp_path / "store").job
    report = encode_shard(job, 0, codec)
    reasons = {entry.key: entry.reason for entry in report.quarantined}
    assert sorted(reasons) == ["a1.wav", "a2.flac", "a3.wav", "b/b1.ogg"]
    assert "NaN is no number" in reasons["a1.wav"] and "not text in UTF-8" in reasons["a2.flac"]
    assert "text that UTF-8 can hold" in reasons["a3.wav"] and "nested deeper" in reasons["b/b1.ogg"]
    assert sorted(codes_of(job)) == ["b/b2.wav", "b/b3.flac"]
    assert planned(corpus, tmp_path / "store").todo == ()
    (corpus / "a2.txt").write_text("one that can be read")  # as its sound, were that repaired
    again = planned(corpus, tmp_path / "store")
    assert again.changed == ("a2.flac",)
    assert len(encode_shard(again.job, 0, codec).quarantined) == 3
    (corpus / "a1.json").write_text('{"bpm": 90}')
    again = planned(corpus, tmp_path / "store", retry=True)
    assert len(encode_shard(again.job, 0, codec).quarantined) == 2


def test_notes_that_are_gone_when_a_shard_is_written(corpus, tmp_path, codec: Codec, planned, codes_of, store_bytes):
    from solfa.score.midi import write_midi
    from solfa.score.note import Note
    from solfa.score.score import score_of_notes

    write_midi(score_of_notes([Note(0.0, 0.5, 60)]), corpus / "x.mid")
    names = ("a1.wav", "a2.flac", "a3.wav")
    rows = [{"id": name, "audio": name, **({"notes": "x.mid"} if name == "a1.wav" else {})} for name in names]
    (corpus / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = planned(corpus, tmp_path / "store").job

    def stop(step: Step) -> None:
        if step.key == "a2.flac" and step.done:
            (corpus / "x.mid").unlink()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_shard(job, 0, codec, stop)
    (failure,) = encode_shard(job, 0, codec).quarantined
    assert failure.key == "a1.wav" and failure.reason.startswith("its notes cannot be read")
    assert sorted(codes_of(job)) == ["a2.flac", "a3.wav"]


def test_a_file_of_the_same_name_takes_no_place(corpus, tmp_path, codec: Codec, planned, store_bytes):
    """Two folders may hold an 01.wav each: which one a key stands for is not to change unseen. A corpus may move."""
    store = tmp_path / "store"
    job = planned(corpus, store).job
    other = tmp_path / "other"
    other.mkdir()
    soundfile.write(other / "a1.wav", np.zeros(900), 8000)
    for done in (False, True):
        with pytest.raises(ValueError, match=f"'a1.wav' is {corpus}/a1.wav in the store, and {other}/a1.wav now"):
            planned(other, store)
        if not done:
            encode_shard(job, 0, codec)
    before = store_bytes(store)
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    assert planned(moved, store).todo == ()  # of the same content
    shutil.rmtree(corpus)
    soundfile.write(moved / "a1.wav", np.zeros(900), 8000)
    assert planned(moved, store).changed == ("a1.wav",)
    assert store_bytes(store) == before


def test_a_source_that_changed(corpus, tmp_path, codec: Codec, planned, codes_of, store_bytes):
    store = tmp_path / "store"
    job = planned(corpus, store, shard_items=2).job
    for shard in job.shards:
        encode_shard(job, shard.index, codec)
    before = store_bytes(store)
    os.utime(corpus / "a1.wav", (1, 1))  # touched, not changed
    assert planned(corpus, store, shard_items=2).todo == ()
    soundfile.write(corpus / "b" / "b1.ogg", np.zeros(4000, "f4"), 8000)
    soundfile.write(corpus / "c.wav", np.zeros(4000, "f4"), 8000)
    again = planned(corpus, store, shard_items=2)
    assert again.changed == ("b/b1.ogg",) and again.new == 1 and again.todo == (1, 3)
    for index in again.todo:
        encode_shard(again.job, index, codec)
    found = codes_of(again.job)
    assert np.array_equal(found["b/b1.ogg"], codec.encode_file(corpus / "b/b1.ogg").tokens[0].numpy())
    after = store_bytes(store)
    kept = [
        "store.json",
        *(f"0000{i}{end}" for i in (0, 2) for end in (".json", ".codes.safetensors", ".meta.parquet")),
    ]
    assert all(after[name] == before[name] for name in kept) and len(found) == 7
    assert planned(corpus, store, shard_items=2).todo == ()


def test_a_source_that_changed_between_attempts(corpus, tmp_path, codec: Codec, planned, codes_of):
    job = planned(corpus, tmp_path / "store").job

    def stop(step: Step) -> None:
        if step.key == "a3.wav" and step.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_shard(job, 0, codec, stop)
    assert not shard_paths(job.store, 0).manifest.exists()
    soundfile.write(corpus / "a1.wav", np.zeros(999, "f4"), 8000)
    report = encode_shard(job, 0, codec)
    assert report.changed == ("a1.wav",) and report.resumed == 2 and report.items == 6
    assert np.array_equal(codes_of(job)["a1.wav"], codec.encode_file(corpus / "a1.wav").tokens[0].numpy())


def test_other_weights_are_refused(corpus, tmp_path, codec: Codec, seanet_folder, planned):
    from solfa.codecs.registry import load_codec
    from solfa.tokenize_audio.work.plan import plan
    from solfa.tokenize_audio.work.sources import find_sources

    job = planned(corpus, tmp_path / "store").job
    other = load_codec(seanet_folder)
    with pytest.raises(TokenStoreError, match="tiny seanet"):
        encode_shard(job, 0, other)
    with pytest.raises(TokenStoreError, match="codec 'tiny', not 'tiny seanet'; weights_hash"):
        plan(find_sources([corpus]), tmp_path / "store", other)
    with pytest.raises(TokenStoreError, match="codebooks 3, not 2"):
        planned(corpus, tmp_path / "store", codebooks=2)
    with pytest.raises(TokenStoreError, match="holds other things"):
        planned(corpus, corpus)


def test_a_damaged_shard_is_made_again(corpus, tmp_path, codec: Codec, planned, store_bytes):
    job = planned(corpus, tmp_path / "store").job
    encode_shard(job, 0, codec)
    before = store_bytes(job.store)
    codes = shard_paths(job.store, 0).codes
    data = bytearray(codes.read_bytes())
    data[-1] ^= 1
    codes.write_bytes(data)
    with pytest.warns(UserWarning, match="shard 0 is made again"):
        assert not encode_shard(job, 0, codec).skipped
    assert store_bytes(job.store) == before
    codes.write_bytes(data[:-2])
    assert planned(corpus, tmp_path / "store").damaged == (0,)


def test_a_shard_that_another_is_at(corpus, tmp_path, codec: Codec, planned):
    job = planned(corpus, tmp_path / "store").job
    with shard_claim(job, 0), pytest.raises(Locked, match=f"shard 0 is locked by process {os.getpid()} on "):
        encode_shard(job, 0, codec)
    assert encode_shard(job, 0, codec).items == 6


@pytest.mark.parametrize("stack", ["codec_folder", "seanet_folder"])
def test_in_batches_of_windows(corpus, tmp_path, stack, request, monkeypatch, codes_of):
    """What a GPU does, on the CPU."""
    from solfa.codecs.registry import load_codec
    from solfa.tokenize_audio.work import encoding_together, shard
    from solfa.tokenize_audio.work.plan import plan
    from solfa.tokenize_audio.work.sources import find_sources

    other = load_codec(request.getfixturevalue(stack))
    (corpus / "bad.wav").write_text("no sound")
    monkeypatch.setattr(encoding_together, "LANES", 4)
    monkeypatch.setattr(encoding_together, "LONGEST", 2.0)
    monkeypatch.setattr(encoding_together, "MOST_DECODERS", 2)
    job = plan(find_sources([corpus]), tmp_path / "store", other, shard_items=512).job
    calls = []
    monkeypatch.setattr(
        shard, "_encode", lambda work, items: calls.append(encoding_together.encode_together(work, items))
    )
    report = encode_shard(job, 0, other)
    assert calls and [failure.key for failure in report.quarantined] == ["bad.wav"]
    for key, codes in codes_of(job).items():
        assert np.array_equal(codes, other.encode_file(corpus / key).tokens[0].numpy()), key


def test_out_of_memory_on_a_gpu_halves_the_batch(corpus, tmp_path, seanet_folder, monkeypatch, codes_of):
    import torch

    from solfa.codecs.device_batch import DeviceBatch
    from solfa.codecs.registry import load_codec
    from solfa.tokenize_audio.work import encoding_together, shard
    from solfa.tokenize_audio.work.plan import plan
    from solfa.tokenize_audio.work.sources import find_sources

    other = load_codec(seanet_folder)
    real = DeviceBatch.encode

    def encode(self, sounds, codebooks=None):
        for number, coded in enumerate(real(self, sounds, codebooks)):
            if self.lanes > 1 and number == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield coded

    monkeypatch.setattr(DeviceBatch, "encode", encode)
    monkeypatch.setattr(encoding_together, "LANES", 4)
    monkeypatch.setattr(encoding_together, "MOST_DECODERS", 1)
    monkeypatch.setattr(shard, "_encode", encoding_together.encode_together)
    job = plan(find_sources([corpus]), tmp_path / "store", other, shard_items=512).job
    with pytest.warns(UserWarning, match="does not hold 2 files: 1 are encoded at a time"):
        assert encode_shard(job, 0, other).items == 6
    assert len(codes_of(job)) == 6


def test_annotations_stay_when_a_shard_is_made_again(corpus, tmp_path, codec: Codec, planned):
    job = planned(corpus, tmp_path / "store").job
    encode_shard(job, 0, codec)
    store = TokenStore(job.store)
    rewrite_meta(job.store, 0, [replace(store.meta(i), texts=(f"text {i}",)) for i in range(6)])
    for samples in (999, 888, 777):  # once, and once more
        soundfile.write(corpus / "a1.wav", np.zeros(samples, "f4"), 8000)
        again = planned(corpus, tmp_path / "store")
        assert again.todo == (0,)
        encode_shard(again.job, 0, codec)
        store = TokenStore(job.store)
        assert [store.meta(i).texts for i in range(6)] == [(f"text {i}",) for i in range(6)]
        assert store.meta(0).samples == samples and verify(job.store).problems == ()


def test_annotations_outlive_merging_and_importing(corpus, tmp_path, codec: Codec, planned):
    """What came of an annotated store is an annotated store, to whoever makes its shards again."""
    store = tmp_path / "store"
    encode_shard(planned(corpus, store).job, 0, codec)
    (tmp_path / "t.jsonl").write_text('{"id": "a1.wav", "text": "said later"}\n')
    annotate(store, tmp_path / "t.jsonl")
    merge([store], tmp_path / "merged")
    export(store, tmp_path / "tables", "parquet")
    from_parquet(tmp_path / "tables", tmp_path / "imported")
    soundfile.write(corpus / "a3.wav", np.zeros(999, "f4"), 8000)
    for place in (tmp_path / "merged", tmp_path / "imported"):
        again = planned(corpus, place)
        assert again.todo == (0,)
        encode_shard(again.job, 0, codec)
        assert TokenStore(place).meta(0).texts == ("said later",) and verify(place).problems == ()


def test_a_shard_that_is_made_again_is_annotated_before_or_after(corpus, tmp_path, codec: Codec, planned, monkeypatch):
    """A rank holds the shard, not the run: who annotates meanwhile is told so, and nothing that was said to be done is lost."""
    from solfa.cli.app import run
    from solfa.tokenize_audio.work import shard

    store, table = tmp_path / "store", tmp_path / "t.jsonl"
    encode_shard(planned(corpus, store).job, 0, codec)
    table.write_text('{"id": "b/b1.ogg", "text": "said meanwhile"}\n')
    soundfile.write(corpus / "a1.wav", np.zeros(999, "f4"), 8000)
    job, codes, real = planned(corpus, store).job, [], shard.write_shard

    def write(*arguments):
        codes.append(run(["store", "annotate", str(store), str(table)]))
        return real(*arguments)

    monkeypatch.setattr(shard, "write_shard", write)
    encode_shard(job, 0, codec)
    assert codes == [1] and TokenStore(store).meta(3).texts == ()
    assert run(["store", "annotate", str(store), str(table)]) == 0
    assert TokenStore(store).meta(3).texts == ("said meanwhile",)
