"""One suite of faults for every engine. `make test-faults` adds random kills, SOLFA_FAULT_KILLS of them an engine."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).parent / "faults"))
import faulty
import hanging_child

import solfa
from solfa.codecs.registry import load_codec
from solfa.tokenize_audio.store.format import TokenStoreError, read_manifest
from solfa.tokenize_audio.work.job import Job, is_done
from solfa.tokenize_audio.work.locks import Locked
from solfa.tokenize_audio.work.shard import encode_shard

ENGINES = ["local", "ranks", "ray"]
KILLS = int(os.environ.get("SOLFA_FAULT_KILLS", "0"))
FILES, SHARDS = 24, 6
BAD, HUNG, POISON = "05-bad.wav", "21-hung.wav", "22-poison.wav"
LONG = 600.0  # seconds after which a test waits no more: this machine may have other things to do
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes, of one CPU each, on this machine."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'solfa[scale]'")
    from ray.cluster_utils import Cluster

    # Ray gives its workers what the rest of the machine leaves, which may be nothing.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    nodes = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    nodes.add_node(**small)
    session = nodes.head_node.get_session_dir_path()
    yield nodes.address
    nodes.shutdown()
    shutil.rmtree(session, ignore_errors=True)  # Ray leaves its logs


@pytest.fixture(params=ENGINES)
def site(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tiny_music: Callable[..., tuple[Path, Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> "Site":
    """A corpus, and a place for its store."""
    # Before a cluster starts: its processes have the environment of whoever started it.
    paths = [str(Path(faulty.__file__).parent), str(Path(solfa.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    address = request.getfixturevalue("cluster") if request.param == "ray" else ""
    return Site(request.param, tmp_path, tiny_music()[0], address)


class Site:
    def __init__(self, engine: str, folder: Path, codec: Path, address: str) -> None:
        self.engine, self.codec, self.address = engine, codec, address
        self.sources, self.store = folder / "in", folder / "store"
        self.sources.mkdir()
        self.orders = faulty.orders(self.store)
        self.orders.mkdir()
        rng = np.random.default_rng(0)
        for number in range(FILES):
            self.write(f"{number:02}.wav", 0.2 * rng.standard_normal(1000 + 400 * number))
        for name in (BAD, HUNG, POISON):
            (self.sources / f"{name[:2]}.wav").unlink()
            (self.sources / name).write_bytes(b"no sound")

    def write(self, name: str, samples: np.ndarray) -> None:
        soundfile.write(self.sources / name, samples, 8000)

    @property
    def places(self) -> tuple[str, str, str]:
        return str(self.sources), str(self.store), str(self.codec)

    def order(self, name: str, value: object) -> None:
        (self.orders / name).write_text(str(value))

    def drive(self, jobs: int = 1, seat: tuple[int, int] = (0, 1)) -> Any:
        """A run in this process."""
        return faulty.drive(self.engine, *self.places, jobs, self.address, seat)

    def driver(self, jobs: int = 1, seat: tuple[int, int] = (0, 1)) -> subprocess.Popen:
        """A run in a process of its own, which can be killed."""
        command = [sys.executable, faulty.__file__, self.engine, *self.places, str(jobs), self.address]
        return subprocess.Popen([*command, *map(str, seat)], stderr=subprocess.DEVNULL)

    def drivers(self) -> list[subprocess.Popen]:
        """A run of two workers."""
        if self.engine == "ranks":
            return [self.driver(seat=(rank, 2)) for rank in (0, 1)]
        return [self.driver(jobs=2)]

    def notes(self, name: str) -> list[tuple[int, int]]:
        """Shard and process of what was noted; processes that are zombies, or gone, among them."""
        path = self.orders / name
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(shard), int(process)) for shard, process in (line.split() for line in lines)]

    def workers(self) -> list[int]:
        return sorted({process for _, process in self.notes("calls") if is_worker(process)})

    def done(self) -> set[int]:
        return {shard for shard in range(SHARDS) if is_done(self.store, shard)}

    def after_steps(self, count: int, act: Callable[[], None]) -> threading.Thread:
        """Does `act` when so many more files are through."""
        goal = len(self.notes("steps")) + count
        thread = threading.Thread(target=lambda: (wait(lambda: len(self.notes("steps")) >= goal), act()))
        thread.start()
        return thread

    def reference(self) -> dict[str, bytes]:
        """The store that one process makes which nothing happens to; what killed, or hung, is no sound there."""
        before = {name: (self.sources / name).read_bytes() for name in (HUNG, POISON)}
        for name in before:
            (self.sources / name).write_bytes(b"no sound")
        store = self.store.with_name("reference")
        job = faulty.look(str(self.sources), str(store), str(self.codec)).job
        for shard in job.shards:
            encode_shard(job, shard.index, load_codec(self.codec))
        for name, data in before.items():
            (self.sources / name).write_bytes(data)
        return contents(store)


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir() if path.is_file() and path.name != "status.json"}


def is_worker(process: int) -> bool:
    """Whether it lives, and is a worker of an engine."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return b"tokenize_audio.engines.worker" in command or b"ray::" in command


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_whatever_is_killed_the_store_ends_with_the_same_bytes(site: Site) -> None:
    site.order("pace", 0.3)
    # The driver is killed: its workers go too, and meanwhile nobody else gets at the store.
    driver = site.driver()
    wait(lambda: (bool(site.done()) and bool(site.workers())) or driver.poll() is not None)
    site.order("pace", 60)  # the next shard takes as long as it takes to look at it
    wait(lambda: site.notes("calls")[-1][0] not in site.done())
    job = Job.load(site.store)
    assert job is not None
    with pytest.raises(Locked, match="locked by process"):
        encode_shard(job, site.notes("calls")[-1][0], load_codec(site.codec))
    if site.engine != "ranks":  # those share
        with pytest.raises(Locked, match=f"locked by process {driver.pid} on"):
            site.drive()
    driver.kill()
    driver.wait()
    wait(lambda: not site.workers())
    site.order("pace", 0.15)
    before = site.done()
    assert 0 < len(before) < SHARDS
    assert_only_missing_are_called(site, before, lambda: check_full_disk(site))
    assert_only_missing_are_called(site, before, lambda: check_no_more_files(site))
    assert_only_missing_are_called(site, before, lambda: check_interrupted_once(site))
    before = site.done()
    for signals in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)):
        assert_only_missing_are_called(site, before, lambda signals=signals: check_stopped_at_once(site, *signals))  # type: ignore[misc]
    # A worker is killed, a file kills every worker, one hangs its decoder, another one has changed since it was encoded.
    site.write(POISON, np.full(8000, faulty.POISON))
    (site.sources / HUNG).write_bytes(hanging_child.HANG)
    site.order("timeout", 2)
    rng = np.random.default_rng(1)
    site.write("00.wav", 0.2 * rng.standard_normal(2000))
    killer = site.after_steps(1, lambda: os.kill(site.notes("steps")[-1][1], signal.SIGKILL))
    summary = assert_only_missing_are_called(site, before - {0}, lambda: in_two_ranks(site))
    killer.join()
    assert summary.exit_code == 1
    assert [entry.key for entry in summary.failed] == [BAD, HUNG, POISON]
    assert summary.failed[1].reason == "hangs: nothing came out of its decoder for 2 s, 2 times"
    assert "SIGKILL" in summary.failed[2].reason
    assert (summary.shards_done, summary.items, summary.elsewhere) == (SHARDS, FILES - 3, 0)
    assert_equal(site.reference(), contents(site.store))


def check_full_disk(site: Site) -> None:
    site.order("limit", 150)
    summary = site.drive()
    assert summary.halted.endswith("File too large")
    assert summary.exit_code == 1
    site.order("limit", "")


def check_no_more_files(site: Site) -> None:
    site.order("exhausted", 1)
    summary = site.drive()
    assert summary.halted.endswith(".codes: Too many open files")
    assert summary.exit_code == 1 and not summary.failed
    site.order("exhausted", "")


def check_interrupted_once(site: Site) -> None:
    """What is under way is finished."""
    called = len(site.notes("calls"))
    thread = site.after_steps(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    summary = site.drive()
    thread.join()
    assert (summary.stopped, summary.exit_code) == (signal.SIGINT, 130)
    assert len(site.notes("calls")) == called + 1
    assert site.notes("calls")[-1][0] in site.done()
    wait(lambda: not site.workers())


def check_stopped_at_once(site: Site, *signals: int) -> None:
    """Nothing is finished, and no file is under suspicion."""

    def stop() -> None:
        for number in signals:
            os.kill(os.getpid(), number)
            time.sleep(0.5)

    site.order("pace", 1.0)
    thread = site.after_steps(1, stop)
    summary = site.drive()
    thread.join()
    site.order("pace", 0.15)
    assert (summary.stopped, summary.exit_code) == (signals[0], 128 + signals[0])
    assert site.notes("calls")[-1][0] not in site.done()
    wait(lambda: not site.workers())
    assert not list((site.store / ".work" / "spool").glob("*.attempt"))


def in_two_ranks(site: Site) -> Any:
    """A run of two workers: two processes, two ranks, or an actor on each of two nodes. The summary of whoever is last."""
    if site.engine != "ranks":
        return site.drive(jobs=2)
    found: list[Any] = []
    other = threading.Thread(target=lambda: found.append(site.drive(seat=(1, 2))))
    other.start()
    found.append(site.drive(seat=(0, 2)))
    other.join()
    return found[-1]


def assert_only_missing_are_called(site: Site, done: set[int], run: Callable[[], Any]) -> Any:
    before = len(site.notes("calls"))
    result = run()
    called = {shard for shard, _ in site.notes("calls")[before:]}
    assert called and not called & done
    return result


def assert_equal(expected: dict[str, bytes], found: dict[str, bytes]) -> None:
    """The bytes, but for the reason why a file is not there that nothing but a fault can tell."""
    assert expected.keys() == found.keys()
    different = {name for name in expected if expected[name] != found[name]}
    assert different <= {f"{(FILES - 2) // 4:05d}.json"}


def test_another_codec_is_refused(site: Site, tmp_path: Path) -> None:
    codec = load_codec(site.codec)
    site.codec = tmp_path / "codec"
    codec.save(site.codec)  # type: ignore[operator]
    planned = faulty.look(*site.places)
    for weight in codec.parameters():
        weight.data += 1e-3
    codec.save(site.codec)  # type: ignore[operator]
    summary = faulty.run(site.engine, planned, 1, site.address)
    assert "weights" in summary.halted
    assert (summary.shards_done, summary.exit_code) == (0, 1)
    with pytest.raises(TokenStoreError, match="weights"):
        site.drive()
    if site.engine == "ray":
        for wrong in ({"jobs": 3}, {"gpus": 0.5}):
            with pytest.raises(ValueError, match="room for"):
                faulty.ray.run(planned, address=site.address, **wrong)  # type: ignore[arg-type]


@pytest.mark.skipif(not KILLS, reason="make test-faults")
@pytest.mark.timeout(6 * 3600)
def test_random_kills(site: Site) -> None:
    """Workers, and now and then the driver, at any moment; each item is in each store once, and the bytes are those of a calm run."""
    draw = random.Random(0)
    expected, kills = site.reference(), 0
    while kills < KILLS:
        remove(site.store)
        remove(site.orders)
        site.orders.mkdir()
        site.order("pace", 0.1)
        while len(site.done()) < SHARDS:
            kills += kill_at_random(site, site.drivers(), draw)
        calls = len(site.notes("calls"))
        site.drive()  # nothing is left to do, and nothing is left over
        assert len(site.notes("calls")) == calls
        assert_equal(expected, contents(site.store))
        assert [entry.key for shard in range(SHARDS) for entry in read_manifest(site.store, shard).quarantined] == [
            BAD,
            HUNG,
            POISON,
        ]


def kill_at_random(site: Site, drivers: list[subprocess.Popen], draw: random.Random) -> int:
    """Until the run is over, one way or the other; the number of processes killed."""

    def over() -> bool:
        return all(driver.poll() is not None for driver in drivers)

    def far_enough(goal: int) -> bool:
        return over() or (bool(site.workers()) and len(site.notes("steps")) >= goal)

    kills = 0
    while not over():
        # Some files further, then at any moment: on a slow machine too there is something done between two kills.
        wait(partial(far_enough, len(site.notes("steps")) + draw.randrange(6)))
        time.sleep(draw.uniform(0.0, 1.0))
        victims = [*site.workers()] * 4 + [driver.pid for driver in drivers if driver.poll() is None]
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(draw.choice(victims), signal.SIGKILL)
            kills += 1
    wait(lambda: not site.workers())
    return kills


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if folder.exists():
        folder.rmdir()
