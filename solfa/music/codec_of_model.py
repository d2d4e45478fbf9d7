"""Where the codec of a language model comes from."""

from __future__ import annotations

from pathlib import Path

from solfa.codecs.codec import Codec


def codec_of(lm: str | Path, place: str | Path | None, name: str, device: str, fetch: bool = True) -> Codec:
    """The codec, called `name`, of a language model: from where the user says, from its own folder (MusicGen carries it), or by its name.

    Only the user names folders and hub repositories; the configuration of a model names codecs that `list_codecs` gives.
    """
    from solfa.codecs.registry import list_codecs, load_codec
    from solfa.codecs.weights.layouts import of_transformers
    from solfa.lm.registry import find_lm
    from solfa.lm.weights.layouts import codec_inside

    if place is not None:
        return load_codec(place, device, fetch=fetch)
    inside = codec_inside(find_lm(lm, fetch=fetch))
    if isinstance(inside, Path):
        return load_codec(inside, device)
    if inside is not None:
        return of_transformers(inside.document, inside.tensors, inside.where).to(device)
    names = [entry.name for entry in list_codecs()]
    if name not in names:
        raise ValueError(
            f"it writes codes of the codec {name!r}, not one of {', '.join(names)}: give the folder or hub repository of that codec"
        )
    return load_codec(name, device, fetch=fetch)
