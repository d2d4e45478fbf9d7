"""Loading what an option names: once a process, with mistakes in the option's own words."""

from functools import lru_cache
from typing import TYPE_CHECKING

from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec
    from solfa.codecs.entropy.integer_lm import IntegerLM


@lru_cache(maxsize=2)
def codec(name: str, device: str = "cpu", fetch: bool = True) -> "Codec":
    """The codec of that name, folder or file, kept for the files to come. fetch: whether it may come from the hub."""
    from solfa.codecs.registry import load_codec

    return load_codec(name, device, fetch=fetch)


def checked_codec(name: str, device: str = "cpu", codebooks: int | None = None) -> "Codec":
    """The same for an option: a codec that is not there, or a `--codebooks` beyond it, is a UsageError."""
    try:
        found = codec(name, device)
    except ValueError as error:
        raise UsageError(f"--codec {name}: {error}") from error
    if codebooks is not None and not 1 <= codebooks <= found.codebooks:
        raise UsageError(f"--codebooks {codebooks}: {found.name} has 1 to {found.codebooks}")
    return found


@lru_cache(maxsize=2)
def lm(name: str) -> "IntegerLM":
    """The language model of codes of that name or folder, kept for the files to come."""
    from solfa.codecs.entropy.lm_checkpoint import load_lm

    return load_lm(name)


def checked_lm(name: str, codec: "Codec") -> None:
    """For an option: a language model that is not there, or not of this codec's codes, is a UsageError."""
    try:
        lm(name).check_codec(codec.name, codec.weights_hash, 1, codec.codebook_size)
    except ValueError as error:
        raise UsageError(f"--lm {name}: {error}") from error
