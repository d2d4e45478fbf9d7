"""What the sound of a recording tells a language model: the melody of a crop, and CLAP's vector of what has no caption.

The sound is that of the codes, as the codec plays them: it is there whatever the codes come from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from solfa.codecs.codec import Codec
from solfa.lm.conditioners.cache import EmbeddingCache
from solfa.lm.model import TokenLM
from solfa.nn.devices import pick_device
from solfa.train.code_source import CodeSource
from solfa.train.lm_samples import played

MELODY_DROPOUT = 0.5  # share of told crops that hear no melody, as AudioCraft has it
CLAP_SECONDS = 120.0  # of a recording that its vector is of


class Sounds:
    """The sound of recordings, as a model with a melody or a CLAP hears it. device: where the codec plays."""

    def __init__(self, model: TokenLM, codec: Codec, device: str) -> None:
        self._model, self._kept = model, EmbeddingCache()
        self._codec = codec.to(pick_device(device)) if model.melody or model.clap else codec

    def melody(self, codes: Tensor) -> Tensor | None:
        """The pitch classes [F, 12] of codes [K, T], as `Melody.features` has them; None of a model that hears no melody."""
        melody = self._model.melody
        if melody is None:
            return None
        config, rate = melody.config, self._model.config.frame_rate
        heard = codes[:, : max(1, int(config.frames * config.hop / config.sample_rate * rate))]
        return melody.features([played(heard[None], self._model.config, self._codec)])[0]

    def melody_of(self, source: CodeSource, index: int, frames: int) -> Tensor | None:
        """The same of a recording's first frames; computed once."""
        if self._model.melody is None:
            return None
        return self._kept.get((id(source), index, frames), lambda: _some(self.melody(_codes(source, index, frames))))

    def vector(self, source: CodeSource, index: int) -> Tensor | None:
        """CLAP's vector [width] of a recording, of its first two minutes; computed once. None of a model that has no CLAP."""
        clap = self._model.clap
        if clap is None:
            return None
        frames = round(CLAP_SECONDS * self._model.config.frame_rate)

        def heard() -> Tensor:
            codes = _codes(source, index, frames)
            return clap.vectors([played(codes[None], self._model.config, self._codec)])[0][0]

        return self._kept.get((id(source), index), heard)


def _codes(source: CodeSource, index: int, frames: int) -> Tensor:
    return torch.from_numpy(source.codes(index, 0, frames).astype("int64"))


def _some(features: Tensor | None) -> Tensor:
    assert features is not None
    return features
