"""Files that appear whole or not at all: what a failed, a killed and a second writer leave behind."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from solfa import files
from solfa.files import WholeFile, check_new_folder, check_replaceable, exhaustion, replace_folder, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "first\nnaïve\n")
    assert (tmp_path / "a").read_bytes() == "first\nnaïve\n".encode()
    write_whole(str(tmp_path / "a"), b"\0\xff")
    assert (tmp_path / "a").read_bytes() == b"\0\xff" and names(tmp_path) == ["a"]


def test_until_the_end_the_old_file_stands(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    with WholeFile(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path and temporary.name.startswith(".") and temporary.suffix == ".tmp"
        assert target.read_text() == "old"
    assert target.read_text() == "new" and names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("written", [True, False])
def test_an_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException], written: bool
) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), WholeFile(tmp_path / "a") as temporary:
        if written:
            temporary.write_text("half")
        raise error
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    (tmp_path / "a").write_text("old")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, broken)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", "new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileNotFoundError), WholeFile(tmp_path / "a"):
        pass
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a", "x")
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_the_bytes_reach_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, then its name, then the folder that holds the name; a folder that cannot be flushed is no error."""
    said: list[str] = []
    flush, replace = files.flush, os.replace

    def flushed(path: Path) -> None:
        said.append("folder" if path.is_dir() else path.suffix)
        flush(path)
        if path.is_dir():
            raise PermissionError

    monkeypatch.setattr(files, "flush", flushed)
    monkeypatch.setattr(os, "replace", lambda a, b: (said.append("rename"), replace(a, b)))
    write_whole(tmp_path / "a", "x")
    assert said == [".tmp", "rename", "folder"] and (tmp_path / "a").read_text() == "x"


KILLED = """
import os, signal, sys
from solfa import files
path, deadly, count = sys.argv[1], 0, 0
def mortal(function):
    def call(*arguments, **named):
        global count
        if count == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return function(*arguments, **named)
    return call
for name in ("open", "fsync", "replace"):
    setattr(os, name, mortal(getattr(os, name)))
for deadly in range(99):
    child = os.fork()
    if child == 0:
        files.write_whole(path, "new" * 1000)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    with open(path) as file:
        print("killed" if os.WIFSIGNALED(status) else "done", file.read(3), flush=True)
    if os.WIFEXITED(status):
        break
"""


def test_killed_at_every_step(tmp_path: Path) -> None:
    """SIGKILL at each system call that matters: the file is old until it is new, and what is left is hidden and can be told."""
    (tmp_path / "a").write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # opened and flushed, renamed; then the folder opened and flushed
    assert lines == ["killed old"] * 3 + ["killed new"] * 2 + ["done new"]
    left = [name for name in names(tmp_path) if name != "a"]
    assert len(left) == 3 and all(name.startswith(".solfa-") and name.endswith(".tmp") for name in left)
    assert (tmp_path / "a").read_text() == "new" * 1000


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_writers_at_once_leave_the_whole_of_one(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_whole(target, "0" * 10_000)
    seen = set()

    def write(number: int) -> None:
        for _ in range(5):
            write_whole(target, f"{number}" * 10_000)
            seen.add(target.read_text())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 5)))
    assert all(len(text) == 10_000 and len(set(text)) == 1 for text in seen) and len(seen) > 1
    assert names(tmp_path) == ["a"]


def test_a_link_stays_and_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "real")
    for text in ("first", "second"):  # before there is anything where it points, and after
        check_replaceable(tmp_path / "link")
        write_whole(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "real").read_text() == text
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "there", "/dev/null"):
        with pytest.raises(ValueError, match="is not a regular file"):
            check_replaceable(path)
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "there", "x")
    assert names(tmp_path) == ["link", "pipe", "there"] and names(tmp_path / "there") == ["real"]


def test_a_new_folder(tmp_path: Path) -> None:
    check_new_folder(tmp_path / "new")
    check_new_folder(tmp_path)
    (tmp_path / "file").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match="it is there already"):
            check_new_folder(taken)
    with pytest.raises(ValueError, match="another device is mounted there"):
        check_new_folder("/")


def test_a_link_to_a_folder_stays(tmp_path: Path) -> None:
    """Also where it leads to another device: the new folder is made beside the one that it takes the place of."""
    other = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else tmp_path))
    try:
        (other / "real").mkdir()
        (tmp_path / "link").symlink_to(other / "real")
        for text in ("first", "second"):  # the folder is empty; it holds something
            replace_folder(tmp_path / "link", lambda folder, text=text: (folder / "file").write_text(text))  # type: ignore[misc]
            assert (tmp_path / "link").is_symlink() and (other / "real" / "file").read_text() == text
            assert names(other) == ["real"] and names(tmp_path)[-1] == "link"
    finally:
        shutil.rmtree(other)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOENT])
def test_who_is_at_fault(number: int) -> None:
    first = OSError(number, os.strerror(number), "take.wav")
    for told in (first, chained(first, True), chained(chained(first, False), True)):
        assert exhaustion(told) is (None if number == errno.ENOENT else first)
    assert exhaustion(None) is None and exhaustion(ValueError("x")) is None


def chained(first: BaseException, shown: bool) -> BaseException:
    try:
        try:
            raise first
        except BaseException as error:
            raise ValueError("cannot be read") from (error if shown else None)
    except ValueError as error:
        return error


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    """Not the temporary one, of which nobody knows."""
    with pytest.raises(PermissionError) as caught, WholeFile(tmp_path / "take.solfa") as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert caught.value.filename == str(tmp_path / "take.solfa")
    with pytest.raises(FileNotFoundError) as other, WholeFile(tmp_path / "take.solfa"):
        (tmp_path / "nothing").read_bytes()
    assert other.value.filename == str(tmp_path / "nothing")
