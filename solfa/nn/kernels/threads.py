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
Job = tuple[
    Any, Sequence[int], int, "SimpleQueue[None]"
]  # a kernel, its arguments, how many threads, where each says it left


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
        self._jobs: list[SimpleQueue[Job]] = []
        self._process = os.getpid()

    def run(self, function: Any, arguments: Sequence[int], threads: int) -> None:
        """Calls `function(*arguments, number, threads)` in each thread; all of them have left it when this ends."""
        if self._process != os.getpid():  # a forked process has none of our threads
            self._jobs, self._process = [], os.getpid()
        while len(self._jobs) < threads - 1:
            self._jobs.append(SimpleQueue())
            about = self._jobs[-1], len(self._jobs)
            threading.Thread(target=_serve, args=about, name=f"solfa-kernel-{about[1]}", daemon=True).start()
        left: SimpleQueue[None] = SimpleQueue()  # of this call: one ended by Ctrl-C leaves nothing behind for the next
        for jobs in self._jobs[: threads - 1]:
            jobs.put((function, arguments, threads, left))
        function(*arguments, 0, threads)
        for _ in range(threads - 1):  # they have met, but may still be on their way out: their memory must last so long
            left.get()


def _serve(jobs: SimpleQueue[Job], number: int) -> None:
    while True:
        function, arguments, threads, left = jobs.get()
        function(*arguments, number, threads)
        left.put(None)


_crew = Crew()
_lock = threading.Lock()  # held while they work
