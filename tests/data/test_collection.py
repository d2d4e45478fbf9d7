"""A folder that is being made by several processes, when the one that started them is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import solfa

WORK = """
import os, sys, time
from pathlib import Path
from solfa.data.collection import build

def make(task):
    print(os.getpid(), flush=True)
    if task:
        time.sleep(600)
    raise ValueError("nothing")

if __name__ == "__main__":
    build(Path("out"), [0, 1], str, make, {}, jobs=2)
"""


def test_processes_end_with_the_one_that_is_killed(tmp_path: Path) -> None:
    """The one that is at an item, and the one that has none: nobody writes to the folder but who comes next."""
    (tmp_path / "work.py").write_text(WORK)
    environment = os.environ | {"PYTHONPATH": str(Path(solfa.__file__).parents[1])}
    reading, writing = os.pipe()  # which all of them have: its end says that the last of them is gone
    command = [sys.executable, "work.py"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=writing) as parent:
        os.close(writing)
        with open(reading) as told:
            began = [told.readline() for _ in range(2)]
            parent.send_signal(signal.SIGKILL)
            assert all(began) and told.read() == ""  # waits
