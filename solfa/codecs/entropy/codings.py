"""Which coding a token file asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solfa.codecs.entropy.planes import Adaptive, Coding
from solfa.codecs.token_format import TokenHeader

if TYPE_CHECKING:
    from solfa.codecs.entropy.integer_lm import IntegerLM


def make_coding(header: TokenHeader, lm: IntegerLM | None = None) -> Coding | None:
    """The coding of a file's planes; None where they are packed.

    lm: the language model, if the coding is by one; otherwise that of the package with the header's hash.
    Raises ValueError where there is none, or it is another.
    """
    if header.coding == "packed":
        return None
    if header.coding == "adaptive":
        return Adaptive(header.codebook_size)
    from solfa.codecs.entropy.lm_coding import LMCoding

    if lm is None:
        from solfa.codecs.entropy.lm_checkpoint import find_lm

        lm = find_lm(header.lm)
    wanted = f"its codes are coded by the language model {header.lm[:12]}"
    if lm is None:
        raise ValueError(f"{wanted}, which is not in the package: give its folder (--lm)")
    if lm.hash != header.lm:
        raise ValueError(f"{wanted}: {lm.name} is {lm.hash[:12]}")
    lm.check_codec(header.codec, header.weights_hash, header.codebooks, header.codebook_size)
    return LMCoding(lm)
