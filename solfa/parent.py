"""Processes and those that start them: what a child finds, how it ended, and how it ends when its parent is gone.

A parent that is killed outright can tell nobody: its children look.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

LOOK = 0.1  # seconds between two looks at who the parent is
GRACE = 10.0  # seconds to tidy up in
TERMINATED = 128 + signal.SIGTERM


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a process that is to find this package wherever it is started, and what else is said."""
    places = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)} | more


def how_it_ended(code: int) -> str:
    """The end of a process by its exit code, which is -n for signal n: "exit 1", "SIGKILL", "signal 35" (of real time: no name)."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


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
