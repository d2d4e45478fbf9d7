"""Files that appear whole or not at all.

What is written goes to a temporary file beside the target, is flushed to the disk, and takes the target's name in one step. Until then
an older file of that name is as it was, and whoever reads it reads one of the two, whole. An exception removes the temporary file; a
process that is killed outright leaves it, hidden, as `.solfa-*.tmp`.
"""

import contextlib
import os
import secrets
import stat
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
        self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def write_whole(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Put bytes, or text in UTF-8, in a file of that name, whole or not at all. Raises OSError where the disk says so."""
    with WholeFile(path) as temporary, open(temporary, "xb") as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """ValueError where something that is no regular file (a folder, a device, a pipe) bears the name."""
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{os.fspath(path)} is not a regular file: no file can take its place")


def flush(path: str | os.PathLike[str]) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
