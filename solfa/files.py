"""Files and folders that appear whole or not at all.

What is written goes to a temporary file beside the target, is flushed to the disk, and takes the target's name in one step. Until then
an older file of that name is as it was, and whoever reads it reads one of the two, whole. An exception removes the temporary file; a
process that is killed outright leaves it, hidden, as `.solfa-*.tmp`.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


class WholeFile:
    """A file being written: `with` gives the temporary path, and at its end the target is there; after an exception it is as it was.

        with WholeFile("take.wav") as temporary:
            soundfile.write(temporary, ...)

    Without `with`: write to `temporary`, close it, then `commit`, or `discard`. The target's folder must exist. Its permissions are those
    that a new file has (the umask's); where the name is a link, the link stays and what it points to is replaced.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.target = Path(os.path.realpath(path))
        self.temporary = self.target.with_name(f".solfa-{secrets.token_hex(8)}.tmp")

    def commit(self) -> None:
        """Flush what was written and give it its name. Raises OSError, and leaves the target as it was, where the disk says so."""
        try:
            flush(self.temporary)
            os.replace(self.temporary, self.target)
        finally:
            self.discard()
        with contextlib.suppress(
            OSError
        ):  # the new name survives a power cut, where a folder can be flushed (not on Windows)
            flush(self.target.parent)

    def discard(self) -> None:
        """Remove the temporary file, if it is there."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.temporary.unlink()

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
            return
        self.discard()
        if isinstance(error, OSError) and error.filename == os.fspath(self.temporary):
            error.filename = os.fspath(self.target)  # whose name is known to who reads of it


def write_whole(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Put bytes, or text in UTF-8, in a file of that name, whole or not at all. Raises OSError where the disk says so."""
    with WholeFile(path) as temporary, open(temporary, "xb") as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """ValueError where something that is no regular file (a folder, a device, a pipe) bears the name."""
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{os.fspath(path)} is not a regular file: no file can take its place")


def check_local(path: str | os.PathLike[str]) -> None:
    """ValueError for an address such as s3://bucket/store: a folder of that name would be made here."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(path)):
        raise ValueError(f"{os.fspath(path)}: what is written goes to files of this machine; copy it there afterwards")


def check_new_folder(path: str | os.PathLike[str]) -> None:
    """ValueError where something that is no empty folder bears the name of a folder that is to be made, or a device is mounted there, and
    for an address."""
    check_local(path)
    if os.path.ismount(path):
        raise ValueError(
            f"{os.fspath(path)}: another device is mounted there, and names do not go across; name a folder in it"
        )
    if os.path.exists(path) and not (os.path.isdir(path) and not os.listdir(path)):
        raise ValueError(f"{os.fspath(path)}: it is there already; name a new folder")


def flush(path: str | os.PathLike[str]) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_hash(path: str | os.PathLike[str]) -> str:
    """sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def exhaustion(error: BaseException | None) -> OSError | None:
    """The error behind an error by which this process (EMFILE) or the machine (ENFILE) could open no more files; None for any other.

    Whichever file is to be opened then, it is not at fault: who leaves out what cannot be read must not leave out that one.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return error
        error = error.__cause__ or error.__context__
    return None


def replace_folder(folder: str | Path, fill: Callable[[Path], None]) -> None:
    """Make `folder` appear whole: `fill(temporary)` writes beside it, all is flushed to disk, one rename publishes it.

    Where `folder` exists the two are exchanged in one system call (Linux); elsewhere the old one steps aside first and
    is put back by the next call if that was interrupted. Files that `fill` did not write are carried over. Where the name is a link,
    the link stays and what it points to is replaced: beside that is where the temporary folder lies, so on the same device.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    temporary = folder.parent / f".{folder.name}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    temporary.mkdir()
    try:
        fill(temporary)
        if folder.is_dir():
            _carry_over(folder, temporary)
        _flush_tree(temporary)
        if folder.is_dir() and any(folder.iterdir()):
            _exchange(temporary, folder)
        else:
            os.rename(temporary, folder)
        flush(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed writers of `folder` on this machine left beside it; put back a folder that stepped aside."""
    aside = folder.parent / f".{folder.name}.previous"
    if aside.is_dir():
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.rename(aside, folder)
    prefix = f".{folder.name}.{socket.gethostname()}."
    for path in folder.parent.iterdir():
        if path.name.startswith(prefix) and path.name.endswith(".tmp"):
            owner = path.name[len(prefix) :].split(".")[0]
            if owner.isdigit() and not _alive(int(owner)):
                shutil.rmtree(path, ignore_errors=True)


def _exchange(new: Path, old: Path) -> None:
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is not None:
        at_cwd, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        if rename(at_cwd, os.fsencode(new), at_cwd, os.fsencode(old), exchange) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):  # those two: this file system cannot exchange
            raise OSError(code, os.strerror(code), str(old))
    aside = old.parent / f".{old.name}.previous"
    os.rename(old, aside)
    os.rename(new, old)
    shutil.rmtree(aside, ignore_errors=True)


def _carry_over(old: Path, new: Path) -> None:
    for entry in old.iterdir():
        if not (new / entry.name).exists():
            if entry.is_dir() and not entry.is_symlink():
                shutil.copytree(entry, new / entry.name, symlinks=True)
            else:
                shutil.copy2(entry, new / entry.name, follow_symlinks=False)


def _flush_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_symlink():
            flush(path)
    flush(folder)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno != errno.ESRCH  # EPERM: it lives, but is another user's
    return True
