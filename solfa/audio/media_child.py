"""The process that decodes one file through FFmpeg, which bad files can crash, for `MediaFile`.

O: what the file is (JSON: rate, channels, format, subtype). B: samples, float32 [C, n]. E: its end. X: it is bad (JSON: reason). F: the
machine opens no more files (JSON: number, of the error).
"""

from __future__ import annotations

import os
import sys

from solfa.audio.apart import limit_cpu, limit_memory, say, send, tell_fault
from solfa.audio.media import MediaReader, Medium
from solfa.audio.sound_file import AudioError
from solfa.parent import end_with

MEMORY = 2048  # MiB
CPU_SECONDS = 3600
BLOCK = 1 << 18  # values of all channels together: 1 MiB


def main(pipe: int, path: str, name: str, reader: str) -> None:
    """path: of a file that begins as this medium does."""
    end_with(os.getppid())
    limit_memory(MEMORY)
    limit_cpu(CPU_SECONDS)
    try:
        sound = MediaReader(path, Medium(name, reader))
        facts = {
            "rate": sound.sample_rate,
            "channels": sound.channels,
            "format": sound.format,
            "subtype": sound.subtype,
        }
        say(pipe, b"O", **facts)
        for block in sound.blocks(max(1, BLOCK // sound.channels)):
            send(pipe, b"B", memoryview(block.data).cast("B"))
        say(pipe, b"E")
    except BrokenPipeError:
        return
    except (AudioError, OSError, MemoryError) as error:
        tell_fault(pipe, error, path, MEMORY)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
