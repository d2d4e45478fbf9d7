"""A function in a process apart, which may die of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from solfa.parent import end_with, how_it_ended

RAISED = 77  # exit code of a trial whose work raised an error: that is no death
POLL = 0.02  # seconds
PR_SET_PDEATHSIG = 1


def try_apart(work: Callable[[], None], alive: Callable[[], object], limit: float) -> str | None:
    """Run `work` in a fork of this process; gives how it died, None if it did not.

    alive: gives another value as long as the work goes on; one that says the same for `limit` seconds is killed. What `work` raises is
    printed, and counts as no death: the caller meets it again when it does the work itself.
    The fork has this thread only. It may compute on the CPU, as `codecs.windows` makes it threads of its own; not on a GPU.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _in_child(work, parent)
    seen, since = alive(), time.monotonic()
    try:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return _death(os.waitstatus_to_exitcode(status))
            if (now := alive()) != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > limit:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f"nothing came of it for {limit:g} s"
            time.sleep(POLL)
    except BaseException:  # interrupted
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def _in_child(work: Callable[[], None], parent: int) -> None:
    code = RAISED
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent's to handle
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _die_with(parent)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    """Be killed when the parent is: who comes next writes to the same files."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # Linux: at once
    end_with(parent)


def _death(code: int) -> str | None:
    return None if code in (0, RAISED) else how_it_ended(code)
