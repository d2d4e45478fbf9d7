"""Code files of other programs (`.ecdc`, `.dac`) as bytes: read whole after a look at what they are, written whole or not at all."""

import contextlib
import os
import secrets
import stat
from pathlib import Path


class CodeFileError(ValueError):
    """A `.ecdc` or `.dac` file that cannot be read: the message names the file and what is wrong with it."""


def read_whole(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """The bytes of a file, or the first `most` of them. Raises CodeFileError where it is no regular file or cannot be read."""
    try:
        # Before opening: a pipe would wait for a writer for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise CodeFileError(f"{os.fspath(path)}: not a regular file")
        with open(path, "rb") as file:
            return file.read() if most is None else file.read(most)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, or ours
        if isinstance(error, CodeFileError):
            raise
        raise CodeFileError(f"{os.fspath(path)}: {getattr(error, 'strerror', None) or error}") from None


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Put `data` in a file of that name in one step: temporary file, fsync, rename. An older file stays until then.

    Raises ValueError where something that is no regular file bears the name, OSError where the disk says so.
    """
    target = Path(os.path.realpath(path))  # a link keeps pointing where it pointed
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        raise ValueError(f"{os.fspath(path)} is not a regular file: a code file cannot take its place")
    temporary = target.with_name(f".solfa-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system can (not on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
