"""What the workers of the fault suite call in place of `encode_shard`: the same, with faults on order; and a driver, to be killed.

What is on order, and what was done, are files in the folder STORE.orders. pace: seconds to wait after every file. limit: bytes that a
file may have at most, as if the disk were full. exhausted: files of codes cannot be opened, as if too many were open. timeout: seconds
that a decoder may be silent. calls, steps: a line a call, and a file that was done: `shard process`. A sound of the constant POISON kills
whoever encodes it; `hanging_child` says what hangs its decoder.
"""

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from solfa.codecs.codec import Codec
from solfa.codecs.registry import load_codec
from solfa.tokenize_audio.engines import local, ranks, ray
from solfa.tokenize_audio.status import Summary
from solfa.tokenize_audio.work import decode
from solfa.tokenize_audio.work.job import TIMEOUT, Job, run_claim
from solfa.tokenize_audio.work.plan import Plan, plan
from solfa.tokenize_audio.work.report import ShardReport, Step
from solfa.tokenize_audio.work.shard import encode_shard as real
from solfa.tokenize_audio.work.sources import find_sources

POISON = 0.5
WORK = "faulty:encode_shard"
exhausted = False


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """As the system does when a process has too many files open; of some files only, for Ray has its own to open."""
    if exhausted and event == "open" and str(arguments[0]).endswith(".codes"):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), arguments[0])


sys.addaudithook(refuse)


def orders(store: str | Path) -> Path:
    return Path(f"{store}.orders")


def encode_shard(
    job: Job, index: int, codec: Codec, progress: Callable[[Step], None], decoder: decode.Decoder
) -> ShardReport:
    folder = orders(job.store)
    note(folder / "calls", index)
    limit, hard = read(folder / "limit"), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit) if limit else hard, hard))
    global exhausted
    exhausted = bool(read(folder / "exhausted"))
    decode.CHILD = "hanging_child"
    codec.encode_parts = deadly(type(codec).encode_parts.__get__(codec))  # type: ignore[method-assign]

    def slow(step: Step) -> None:
        note(folder / "steps", index)
        time.sleep(float(read(folder / "pace") or 0))
        progress(step)

    return real(job, index, codec, slow, decoder)


def deadly(encode_parts: Callable[..., Iterator]) -> Callable[..., Iterator]:
    def encode(parts: Iterable[torch.Tensor], codebooks: int) -> Iterator:
        def tasted() -> Iterator[torch.Tensor]:
            for part in parts:
                if part.shape[-1] and bool((part[..., :100] == POISON).all()):
                    os.kill(os.getpid(), signal.SIGKILL)
                yield part

        return encode_parts(tasted(), codebooks)

    return encode


def note(path: Path, index: int) -> None:
    line = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(line, b"%d %d\n" % (index, os.getpid()))
    os.close(line)


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def look(sources: str, store: str, codec_folder: str, write: bool = True) -> Plan:
    limits = {"shard_items": 4, "timeout": float(read(orders(store) / "timeout") or TIMEOUT)}
    return plan(find_sources([sources]), store, load_codec(codec_folder), codec_folder, write=write, **limits)  # type: ignore[arg-type]


def run(engine: str, planned: Plan, jobs: int, address: str = "", seat: tuple[int, int] = (0, 1)) -> Summary:
    if engine == "ray":
        return ray.run(planned, jobs, work=WORK, address=address)
    if engine == "ranks":
        return ranks.run(planned, *seat, jobs, work=WORK)
    return local.run(planned, jobs, work=WORK)


def drive(
    engine: str,
    sources: str,
    store: str,
    codec_folder: str,
    jobs: int,
    address: str = "",
    seat: tuple[int, int] = (0, 1),
) -> Summary:
    """What `solfa tokenize` does, with the faulty work."""
    if engine == "ranks":
        planned = ranks.plan_together(store, lambda write: look(sources, store, codec_folder, write))
        return run(engine, planned, jobs, seat=seat)
    with run_claim(store):
        return run(engine, look(sources, store, codec_folder), jobs, address)


if __name__ == "__main__":
    name, sources, store, codec_folder, jobs, cluster, rank, world = sys.argv[1:]
    sys.exit(drive(name, sources, store, codec_folder, int(jobs), cluster, (int(rank), int(world))).exit_code)
