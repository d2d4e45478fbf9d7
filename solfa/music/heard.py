"""What a model hears of music that is there: the codes of a recording, before which, or after which, it writes its own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from solfa.audio.io import Audio
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.sides import encode_sides
from solfa.lm.model import LMConfig
from solfa.lm.patterns import interleave

Recording = Audio | Codes


def seconds_of(recording: Recording) -> float:
    """How long a recording is that is there, or whose codes are."""
    return recording.duration if isinstance(recording, Audio) else recording.samples[0] / recording.sample_rate


@dataclass(frozen=True)
class Heard:
    """A recording as a model has it."""

    tokens: Tensor  # [1, K, T] int64
    samples: int  # of the recording, at the codec's rate


def hear(config: LMConfig, codec: Codec, recording: Recording, whole: bool) -> Heard:
    """The codes of one recording, of as many codebooks as the model has; `whole`: of its whole frames only.

    recording: sound at any rate, or codes of the codec (of a token file, of `encode`, of `TextToMusic.codes`), which are taken as they
    are, their first codebooks: a recording and its codes are heard alike. A stereo model over a mono codec hears codes on both sides, as
    it does a mono recording. Raises ValueError for several recordings, one shorter than a frame, codes of another codec or other
    weights, and too few codebooks.
    """
    stereo = config.channels == 2 and codec.channels == 1  # each channel is a recording to the codec
    books = config.codebooks // (2 if stereo else 1)
    if isinstance(recording, Codes):
        _check(config, codec, recording, books)
        tokens = recording.tokens[:, :books, : recording.lengths[0]]
        samples = recording.samples[0]
    else:
        if not isinstance(recording, Audio):
            raise ValueError(
                f"a recording is {type(recording).__name__}: Audio (of `solfa.read`, say) or Codes are needed"
            )
        if recording.samples.shape[0] != 1:
            raise ValueError(f"a batch of {recording.samples.shape[0]} recordings: one is needed")
        codes = encode_sides(codec, recording, books) if stereo else codec.encode(recording, codebooks=books)
        tokens, samples = codes.tokens, codes.samples[0]
    if stereo:
        tokens = interleave(tokens[:1], tokens[-1:])
    frames = samples // codec.hop if whole else tokens.shape[2]
    if not frames:
        raise ValueError(f"a recording of {samples} samples: a frame of {codec.name} has {codec.hop}")
    return Heard(tokens[:, :, :frames], samples)


def _check(config: LMConfig, codec: Codec, codes: Codes, books: int) -> None:
    if len(codes.samples) != 1:
        raise ValueError(f"codes of {len(codes.samples)} recordings: one is needed")
    codec.check_codes(codes)
    if codes.codebooks < books:
        raise ValueError(f"codes of {codes.codebooks} codebooks: {config.name} hears {books} of {codec.name}")
