"""Shape of a code LM, and the steps of its numbers: what `code_lm` trains on and `integer_lm` computes with.

Every number is a whole number of steps of 2^-bits.
"""

from dataclasses import dataclass

WEIGHT = 127  # largest weight and activation
STREAM = 32767
ACTIVATION_BITS = 4  # an activation is a multiple of 2^-4
EMBEDDING_BITS = 5
STREAM_BITS = 8
LOGIT_BITS = 5  # logits are natural logarithms
EXPONENTS = (2, 14)  # a weight is a multiple of 2^-exponent


@dataclass(frozen=True)
class CodeLMConfig:
    """Shape of a code LM, and the codec whose codes it knows.

    codec, weights_hash: of the codec. codebooks K, codebook_size N. widths: channels of each group, for the first codebooks. dilations:
    frames between the two taps of each layer; a layer sees its input of this frame and of so many frames before. inner: width of the
    embedding of a frame's lower codebooks. hidden: width before the logits.
    Raises ValueError naming a field that is out of its range.
    """

    codec: str
    weights_hash: str
    codebooks: int
    codebook_size: int
    widths: tuple[int, ...] = (128, 64, 64, 64)
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    inner: int = 128
    hidden: int = 192

    def __post_init__(self) -> None:
        bounds = {"codebooks": (1, 128), "codebook_size": (2, 4096), "inner": (1, 512), "hidden": (1, 1024)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie between {low} and {high}")
        if not 1 <= len(self.widths) <= self.codebooks or min(self.widths) < 1 or sum(self.widths) > 512:
            raise ValueError(
                f"widths are {self.widths}: 1 to {self.codebooks} groups of at least one channel, 512 channels at most"
            )
        if not 1 <= len(self.dilations) <= 64 or not all(1 <= d <= 4096 for d in self.dilations):
            raise ValueError(f"dilations are {self.dilations}: 1 to 64 of them, each 1 to 4096")

    @property
    def channels(self) -> int:
        return sum(self.widths)

    def heard(self, codebook: int) -> int:
        """Channels that the guess for a codebook may depend on: those of its group and of the ones before."""
        return sum(self.widths[: codebook + 1])

    @property
    def context(self) -> int:
        """Frames before it that a frame's guess depends on."""
        return 1 + sum(self.dilations)
