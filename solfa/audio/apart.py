"""What a process does that works for another and may crash of a file: what it may take, and how it tells what it found.

It tells by a letter, a length and as many bytes, over one pipe, which holds it up when it is full.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time
from pathlib import Path
from typing import Any

HEAD = struct.Struct("<cI")


def say(pipe: int, kind: bytes, **facts: Any) -> None:
    """Facts, as JSON."""
    send(pipe, kind, memoryview(json.dumps(facts).encode()))


def send(pipe: int, kind: bytes, data: memoryview) -> None:
    """Bytes. Raises BrokenPipeError when nobody listens."""
    for part in (memoryview(HEAD.pack(kind, len(data))), data):
        while len(part):
            part = part[os.write(pipe, part) :]


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
