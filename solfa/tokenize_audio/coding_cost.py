"""A recording's codes written in a coding and read back: what they took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from solfa.codecs.token_file import TokenFile, write_tokens
from solfa.codecs.token_format import MAX_CODED_SIZE
from solfa.eval.coding_cost import CodingCost

if TYPE_CHECKING:
    from solfa.codecs.codec import Codes
    from solfa.codecs.entropy.integer_lm import IntegerLM


@dataclass(frozen=True)
class Coded:
    """encode, decode: seconds of the processor that writing and reading the file took."""

    cost: CodingCost
    encode: float
    decode: float


def codings(codebook_size: int, lm: IntegerLM | None = None) -> tuple[str, ...]:
    """The codings of token files that are for codebooks of this size; "lm" where there is one."""
    if codebook_size > MAX_CODED_SIZE:
        return ("packed",)
    return ("packed", "adaptive") if lm is None else ("packed", "adaptive", "lm")


def coded(codes: Codes, coding: str, lm: IntegerLM | None = None, block_frames: int | None = None) -> Coded:
    """What the codes of one recording take in the token file that `solfa encode` would write. block_frames: as of `write_tokens`.

    Raises ValueError where the coding or the language model is not for these codes, or other codes come back.
    """
    model = lm if coding == "lm" else None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "codes.solfa"
        start = time.process_time()
        header = write_tokens(path, codes, coding=coding, block_frames=block_frames, lm=model)
        encode = time.process_time() - start
        start = time.process_time()
        with TokenFile(path, lm=model) as file:
            back, planes = file.codes(), file.plane_bytes()
        decode = time.process_time() - start
        stored = path.stat().st_size
    if not _same(codes, back):
        raise ValueError(f"coded as {coding}, other codes came back than went in")
    bits = tuple((8 * planes.sum(axis=0)).tolist())
    cost = CodingCost(coding, header.block_frames, bits, 8 * stored, header.frames, header.duration)
    return Coded(cost, encode, decode)


def costs(codes: Codes, lm: IntegerLM | None = None) -> Sequence[CodingCost]:
    """What the codes of one recording cost in each coding that is for them. Raises as `coded` does."""
    return [coded(codes, coding, lm).cost for coding in codings(codes.codebook_size, lm)]


def _same(codes: Codes, back: Codes) -> bool:
    if codes.samples != back.samples or not torch.equal(codes.tokens, back.tokens):
        return False
    if codes.scales is None or back.scales is None:
        return codes.scales is back.scales
    return torch.equal(codes.scales, back.scales)
