"""Threads that run a kernel together: each makes the same call with a number of its own, and they wait for each other inside.

They are torch's own threads where torch uses OpenMP, as on Linux: two sets of threads would be in each other's way, since OpenMP's look for
work for a while before they sleep. Elsewhere they are Python's.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

POINTER = ctypes.c_void_p


class TeamStruct(ctypes.Structure):
    _fields_ = (("number", POINTER), ("count", POINTER), ("arguments", POINTER))


@functools.cache
def openmp() -> tuple[Any, int, int] | None:
    """What begins a team in the OpenMP that torch has loaded, and the addresses of what numbers its threads; None without one."""
    try:
        everything = ctypes.CDLL(None)
        begin = everything.GOMP_parallel
        names = "omp_get_thread_num", "omp_get_num_threads"
        number, count = (ctypes.cast(getattr(everything, name), POINTER).value for name in names)
    except (AttributeError, OSError, TypeError):
        return None
    begin.argtypes, begin.restype = (POINTER, POINTER, ctypes.c_uint, ctypes.c_uint), None
    assert number is not None and count is not None
    return begin, number, count


def together(kernels: ctypes.CDLL, name: str, arguments: Sequence[int], threads: int) -> None:
    """Call the kernel `name` with these arguments, and each thread's number and how many they are, from so many threads.

    One call at a time, and the kernel must end with all threads waiting for each other (`meet` in linear.h).
    """
    team = openmp() if threads > 1 else None
    with _lock:
        if threads == 1:
            getattr(kernels, name)(*arguments, 0, 1)
        elif team is None:
            _crew.run(getattr(kernels, name), arguments, threads)
        else:
            begin, number, count = team
            kept = (ctypes.c_int64 * len(arguments))(*arguments)
            struct = TeamStruct(number, count, ctypes.addressof(kept))
            function = ctypes.cast(getattr(kernels, f"{name}_team"), POINTER)
            begin(function, ctypes.addressof(struct), threads, 0)


class Crew:
    """Python threads that help the calling one, started when first wanted."""

    def __init__(self) -> None:
        self._jobs: list[SimpleQueue[tuple[Any, Sequence[int], int]]] = []
        self._done: SimpleQueue[None] = SimpleQueue()
        self._process = os.getpid()

    def run(self, function: Any, arguments: Sequence[int], threads: int) -> None:
        if self._process != os.getpid():  # a forked process has none of our threads
            self._jobs, self._done, self._process = [], SimpleQueue(), os.getpid()
        while len(self._jobs) < threads - 1:
            self._jobs.append(SimpleQueue())
            about = self._jobs[-1], self._done, len(self._jobs)
            threading.Thread(target=_serve, args=about, name=f"solfa-kernel-{about[2]}", daemon=True).start()
        for jobs in self._jobs[: threads - 1]:
            jobs.put((function, arguments, threads))
        function(*arguments, 0, threads)
        for _ in range(threads - 1):  # they have met, but may still be on their way out: their memory must last so long
            self._done.get()


def _serve(jobs: SimpleQueue[tuple[Any, Sequence[int], int]], done: SimpleQueue[None], number: int) -> None:
    while True:
        function, arguments, threads = jobs.get()
        function(*arguments, number, threads)
        done.put(None)


_crew = Crew()
_lock = threading.Lock()  # held while they work
