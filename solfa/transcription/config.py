"""What a transcriber is: its source, its size, what it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from solfa.nn.transformer import TransformerConfig
from solfa.transcription.frames import Columns, FrameOptions
from solfa.transcription.harmonics import WINDOWS
from solfa.transcription.vocabulary import Vocabulary

MOST_WEIGHTS = 1 << 31
OVERLAP = 10  # a segment has this part of itself as context on either side
READ = FrameOptions(dip=1, neighbours=True)  # how the frame outputs of a new model are read
_LIMITS = {
    "codebooks": (1, 1024),
    "codebook_size": (1, 1 << 20),
    "source_width": (0, 1 << 16),
    "encoder_layers": (1, 256),
    "decoder_layers": (0, 256),
    "conv_layers": (0, 256),
    "kernel": (1, 255),
    "channels": (1, 1024),
    "pitch_layers": (0, 64),
    "segment_frames": (1, 1 << 20),
    "sample_rate": (1, 10_000_000),
}


@dataclass(frozen=True)
class TranscriberConfig:
    """A transcriber of a codec's codes.

    codec, weights_hash: whose codes it reads; sample_rate and frame_rate in Hz; codebooks: K, the first of the codec's.
    source: "codes" are integers [B, K, T], embedded and summed; "latents" the codec's vectors of them, "sound" what the codec plays of
    them, as levels by pitch (`audio.bands`), "trunk" the hidden states of a language model that reads them (trunk: which), all
    [B, D, T]. source_width: D; of codes that of their embeddings, 0 for the model's width.
    width, heads, hidden: of encoder and decoder; hidden is that of the gated feed-forward layers, 0 for twice the width.
    encoder_layers: all have a convolution over `kernel` frames; those after the first `conv_layers` attend to the whole segment, too.
    decoder_layers: 0 for a model without events, of frame outputs only; else it writes `vocabulary`.
    channels, pitch_layers: of the map of pitches that the frame outputs are read from.
    segment_frames: the length it was trained on, at which recordings are cut.
    lowest, highest: pitches of the frame outputs; lowest_drum, highest_drum: percussion keys (81 to 80, say: no columns for drums).
    hints: whether it can be told what instruments play.
    peaks: when its frame outputs are notes, where nobody asks for something else: what was best on held-out recordings.

    Raises ValueError for what does not fit together, and for more than 2^31 weights.
    """

    name: str
    codec: str
    sample_rate: int
    frame_rate: float
    codebooks: int
    codebook_size: int
    source: Literal["codes", "latents", "sound", "trunk"] = "codes"
    source_width: int = 0
    width: int = 256
    heads: int = 4
    hidden: int = 0
    encoder_layers: int = 4
    conv_layers: int = 1
    kernel: int = 7
    channels: int = 16
    pitch_layers: int = 6
    decoder_layers: int = 0
    vocabulary: Vocabulary | None = None
    segment_frames: int = 400
    lowest: int = 21
    highest: int = 108
    lowest_drum: int = 35
    highest_drum: int = 81
    hints: bool = True
    dropout: float = 0.0
    weights_hash: str = ""
    trunk: str = ""
    peaks: FrameOptions = READ

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between {least} and {most}")
        if not 0 < self.frame_rate <= self.sample_rate:
            raise ValueError(f"frame_rate is {self.frame_rate}: it must lie above 0, at most at the sample rate")
        if self.source not in ("codes", "latents", "sound", "trunk"):
            raise ValueError(f"source is {self.source!r}: it must be codes, latents, sound or trunk")
        if self.source != "codes" and not self.source_width:
            raise ValueError(f"source_width is 0: {self.source} are vectors of a width")
        if self.source == "sound" and self.source_width % WINDOWS:
            raise ValueError(f"source_width is {self.source_width}: sound is heard through {WINDOWS} windows alike")
        if bool(self.trunk) != (self.source == "trunk"):
            raise ValueError(
                f"trunk is {self.trunk!r}, source {self.source!r}: a trunk is named where it is the source, only"
            )
        if self.kernel % 2 == 0:
            raise ValueError(
                f"kernel is {self.kernel}: it must be odd, so that a frame sees as much before as after it"
            )
        if (self.vocabulary is None) != (self.decoder_layers == 0):
            raise ValueError(
                f"decoder_layers is {self.decoder_layers}: a vocabulary is needed to write events, and only then"
            )
        _ = self.columns, self.transformer  # they check themselves
        if self._weights() > MOST_WEIGHTS:
            raise ValueError(f"{self._weights():,} weights: at most {MOST_WEIGHTS:,} are legal")

    @property
    def columns(self) -> Columns:
        """Of the frame outputs."""
        return Columns(self.lowest, self.highest, self.lowest_drum, self.highest_drum)

    @property
    def transformer(self) -> TransformerConfig:
        """The shape of the decoder (of one layer where there is none)."""
        layers = max(self.decoder_layers, 1)
        return TransformerConfig(self.width, layers, self.heads, self.inner, "rotary", dropout=self.dropout)

    @property
    def margin(self) -> int:
        """Frames at either end of a segment that are its context: another segment speaks for them."""
        return self.segment_frames // OVERLAP

    @property
    def inner(self) -> int:
        return self.hidden or 2 * self.width

    @property
    def embedded(self) -> int:
        """D: the width of what is handed in, or of the codes' embeddings."""
        return self.source_width or self.width

    def _weights(self) -> int:
        """About how many there are: those of the large tensors."""
        width, size = self.width, self.vocabulary.size if self.vocabulary else 0
        books = self.codebooks * self.codebook_size if self.source == "codes" else 0
        layers = self.encoder_layers * (width + self.inner) + self.decoder_layers * (2 * width + self.inner)
        head = (
            self.columns.count * self.channels
            + (self.columns.pitched + self.kernel) * self.channels * self.pitch_layers
        )
        return books * self.embedded + 4 * width * layers + width * (self.embedded + head + 2 * size)
