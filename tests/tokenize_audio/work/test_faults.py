"""Whatever is killed, whenever: nothing is lost, nothing is done twice, the bytes are those of a run that nothing befell."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import solfa
from solfa.audio.sound_file import AudioError, SoundFile
from solfa.codecs.codec import Codec
from solfa.tokenize_audio.store.format import read_manifest, shard_paths
from solfa.tokenize_audio.work import decode, encoding, spool
from solfa.tokenize_audio.work.decode import BadSound, SourceStamp
from solfa.tokenize_audio.work.decode_child import file_hash
from solfa.tokenize_audio.work.job import Job, spool_path, stamp_of
from solfa.tokenize_audio.work.report import Step
from solfa.tokenize_audio.work.shard import encode_shard
from solfa.tokenize_audio.work.sources import SourceItem
from solfa.tokenize_audio.work.trial import try_apart

pytestmark = pytest.mark.filterwarnings("ignore:.*channels of the input are averaged")


class InProcess:
    """A decoder without a process: these tests are of what comes after."""

    def __init__(self) -> None:
        self.asked: deque[str] = deque()

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, path: str) -> None:
        self.asked.append(path)

    def sound(self) -> InProcessSound:
        try:
            return InProcessSound(self.asked.popleft())
        except AudioError as error:
            raise BadSound(str(error)) from error


class InProcessSound:
    def __init__(self, path: str) -> None:
        self.file = SoundFile(path)
        stamp = stamp_of(path)
        assert stamp is not None
        self.mixed = False
        self.sample_rate, self.seconds, self.stamp = self.file.sample_rate, 0.0, SourceStamp(*stamp, file_hash(path))

    def blocks(self) -> Iterator[np.ndarray]:
        for block in self.file.blocks(1000):
            self.seconds += block.shape[1] / self.sample_rate
            yield block

    def drop(self) -> None:
        pass


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding.ShardWork, "decoder", lambda work: InProcess())
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # who is killed loses nothing that was written


@pytest.fixture
def unbroken(corpus, tmp_path, codec: Codec, planned, store_bytes, in_process) -> tuple[Job, dict[str, bytes]]:
    """A job that waits, and the bytes of a store in which it was done."""
    (corpus / "bad.wav").write_text("no sound")
    for name in ("b/b1.ogg", "b/b2.wav", "b/b3.flac"):
        (corpus / name).unlink()
    first = planned(corpus, tmp_path / "first").job
    encode_shard(first, 0, codec)
    return planned(corpus, tmp_path / "store").job, store_bytes(first.store)


def apart(work: Callable[[], object]) -> str | None:
    return try_apart(lambda: work() and None, lambda: None, 60.0)


def kill_at(step: int) -> Callable[..., None]:
    """Kills this process at the step-th thing that it, or a trial of its, does to files."""
    done, worker = 0, os.getpid()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event in ("os.rename", "os.remove", "os.link", "os.truncate", "write") or (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+")
        ):
            done += 1
            if done == step:
                os.kill(worker, signal.SIGKILL)
                signal.pause()

    return hook


def dies_at(step: int, job: Job, codec: Codec) -> str | None:
    """How a process ends that encodes the job's shard and is killed at its step-th step."""

    def work() -> None:
        hook = kill_at(step)
        sys.addaudithook(hook)
        write_all = spool._write_all

        def counted(handle: int, data: bytes, at: int) -> None:
            write_all(handle, data[: len(data) // 2], at)  # torn
            hook("write", ())
            write_all(handle, data, at)

        spool._write_all, os.fsync = counted, lambda handle: hook("write", ())
        encode_shard(job, 0, codec)

    return apart(work)


def test_killed_at_every_write_step(unbroken, codec: Codec, store_bytes, tmp_path):
    job, expected = unbroken
    step = 0
    while dies_at(step := step + 1, job, codec) == "SIGKILL":
        # Every second time on what the last one left, every second time afresh; and every time it must become the same.
        if step % 2:
            encode_shard(job, 0, codec)
            assert visible(store_bytes(job.store)) == expected, f"killed at step {step}"
            for name in expected.keys() - {"store.json"}:
                (Path(job.store) / name).unlink()
    assert step > 30
    encode_shard(job, 0, codec)
    assert visible(store_bytes(job.store)) == expected


def test_killed_at_every_step_of_making_again(unbroken, corpus, codec: Codec, planned, store_bytes, tmp_path):
    """The codes of a file that is gone are there after all of it, and every other time the next who plans has seen it too."""
    store, start = Path(unbroken[0].store), tmp_path / "start"
    encode_shard(unbroken[0], 0, codec)
    (corpus / "a1.wav").unlink()
    soundfile.write(corpus / "a3.wav", np.zeros(900, "f4"), 8000)
    job = planned(corpus, store).job
    shutil.copytree(store, start)
    encode_shard(job, 0, codec)
    expected = store_bytes(store)
    assert read_manifest(store, 0).items == 3
    # Every third step, for the time that it takes; every second time on what the last one left.
    for number, step in enumerate(range(1, 1000, 3)):
        if number % 2 == 0:
            shutil.rmtree(store)
            shutil.copytree(start, store)
        ended = dies_at(step, job, codec)
        if number % 4 < 2:
            planned(corpus, store)
        if number % 2 or ended is None:
            encode_shard(job, 0, codec)
            assert visible(store_bytes(store)) == expected, f"killed at step {step}"
        assert ended in (None, "SIGKILL")
        if ended is None and number % 2 == 0:
            break
    assert step > 40


def visible(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without the temporary files of killed writers, which the next plan sweeps away."""
    return {name: data for name, data in files.items() if not name.startswith(".solfa-")}


def test_the_next_plan_sweeps(unbroken, corpus, codec: Codec, planned, store_bytes, tmp_path):
    job, expected = unbroken
    (Path(job.store) / ".solfa-0123456789abcdef.tmp").write_text("of a writer that was killed")
    encode_shard(job, 0, codec)
    planned(corpus, Path(job.store))
    assert store_bytes(job.store) == expected


def test_a_full_disk(unbroken, codec: Codec, store_bytes):
    job, expected = unbroken
    failures = []

    for limit in (0, 40, 150, 400, 1000, 2000, 4000, 8000):

        def work(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            try:
                encode_shard(job, 0, codec)
            except OSError as error:
                assert error.errno, error
                os._exit(3)

        failures.append(apart(work))
        manifest = shard_paths(job.store, 0).manifest
        assert not manifest.exists() or failures[-1] is None
    assert failures[0] == failures[2] == "exit 3"
    encode_shard(job, 0, codec)
    assert visible(store_bytes(job.store)) == expected


def test_a_file_that_kills_its_worker(unbroken, corpus, codec: Codec, monkeypatch, codes_of):
    job, _ = unbroken
    stream = encoding.ShardWork._stream

    def poisoned(work: encoding.ShardWork, item: SourceItem, sound: object) -> None:
        if item.key == "a3.wav":
            os.kill(os.getpid(), signal.SIGKILL)
        stream(work, item, sound)  # type: ignore[arg-type]

    monkeypatch.setattr(encoding.ShardWork, "_stream", poisoned)
    assert apart(lambda: encode_shard(job, 0, codec)) == "SIGKILL"
    steps: list[Step] = []
    report = encode_shard(job, 0, codec, steps.append)
    assert {f.key: f.reason for f in report.quarantined}[
        "a3.wav"
    ] == "kills the process that encodes it (SIGKILL), 2 times"
    assert report.items == 2 and set(codes_of(job)) == {"a1.wav", "a2.flac"}
    assert sorted(step.key for step in steps if step.done) == ["a3.wav", "bad.wav"]


def test_who_is_killed_from_outside_blames_nobody(unbroken, codec: Codec, store_bytes, monkeypatch):
    job, expected = unbroken
    stream = encoding.ShardWork._stream

    def killed(work: encoding.ShardWork, item: SourceItem, sound: object) -> None:
        os.kill(worker, signal.SIGKILL)
        signal.pause()

    for _ in range(3):  # in the midst of the same file, and then of its trial

        def work() -> None:
            nonlocal worker
            worker = os.getpid()
            encoding.ShardWork._stream = killed  # type: ignore[method-assign]
            encode_shard(job, 0, codec)

        worker = 0
        assert apart(work) == "SIGKILL"
    assert not shard_paths(job.store, 0).manifest.exists()
    encode_shard(job, 0, codec)
    assert visible(store_bytes(job.store)) == expected
    assert encoding.ShardWork._stream is stream


def test_a_worker_that_stops_in_good_order_leaves_no_suspects(unbroken, codec: Codec):
    job, _ = unbroken

    def stop(step: Step) -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        encode_shard(job, 0, codec, stop)
    left = {path.suffix for path in spool_path(job, 0).parent.iterdir()}
    assert left == {".codes", ".journal"}


def test_memory_that_runs_out_is_no_files_fault(unbroken, codec: Codec, store_bytes, monkeypatch):
    job, expected = unbroken

    def starved(parts, codebooks):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")

    with monkeypatch.context() as patch:
        patch.setattr(codec, "encode_parts", starved)
        with pytest.raises(MemoryError, match="tiny cannot be run"):
            encode_shard(job, 0, codec)
    encode_shard(job, 0, codec)
    assert store_bytes(job.store) == expected


def test_files_that_kill_hang_and_bloat_their_decoder(tmp_path, codec: Codec, planned, codes_of, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    names = ("a.wav", "again.wav", "bloat.wav", "crash.wav", "hang.wav", "late.wav", "z.wav")
    for name in names:
        soundfile.write(folder / name, np.full(3000, 0.1, "f4"), 8000)
    monkeypatch.setattr(decode, "CHILD", "poison_child")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    job = planned(folder, tmp_path / "store", memory=256, timeout=1.0).job
    report = encode_shard(job, 0, codec)
    assert {failure.key: failure.reason for failure in report.quarantined} == {
        "bloat.wav": "takes more than 256 MiB to decode",
        "crash.wav": "kills its decoder (SIGSEGV), 2 times",
        "hang.wav": "hangs: nothing came out of its decoder for 1 s, 2 times",
    }
    assert set(codes_of(job)) == {"a.wav", "again.wav", "late.wav", "z.wav"}


def test_a_decoder_that_does_not_start_is_no_files_fault(tmp_path, corpus, codec: Codec, planned, monkeypatch):
    monkeypatch.setattr(decode, "CHILD", "no_such_module")
    job = planned(corpus, tmp_path / "store").job
    with pytest.raises(OSError, match="does not start"):
        encode_shard(job, 0, codec)
    assert not (spool_path(job, 0).with_suffix(".attempt")).exists()


def test_clock_time_zone_locale_and_hash_seed(corpus, tmp_path, codec: Codec, codec_folder, planned, store_bytes):
    job = planned(corpus, tmp_path / "store").job
    encode_shard(job, 0, codec)
    script = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from solfa.codecs.registry import load_codec\n"
        "from solfa.tokenize_audio.work.plan import plan\n"
        "from solfa.tokenize_audio.work.shard import encode_shard\n"
        "from solfa.tokenize_audio.work.sources import find_sources\n"
        "codec = load_codec(sys.argv[1])\n"
        "job = plan(find_sources([sys.argv[2]]), sys.argv[3], codec, sys.argv[1], shard_items=512).job\n"
        "encode_shard(job, 0, codec)\n"
    )
    other = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", script, codec_folder, str(corpus), str(tmp_path / "other")],
        check=True,
        env=os.environ | other,
        cwd=Path(solfa.__file__).parents[1],
    )
    assert store_bytes(tmp_path / "other") == store_bytes(job.store)
