"""The processes of a run on one machine. They are watched one by one: one that dies is replaced, and its shard is tried again."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from solfa.parent import child_environment, cores, how_it_ended
from solfa.tokenize_audio.engines.board import Board
from solfa.tokenize_audio.engines.stop import Stop
from solfa.tokenize_audio.engines.worker import WORK, report_from

LOOK = 0.2  # seconds between two looks at signals and at workers that may have died
PATIENCE = 10.0  # seconds that a worker which is told to go has to tidy up
STARTS = 3  # workers that die one after another before they were ready: then the machine, not a file, is to blame


def encode_all(board: Board, jobs: int, stop: Stop, work: str = WORK) -> None:
    """Encode the board's shards in `jobs` processes of one thread; they end when this one does, however it ends.

    With GPUs each process sees one, in turn. work: the module:function that each calls as
    `encode_shard(job, index, codec, progress, decoder)`.
    """
    with contextlib.closing(_Crew(board, min(jobs, board.open), work)) as crew:
        while (board.open or board.under_way) and not stop.now:
            crew.look()
            if stop.soon:
                board.wind_up()


def count_jobs(jobs: int, device: str) -> int:
    """How many processes `jobs` stands for on this machine: 0 is one a core, or one a GPU. Raises ValueError below that."""
    if jobs < 0:
        raise ValueError(f"{jobs} jobs: at least 0 (0 is one a core, or one a GPU)")
    return jobs or (len(gpu_names()) if device.startswith("cuda") else cores()) or 1


class _Crew:
    """The workers of a run, on `jobs` seats."""

    def __init__(self, board: Board, jobs: int, work: str) -> None:
        self.board, self.jobs = board, jobs
        # -P: what lies in the user's working folder is not imported.
        worker = (sys.executable, "-P", "-m", "solfa.tokenize_audio.engines.worker")
        self.command = [*worker, str(board.job.store), work, json.dumps(board.job.own)]
        self.environments = list(environments(board.job.device, jobs))
        self.workers: dict[int, _Worker] = {}  # seat -> worker
        self.selector = selectors.DefaultSelector()
        self.false_starts = 0

    def look(self) -> None:
        """Fill the seats, hand out shards, and hear what the workers say, for at most a moment."""
        for seat in range(self.jobs):
            idle = sum(worker.shard is None for worker in self.workers.values())
            if seat not in self.workers and idle < self.board.open:
                self.workers[seat] = _Worker(self.command, self.environments[seat])
                self.selector.register(self.workers[seat].output, selectors.EVENT_READ, self.workers[seat])
        for worker in self.workers.values():
            if worker.ready and worker.shard is None:
                worker.give(self.board.take())
        for key, _ in self.selector.select(LOOK):
            for message in key.data.messages():
                self._hear(key.data, message)
        for seat, worker in list(self.workers.items()):
            if worker.ended:
                self._bury(seat, worker)

    def _hear(self, worker: _Worker, message: dict[str, Any]) -> None:
        kind, shard = message["kind"], worker.shard
        if kind == "ready":
            worker.ready, self.false_starts = True, 0
        elif kind == "note":
            self.board.note(message["text"])
        elif kind == "fatal":
            self.board.halt(message["text"])
        elif kind == "progress" and shard is not None:
            self.board.progress(shard, message["files"], message["seconds"], message["failed"])
        elif kind == "done":
            worker.shard = None
            self.board.done(report_from(message["report"]))
        elif kind == "failed" and shard is not None:
            worker.shard = None
            self.board.failed(shard, message["text"], message["halt"])
        elif kind == "busy" and shard is not None:
            worker.shard = None
            self.board.taken(shard, message["text"])

    def _bury(self, seat: int, worker: _Worker) -> None:
        for message in worker.messages():  # its last words
            self._hear(worker, message)
        self.selector.unregister(worker.output)
        del self.workers[seat]
        how = worker.bury()
        if worker.shard is not None:
            self.board.lost(worker.shard, how)
        elif not worker.ready and not self.board.halted:
            self.false_starts += 1
            if self.false_starts >= STARTS:
                self.board.halt(f"{STARTS} workers died before they could begin, the last one {how}")

    def close(self) -> None:
        """End all workers. Those in the middle of a shard tidy up first; the others have nothing to, and torch takes its time to leave."""
        busy = [worker for worker in self.workers.values() if worker.shard is not None]
        for worker in busy:
            worker.process.terminate()
        deadline = time.monotonic() + PATIENCE
        for worker in busy:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(deadline - time.monotonic(), 0.0))
        for worker in self.workers.values():
            worker.bury()
        self.selector.close()


class _Worker:
    """One process, the pipes to it, and the shard that it is at."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        errors = None if os.environ.get("SOLFA_DEBUG", "") not in ("", "0") else subprocess.DEVNULL
        # A process group of its own: Ctrl-C in a terminal goes to the whole group in front, and is ours to handle.
        self.process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            process_group=0,
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        self.ready = False
        self.shard: int | None = None
        self._rest = b""

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def give(self, shard: int | None) -> None:
        if shard is None:
            return
        self.shard = shard
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has just died, which `ended` will say
            self.process.stdin.write(b"%d\n" % shard)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it has said since."""
        while data := self.output.read(1 << 16):
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from map(json.loads, lines)

    def bury(self) -> str:
        """Leave nothing of it running; says how it died."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # it, if it lives, and the processes that it had started
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return f"{'by' if code < 0 else 'with'} {how_it_ended(code)}"


def environments(device: str, jobs: int) -> Iterator[dict[str, str]]:
    """What each seat's worker finds in its environment: one thread (N workers of N threads would be in each other's way), and its GPU."""
    gpus = gpu_names() if device.startswith("cuda") else []
    mine = child_environment(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    # Ranks of one machine see the same GPUs, where their launcher has not parted them: each begins behind those of the rank before it.
    local_rank = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or "0"
    first = jobs * int(local_rank) if local_rank.isdigit() else 0
    for seat in range(first, first + jobs):
        yield mine | ({"CUDA_VISIBLE_DEVICES": gpus[seat % len(gpus)]} if gpus else {})


def gpu_names() -> list[str]:
    """The names of this machine's GPUs, as CUDA_VISIBLE_DEVICES knows them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]
