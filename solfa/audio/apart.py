"""Processes that work for another and may crash of a file: how they start, what they may take, and how they tell what they found.

It tells by a letter, a length and as many bytes, over one pipe, which holds it up when it is full.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from solfa.files import exhaustion
from solfa.parent import child_environment

HEAD = struct.Struct("<cI")


def say(pipe: int, kind: bytes, **facts: Any) -> None:
    """Facts, as JSON."""
    send(pipe, kind, memoryview(json.dumps(facts).encode()))


def send(pipe: int, kind: bytes, data: memoryview) -> None:
    """Bytes. Raises BrokenPipeError when nobody listens."""
    for part in (memoryview(HEAD.pack(kind, len(data))), data):
        while len(part):
            part = part[os.write(pipe, part) :]


def tell_fault(pipe: int, error: BaseException, path: str, memory: int) -> None:
    """What went wrong with a file: F where the machine opens no more files, which is not its fault (JSON: number, of the error), else X
    (JSON: reason, without the file's name). memory: MiB that decoding might take."""
    if fault := exhaustion(error):
        say(pipe, b"F", number=fault.errno)
        return
    reason = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
    if isinstance(error, MemoryError):
        reason = f"takes more than {memory} MiB to decode"
    say(pipe, b"X", reason=reason.removeprefix(f"{Path(path)}: "))


def start(module: str, pipe: int, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """A process that runs a module, with one thread, and is handed the pipe's writing end as its first argument. It says nothing but
    through that. Raises OSError where none will start."""
    return subprocess.Popen(
        [sys.executable, "-m", module, str(pipe), *arguments],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[pipe],
        # Nothing is imported from the folder that one happens to be in.
        env=child_environment(PYTHONSAFEPATH="1", OPENBLAS_NUM_THREADS="1"),
        start_new_session=True,  # Ctrl-C is its parent's to handle
    )


def limit_memory(memory: int) -> None:
    """MiB beyond what is mapped now: the libraries alone map more than they use."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limits on this system
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + (memory << 20), resource.RLIM_INFINITY))


def limit_cpu(seconds: int) -> None:
    """Seconds of CPU time, from now on."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))
