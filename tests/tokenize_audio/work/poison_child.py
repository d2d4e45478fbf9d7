"""The decoding process, with files that kill it, or never end."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from solfa.tokenize_audio.work import decode_child

_decode = decode_child._decode


def decode(pipe: int, path: str, **wanted: Any) -> None:
    name = Path(path).name
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("again") and not os.path.exists(f"{path}.seen"):
        Path(f"{path}.seen").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hang"):
        time.sleep(600)
    if name.startswith("bloat"):
        bytearray(1 << 30)
    _decode(pipe, path, **wanted)
    if name.startswith("late"):
        os.kill(os.getpid(), signal.SIGABRT)


if __name__ == "__main__":
    decode_child._decode = decode
    decode_child.main(*map(int, sys.argv[1:]))
