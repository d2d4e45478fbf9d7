"""The process that decodes sound files, one after another: the only one that a bad file can kill.

It loads no torch. Requests come as lines of JSON on its standard input, {"path": ..., "mono": ..., "rate": ...}. Answers go to one
pipe: an R when it has begun; then a letter, a length and as many bytes. O: the file is open (JSON: rate, channels, mixed, bytes, stamp,
hash). B: samples, float32 [C, n]. E: its end (JSON: seconds). X: it is bad (JSON: reason). F: the machine opens no more files (JSON:
number, of the error). A full pipe holds it up, so it is one block ahead of its reader.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from solfa.audio.resample import Resampler
from solfa.audio.sound_file import AudioError, SoundFile
from solfa.files import exhaustion
from solfa.parent import end_with

READY = b"R"
HEAD = struct.Struct("<cI")
BLOCK = 1 << 18  # values of all channels together: 1 MiB


def main(pipe: int, memory: int, cpu: int) -> None:
    """memory: MiB that decoding may take; cpu: seconds of CPU time a file."""
    end_with(os.getppid())  # one that hangs would outlive the process that it works for
    _limit_memory(memory)
    os.write(pipe, READY)
    for line in sys.stdin:
        _limit_cpu(cpu)
        request = json.loads(line)
        path = request["path"]
        try:
            _decode(pipe, **request)
        except MemoryError:
            _say(pipe, b"X", reason=f"takes more than {memory} MiB to decode")
        except BrokenPipeError:
            return
        except (AudioError, OSError) as error:
            if fault := exhaustion(error):
                _say(pipe, b"F", number=fault.errno)
            else:
                told = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
                _say(pipe, b"X", reason=told.removeprefix(f"{Path(path)}: "))


def _decode(pipe: int, path: str, mono: bool = False, rate: int | None = None) -> None:
    """mono: mix two channels; rate: to bring the sound to, by soxr. Both give what `Codec.fit` does, to the bit: it takes the mean of
    more channels in an order of its own, so these are sent as they are."""
    with SoundFile(path) as sound:
        if mono and sound.channels > 2:
            mono, rate = False, None
        mixed = mono and sound.channels == 2
        channels, rate = 1 if mixed else sound.channels, rate or sound.sample_rate
        before = os.stat(path)
        facts = {"bytes": before.st_size, "stamp": before.st_mtime_ns, "hash": file_hash(path)}
        _say(pipe, b"O", rate=rate, channels=channels, mixed=mixed, **facts)
        resampler, samples = Resampler(sound.sample_rate, rate, channels), 0
        longest = min(BLOCK, BLOCK * sound.sample_rate // rate) // sound.channels  # also when it is resampled
        for block in sound.blocks(max(1, longest)):
            samples += block.shape[1]
            _send_sound(pipe, resampler.push(_mean(block) if mixed else block))
        _send_sound(pipe, resampler.flush())
    after = os.stat(path)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise AudioError(f"{Path(path)}: was changed while it was read")
    _say(pipe, b"E", seconds=samples / sound.sample_rate)


def _mean(block: np.ndarray) -> np.ndarray:
    """Of two channels [2, n], [1, n]."""
    mixed = block[:1] + block[1:]
    mixed *= np.float32(0.5)
    return mixed


def _send_sound(pipe: int, block: np.ndarray) -> None:
    if block.shape[1]:
        _send(pipe, b"B", memoryview(block.data).cast("B"))


def file_hash(path: str | os.PathLike[str]) -> str:
    """xxh3-128 of a file's bytes, in hex."""
    found = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        while data := file.read(1 << 20):
            found.update(data)
    return found.hexdigest()


def _say(pipe: int, kind: bytes, **facts: Any) -> None:
    _send(pipe, kind, memoryview(json.dumps(facts).encode()))


def _send(pipe: int, kind: bytes, data: memoryview) -> None:
    for part in (memoryview(HEAD.pack(kind, len(data))), data):
        while len(part):
            part = part[os.write(pipe, part) :]


def _limit_memory(memory: int) -> None:
    """Beyond what is mapped now: the libraries alone map more than they use."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limits on this system
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + (memory << 20), resource.RLIM_INFINITY))


def _limit_cpu(seconds: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
