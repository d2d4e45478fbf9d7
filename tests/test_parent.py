"""A process that follows its parent ends when that one is killed: at once, or tidily."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import solfa
from solfa.parent import child_environment, end_with, how_it_ended

CHILD = """
import os, signal, sys, time
from solfa.parent import die, end_with, unwind
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
end_with(int(sys.argv[1]), {"die": die, "unwind": unwind}[sys.argv[2]])
try:
    open("began", "x").close()
    time.sleep(600)
finally:
    open("tidied", "x").close()
"""
PARENT = f"""
import os, subprocess, sys
raise SystemExit(subprocess.run([sys.executable, "-c", {CHILD!r}, str(os.getpid()), sys.argv[1]]).returncode)
"""


@pytest.mark.parametrize(("end", "tidied"), [("die", False), ("unwind", True)])
def test_a_child_ends_with_its_parent(end: str, tidied: bool, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(solfa.__file__).parents[1])}
    reading, writing = os.pipe()  # the child has the other end of it, so that its end is an end of file
    command = [sys.executable, "-c", PARENT, end]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=writing) as parent:
        os.close(writing)
        while not (tmp_path / "began").exists():
            assert parent.poll() is None
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
    assert os.read(reading, 1) == b""  # waits
    os.close(reading)
    assert (tmp_path / "tidied").exists() == tidied


def test_a_parent_that_is_gone_already(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(solfa.__file__).parents[1])}
    stranger = str(os.getppid())
    done = subprocess.run([sys.executable, "-c", CHILD, stranger, "unwind"], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1 and not list(tmp_path.iterdir())


def test_a_process_of_multiprocessing_knows_its_parent() -> None:
    process = multiprocessing.get_context("spawn").Process(target=end_with)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_every_end_has_words() -> None:
    """Signals of real time have no name in Python, and none stops who reports it."""
    told = [how_it_ended(code) for code in (0, 77, -signal.SIGKILL, -35)]
    assert told == ["exit 0", "exit 77", "SIGKILL", "signal 35"]


def test_a_child_finds_this_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    look = "import os, solfa; print(solfa.__file__, os.environ['MINE'], os.environ['PYTHONPATH'].split(os.pathsep)[1])"
    environment = child_environment(MINE="x")
    found = subprocess.run([sys.executable, "-P", "-c", look], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.stdout.split() == [solfa.__file__, "x", str(tmp_path)]
