"""One function over many items, in this process or in several, with results in the order of the items."""

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from solfa.cli.report import UsageError, plain_warnings, reason, show_traceback

Item = TypeVar("Item")

AHEAD = 4  # items in flight a worker: enough that none waits, few enough that results do not pile up


@dataclass(frozen=True)
class Outcome(Generic[Item]):
    """What became of one item: `result`, or `error` as one line."""

    item: Item
    result: Any = None
    error: str | None = None


def run_jobs(work: Callable[[Item], Any], items: Sequence[Item], *, jobs: int = 1) -> Iterator[Outcome[Item]]:
    """`work(item)` for each item; an item that fails costs only itself, and with several `jobs` so does one that kills its process.

    One job runs in this process: another would load anew what is loaded here. With `jobs` > 1 the items go to that many spawned
    processes of one thread each (0: one a core), so `work` and the items must pickle: a function at the top of a module, or an
    instance of a frozen dataclass with `__call__`. What each process needs once (a loaded codec) belongs in an `lru_cache` beside
    `work`. They end when this process does, however it ends.
    """
    from solfa.parent import cores

    check_jobs(jobs)
    jobs = min(jobs or cores(), len(items))
    return _in_processes(work, items, jobs) if jobs > 1 else map(lambda item: _attempt(work, item), items)


def check_jobs(jobs: int) -> None:
    """Raises UsageError for a number of processes that cannot be."""
    if jobs < 0:
        raise UsageError(f"-j {jobs}: at least 0 (0 is one a core)")


def _attempt(work: Callable[[Item], Any], item: Item) -> Outcome[Item]:
    try:
        return Outcome(item, work(item))
    except Exception as error:
        show_traceback(error)
        return Outcome(item, error=reason(error) or type(error).__name__)


def _in_worker(work: Callable[[Item], Any], item: Item) -> Outcome[Item]:
    from solfa.parent import TERMINATED

    try:
        return _attempt(work, item)
    except SystemExit:
        # Our own SIGTERM, after the `finally` blocks have removed temporary files: take no further item.
        os._exit(TERMINATED)


def _start_worker() -> None:
    from solfa.parent import TERMINATED, end_with, unwind

    plain_warnings("solfa")
    # Before torch is imported: one thread a process, or N workers on N cores make N * N threads.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    end_with(end=unwind)


def _in_processes(work: Callable[[Item], Any], items: Sequence[Item], jobs: int) -> Iterator[Outcome[Item]]:
    waiting = iter(items)
    while suspects := (yield from _one_pool(work, waiting, jobs)):
        # A worker died, and the pool does not say over which item: each that was in flight runs again on its own.
        for item, outcome in suspects:
            if outcome is not None:
                yield outcome
            elif (yield from _one_pool(work, iter([item]), 1)):
                yield Outcome(item, error="the process that worked on it died (out of memory, or a crash)")


Suspects = list[tuple[Item, Outcome[Item] | None]]


def _one_pool(
    work: Callable[[Item], Any], waiting: Iterator[Item], jobs: int
) -> Generator[Outcome[Item], None, Suspects[Item]]:
    """Yields outcomes in order; returns the items in flight when a worker died, with the outcomes that are known."""
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)
    flying: deque[tuple[Item, Future[Outcome[Item]]]] = deque()
    try:
        while True:
            for item in islice(waiting, jobs * AHEAD - len(flying)):
                flying.append((item, Future()))  # before `submit`, which raises when the pool has just broken
                flying[-1] = (item, pool.submit(_in_worker, work, item))
            if not flying:
                return []
            outcome = flying[0][1].result()
            flying.popleft()
            yield outcome
    except BrokenProcessPool:
        return [(item, _known(future)) for item, future in flying]
    finally:
        if flying:  # interrupted, or broken: let nobody work on
            for _, future in flying:
                future.cancel()
            for process in multiprocessing.active_children():
                process.terminate()
        # Once only, and waiting: the pool's thread must have ended before the interpreter's own end, which calls it by a pipe that the
        # thread closes (a traceback then, now and then).
        pool.shutdown(cancel_futures=True)


def _known(future: "Future[Outcome[Item]]") -> Outcome[Item] | None:
    whole = future.done() and not future.cancelled() and future.exception() is None
    return future.result() if whole else None
