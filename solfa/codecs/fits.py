"""Whether a codec is the one that a model of codes was made for."""

from __future__ import annotations

from typing import Protocol

from solfa.codecs.codec import Codec


class OfCodes(Protocol):
    """What a model of codes says of them."""

    @property
    def name(self) -> str: ...

    @property
    def codec(self) -> str: ...

    @property
    def weights_hash(self) -> str: ...  # "": of any weights

    @property
    def sample_rate(self) -> int: ...

    @property
    def frame_rate(self) -> float: ...

    @property
    def codebooks(self) -> int: ...

    @property
    def codebook_size(self) -> int: ...


def check_fits(codec: Codec, model: OfCodes, channels: int | None = None) -> None:
    """ValueError where the codec's codes are not those of the model.

    channels: of the sound that the model is for; two by a codec of one are two recordings, whose codebooks it has by turns (see `sides`).
    None: as many as the codec's.
    """
    sides = 2 if channels == 2 and codec.channels == 1 else 1
    if model.weights_hash and model.weights_hash != codec.weights_hash:
        raise ValueError(
            f"{model.name} is for codes of {model.codec} ({model.weights_hash[:12]}): "
            f"the codec {codec.name} here has the weights {codec.weights_hash[:12]}"
        )
    theirs = (model.sample_rate, model.frame_rate, model.codebook_size, channels or codec.channels)
    ours = (codec.sample_rate, codec.frame_rate, codec.codebook_size, codec.channels * sides)
    if theirs != ours or model.codebooks > codec.codebooks * sides or model.codebooks % sides:
        raise ValueError(
            f"{model.name} is for codes of {model.codec}: {model.codebooks} codebooks and (sample rate, frame rate, codebook size, "
            f"channels) = {theirs}; {codec.name} has {codec.codebooks * sides} and {ours}"
        )
    if codec.segment is not None:
        raise ValueError(f"{codec.name} codes segment by segment: {model.name} needs frames that follow one another")
