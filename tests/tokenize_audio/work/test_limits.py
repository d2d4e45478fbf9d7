"""No more files can be opened (EMFILE, ENFILE), or names do not reach across devices (EXDEV): nothing is lost, and nobody is blamed."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile

from solfa.codecs.codec import Codec
from solfa.tokenize_audio.engines.worker import told
from solfa.tokenize_audio.store.annotate import annotate
from solfa.tokenize_audio.store.export import export, from_parquet
from solfa.tokenize_audio.store.format import read_manifest
from solfa.tokenize_audio.store.merge import merge
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.work import decode
from solfa.tokenize_audio.work.encoding import make_decoder
from solfa.tokenize_audio.work.job import Job
from solfa.tokenize_audio.work.shard import encode_shard
from solfa.tokenize_audio.work.sources import SourceItem, find_sources
from solfa.tokenize_audio.work.trial import try_apart

KILLS = int(os.environ.get("SOLFA_FAULT_KILLS", "0"))
WORDS = "Too many open files"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*channels of the input are averaged"),
    pytest.mark.filterwarnings("ignore:.*is made again"),
]


class Openings:
    """How many files this process opens, and how many more it may: from then on, or once, it fails."""

    def __init__(self) -> None:
        self.on, self.count, self.left, self.once = False, 0, 1 << 30, False

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on or event != "open":
            return
        self.count += 1
        self.left -= 1
        if self.left == -1 or (self.left < -1 and not self.once):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), arguments[0])

    @contextmanager
    def allow(self, left: int = 1 << 30, once: bool = False) -> Iterator[None]:
        self.on, self.count, self.left, self.once = True, 0, left, once
        try:
            yield
        finally:
            self.on = False


@pytest.fixture(scope="session")
def openings() -> Openings:
    found = Openings()
    sys.addaudithook(found.hook)  # for good: it is asked at every event, and says nothing while it is off
    return found


@pytest.fixture
def again(
    corpus: Path, tmp_path: Path, codec: Codec, planned: Callable, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Job]]:
    """again(): a store of one shard, which was told a caption later and is to be made again because two sounds have changed; as new."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nothing here loses what was written
    shutil.rmtree(corpus / "b")
    (corpus / "bad.wav").write_text("no sound")
    (corpus / "table.jsonl").write_text('{"id": "a2.flac", "text": "told later"}\n')
    store, backup = tmp_path / "store", tmp_path / "backup"
    sounds = [corpus / name for name in ("a1.wav", "a2.flac", "a3.wav", "bad.wav")]
    encode_shard(planned(sounds, store).job, 0, codec)
    annotate(store, corpus / "table.jsonl")
    samples = soundfile.read(corpus / "a3.wav", dtype="float32")[0]
    soundfile.write(corpus / "a1.wav", samples[:4000], 16_000)
    soundfile.write(corpus / "a3.wav", samples[:20_000], 16_000)
    job = planned(sounds, store).job
    shutil.copytree(store, backup)

    def make() -> Job:
        shutil.rmtree(store)
        shutil.copytree(backup, store)
        return job

    yield make


def fails(work: Callable[[], object]) -> bool:
    """Whether it fails, saying so in one line; nothing else may be wrong with it."""
    try:
        work()
    except (OSError, ValueError) as error:
        said = told(error)
        assert WORDS in said["text"] and said["halt"], said
        return True
    return False


@pytest.mark.parametrize("once", [False, True])
def test_no_more_files_for_the_worker(
    again: Callable[[], Job], codec: Codec, openings: Openings, store_bytes: Callable, once: bool
) -> None:
    """Whichever opening is the first that fails, and whether the later ones do: the same call, then, ends with the same bytes."""
    job = again()
    with openings.allow():
        encode_shard(job, 0, codec)
    count, expected = openings.count, store_bytes(job.store)
    assert count > 15 and TokenStore(job.store).meta(1).texts == ("told later",)
    failed = 0
    for left in range(0, count, 1 if KILLS else 6):
        again()
        with openings.allow(left, once):
            failed += fails(lambda: encode_shard(job, 0, codec))
        if store_bytes(job.store) != expected:
            encode_shard(job, 0, codec)
            assert store_bytes(job.store) == expected, f"after {left} of {count} openings"
        assert not list((Path(job.store) / ".work" / "spool").glob("*.attempt"))
    assert failed


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
def test_no_more_files_for_the_decoder(
    again: Callable[[], Job],
    codec: Codec,
    store_bytes: Callable,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    after: int,
) -> None:
    """Opened to be told, to be looked at, to be decoded, or to be hashed: the sound file is not at fault."""
    job = again()
    encode_shard(job, 0, codec)
    expected = store_bytes(job.store)
    again()
    before = store_bytes(job.store)
    order = tmp_path / "order"
    order.write_text(f"a3.wav {after}")
    monkeypatch.setattr(decode, "CHILD", "exhausted_child")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("SOLFA_TEST_ORDER", str(order))
    with make_decoder(job, codec) as decoder:  # a worker's, kept
        with pytest.raises(OSError, match=f"{WORDS} in system: '.*a3.wav'"):
            encode_shard(job, 0, codec, decoder=decoder)
        assert store_bytes(job.store) == before
        order.unlink()
        report = encode_shard(job, 0, codec, decoder=decoder)
    assert report.resumed == 1 and report.kept == 1 and store_bytes(job.store) == expected
    assert [each.key for each in read_manifest(job.store, 0).quarantined] == ["bad.wav"]


def test_a_limit_of_the_system(again: Callable[[], Job], codec: Codec, store_bytes: Callable) -> None:
    """`ulimit -n`, of some more files than are open."""
    job = again()
    encode_shard(job, 0, codec)
    expected, outcomes = store_bytes(job.store), []
    for more in (0, 1, 2, 3, 4, 5, 6, 8, 12, 64) if KILLS else (0, 2, 4, 64):
        again()

        def work(more: int = more) -> None:
            probe = os.open(os.devnull, os.O_RDONLY)
            os.close(probe)
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe + more, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            os._exit(3 if fails(lambda: encode_shard(job, 0, codec)) else 4)

        outcomes.append(try_apart(work, lambda: None, 60.0))
        if outcomes[-1] == "exit 3":
            encode_shard(job, 0, codec)
        assert store_bytes(job.store) == expected, f"{more} more files"
    assert outcomes[0] == "exit 3" and outcomes[-1] == "exit 4" and set(outcomes) == {"exit 3", "exit 4"}


def test_notes_and_captions_are_not_left_out(openings: Openings, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", [0.1] * 100, 8000)
    (tmp_path / "a.txt").write_text("a caption")
    (tmp_path / "a.mid").write_bytes(b"MThd")
    item = SourceItem("a.wav", str(tmp_path / "a.wav"), str(tmp_path / "a.wav"), notes=str(tmp_path / "a.mid"))
    assert find_sources([tmp_path])[0].texts == ("a caption",)
    for look in (lambda: find_sources([tmp_path]), item.read_notes):
        with openings.allow(0), pytest.raises(OSError, match=WORDS):
            look()


@contextmanager
def islands() -> Iterator[None]:
    """Every folder is a device of its own: no file gets from one to another by another name."""
    on = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if on and event in ("os.rename", "os.link"):
            homes = {os.path.realpath(os.path.dirname(os.fspath(path))) for path in arguments[:2]}  # type: ignore[call-overload]
            if len(homes) > 1:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), arguments[0], None, arguments[1])

    sys.addaudithook(hook)
    try:
        yield
    finally:
        on = False


def test_no_name_goes_across_devices(
    again: Callable[[], Job], codec: Codec, planned: Callable, store_bytes: Callable, corpus: Path, tmp_path: Path
) -> None:
    """Temporary files lie beside their targets, so the folder of the work may be on another disk; and so with all that stores become."""
    job = again()
    encode_shard(job, 0, codec)
    expected = store_bytes(job.store)
    again()
    away = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else tmp_path))
    try:
        shutil.copytree(job.work, away / "work")
        shutil.rmtree(job.work)
        job.work.symlink_to(away / "work")
        with islands():
            with pytest.raises(OSError, match="cross-device"):
                os.rename(corpus / "bad.wav", tmp_path / "bad.wav")
            encode_shard(job, 0, codec)
            assert store_bytes(job.store) == expected and job.work.is_symlink()
            planned([corpus], tmp_path / "new", shard_items=2)
            annotate(job.store, corpus / "table.jsonl", add_texts=True)
            merge([job.store], tmp_path / "merged")
            for kind in ("parquet", "webdataset"):
                export(job.store, tmp_path / kind, kind)
            from_parquet(tmp_path / "parquet", tmp_path / "imported")
        names = store_bytes(job.store).keys()
        assert store_bytes(tmp_path / "merged").keys() == store_bytes(tmp_path / "imported").keys() == names
    finally:
        shutil.rmtree(away)
