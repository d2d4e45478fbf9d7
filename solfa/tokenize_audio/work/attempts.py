"""Who was at work on what when he died: marks that a killed process leaves behind, by which a file that kills its worker is found.

Before a worker begins a file it writes the file's key down. When it dies, the files that it had begun and not done with are suspects.
Who comes next tries each of them alone, in a process apart (see `trial`): one that kills that too is left out, at its second try. A
worker that was killed from outside, by a person or for want of memory, so leaves no innocent file out: its suspects pass. A worker that
stops in good order, on an error or a signal that it can see, takes its marks back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Container
from pathlib import Path

from solfa.files import write_whole

MAX_DEATHS = 10  # of workers while a file was tried apart: whatever kills them, it is not to go on for ever
_BEGUN, _TRIED = "begun", "tried"


class Attempts:
    """The marks of one shard, at `path` with two endings. done: the keys that need no second look.

    `suspects`: the keys that were being worked on at a death, in the order in which they were begun, each with the number of workers that
    have died since while it was tried apart.
    """

    def __init__(self, path: Path, done: Container[str]) -> None:
        self._marks, self._suspects = path.with_suffix(".attempt"), path.with_suffix(".suspects")
        self.suspects: dict[str, int] = {key: n for key, n in _read(self._suspects).items() if key not in done}
        for what, key in self._left():
            if key not in done:
                self.suspects[key] = self.suspects.get(key, 0) + (what == _TRIED)
        if self.suspects:
            write_whole(self._suspects, json.dumps(self.suspects) + "\n")
        self._marks.unlink(missing_ok=True)
        self._handle = os.open(self._marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def begin(self, key: str) -> None:
        """A file is begun. From several threads too."""
        os.write(self._handle, json.dumps([_BEGUN, key]).encode() + b"\n")

    def begin_trial(self, key: str) -> None:
        """A suspect is tried in a process apart, which the worker should survive."""
        os.write(self._handle, json.dumps([_TRIED, key]).encode() + b"\n")

    def acquit(self, key: str) -> None:
        """A suspect is done with, one way or the other."""
        self.suspects.pop(key, None)

    def close(self) -> None:
        """Take the marks of this attempt back; suspects that were not tried stay suspects."""
        os.close(self._handle)
        self._marks.unlink(missing_ok=True)
        if not self.suspects:
            self._suspects.unlink(missing_ok=True)

    def _left(self) -> list[tuple[str, str]]:
        try:
            lines = self._marks.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                what, key = json.loads(line)
            except ValueError:
                continue  # torn: whatever it was, it had not begun
            found.append((what, key))
        return list(dict.fromkeys(found))


def _read(path: Path) -> dict[str, int]:
    try:
        return {str(key): int(n) for key, n in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
