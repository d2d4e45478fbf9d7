"""A shard that is made again: what of the old one stays, whatever befalls the new one or its files."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.codecs.codec import Codec
from solfa.tokenize_audio.store.format import read_manifest
from solfa.tokenize_audio.work import locks
from solfa.tokenize_audio.work.job import read_items, spool_path
from solfa.tokenize_audio.work.locks import Locked
from solfa.tokenize_audio.work.report import Step
from solfa.tokenize_audio.work.shard import encode_shard

pytestmark = pytest.mark.filterwarnings("ignore:.*channels of the input are averaged")


def remake(planned, corpus, store, codec: Codec, **more: object):
    """Plan, and do what there is to do; the reports."""
    found = planned(corpus, store, **more)
    return [encode_shard(found.job, index, codec) for index in found.todo]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were asked of a decoder."""
    from solfa.tokenize_audio.work.decode import Decoder

    asked: list[str] = []
    real = Decoder.ask
    monkeypatch.setattr(Decoder, "ask", lambda self, path: (asked.append(os.path.basename(path)), real(self, path))[1])
    return asked


def test_what_is_made_again_keeps_what_did_not_change(
    corpus, tmp_path, codec: Codec, planned, codes_of, store_bytes, encoded
):
    """Of a file that is gone too; and where nothing is gone the bytes are those of a fresh store, of one file's work."""
    store = tmp_path / "store"
    remake(planned, corpus, store, codec)
    soundfile.write(corpus / "b" / "b2.wav", np.zeros(900, "f4"), 8000)
    encoded.clear()
    (report,) = remake(planned, corpus, store, codec)
    assert encoded == ["b2.wav"] and (report.items, report.kept) == (6, 5)
    remake(planned, corpus, tmp_path / "fresh", codec)
    assert store_bytes(store) == store_bytes(tmp_path / "fresh")
    before = codes_of(planned(corpus, store).job)
    for name in ("a1.wav", "a2.flac", "b/b3.flac"):
        (corpus / name).unlink()
    soundfile.write(corpus / "b" / "b2.wav", np.zeros(1300, "f4"), 8000)
    (report,) = remake(planned, corpus, store, codec)
    after = codes_of(planned(corpus, store).job)
    assert not report.quarantined and list(after) == list(before) and planned(corpus, store).todo == ()
    assert all(np.array_equal(after[key], before[key]) for key in before if key != "b/b2.wav")
    assert after["b/b2.wav"].shape[1] == 65
    assert not list((store / ".work" / "kept").iterdir())


def test_a_retry_keeps_what_is_gone(corpus, tmp_path, codec: Codec, planned, codes_of, encoded):
    """And forgets what failed, is gone, and is not named."""
    store = tmp_path / "store"
    (corpus / "bad.wav").write_text("no sound")
    (corpus / "worse.wav").write_text("no sound either")
    remake(planned, corpus, store, codec)
    (corpus / "a1.wav").unlink()
    (corpus / "worse.wav").unlink()
    encoded.clear()
    (report,) = remake(planned, corpus, store, codec, retry=True)
    assert encoded == ["bad.wav"] and [entry.key for entry in report.quarantined] == ["bad.wav"]
    assert len(codes_of(planned(corpus, store).job)) == 6
    (corpus / "bad.wav").unlink()
    (report,) = remake(planned, corpus, store, codec, retry=True)
    assert not report.quarantined and report.items == 6 and encoded == ["bad.wav"]
    assert planned(corpus, store, retry=True).todo == ()


def test_what_a_command_does_not_name_is_not_encoded(corpus, tmp_path, codec: Codec, planned, codes_of, monkeypatch):
    """A store without the folder of its work is enough: what its table says of the others stays, wherever one happens to be."""
    store = tmp_path / "store"
    (corpus / "a1.txt").write_text("a caption")
    (corpus / "bad.wav").write_text("no sound")
    monkeypatch.chdir(tmp_path)
    remake(planned, ["corpus"], store, codec)
    before = codes_of(planned(["corpus"], store).job)
    shutil.rmtree(store / ".work")
    monkeypatch.chdir(corpus)
    soundfile.write("a3.wav", np.zeros(900, "f4"), 8000)
    soundfile.write("a1.wav", np.zeros(999, "f4"), 8000)
    (report,) = remake(planned, ["a3.wav"], store, codec)
    assert [entry.reason for entry in report.quarantined] and report.kept == 5
    job = planned(["a3.wav"], store).job
    after = codes_of(job)
    assert all(np.array_equal(after[key], before[key]) for key in before if key != "a3.wav") and len(after) == 6
    assert after["a3.wav"].shape[1] == 45

    from solfa.tokenize_audio.store.store import TokenStore

    assert TokenStore(store).meta(0).texts == ("a caption",) and read_items(store, 0)[0].texts == ("a caption",)


def test_codes_of_another_encoder_are_kept_only_where_they_must(
    corpus, tmp_path, codec: Codec, planned, encoded, monkeypatch
):
    from solfa.tokenize_audio.work import job as jobs

    store = tmp_path / "store"
    remake(planned, corpus, store, codec)
    monkeypatch.setattr(jobs, "ENCODER", "solfa blocks 2")
    (corpus / "a1.wav").unlink()
    soundfile.write(corpus / "a3.wav", np.zeros(900, "f4"), 8000)
    encoded.clear()
    with pytest.warns(UserWarning, match="encoded by 'solfa blocks 1"):
        remake(planned, corpus, store, codec)
    assert sorted(encoded) == ["a2.flac", "a3.wav", "b1.ogg", "b2.wav", "b3.flac"]
    assert read_manifest(store, 0).fingerprint == "solfa blocks 1, float32, cpu; solfa blocks 2, float32, cpu"


def test_a_holder_that_was_held_up_stops(corpus, tmp_path, codec: Codec, planned, store_bytes, monkeypatch):
    """Another has taken the shard over, and is done: what is in the store is his, and nothing that is his is removed."""
    job = planned(corpus, tmp_path / "store").job
    monkeypatch.setattr(locks, "BEAT", 0.02)
    taken: list[dict[str, bytes]] = []

    def slow(step: Step) -> None:
        if step.key == "a3.wav" and step.done and not taken:
            (claim,) = (Path(job.store) / ".work/claims").iterdir()
            claim.unlink()
            taken.append(store_bytes(job.store))
            time.sleep(0.5)

    with pytest.raises(Locked, match="another one took it over"):
        encode_shard(job, 0, codec, slow)
    assert store_bytes(job.store) == taken[0] and spool_path(job, 0).with_suffix(".journal").exists()
    assert encode_shard(job, 0, codec).items == 6
