"""Loading what an option names: once a process, with mistakes in the option's own words."""

from functools import lru_cache
from typing import TYPE_CHECKING

from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec


@lru_cache(maxsize=2)
def codec(name: str, device: str = "cpu") -> "Codec":
    """The codec of that name or folder, kept for the files to come."""
    from solfa.codecs.registry import load_codec

    return load_codec(name, device)


def checked_codec(name: str, device: str = "cpu", codebooks: int | None = None) -> "Codec":
    """The same for an option: a codec that is not there, or a `--codebooks` beyond it, is a UsageError."""
    try:
        found = codec(name, device)
    except ValueError as error:
        raise UsageError(f"--codec {name}: {error}") from error
    if codebooks is not None and not 1 <= codebooks <= found.codebooks:
        raise UsageError(f"--codebooks {codebooks}: {found.name} has 1 to {found.codebooks}")
    return found
