"""Code files of other programs (`.ecdc`, `.dac`) as bytes, and the one error of those that cannot be read."""

import os
import stat


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
