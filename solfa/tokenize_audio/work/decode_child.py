"""The process that decodes sound files, one after another: the only one that a bad file can kill.

It loads no torch. Requests come as lines of JSON on its standard input, {"path": ..., "mono": ..., "rate": ...}. Answers go to one
pipe: an R when it has begun; then a letter, a length and as many bytes. O: the file is open (JSON: rate, channels, mixed, bytes, stamp,
hash). B: samples, float32 [C, n]. E: its end (JSON: seconds). X: it is bad (JSON: reason). F: the machine opens no more files (JSON:
number, of the error). A full pipe holds it up, so it is one block ahead of its reader.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import xxhash

from solfa.audio.apart import limit_cpu, limit_memory, say, send, tell_fault
from solfa.audio.opening import open_sound
from solfa.audio.resample import Resampler
from solfa.audio.sound_file import AudioError
from solfa.parent import end_with

READY = b"R"
BLOCK = 1 << 18  # values of all channels together: 1 MiB


def main(pipe: int, memory: int, cpu: int) -> None:
    """memory: MiB that decoding may take; cpu: seconds of CPU time a file."""
    end_with(os.getppid())  # one that hangs would outlive the process that it works for
    limit_memory(memory)
    os.write(pipe, READY)
    for line in sys.stdin:
        limit_cpu(cpu)
        request = json.loads(line)
        path = request["path"]
        try:
            _decode(pipe, **request)
        except BrokenPipeError:
            return
        except (AudioError, OSError, MemoryError) as error:
            tell_fault(pipe, error, path, memory)


def _decode(pipe: int, path: str, mono: bool = False, rate: int | None = None) -> None:
    """mono: mix two channels; rate: to bring the sound to, by soxr. Both give what `Codec.fit` does, to the bit: it takes the mean of
    more channels in an order of its own, so these are sent as they are."""
    with open_sound(path, apart=False) as sound:
        if mono and sound.channels > 2:
            mono, rate = False, None
        mixed = mono and sound.channels == 2
        channels, rate = 1 if mixed else sound.channels, rate or sound.sample_rate
        before = os.stat(path)
        facts = {"bytes": before.st_size, "stamp": before.st_mtime_ns, "hash": file_hash(path)}
        say(pipe, b"O", rate=rate, channels=channels, mixed=mixed, **facts)
        resampler, samples = Resampler(sound.sample_rate, rate, channels), 0
        longest = min(BLOCK, BLOCK * sound.sample_rate // rate) // sound.channels  # also when it is resampled
        for block in sound.blocks(max(1, longest)):
            samples += block.shape[1]
            _send_sound(pipe, resampler.push(_mean(block) if mixed else block))
        _send_sound(pipe, resampler.flush())
    after = os.stat(path)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise AudioError(f"{Path(path)}: was changed while it was read")
    say(pipe, b"E", seconds=samples / sound.sample_rate)


def _mean(block: np.ndarray) -> np.ndarray:
    """Of two channels [2, n], [1, n]."""
    mixed = block[:1] + block[1:]
    mixed *= np.float32(0.5)
    return mixed


def _send_sound(pipe: int, block: np.ndarray) -> None:
    if block.shape[1]:
        send(pipe, b"B", memoryview(block.data).cast("B"))


def file_hash(path: str | os.PathLike[str]) -> str:
    """xxh3-128 of a file's bytes, in hex."""
    found = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        while data := file.read(1 << 20):
            found.update(data)
    return found.hexdigest()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
