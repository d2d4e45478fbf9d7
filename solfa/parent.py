"""Processes that end when the one that started them is gone, however it ended: killed outright it can tell nobody."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable

LOOK = 0.1  # seconds between two looks at who the parent is
GRACE = 10.0  # seconds to tidy up in
TERMINATED = 128 + signal.SIGTERM


def die() -> None:
    """End this process at once, whatever it is at."""
    os._exit(1)


def unwind() -> None:
    """End this process as SIGTERM does, from any thread but the main one: where its handler raises SystemExit, temporary files go.

    What takes longer than `GRACE` (a call into a library that does not come back) is cut off.
    """
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(TERMINATED)


def end_with(parent: int | None = None, end: Callable[[], None] = die) -> None:
    """Call `end`, which does not come back, when the process `parent` is no longer this one's parent; looked at from a thread.

    parent: None in a process of multiprocessing, which was told by whom it was started. `os.getppid()` does for others, asked before
    that one can have gone: later it gives whoever took its place.
    """
    if parent is None:
        starter = multiprocessing.parent_process()
        assert starter is not None and starter.pid is not None
        parent = starter.pid
    if os.getppid() != parent:
        die()  # nothing was begun
    threading.Thread(target=_watch, args=(parent, end), daemon=True).start()


def _watch(parent: int, end: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    end()
