"""Loading what an option names: once a process, with mistakes in the option's own words."""

from functools import lru_cache
from typing import TYPE_CHECKING

from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.codecs.codec import Codec
    from solfa.codecs.entropy.integer_lm import IntegerLM
    from solfa.music.text_to_music import TextToMusic
    from solfa.transcriber import Transcriber


@lru_cache(maxsize=2)
def codec(name: str, device: str = "cpu", fetch: bool = True) -> "Codec":
    """The codec of that name, folder or file, kept for the files to come. fetch: whether it may come from the hub."""
    from solfa.codecs.registry import load_codec

    return load_codec(name, device, fetch=fetch)


def checked_codec(name: str, device: str = "cpu", codebooks: int | None = None, fetch: bool = True) -> "Codec":
    """The same for an option: a codec that is not there, or a `--codebooks` beyond it, is a UsageError."""
    try:
        found = codec(name, device, fetch)
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


def writer(name: str, coder: "Codec", device: str, fetch: bool = True) -> "TextToMusic | str":
    """For --music: the model that writes music, or why there is none. UsageError for one that was asked for and is not there.

    coder: taken where it is the model's codec, by name. fetch: whether the model may come from the hub.
    """
    from solfa.lm.registry import DEFAULT, describe_lm
    from solfa.music.text_to_music import TextToMusic
    from solfa.shipped import list_shipped

    if name == "none":
        return ""
    if name == DEFAULT and name not in [shipped.name for shipped in list_shipped("lm")]:
        return f"No music was written: this package comes without the model {name} (--music names another)."
    try:
        same = describe_lm(name)["config"]["codec"] == coder.name
        return TextToMusic.load(name, device, codec=coder if same else None, fetch=fetch)
    except ValueError as error:
        raise UsageError(f"--music {name}: {error}") from error


def listener(name: str, coder: "Codec", device: str, fetch: bool = True) -> "Transcriber | str":
    """For --notes: the model that hears notes, or why there is none. UsageError for one that was asked for and is not there.

    coder, fetch: as for `writer`.
    """
    from solfa.checkpoint import read_config
    from solfa.shipped import list_shipped
    from solfa.transcriber import Transcriber
    from solfa.transcription.registry import DEFAULT, KIND, find_transcriber

    if name == "none":
        return ""
    if name == DEFAULT and name not in [shipped.name for shipped in list_shipped(KIND)]:
        return f"No notes were heard: this package comes without the model {name} (--notes names another)."
    try:
        same = read_config(find_transcriber(name))["config"]["codec"] == coder.name
        return Transcriber.load(name, device, coder if same else None, fetch=fetch)
    except ValueError as error:
        raise UsageError(f"--notes {name}: {error}") from error
